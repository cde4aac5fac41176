"""What a runtime may leave behind, by the token that everything of a case carries; and how that is taken away again.

Only what carries the token is looked at, killed or removed: the rest of the machine is none of our business.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import time
from pathlib import Path

MNT_DETACH = 2
CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
RESCTRL = Path("/sys/fs/resctrl")
TOKEN_VARIABLE = "CONFORMANCE_TOKEN"
_libc = ctypes.CDLL(None, use_errno=True)


def mounts(token: str) -> list[str]:
    """Mount points of this mount namespace with the token in their line, deepest first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in reversed(lines) if token in line]


def hierarchies() -> list[str]:
    """Where cgroup file systems are mounted here."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if line.partition(" - ")[2].split()[0] in ("cgroup", "cgroup2")]


def cgroups(token: str) -> list[str]:
    """Cgroups with the token in their path, children before parents."""
    found: list[str] = []
    for mount in hierarchies():
        for folder, _, _ in os.walk(mount, topdown=False):
            if token in folder:
                found.append(folder)
    return found


def processes(token: str) -> list[int]:
    """Processes that have the token in their environment, their arguments or their cgroups, except ourselves."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) not in (1, os.getpid(), os.getppid()) and _carries(entry, token.encode()):
            found.append(int(entry))
    return found


def _carries(pid: str, token: bytes) -> bool:
    """A zombie is nobody's but its parent's, which is the case: it does not count."""
    try:
        if Path("/proc", pid, "stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z":
            return False
    except OSError:
        return False
    for name in ("environ", "cmdline", "cgroup"):
        try:
            if token in Path("/proc", pid, name).read_bytes():
                return True
        except OSError:
            continue
    return False


def devices(token: str) -> list[str]:
    """Network devices of this network namespace with the token in their name.

    Not by /sys/class/net: that shows the namespace in which it was mounted, and a case may have gone to one of its own.
    """
    return [name for _, name in socket.if_nameindex() if token in name]


def classes(token: str) -> list[str]:
    """Classes and monitoring groups of resctrl with the token in their name."""
    places = (RESCTRL, RESCTRL / "mon_groups")
    return [str(path) for place in places if place.is_dir() for path in place.iterdir() if token in path.name]


def left_behind(token: str, state: Path) -> list[str]:
    """Everything of a case that is still there, in words.

    What is dying gets a second to do so: processes, and network devices, which go some time after their namespace.
    """
    deadline = time.monotonic() + 1
    while ((alive := processes(token)) or devices(token)) and time.monotonic() < deadline:
        time.sleep(0.01)
    found = [f"process {pid} ({_name(pid)})" for pid in alive]
    found += [f"cgroup {path}" for path in cgroups(token)]
    found += [f"mount {path}" for path in mounts(token)]
    found += [f"network device {name}" for name in devices(token)]
    found += [f"class {path}" for path in classes(token)]
    found += [f"state {entry.name}" for entry in sorted(state.glob("*")) if token in entry.name]
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "gone"


def take_away(token: str) -> None:
    """Kill, unmount and remove whatever carries the token, whoever left it there."""
    for _ in range(50):
        alive = processes(token)
        for pid in alive:
            _thaw(pid, token)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if not alive:
            break
        time.sleep(0.02)
    for path in mounts(token):
        _libc.umount2(os.fsencode(path), MNT_DETACH)
    for path in (*cgroups(token), *classes(token)):
        try:
            os.rmdir(path)
        except OSError:
            continue


def _thaw(pid: int, token: str) -> None:
    """A frozen process does not die."""
    for path in cgroups(token):
        for name, value in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            try:
                Path(path, name).write_text(value)
            except OSError:
                continue
    del pid


def reap() -> None:
    """Collect what became our child because its parent died."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return


def hide_hybrid() -> None:
    """Let crun work where cgroup v2 has a controller beside v1: it refuses that unless it cannot see it.

    The file is covered in a mount namespace of our own. Raises OSError.
    """
    controllers = Path("/sys/fs/cgroup/unified/cgroup.controllers")
    if not controllers.exists() or not controllers.read_text().strip():
        return
    own_mounts()
    cover(Path("/dev/null"), controllers)


def own_mounts() -> None:
    """Go to a mount namespace of our own, whose mounts nobody else sees. Raises OSError."""
    _call("unshare", CLONE_NEWNS)
    _call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)


def own_network() -> None:
    """Go to a network namespace of our own: what a runtime does to network devices is nobody else's. Raises OSError."""
    _call("unshare", CLONE_NEWNET)


def cover(source: Path, target: Path) -> None:
    """Bind a file or directory on another one; only after own_mounts(). Raises OSError."""
    _call("mount", os.fsencode(source), os.fsencode(target), None, MS_BIND, None)


def uncover(target: Path) -> None:
    """Take away what covers a file or directory. Raises OSError."""
    _call("umount2", os.fsencode(target), MNT_DETACH)


def _call(name: str, *arguments: int | bytes | None) -> None:
    if getattr(_libc, name)(*arguments):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def become_subreaper() -> None:
    """prctl(2), PR_SET_CHILD_SUBREAPER: containers that a dead runtime leaves come to us, not to init."""
    if _libc.prctl(36, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot become a subreaper")
