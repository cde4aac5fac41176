"""A container's cgroups after create: look into them, freeze, kill, count, remove.

Works on the paths that the state file recorded, so no plan and no config.json is needed. Everything that
removes, kills or freezes passes `guard` first: an engine that once handed over the cgroup "/" had every
process of the machine killed.
"""

from __future__ import annotations

import posix
from errno import EBUSY, ENODEV, ENOENT
from time import monotonic, sleep

from pyrunc.cgroups import tree
from pyrunc.cgroups.layout import read_file, read_layout, write_file
from pyrunc.errors import CgroupError, reason
from pyrunc.kernel.pidfd import open_number, send_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.plan.facts import CgroupLayout, Hierarchy

_SIGKILL = 9
_PATIENCE = 10.0  # seconds for kill and remove
_FREEZE_PATIENCE = 2.0
_LONGEST_PAUSE = 0.1
_AT_ONCE = 256  # pidfds: the limit of open files is often 1024
_GONE = (ENOENT, ENODEV)

# By cgroup version: the file, what freezes, what thaws (cgroup-v1/freezer-subsystem.rst, cgroup-v2.rst).
_FREEZER = {1: ("freezer.state", "FROZEN", "THAWED"), 2: ("cgroup.freeze", "1", "0")}


def guard(path: str, layout: CgroupLayout) -> Hierarchy:
    """Return the hierarchy that a container's cgroup is in, after making sure that it can be a container's.

    Refused with CgroupError: what is not a plain absolute path ("/", "..", empty parts), what lies outside of
    the mounted hierarchies or is the root of one, our own cgroup and those above it, a path through symlinks
    or onto another filesystem. A path that is not there is fine: the work on it is done already.
    """
    if not path.startswith("/") or not {"", ".", ".."}.isdisjoint(path.split("/")[1:]):
        raise CgroupError(f"refusing to touch the cgroup '{path}': not a plain absolute path")
    hierarchy = _hierarchy_of(path, layout)
    own = f"{hierarchy.mount}{hierarchy.own.rstrip('/')}/"
    if own.startswith(f"{path}/"):
        raise CgroupError(f"refusing to touch the cgroup {path}: this very process is in it")
    # One that is removed while we look, as systemd does with a scope, is called otherwise; a second look finds nothing.
    if not any(_is_where_it_says(path, hierarchy) for _ in range(2)):
        raise CgroupError(f"refusing to touch the cgroup {path}: it leads out of {hierarchy.mount}")
    return hierarchy


def _is_where_it_says(path: str, hierarchy: Hierarchy) -> bool:
    try:
        fd = posix.open(path, posix.O_PATH | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC)
    except OSError as err:
        if err.errno in _GONE:
            return True
        raise CgroupError(f"refusing to touch the cgroup {path}: {reason(err)}") from err
    try:
        same_device = posix.fstat(fd).st_dev == posix.stat(hierarchy.mount).st_dev
        return same_device and posix.readlink(f"/proc/self/fd/{fd}") == path
    finally:
        posix.close(fd)


def _hierarchy_of(path: str, layout: CgroupLayout) -> Hierarchy:
    mounts = {each.mount: each for each in layout.hierarchies}
    if path in mounts:
        raise CgroupError(f"refusing to touch the cgroup {path}: it is the root of a hierarchy")
    parent = path
    while parent:
        parent = parent.rpartition("/")[0]
        if parent in mounts:
            return mounts[parent]
    raise CgroupError(f"refusing to touch {path}: it is not in a mounted cgroup hierarchy")


