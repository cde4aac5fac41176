"""Carry out a CgroupPlan: make the directories, write the limits, let the container in.

The directories are written down (missing_directories, state/) before create makes the first of them.
"""

from __future__ import annotations

import posix
from errno import EACCES, EINVAL, ENOENT, EOPNOTSUPP, EPERM

from pyrunc.cgroups.layout import open_tasks, read_file, write_file
from pyrunc.errors import CgroupError, StepError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyrunc.plan.steps_cgroups import CgroupPlan, Directory, Write

# A parent that we saw may be removed by the end of another container before we are in it.
_ATTEMPTS = 5


def missing_directories(plan: CgroupPlan) -> tuple[str, ...]:
    """Return every directory, leaf or parent, that create would make, a child always before its parent."""
    missing = []
    for directory in plan.directories:
        path = directory.path
        while path != directory.hierarchy.mount and not posix.access(path, posix.F_OK):
            missing.append(path)
            path = path.rpartition("/")[0]
    return tuple(missing)


def make_unified(plan: CgroupPlan) -> None:
    """Make the v2 cgroup, before its limits and before all others. Raises CgroupError."""
    _make([each for each in plan.directories if each.hierarchy.version == 2], plan, 0)


def create(plan: CgroupPlan, inhabitant: int = 0, with_unified: bool = True) -> None:
    """Make the container's cgroup in every hierarchy, with all limits set, ready to be entered.

    An existing cgroup is taken only if it is empty and not frozen (requirement 94: what runs there already
    would share the container's limits, and be killed with it); `inhabitant` is a process of the container's that
    systemd has put there. Without `with_unified` the v2 cgroup is there already, by make_unified. Raises CgroupError,
    or StepError for a limit.
    """
    _make([each for each in plan.directories if with_unified or each.hierarchy.version != 2], plan, inhabitant)
    apply(plan.writes)
    limit_devices(plan)


def _make(directories: list[Directory], plan: CgroupPlan, inhabitant: int) -> None:
    for directory in directories:
        try:
            if directory.hierarchy.version == 2:
                from pyrunc.cgroups import v2

                v2.make(directory, plan.owner, inhabitant)
            else:
                _make_v1(directory, inhabitant)
        except OSError as err:
            message = f"{directory.where}: cannot {directory.describe()}: {reason(err)}"
            raise CgroupError(message, _way_to_rights(err)) from err


def _way_to_rights(err: OSError) -> str:
    if err.errno not in (EACCES, EPERM) or posix.geteuid() == 0:
        return ""
    # cgroup-v2.rst, "Delegation". On v1 there is no safe way, and systemd offers none.
    return "limits need a v2 cgroup that is delegated to you, as by: systemd-run --user --scope -p Delegate=yes"


def _make_v1(directory: Directory, inhabitant: int) -> None:
    hierarchy = directory.hierarchy
    made = make_directories(hierarchy.mount, directory.path)
    if "cpuset" in hierarchy.controllers:
        _inherit_cpuset(directory.path, made, hierarchy.mount)
    if not made:
        _check_unused(directory, inhabitant)
        if "memory" in hierarchy.controllers:
            # The plan lowers memory first and memsw after it; an old memsw limit could be in the way.
            _try_write(f"{directory.path}/memory.memsw.limit_in_bytes", "-1")


def make_directories(mount: str, leaf: str) -> tuple[str, ...]:
    """Make a directory below a mount, with the parents it lacks; return those made, parents first.

    Raises OSError, FileNotFoundError if others keep removing the parents.
    """
    for _ in range(_ATTEMPTS):
        try:
            posix.mkdir(leaf, 0o755)
        except FileExistsError:
            return ()
        except FileNotFoundError:
            parent = leaf.rpartition("/")[0]
            if parent == mount:
                raise
            made = make_directories(mount, parent)
            try:
                posix.mkdir(leaf, 0o755)
            except FileNotFoundError:
                continue
            return (*made, leaf)
        else:
            return (leaf,)
    raise FileNotFoundError(ENOENT, "its parent is being removed", leaf)


def _inherit_cpuset(leaf: str, made: tuple[str, ...], mount: str) -> None:
    """Copy cpus and mems from above: a new v1 cpuset has none, and then nobody may join it (cpusets(7))."""
    for file in ("cpuset.cpus", "cpuset.mems"):
        for path in made:
            write_file(f"{path}/{file}", _filled(path.rpartition("/")[0], file, mount))
        if not made:
            _filled(leaf, file, mount)


def _filled(path: str, file: str, mount: str) -> str:
    """Return what a cpuset file says; an empty one is filled from above first."""
    value = read_file(f"{path}/{file}").strip()
    if not value and path != mount:
        value = _filled(path.rpartition("/")[0], file, mount)
        write_file(f"{path}/{file}", value)
    return value


def _check_unused(directory: Directory, inhabitant: int) -> None:
    """Requirement 94, for a v1 cgroup that was there before us: nobody in it or below it."""
    from pyrunc.cgroups.tree import members

    if members(directory.path) - ({inhabitant} if inhabitant else set()):
        raise CgroupError(f"{directory.where}: the cgroup {directory.path} already has processes in it")
    if "freezer" in directory.hierarchy.controllers:
        state = read_file(f"{directory.path}/freezer.state").strip()
        if state != "THAWED":
            raise CgroupError(f"{directory.where}: the cgroup {directory.path} is {state.lower()}")


