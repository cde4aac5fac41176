"""This checkout as the guest gets it: pyrunc installed for the guest's python, tests compiled, in one archive."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from bundles import folder
from tests.vm.commands import LaneError, step
from tests.vm.machine import EXIT, Machine, Request
from tests.vm.recipe import HERE

if TYPE_CHECKING:
    from tests.vm.cache import Guest

REPOSITORY = HERE.parents[1]
PLACE = "/srv/pyrunc"  # where it lies in the guest
ARCHIVE = "checkout.tar"
UNPACK = ["sh", "-c", f"mkdir -p {PLACE} && tar --extract --file /host/{ARCHIVE} --directory {PLACE}"]
UNPACK_SECONDS = 120.0
IGNORED = shutil.ignore_patterns(".*", "build", "dist", "rootfs", "__pycache__", "*.egg-info")

# In a mount namespace of its own; the root file system stays as it is. $0 root, $1 checkout, $2 its place.
CHROOT = """
mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && cd "$0" &&
mount --bind "$1" ".$2" && mount -t tmpfs tmpfs tmp && mount --bind /dev dev && mount -t proc proc proc &&
exec chroot . sh -c "cd $2 && exec sh tests/vm/prepare.sh"
"""


def pack(guest: Guest, target: Path) -> dict[str, dict[str, int]]:
    """Write target/ARCHIVE; return the files with tests and how many they have, by lane.

    Raises LaneError, with what went wrong when pyrunc was built or tests were collected.
    """
    checkout = target / "checkout"
    shutil.copytree(REPOSITORY, checkout, ignore=left_out, symlinks=True)
    (guest.base / "rootfs" / PLACE.lstrip("/")).mkdir(parents=True, exist_ok=True)
    unshare = ("unshare", "--mount", "--propagation", "private")
    step(*unshare, "sh", "-c", CHROOT, guest.base / "rootfs", checkout, PLACE)
    modes = ("--owner=0", "--group=0", "--mode=a+rX")
    step("tar", "--create", "--file", target / ARCHIVE, *modes, "--directory", checkout, ".")
    files: dict[str, dict[str, int]] = json.loads((checkout / "lanes.json").read_text())
    shutil.rmtree(checkout)
    return files


def left_out(directory: str, names: list[str]) -> set[str]:
    """Name what of a directory the guest does not need, or what bundles have made here for this machine."""
    made = {path for name in folder.names() for path in folder.made(name)}
    return IGNORED(directory, names) | {name for name in names if Path(directory, name) in made}


def unpack(machine: Machine) -> None:
    """Put the checkout of a directory that pack() has filled, and that the machine shares, into its place."""
    said = b""
    for kind, data in machine.run(Request(UNPACK, share=True), UNPACK_SECONDS):
        if kind == EXIT and data != b"0":
            raise LaneError(f"the checkout could not be unpacked in the guest: {said.decode(errors='replace')}")
        said += data
