"""Where the guest is kept, outside of the tree: made when it is first needed, again when its recipe changes.

    base-KEY/    rootfs, kernel: from the network
    guest-KEY/   vmlinuz, initrd, root.img, and the booted guest: ram, state
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.vm.commands import LaneError, note
from tests.vm.debian import make_kernel, make_rootfs
from tests.vm.image import make_image
from tests.vm.machine import EXIT, Machine, Request
from tests.vm.recipe import base_key, guest_key, missing_tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SETTLE_SECONDS = 300.0


class Guest(NamedTuple):
    """The directories of a guest that is built and, while its context lasts, not removed."""

    base: Path
    guest: Path


def folder() -> Path:
    """Return the directory of all guests."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pyrunc-vm"


def obstacles() -> list[str]:
    """Return what keeps this machine from having a guest, each as a sentence; empty if one can be had."""
    found = []
    if os.uname().machine != "x86_64":
        found.append(f"the guest is one for x86_64, this is {os.uname().machine}")
    if packages := missing_tools():
        found.append(f"programs are missing (as root: apt-get install {' '.join(packages)})")
    elif os.geteuid() != 0:
        found.append("building the guest, and pyrunc for it, takes root")
    return found


@contextlib.contextmanager
def guest() -> Iterator[Guest]:
    """Build what is missing and keep it for the time of the context. Raises LaneError."""
    if found := obstacles():
        raise LaneError("; ".join(found))
    folder().mkdir(parents=True, exist_ok=True)
    wanted = Guest(folder() / f"base-{base_key()}", folder() / f"guest-{guest_key()}")
    with contextlib.ExitStack() as held:
        with _locked(folder()):
            _make(wanted.base, _make_base)
            _make(wanted.guest, lambda target: _make_guest(wanted.base, target))
            for used in wanted:
                held.enter_context(_locked(used, fcntl.LOCK_SH))
            _remove_others(wanted)
        yield wanted


@contextlib.contextmanager
def _locked(directory: Path, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, kind)
        yield
    finally:
        os.close(fd)


def _make(target: Path, make: Callable[[Path], None]) -> None:
    """Make a directory, whole or not at all."""
    if target.exists():
        return
    unfinished = target.with_name(f"unfinished-{target.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        make(unfinished)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    unfinished.rename(target)


def _make_base(target: Path) -> None:
    note("fetching the guest's root file system (under a minute)")
    make_rootfs(target / "rootfs")
    note("fetching the guest's kernel")
    make_kernel(target / "kernel")


def _make_guest(base: Path, target: Path) -> None:
    note("making the disk image")
    make_image(base, target)
    note("booting the guest once, to save it (under a minute)")
    with Machine(target, save=True) as machine:
        machine.wait_for_boot()
        said, status = b"", b""
        for kind, data in machine.run(Request(["sh", "/opt/lane/settle.sh"]), SETTLE_SECONDS):
            said, status = (said, data) if kind == EXIT else (said + data, status)
        if status != b"0":
            raise LaneError(f"the guest is not well: exit {status.decode()}\n{said.decode(errors='replace')}")
        (target / "settled.txt").write_bytes(said)
        machine.save()
    note("the guest is saved")


def _remove_others(kept: Guest) -> None:
    """Remove guests of other recipes, unless somebody has one in use."""
    for other in folder().iterdir():
        if other in kept or not other.is_dir():
            continue
        try:
            with _locked(other, fcntl.LOCK_EX | fcntl.LOCK_NB):
                note(f"removing {other}: of another recipe")
                shutil.rmtree(other)
        except BlockingIOError:
            note(f"keeping {other}: in use")
