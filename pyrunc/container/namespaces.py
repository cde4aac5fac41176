"""Enter the container's namespaces (namespaces(7)): join what is given by path, unshare what is new."""

from __future__ import annotations

import errno
import posix

from pyrunc.errors import StepError, reason
from pyrunc.kernel import flags
from pyrunc.kernel.credentials import set_groups, set_ids
from pyrunc.kernel.namespaces import setns, unshare
from pyrunc.kernel.network import loopback_up
from pyrunc.plan.steps_cgroups import PIDS_OF_HOOKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.steps import IdMaps, JoinNamespace, Namespaces, Process
    from pyrunc.plan.steps_cgroups import Write

_LONGEST_LIMIT = 32


def join(joins: tuple[JoinNamespace, ...], fds: dict[str, int]) -> None:
    """Join namespaces through their open files, whose type was checked by the host side.

    A namespace may belong to the user namespace that is joined with it, or to the runtime's own: what we may not
    join with the runtime's privileges is tried again with those in the user namespace (user_namespaces(7)).
    """
    later = []
    for step in joins:
        if step.kind == "user":
            continue
        try:
            setns(fds[step.kind], flags.NAMESPACES[step.kind])
        except OSError as err:
            if err.errno != errno.EPERM or "user" not in fds:
                raise _cannot(step, err) from err
            later.append(step)
    for step in (*(each for each in joins if each.kind == "user"), *later):
        try:
            setns(fds[step.kind], flags.NAMESPACES[step.kind])
        except OSError as err:
            raise _cannot(step, err) from err


def _cannot(step: JoinNamespace, err: OSError) -> StepError:
    return StepError(f"{step.where}: cannot {step.describe()}: {reason(err)}")


def become_root(maps: IdMaps | None, process: Process | None, setgroups: bool | None = None) -> None:
    """Take the ids that own the container's files: 0 inside, or the process's own where 0 is not mapped.

    `setgroups` says whether the user namespace allows that call, for who has no /proc to look at any more.
    """
    uid = gid = 0
    if maps is not None and process is not None:
        uid = 0 if _maps(maps, 0) else process.uid
        gid = 0 if any(line.inside == 0 for line in maps.gids) else process.gid
    try:
        set_ids(uid, gid)
        set_groups(())
    except PermissionError:
        # user_namespaces(7): where setgroups is denied (an ordinary user's map) the caller's groups stay.
        if setgroups_allowed("self") if setgroups is None else setgroups:
            raise
    except OSError as err:
        raise StepError(f".linux.uidMappings: cannot become {uid}:{gid} inside: {reason(err)}") from err


def _maps(maps: IdMaps, uid: int) -> bool:
    return any(line.inside <= uid < line.inside + line.size for line in maps.uids)


def setgroups_allowed(pid: int | str) -> bool:
    """Tell whether setgroups(2) is allowed in a process's user namespace (user_namespaces(7)). Raises OSError."""
    fd = posix.open(f"/proc/{pid}/setgroups", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return posix.read(fd, 16).strip() == b"allow"
    finally:
        posix.close(fd)


def unshare_in_child(namespaces: Namespaces) -> None:
    """Make the namespaces that need nothing from the host side, and bring `lo` up in a new network."""
    try:
        if namespaces.in_child:
            unshare(namespaces.in_child)
        if namespaces.in_child & flags.CLONE_NEWNET:
            loopback_up()
        if namespaces.time:
            _new_time_namespace(namespaces.time_offsets)
    except OSError as err:
        raise StepError(f".linux.namespaces: cannot make new namespaces: {reason(err)}") from err


def _new_time_namespace(offsets: str) -> None:
    """time_namespaces(7): only children enter a new one, and its offsets are fixed once somebody is inside."""
    unshare(flags.CLONE_NEWTIME)
    if offsets:
        fd = posix.open("/proc/self/timens_offsets", posix.O_WRONLY | posix.O_CLOEXEC)
        try:
            posix.write(fd, offsets.encode())
        except OSError as err:
            raise StepError(f".linux.timeOffsets: cannot set the clocks: {reason(err)}") from err
        finally:
            posix.close(fd)
    fd = posix.open("/proc/self/ns/time_for_children", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        setns(fd, flags.CLONE_NEWTIME)
    finally:
        posix.close(fd)


def unshare_cgroup() -> None:
    """Make the cgroup namespace; the cgroups that the process is in become its roots (cgroup_namespaces(7))."""
    try:
        unshare(flags.CLONE_NEWCGROUP)
    except OSError as err:
        raise StepError(f".linux.namespaces: cannot make a new cgroup namespace: {reason(err)}") from err


def reset_affinity() -> None:
    """Let the container run on every cpu of its cpuset, whatever cpus its caller was bound to.

    After joining: the kernel narrows a mask to the cpuset of the moment, and does not widen it again.
    """
    every = posix.sysconf("SC_NPROCESSORS_CONF")
    if len(posix.sched_getaffinity(0)) < every:
        try:
            posix.sched_setaffinity(0, range(every))
        except OSError as err:
            raise StepError(f"cannot reset the cpu affinity: {reason(err)}") from err


def join_cgroups(tasks: tuple[int, ...]) -> None:
    """Move this process into its cgroups through the open `tasks` files.

    "0" is the writer itself, and a single thread that moves itself needs no grace period: 0.15 ms for all v1
    hierarchies, where a pid written to cgroup.procs waits 5 to 15 ms. (On v2 the file is cgroup.procs all the same.)
    """
    for fd in tasks:
        try:
            posix.write(fd, b"0")
        except OSError as err:
            raise StepError(f".linux.cgroupsPath: cannot join the cgroup: {reason(err)}") from err
        finally:
            posix.close(fd)


def limit_pids(pids_max: int, limit: Write) -> None:
    """Write the limit that hooks were spared, unless an update has set another meanwhile."""
    try:
        if posix.pread(pids_max, _LONGEST_LIMIT, 0).strip() == b"%d" % PIDS_OF_HOOKS:
            posix.pwrite(pids_max, limit.value.encode(), 0)
    except OSError as err:
        raise StepError(f"{limit.where}: cannot {limit.describe()}: {reason(err)}") from err
