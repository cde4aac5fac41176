"""Where a process that joins a running container is put: the cgroups that create made, or ones below them."""

from __future__ import annotations

import posix

from pyrunc.cgroups.layout import read_file, write_file
from pyrunc.errors import CgroupError, UsageError, reason
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.facts import CgroupLayout, Hierarchy

# What the interpreter may touch there before it executes the program.
_ROOM = 16 << 20
# The process that joins namespaces, and the program's own.
_PROCESSES = 2
# A program that starts as many has long outlived the process that joined namespaces for it.
_FEW = 64
_OPEN_DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC


class Entrance(Record):
    """The directories by how they are entered.

    `tasks` are v1 directories that a process enters by itself, `unified` the v2 directory that it is born into
    ("" for none). `late` have no room for an interpreter, or are not ours to enter: the program's process is moved
    there by its pid. With `few_pids` a pids limit is so near that a program would notice a process of ours.
    """

    tasks: tuple[str, ...]
    unified: str
    late: tuple[str, ...]
    few_pids: bool = False


def entrance(leaves: tuple[str, ...], below: dict[str, str], layout: CgroupLayout) -> Entrance:
    """Choose the directories: those of the container, or by controller ("" is all) what is `below` them.

    Raises UsageError for a controller that the container has no cgroup of, CgroupError for directories that are
    not there.
    """
    hierarchies = {leaf: _hierarchy_of(leaf, layout) for leaf in leaves}
    known = {controller for each in hierarchies.values() for controller in (*each.controllers, "")}
    for controller in below:
        if controller not in known:
            raise UsageError(f"--cgroup: the container has no cgroup of the controller {controller!r}")
    tasks, unified, late = [], "", []
    few = False
    for leaf, hierarchy in hierarchies.items():
        wanted = next((below[each] for each in (*hierarchy.controllers, "") if each in below), "")
        path = _below(leaf, wanted)
        left = _pids_left(path, hierarchy)
        few = few or left < _FEW
        if left < _PROCESSES or _is_small(path, hierarchy) or not _may_enter(path, hierarchy):
            late.append(path)
        elif hierarchy.version == 1:
            tasks.append(path)
        else:
            unified = path
    return Entrance(tuple(tasks), unified, tuple(late), few)


def _hierarchy_of(leaf: str, layout: CgroupLayout) -> Hierarchy:
    mounts = {each.mount: each for each in layout.hierarchies}
    parent = leaf.rpartition("/")[0]
    while parent and parent not in mounts:
        parent = parent.rpartition("/")[0]
    if not parent:
        raise CgroupError(f"the container's cgroup {leaf} is not in a hierarchy that is mounted here")
    return mounts[parent]


def _below(leaf: str, path: str) -> str:
    """Return a directory below a leaf. Raises CgroupError unless it is there, and there only."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts:
        return leaf
    whole = "/".join((leaf, *parts))
    if ".." in parts:
        raise CgroupError(f"--cgroup: {path} leads out of the container's cgroup")
    if not posix.access(f"{whole}/cgroup.procs", posix.F_OK):
        raise CgroupError(f"--cgroup: there is no cgroup {whole}")
    return whole


def _is_small(path: str, hierarchy: Hierarchy) -> bool:
    """Tell whether a directory's memory limit may stop the interpreter that would execute the program."""
    if "memory" not in hierarchy.controllers:
        return False
    memory = _limit(f"{path}/{'memory.limit_in_bytes' if hierarchy.version == 1 else 'memory.max'}")
    return memory is not None and memory < _ROOM


def _pids_left(path: str, hierarchy: Hierarchy) -> float:
    """Return how many processes a directory has room for."""
    most = _limit(f"{path}/pids.max") if "pids" in hierarchy.controllers else None
    return float("inf") if most is None else most - (_limit(f"{path}/pids.current") or 0)


def _may_enter(path: str, hierarchy: Hierarchy) -> bool:
    """Tell whether we may go there ourselves (cgroup-v2.rst, "Delegation Containment"); else systemd has to help.

    That takes the right to write to cgroup.procs of the cgroup above both us and our destination.
    """
    if hierarchy.version == 1 or not posix.geteuid():
        return True
    ours, theirs = f"{hierarchy.mount}{hierarchy.own}".split("/"), path.split("/")
    shared = [ours[n] for n in range(min(len(ours), len(theirs))) if ours[: n + 1] == theirs[: n + 1]]
    return posix.access(f"{'/'.join(shared)}/cgroup.procs", posix.W_OK)


def _limit(file: str) -> int | None:
    try:
        text = read_file(file).strip()
    except OSError:  # a controller that is not enabled here (v2)
        return None
    return int(text) if text.isdigit() else None


def open_directory(path: str) -> int:
    """Return the fd of a v2 cgroup for clone3(CLONE_INTO_CGROUP). The caller owns it. Raises CgroupError."""
    try:
        return posix.open(path, _OPEN_DIRECTORY)
    except OSError as err:
        raise CgroupError(f"cannot open the cgroup {path}: {reason(err)}") from err


def open_beside(pid: int, leaf: str, layout: CgroupLayout) -> int:
    """Open the v2 cgroup that a container's init is in now: it may have handed its first one's controllers down.

    Raises CgroupError if that is not in the container's own.
    """
    unified = layout.unified
    try:
        lines = read_file(f"/proc/{pid}/cgroup").splitlines()
        path = next(line[3:] for line in lines if line.startswith("0::"))
        root = unified.root.rstrip("/") if unified else ""
        whole = f"{unified.mount if unified else ''}{path.removeprefix(root)}"
        if not f"{whole}/".startswith(f"{leaf}/") or ".." in whole.split("/"):
            raise CgroupError(f"the init is in the cgroup {path}, which is not below {leaf}")
        return posix.open(whole, _OPEN_DIRECTORY)
    except (OSError, StopIteration) as err:
        why = reason(err) if isinstance(err, OSError) else "it has none"
        raise CgroupError(f"cannot open the cgroup of the container's init: {why}") from err


def add(directories: tuple[str, ...], pid: int) -> None:
    """Move a process into directories by its pid. Raises CgroupError."""
    for path in directories:
        try:
            write_file(f"{path}/cgroup.procs", str(pid))
        except OSError as err:
            raise CgroupError(f"cannot move process {pid} into the cgroup {path}: {reason(err)}") from err
