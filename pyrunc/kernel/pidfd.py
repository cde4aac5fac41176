"""Name a process for certain: by pid and start time, and once opened by pidfd (pidfd_open(2)).

Commands that only look or signal need nothing more of the kernel room than this, and no foreign functions.
"""

from __future__ import annotations

import errno
import posix
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal  # signal would import enum

_GONE = (FileNotFoundError, ProcessLookupError)
_PF_EXITING = 4  # include/linux/sched.h


def start_time(pid: int) -> int:
    """Return when a process was started, in clock ticks since boot (proc_pid_stat(5), field 22).

    Together with the pid it names a process for good, since pids are used again. Raises OSError:
    FileNotFoundError or ProcessLookupError if there is none.
    """
    return int(_stat(pid)[19])


def alive(pid: int, start: int) -> bool:
    """Tell whether the process of this pid and start time runs; a zombie does not.

    Raises OSError but for "no such".
    """
    if pid <= 0:
        return False
    try:
        fields = _stat(pid)
    except _GONE:
        return False
    return int(fields[19]) == start and fields[0] not in (b"Z", b"X", b"x")


def exiting(pid: int, start: int) -> bool:
    """Tell whether the process of this pid and start time has begun to end, or has ended: it runs no more of its code.

    The init of a pid namespace does not get further than that until all others in there are reaped
    (pid_namespaces(7)). Raises OSError but for "no such".
    """
    try:
        fields = _stat(pid)
    except _GONE:
        return True
    return int(fields[19]) != start or fields[0] in (b"Z", b"X", b"x") or bool(int(fields[6]) & _PF_EXITING)


def open_number(pid: int) -> int:
    """Return a pidfd of whatever process has the number now.

    Raises ProcessLookupError if none has, OSError otherwise.
    """
    try:
        return posix.pidfd_open(pid)
    except OSError as err:
        # Of a number that is only a session's or a process group's any more; newer kernels say ESRCH.
        if err.errno == errno.EINVAL:
            raise ProcessLookupError(errno.ESRCH, posix.strerror(errno.ESRCH)) from err
        raise


def open_process(pid: int, start: int) -> int:
    """Return a pidfd of the process of this pid and start time.

    Raises ProcessLookupError if it is gone or only a zombie, OSError otherwise.
    """
    pidfd = open_number(pid) if pid > 0 else -1
    # Looked at after the open: what the pidfd refers to cannot change any more, only end.
    if pidfd >= 0 and alive(pid, start):
        return pidfd
    if pidfd >= 0:
        posix.close(pidfd)
    raise ProcessLookupError(errno.ESRCH, posix.strerror(errno.ESRCH))


def send_signal(pidfd: int, signal: int) -> None:
    """pidfd_send_signal(2).

    Raises ProcessLookupError when the process has ended and was reaped, OSError otherwise.
    """
    _signal.pidfd_send_signal(pidfd, signal)


def wait_for_end(pidfd: int, timeout: float) -> bool:
    """Wait at most `timeout` seconds for a process to end; false if it has not."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


def _stat(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the third on.

    The second may hold spaces and ")", so cut at the last.
    """
    fd = posix.open(f"/proc/{pid}/stat", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return posix.read(fd, 4096).rpartition(b") ")[2].split()
    finally:
        posix.close(fd)
