"""What a container is doing now (runtime.md, "State"): asked of the kernel, never read from a file alone."""

from __future__ import annotations

import posix

from pyrunc.kernel.pidfd import alive
from pyrunc.state.store import START_FIFO, Entry, State

CREATING, CREATED, RUNNING, PAUSED, STOPPED = "creating", "created", "running", "paused", "stopped"
_FROZEN = (b"FROZEN", b"FREEZING", b"1")  # freezer.state of cgroup v1, cgroup.freeze of v2


def status_of(entry: Entry, state: State | None) -> str:
    """Return the status of a container.

    The init is found by pid and start time: after a crash or a reboot its pid may be somebody else's. A create
    that was killed leaves "creating" behind; without its creator that is a stopped container.
    """
    if state is None:
        return STOPPED
    if state.status == CREATING:
        return CREATING if alive(state.creator, state.creator_start) else STOPPED
    if not alive(state.pid, state.start_time):
        return STOPPED
    if state.freezer and _read(state.freezer) in _FROZEN:
        return PAUSED
    return CREATED if _waits_for_start(entry) else RUNNING


def _waits_for_start(entry: Entry) -> bool:
    """True while the init holds the fifo of start open: execve(2) closes it."""
    try:
        posix.close(entry.open_fifo(START_FIFO, posix.O_WRONLY | posix.O_NONBLOCK))
    except OSError:  # ENXIO: nobody reads; ENOENT: nobody ever will
        return False
    return True


def _read(path: str) -> bytes:
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:  # a cgroup that is gone freezes nobody
        return b""
    try:
        return posix.read(fd, 64).strip()
    finally:
        posix.close(fd)