class Cgroup:
    """A container's cgroups in all hierarchies, by what the state file says about them."""

    def __init__(
        self, paths: tuple[str, ...], made: tuple[str, ...] | None = None, layout: CgroupLayout | None = None
    ) -> None:
        """`paths` are the container's directories, `made` all that create made, children before parents.

        Without `made` the leaves are taken for made and their parents are not.

        Raises CgroupError if a path is one that `guard` refuses.
        """
        self.paths = paths
        self.made = paths if made is None else made
        self._layout = layout or read_layout()
        self._hierarchies = {path: guard(path, self._layout) for path in paths}

    def processes(self) -> tuple[int, ...]:
        """Return the pids in the cgroups and below them, in our pid namespace. Raises CgroupError."""
        # 0 stands for a process that our pid namespace does not show; as an argument of kill(2) it is us.
        return tuple(sorted(self._members() - {0}))

    def _members(self) -> set[int]:
        return set().union(*map(tree.members, self.paths))

    def freeze(self) -> None:
        """Stop all processes of the container where they are, and wait up to 2 s until they stand.

        Raises CgroupError, with everything running again.
        """
        path, version = self._freezer()
        try:
            write_file(f"{path}/{_FREEZER[version][0]}", _FREEZER[version][1])
            _wait_frozen(path, version)
        except OSError as err:
            self._try_to("thaw")
            raise CgroupError(f"cannot freeze the cgroup {path}: {reason(err)}") from err

    def thaw(self) -> None:
        """Let frozen processes go on. Raises CgroupError."""
        path, version = self._freezer()
        try:
            write_file(f"{path}/{_FREEZER[version][0]}", _FREEZER[version][2])
        except OSError as err:
            raise CgroupError(f"cannot thaw the cgroup {path}: {reason(err)}") from err

    def thaw_all(self) -> None:
        """Thaw what is below as well: a container with cgroups of its own may have frozen some of them itself.

        Raises CgroupError.
        """
        try:
            path, version = self._freezer()
        except CgroupError:
            return  # nothing can be frozen then
        tree.write_everywhere(path, _FREEZER[version][0], _FREEZER[version][2])

    def frozen(self) -> bool:
        """Tell whether the container is frozen, or about to be; false where that cannot be known."""
        try:
            path, version = self._freezer()
            return read_file(f"{path}/{_FREEZER[version][0]}").strip() in (_FREEZER[version][1], "FREEZING")
        except (CgroupError, OSError):
            return False

    def signal_all(self, signal: int) -> None:
        """Send a signal to every process in the cgroups, once. Raises CgroupError."""
        pids = self.processes()
        if not {1, posix.getpid()}.isdisjoint(pids):
            raise CgroupError(f"refusing to signal: process 1 or this process is in {self.paths[0]}")
        for start in range(0, len(pids), _AT_ONCE):
            self._signal_some(pids[start : start + _AT_ONCE], signal)

    def _signal_some(self, pids: tuple[int, ...], signal: int) -> None:
        opened: dict[int, int] = {}
        try:
            for pid in pids:
                pidfd = _open_process(pid)
                if pidfd >= 0:
                    opened[pid] = pidfd
            # A process may end, and its number become a stranger's, before we open it. But a number that is in
            # the cgroup still belongs to the one we opened, or to a later one, and then ours has ended.
            still = self._members()
            for pid, pidfd in opened.items():
                if pid in still:
                    _send(pid, pidfd, signal)
        finally:
            for pidfd in opened.values():
                posix.close(pidfd)

    def kill_all(self) -> None:
        """Kill every process in the cgroups, also those that fork meanwhile, and wait until none is left.

        Waits up to 10 s. Raises CgroupError naming what is left.
        """
        deadline, pause = monotonic() + _PATIENCE, 0.001
        while pids := self._members():
            if monotonic() > deadline:
                left = " ".join(map(str, sorted(pids)))
                raise CgroupError(f"cannot kill all processes in {self.paths[0]}: {left} are left")
            self._kill_once()
            sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _kill_once(self) -> None:
        if all(each.version == 2 for each in self._hierarchies.values()) and self._kill_by_kernel():
            return
        # While they are told to freeze a fork bomb cannot outrun us. In v1 the signal works after thawing.
        self._try_to("freeze")
        try:
            self.signal_all(_SIGKILL)
        finally:
            self.thaw_all()

    def _kill_by_kernel(self) -> bool:
        try:
            for path in self.paths:
                write_file(f"{path}/cgroup.kill", "1")
        except FileNotFoundError:
            return False  # before Linux 5.14, or gone, which the next look at the processes shows
        except OSError as err:
            raise CgroupError(f"cannot kill the cgroup {path}: {reason(err)}") from err
        return True

    def oom_kills(self) -> int:
        """Return how many processes the kernel killed since memory ran out in the container; 0 if unknown."""
        path = self._find(lambda hierarchy: "memory" in hierarchy.controllers)
        version = self._hierarchies[path].version if path else 1
        try:
            text = read_file(f"{path}/{'memory.oom_control' if version == 1 else 'memory.events'}")
        except OSError:
            return 0
        for line in text.splitlines():
            key, _, value = line.partition(" ")
            if key == "oom_kill":
                return int(value)
        return 0

    def remove(self) -> None:
        """Remove the cgroups with all below them, and those parents that create made and nobody uses.

        A cgroup whose last process just died may be busy for a moment, so this tries for up to 10 s. What is
        missing is fine. Raises CgroupError naming what is left.
        """
        deadline, pause = monotonic() + _PATIENCE, 0.001
        # runtime.md, "Delete": what was there before create stays.
        left = [path for path in self.paths if path in self.made and not tree.remove(path)]
        while left:
            if monotonic() > deadline:
                raise CgroupError(f"cannot remove the cgroups {', '.join(left)}: still in use")
            sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            left = [path for path in left if not tree.remove(path)]
        for path in self.made:
            self._remove_parent(path)

    def _remove_parent(self, path: str) -> None:
        if path in self._hierarchies:
            return
        try:
            guard(path, self._layout)
            posix.rmdir(path)
        except (CgroupError, OSError):
            return  # others use it by now, perhaps we ourselves: then it is theirs to remove

    def _find(self, wanted: Callable[[Hierarchy], bool]) -> str:
        return next((path for path, each in self._hierarchies.items() if wanted(each)), "")

    def _freezer(self) -> tuple[str, int]:
        path = self._find(lambda hierarchy: "freezer" in hierarchy.controllers)
        if path:
            return path, 1
        path = self._find(lambda hierarchy: hierarchy.version == 2)
        if path:
            return path, 2
        raise CgroupError("the container has no cgroup that can be frozen", "no freezer hierarchy is mounted")

    def _try_to(self, act: str) -> None:
        """Freeze or thaw without waiting, where possible."""
        try:
            path, version = self._freezer()
            file, frozen, thawed = _FREEZER[version]
            write_file(f"{path}/{file}", frozen if act == "freeze" else thawed)
        except (CgroupError, OSError):
            return


