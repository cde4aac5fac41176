"""The host as a test sees it: what a container may have left behind, and how to take that away again.

Everything a test makes carries the test's token (in ids, paths and the environment of the runtime), so that
only this is ever looked at, killed or removed: the rest of the machine is none of our business.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.lanes import SLOWNESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKEN_VARIABLE = "PYRUNC_TEST"
NUM_THREADS = 17  # in what _stat returns: proc_pid_stat(5) counts from 1 and has two fields more


class Mount(NamedTuple):
    """One line of mountinfo, proc_pid_mountinfo(5): options of the mount, propagation fields, options of
    the file system.
    """

    point: str
    root: str
    options: frozenset[str]
    propagation: tuple[str, ...]
    fstype: str
    source: str
    super_options: frozenset[str]


def parse_mountinfo(text: str) -> list[Mount]:
    """Parse mountinfo, in the file's order."""
    mounts = []
    for line in text.splitlines():
        mount, _, system = line.partition(" - ")
        fields, (fstype, source, super_options) = mount.split(), system.split()
        options, system_options = frozenset(fields[5].split(",")), frozenset(super_options.split(","))
        mounts.append(Mount(fields[4], fields[3], options, tuple(fields[6:]), fstype, source, system_options))
    return mounts


def host_mounts() -> list[Mount]:
    """The mounts of this process's own mount namespace."""
    return parse_mountinfo(Path("/proc/self/mountinfo").read_text())


def mounts_of(token: str) -> list[str]:
    """Mount points on the host, deepest first, that carry the token."""
    return [mount.point for mount in reversed(host_mounts()) if token in mount.point or token in mount.root]


def hierarchies() -> dict[str, str]:
    """Mount point of each cgroup hierarchy by controller: v1 names, "cgroup2" for the unified one."""
    found = {}
    for mount in host_mounts():
        if mount.fstype == "cgroup2":
            found["cgroup2"] = mount.point
        elif mount.fstype == "cgroup":
            found |= dict.fromkeys(mount.super_options - {"rw", "ro", "xattr"}, mount.point)
    return found


def cgroups_of(token: str) -> list[str]:
    """Cgroup directories, deepest first, in any hierarchy, that carry the token."""
    found = []
    for top in sorted(set(hierarchies().values())):
        found += [folder for folder in _folders(top) if token in folder]
    return found


def _folders(top: str) -> list[str]:
    """A directory of a cgroup hierarchy after all below it; those that vanish meanwhile are left out.

    Asked after every test: the files of the many without a directory in them, of which kernfs knows, are not listed.
    """
    try:
        entries = list(os.scandir(top)) if os.stat(top).st_nlink > 2 else []
    except OSError:
        return []
    below = [each for entry in entries if entry.is_dir(follow_symlinks=False) for each in _folders(entry.path)]
    return [*below, top]


def processes_of(token: str) -> list[int]:
    """Living processes in a cgroup with the token, or started with the token in their environment."""
    return [pid for pid in _pids() if _carries(pid, token.encode()) and _is_alive(pid) and pid != os.getpid()]


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _is_alive(pid: int) -> bool:
    """A process whose first thread has ended is a zombie by name, and yet lives as long as it has other
    threads.
    """
    stat = _stat(pid)
    return bool(stat) and (stat[0] not in "ZX" or int(stat[NUM_THREADS]) > 1)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on: state, ppid, ...; empty if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _carries(pid: int, token: bytes) -> bool:
    return any(token in _read(f"/proc/{pid}/{name}") for name in ("cgroup", "environ"))


def _read(path: str) -> bytes:
    """Asked of every process on the host after every test: without a Path and its costs."""
    try:
        with open(path, "rb", 0) as file:
            return file.read()
    except OSError:
        return b""


def eventually(true: Callable[[], object], seconds: float = 5.0) -> bool:
    """Wait until something is true; tell whether it came true in time."""
    end = time.monotonic() + seconds * SLOWNESS
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.002 * SLOWNESS)
    return True


def leftovers(token: str, root: Path) -> list[str]:
    """Everything with the token that is still on the host: state, mounts, cgroups, processes."""
    found = [f"state {entry}" for entry in (sorted(os.listdir(root)) if root.exists() else []) if token in entry]
    found += [f"mount {point}" for point in mounts_of(token)]
    found += [f"cgroup {folder}" for folder in cgroups_of(token)]
    return found + [f"process {pid}" for pid in processes_of(token)]


def sweep(token: str) -> None:
    """Remove by force what a runtime left behind, so that one failure stays one failure."""
    for pid in processes_of(token):
        _kill(pid)
    eventually(lambda: not processes_of(token))
    reap()
    for point in mounts_of(token):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)
    for folder in cgroups_of(token):
        eventually(lambda folder=folder: _removed(folder))  # type: ignore[misc]


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _removed(folder: str) -> bool:
    frozen = Path(folder, "freezer.state")
    try:
        if frozen.exists():
            frozen.write_text("THAWED")
        os.rmdir(folder)
    except OSError:
        return not os.path.exists(folder)
    return True


def become_subreaper() -> None:
    """Adopt orphans, as engines do: a container's init becomes our child when `create` returns, and we see
    its exit.
    """
    set_child_subreaper = 36
    if ctypes.CDLL(None, use_errno=True).prctl(set_child_subreaper, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot become a child subreaper")


def reap() -> None:
    """Collect adopted children that have ended. Call it only while no subprocess of the test is running."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
