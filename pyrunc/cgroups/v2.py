"""What only cgroup v2 needs when a container's cgroup is made; loaded only where one is.

Kernel: Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import posix
from errno import EACCES, EAGAIN, EBUSY, EOPNOTSUPP, EPERM

from pyrunc.cgroups.creation import make_directories
from pyrunc.cgroups.layout import read_file, write_file
from pyrunc.errors import CgroupError, StepError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.plan.steps_cgroups import DeviceRule, Directory

_DELEGATE = "/sys/kernel/cgroup/delegate"


def make(directory: Directory, owner: int | None, inhabitant: int = 0) -> None:
    """Make a v2 cgroup with its controllers enabled, and give it to its owner. Raises OSError, CgroupError.

    An existing one must have no process in or below it but the `inhabitant`, and not be frozen (requirement 94).
    """
    mount, path = directory.hierarchy.mount, directory.path
    made = make_directories(mount, path)
    if not made:
        _check_unused(directory, inhabitant)
        if posix.geteuid() == 0 and not inhabitant:
            _forget_devices(path)
    for parent in _parents(mount, path):
        _enable(parent, directory)
    if owner is not None:
        delegate(path, owner)


def _check_unused(directory: Directory, inhabitant: int) -> None:
    events = read_file(f"{directory.path}/cgroup.events").split()
    values = dict(zip(events[::2], events[1::2], strict=False))
    if values.get("populated") != "0" and not _holds_only(directory.path, inhabitant):
        raise CgroupError(f"{directory.where}: the cgroup {directory.path} already has processes in it")
    if values.get("frozen", "0") != "0" or _asked_to_freeze(directory.path):
        raise CgroupError(f"{directory.where}: the cgroup {directory.path} is frozen")


def _forget_devices(path: str) -> None:
    """Take away the rules of the container that was here before, or they would hold together with the new one's."""
    try:
        replace_device_program(path, None)
    except StepError as err:
        # As root of a user namespace we may not even ask, and neither was it we who set them.
        if not isinstance(err.__cause__, PermissionError):
            raise


def _holds_only(path: str, inhabitant: int) -> bool:
    return inhabitant > 0 and read_file(f"{path}/cgroup.procs").split() == [str(inhabitant)]


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
    except OSError as err:
        if err.errno == EBUSY and read_file(f"{parent}/cgroup.procs"):
            # It would still pass on the controllers that take threads apart, and so become a threaded domain, in
            # which there is no place for a container any more.
            _refuse(parent, set(directory.controllers) - set(enabled), directory, err)
            return
        for each in wanted:
            _enable_one(parent, each, directory)


def _refuse(parent: str, controllers: set[str], directory: Directory, err: OSError) -> None:
    for controller in sorted(controllers):
        message = f"{directory.where}: cannot enable the cgroup controller {controller} in {parent}"
        raise CgroupError(f"{message}: {reason(err)}", _way_out(parent, err)) from err


def _enable_one(parent: str, controller: str, directory: Directory) -> None:
    try:
        _control(parent, [controller])
    except OSError as err:
        _refuse(parent, {controller} & set(directory.controllers), directory, err)


def _way_out(parent: str, err: OSError) -> str:
    if err.errno == EBUSY:
        # cgroup-v2.rst, "No Internal Process Constraint". It is what whoever runs in a container of his own
        # meets: the processes in /sys/fs/cgroup/cgroup.procs are then his.
        return f"it has processes of its own: move them from {parent}/cgroup.procs into a child such as {parent}/init"
    if err.errno == EOPNOTSUPP:
        return f"{parent} is a threaded cgroup: choose another place by .linux.cgroupsPath"
    return ""


def _control(parent: str, controllers: list[str]) -> None:
    write_file(f"{parent}/cgroup.subtree_control", " ".join(f"+{each}" for each in controllers))


def refusal(directory: Directory, err: OSError) -> CgroupError | None:
    """Return what clone3(CLONE_INTO_CGROUP) had against a cgroup; None if that was not the reason (clone(2))."""
    path = directory.path
    message = f"{directory.where}: cannot start a process in the cgroup {path}: {reason(err)}"
    if err.errno == EBUSY:
        return CgroupError(message, "cgroups below it have controllers: then processes can only be there")
    if err.errno == EOPNOTSUPP:
        return CgroupError(message, "it is, or is below, a threaded cgroup")
    if err.errno == EAGAIN:
        return CgroupError(message, f"pids.max of {path} or a cgroup above it leaves no room")
    if err.errno in (EACCES, EPERM) and not posix.access(f"{path}/cgroup.procs", posix.W_OK):
        return CgroupError(message, "delegation has to include the cgroup that both it and the runtime are below")
    return None


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


def replace_device_program(path: str, rules: tuple[DeviceRule, ...] | None) -> None:
    """Let these device rules follow the ones that hold in a v2 cgroup, with no moment between (BPF_F_REPLACE).

    None allows everything. Programs of others, such as systemd's, stay (bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE).
    Raises StepError, with the old rules in force.
    """
    from pyrunc.cgroups.devices import device_program
    from pyrunc.kernel import bpf

    opened: list[int] = []
    try:
        opened.append(posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC))
        old = _our_programs(opened[0], opened)
        if rules is not None:
            opened.append(bpf.load_device_program(device_program(rules)))
            bpf.attach(opened[0], opened[-1], old.pop() if old else -1)
        for program in old:
            bpf.detach(opened[0], program)
    except OSError as err:
        message = f".linux.resources.devices: cannot attach a device program to {path}: {reason(err)}"
        raise StepError(message) from err
    finally:
        for fd in opened:
            posix.close(fd)


def _our_programs(cgroup: int, opened: list[int]) -> list[int]:
    """Open the device programs of the cgroup, adding them to `opened`, and return those that are ours."""
    from pyrunc.kernel import bpf

    ours = []
    for number in bpf.query(cgroup):
        opened.append(bpf.open_program(number))
        if bpf.is_ours(opened[-1]):
            ours.append(opened[-1])
    return ours