def _wait_frozen(path: str, version: int) -> None:
    """Wait for the last process to stand still. Raises TimeoutError, which is an OSError."""
    deadline, pause = monotonic() + _FREEZE_PATIENCE, 0.0001
    while not _stands(path, version):
        if monotonic() > deadline:
            raise TimeoutError(EBUSY, "its processes do not stop")
        sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def _stands(path: str, version: int) -> bool:
    if version == 2:
        return "frozen 1" in read_file(f"{path}/cgroup.events").splitlines()
    if read_file(f"{path}/freezer.state").strip() == "FROZEN":
        return True
    # v1 tells each process once, and one that was being born just then may have missed it.
    write_file(f"{path}/freezer.state", "FROZEN")
    return False


def _open_process(pid: int) -> int:
    """Return a pidfd, -1 if the process is gone. Raises CgroupError."""
    try:
        return open_number(pid)
    except ProcessLookupError:
        return -1
    except OSError as err:
        raise CgroupError(f"cannot open process {pid}: {reason(err)}") from err


def _send(pid: int, pidfd: int, signal: int) -> None:
    try:
        send_signal(pidfd, signal)
    except ProcessLookupError:
        return
    except OSError as err:
        raise CgroupError(f"cannot send signal {signal} to process {pid}: {reason(err)}") from err