def apply(writes: Iterable[Write]) -> None:
    """Write the values in order.

    Raises StepError with the JSON path, the file, the value and the kernel's reason.
    """
    path, fd = "", -1
    try:
        for write in writes:
            try:
                if write.usage:
                    _check_usage(write)
                if write.path != path:
                    # A file is opened once for all its values in a row: devices.allow takes a dozen.
                    path, fd = _reopen(fd, write.path)
                posix.write(fd, write.value.encode())
            except OSError as err:
                path = ""
                _excuse(write, err)
    finally:
        if fd >= 0:
            posix.close(fd)


def _check_usage(write: Write) -> None:
    """Refuse a limit below what is used: the kernel would kill for it (v2), or first throw out what it can (v1)."""
    used = int(read_file(write.usage))
    if used > int(write.value):
        problem = f"{used} bytes are in use, and checkBeforeUpdate is set"
        raise StepError(f"{write.where}: cannot {write.describe()}: {problem}")


def _reopen(fd: int, path: str) -> tuple[str, int]:
    new = posix.open(path, posix.O_WRONLY | posix.O_CLOEXEC)
    if fd >= 0:
        posix.close(fd)
    return path, new


def _excuse(write: Write, err: OSError) -> None:
    if write.otherwise and err.errno == ENOENT:
        apply((write.otherwise,))
    elif not write.optional or err.errno not in (ENOENT, EOPNOTSUPP):
        # devices.rst: a list cannot be reset any more once there are cgroups below that inherit from it.
        resets = write.value == "a" and err.errno == EINVAL
        hint = "remove the cgroups below it" if resets else ""
        raise StepError(f"{write.where}: cannot {write.describe()}: {reason(err)}", hint) from err


def limit_devices(plan: CgroupPlan) -> None:
    """Load and attach the device program of the plan's v2 cgroup, if it has one. Raises StepError."""
    if plan.unified and plan.device_rules is not None:
        from pyrunc.cgroups import v2

        v2.replace_device_program(plan.unified.path, plan.device_rules)


def entry_fds(plan: CgroupPlan, late: bool) -> tuple[int, ...]:
    """Open the `tasks` file of every v1 cgroup for the child, which enters by writing "0" into each of them.

    "0" in `tasks` is the calling thread alone, and moving oneself needs no lock against fork and exit: 0.15
    to 0.2 ms for nine hierarchies. A pid, or cgroup.procs, takes cgroup_threadgroup_rwsem for writing, which
    waits for an RCU grace period: 5 to 15 ms on the same machine. So the child must have one thread only.

    The cgroup that is entered last, plan.last, is opened by late=True and all others by late=False.
    The caller owns the fds. Raises CgroupError.
    """
    last = plan.last
    return open_tasks(
        each.path
        for each in plan.directories
        if each.hierarchy.version == 1 and late == (each is last)
    )


def visit_fds(plan: CgroupPlan) -> tuple[int, ...]:
    """Open what the child needs to visit the directory that it will enter last; () where it need not.

    A cgroup namespace begins where its maker is. Left outside, the child would make the runtime's own memory
    cgroup the container's root, for it to see and, by a writable mount, to change. So it goes in through the
    first of these files, makes the namespace, and goes back through the other; on v2 add() takes it in.
    The caller owns the fds. Raises CgroupError.
    """
    last = plan.last
    if not plan.visits or last is None:
        return ()
    back = f"{last.hierarchy.mount}{last.hierarchy.own.rstrip('/')}"
    if last.hierarchy.version == 1:
        return open_tasks((last.path, back))
    try:
        return (posix.open(f"{back}/cgroup.procs", posix.O_WRONLY | posix.O_CLOEXEC),)
    except OSError as err:
        raise CgroupError(f"cannot open the cgroup {back}: {reason(err)}") from err


def adds_early(plan: CgroupPlan) -> bool:
    """Tell whether add() is due before the child makes its namespaces; see entry_fds and visit_fds."""
    return plan.unified is not None and (plan.unified is not plan.last or plan.visits)


def pids_fd(plan: CgroupPlan) -> tuple[int, ...]:
    """Open pids.max for the child to write plan.late_pids to after its hooks; () without. Raises CgroupError."""
    if plan.late_pids is None:
        return ()
    try:
        return (posix.open(plan.late_pids.path, posix.O_RDWR | posix.O_CLOEXEC),)
    except OSError as err:
        raise CgroupError(f"cannot open {plan.late_pids.path}: {reason(err)}") from err


def open_directory(plan: CgroupPlan) -> int:
    """Return the fd of the v2 cgroup for clone3(CLONE_INTO_CGROUP), -1 where the child is not born into one.

    Being born there costs 0.2 ms where adding a pid later waits 4 to 20 ms, for the reason in entry_fds.
    The caller owns the fd. Raises CgroupError.
    """
    if plan.unified is None or not plan.born_inside:
        return -1
    try:
        return posix.open(plan.unified.path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    except OSError as err:
        raise CgroupError(f"cannot open the cgroup {plan.unified.path}: {reason(err)}") from err


def add(plan: CgroupPlan, pid: int) -> None:
    """Move a process into the plan's v2 cgroup, if it has one and the process was not born there.

    Raises CgroupError.
    """
    if plan.unified is None:
        return
    try:
        write_file(f"{plan.unified.path}/cgroup.procs", str(pid))
    except OSError as err:
        raise CgroupError(f"cannot add {pid} to the cgroup {plan.unified.path}: {reason(err)}") from err


def _try_write(path: str, value: str) -> None:
    try:
        write_file(path, value)
    except FileNotFoundError:
        return


def freezer_file(plan: CgroupPlan) -> str:
    """Return the file that tells whether the container is frozen, "" where it cannot be."""
    for directory in plan.directories:
        if "freezer" in directory.hierarchy.controllers:
            return f"{directory.path}/freezer.state"
    return f"{plan.unified.path}/cgroup.freeze" if plan.unified else ""
