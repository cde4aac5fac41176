"""What only cgroup v2 needs when a container's cgroup is made; loaded only where one is.

Kernel: Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import posix
from errno import EBUSY

from pyrunc.cgroups.creation import make_directories
from pyrunc.cgroups.layout import read_file
from pyrunc.errors import CgroupError, StepError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.plan.steps_cgroups import DeviceRule, Directory

_DELEGATE = "/sys/kernel/cgroup/delegate"


def make(directory: Directory, owner: int | None) -> None:
    """Make a v2 cgroup with its controllers enabled, and give it to its owner. Raises OSError, CgroupError.

    An existing one must have no process in or below it and not be frozen (requirement 94).
    """
    mount, path = directory.hierarchy.mount, directory.path
    made = make_directories(mount, path)
    if not made:
        _check_unused(directory)
    for parent in _parents(mount, path):
        _enable(parent, directory)
    if owner is not None:
        delegate(path, owner)


def _check_unused(directory: Directory) -> None:
    events = read_file(f"{directory.path}/cgroup.events").split()
    values = dict(zip(events[::2], events[1::2], strict=False))
    if values.get("populated") != "0":
        raise CgroupError(f"{directory.where}: the cgroup {directory.path} already has processes in it")
    if values.get("frozen", "0") != "0" or _asked_to_freeze(directory.path):
        raise CgroupError(f"{directory.where}: the cgroup {directory.path} is frozen")


def _asked_to_freeze(path: str) -> bool:
    try:
        return read_file(f"{path}/cgroup.freeze").strip() == "1"
    except FileNotFoundError:
        return False


def _parents(mount: str, path: str) -> Iterator[str]:
    """Yield the mount and every cgroup between it and the path, from above."""
    yield mount
    for part in path[len(mount) + 1 :].split("/")[:-1]:
        mount += f"/{part}"
        yield mount


def _enable(parent: str, directory: Directory) -> None:
    """Let a cgroup pass on all controllers it has: statistics need even those that nothing limits.

    Only a controller that the plan writes to must be there; the others are tried.
    """
    available = read_file(f"{parent}/cgroup.controllers").split()
    enabled = read_file(f"{parent}/cgroup.subtree_control").split()
    for controller in directory.controllers:
        if controller not in available:
            raise CgroupError(f"{directory.where}: {parent} does not have the cgroup controller {controller}")
    wanted = [each for each in available if each not in enabled]
    if not wanted:
        return
    try:
        _control(parent, wanted)
    except OSError:
        for each in wanted:
            _enable_one(parent, each, directory)


def _enable_one(parent: str, controller: str, directory: Directory) -> None:
    try:
        _control(parent, [controller])
    except OSError as err:
        if controller in directory.controllers:
            # "No internal processes": a v2 cgroup that has processes cannot pass controllers on.
            hint = "it has processes of its own; move them into a child" if err.errno == EBUSY else ""
            message = f"{directory.where}: cannot enable the cgroup controller {controller} in {parent}"
            raise CgroupError(f"{message}: {reason(err)}", hint) from err


def _control(parent: str, controllers: list[str]) -> None:
    fd = posix.open(f"{parent}/cgroup.subtree_control", posix.O_WRONLY | posix.O_CLOEXEC)
    try:
        posix.write(fd, " ".join(f"+{each}" for each in controllers).encode())
    finally:
        posix.close(fd)


def delegate(path: str, owner: int) -> None:
    """Give a cgroup to the host uid that manages it from inside (config-linux.md#cgroup-ownership).

    Only the directory and the files that the kernel lists as safe; those that are missing do not matter.
    Raises OSError.
    """
    try:
        files = read_file(_DELEGATE).split()
    except FileNotFoundError:
        files = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"]
    posix.chown(path, owner, -1)
    for file in files:
        try:
            posix.chown(f"{path}/{file}", owner, -1)
        except FileNotFoundError:
            continue


def attach_devices(path: str, rules: tuple[DeviceRule, ...]) -> None:
    """Make the device rules hold in a v2 cgroup (bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE). Raises StepError."""
    from pyrunc.cgroups.devices import device_program
    from pyrunc.kernel import bpf

    opened: list[int] = []
    try:
        opened.append(posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC))
        opened.append(bpf.load_device_program(device_program(rules)))
        bpf.attach(*opened)
    except OSError as err:
        message = f".linux.resources.devices: cannot attach a device program to {path}: {reason(err)}"
        raise StepError(message) from err
    finally:
        for fd in opened:
            posix.close(fd)
