"""Processes: running helper programs to their end, limits, signals and descriptors.

Telling them apart: pidfd.
"""

from __future__ import annotations

import _struct
import posix
import select
import time

from pyrunc.kernel import libc
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Mapping
    from typing import Self
else:
    import _signal  # signal would import enum

OUTPUT_KEPT = 4096
"""How many bytes at the end of a program's output run_program keeps unless told."""

# glibc keeps these two for itself and does not let signal(2) near them, but its own posix_spawn(3) leaves them ignored
# in whom it starts (make, for one), and so in all that those start.
_OF_THE_C_LIBRARY = (32, 33)
_DEFAULT_ACTION = bytes(32)  # the kernel's struct sigaction: SIG_DFL, no flags, no restorer, empty mask

_KEYCTL_JOIN_SESSION_KEYRING, _KEYCTL_SETPERM = 1, 5
# keyctl_setperm(3): what a new session keyring has (all for its possessor; view, read and link for its user), and
# search for its user, without which it cannot be joined by its name.
_TO_BE_JOINED = 0x3F1B0000
_O_PATH = 0o10000000
_PIPE_SIZE = 65536  # pipe(7), default capacity
_INT_MAX = 2**31 - 1


class Outcome(Record):
    """How a program ended: exit code or 128 + signal, the end of its output, whether it timed out."""

    status: int
    output: str
    timed_out: bool


def pidfd_getfd(pidfd: int, fd: int) -> int:
    """pidfd_getfd(2): a duplicate, close-on-exec, of another process's descriptor. Raises OSError."""
    return libc.syscall(libc.PIDFD_GETFD, pidfd, fd, 0)


def run_program(
    path: str,
    argv: tuple[str, ...],
    env: Mapping[str, str] | tuple[str, ...],
    stdin: bytes,
    timeout: float | None,
    cwd: str = "",
    kept: int = OUTPUT_KEPT,
) -> Outcome:
    """Run a program to its end, with exactly this environment, and return its Outcome.

    Of its output the last `kept` bytes are in it. It gets default signals, a process group of its own, `stdin`
    on a pipe, and one pipe for stdout and stderr. After `timeout` seconds the group is killed. Entries of `env`
    without "=" are left out. Raises
    OSError when it cannot be started (posix_spawn(3)). SIGCHLD must not be ignored by the caller, and
    descriptors that the caller's caller leaked must have been marked close-on-exec.
    """
    with _Pipes() as pipes:
        pid = _spawn(path, argv, _mapping(env), pipes, cwd)
        try:
            pidfd = pipes.add(posix.pidfd_open(pid))
            output, timed_out = _attend(pid, pidfd, pipes, stdin, timeout, kept)
        except BaseException:  # an interrupt must not leave it running, nor a zombie
            _kill_group(pid)
            posix.waitpid(pid, 0)
            raise
        _, status = posix.waitpid(pid, 0)
    return Outcome(exit_status(status), output.decode("utf-8", "replace"), timed_out)


def exit_status(wait_status: int) -> int:
    """Return a status of waitpid(2) as shells tell it: the exit code, or 128 + the signal."""
    code = posix.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code


def set_rlimit(pid: int, resource: int, soft: int, hard: int) -> None:
    """prlimit(2) of a process, 0 for ourselves; limits are 64 bit unsigned, RLIM_INFINITY for none.

    Raises OSError.
    """
    libc.prlimit(pid, resource, _struct.pack("=QQ", soft, hard), None)


def get_rlimit(pid: int, resource: int) -> tuple[int, int]:
    """Return the soft and hard limit of a process, 0 for ourselves: prlimit(2). Raises OSError."""
    limits = bytearray(16)
    libc.prlimit(pid, resource, None, limits)
    soft, hard = _struct.unpack("=QQ", limits)
    return soft, hard


def close_range(first: int, last: int = 0xFFFFFFFF, flags: int = 0) -> None:
    """close_range(2): close all descriptors from first to last, or with CLOSE_RANGE_CLOEXEC mark them.

    Raises OSError.
    """
    libc.syscall(libc.CLOSE_RANGE, first, last, flags)


def reset_signals() -> None:
    """Set every signal to its default and unblock all, as a new program expects (signal(7)).

    CPython ignores SIGPIPE and SIGXFSZ, and ignored signals stay so across execve(2). Main thread only.
    """
    for signal in _signal.valid_signals():
        if signal not in (_signal.SIGKILL, _signal.SIGSTOP):
            _signal.signal(signal, _signal.SIG_DFL)
    for number in _OF_THE_C_LIBRARY:
        libc.syscall(libc.number_of("rt_sigaction"), number, _DEFAULT_ACTION, None, 8)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def set_oom_score_adj(value: int, pid: int = 0) -> None:
    """Write a process's oom_score_adj, -1000 to 1000 (proc_pid_oom_score_adj(5)); ours, where `pid` is 0.

    For places where /proc is the host's. Raises OSError: EACCES for going below what a privileged process set.
    """
    fd = posix.open(f"/proc/{pid or 'self'}/oom_score_adj", posix.O_WRONLY | posix.O_CLOEXEC)
    try:
        posix.write(fd, str(value).encode())
    finally:
        posix.close(fd)


def personality(domain: int) -> None:
    """personality(2): the execution domain, PERSONALITY and flags. Raises OSError."""
    libc.named("personality", domain)


def join_session_keyring(name: str) -> int:
    """keyctl(2) KEYCTL_JOIN_SESSION_KEYRING: a new session keyring (or one of that name that we may search).

    Without it a container would hold the keys of whoever started it. Returns its serial number. Raises
    OSError: ENOSYS on kernels without keys, EDQUOT when the user has too many.
    """
    return libc.syscall(libc.number_of("keyctl"), _KEYCTL_JOIN_SESSION_KEYRING, name)


def let_keyring_be_joined(serial: int) -> None:
    """keyctl(2) KEYCTL_SETPERM: let other processes of the keyring's user join it by name. Raises OSError."""
    libc.syscall(libc.number_of("keyctl"), _KEYCTL_SETPERM, serial, _TO_BE_JOINED)


def _mapping(env: Mapping[str, str] | tuple[str, ...]) -> Mapping[str, str]:
    if not isinstance(env, tuple):
        return env
    pairs = (entry.partition("=") for entry in env)
    return {key: value for key, equals, value in pairs if key and equals}


def spawn(argv: tuple[str, ...], env: Mapping[bytes, bytes], descriptors: Mapping[int, int]) -> int:
    """Start a program, with default signals, that has copies of our descriptors: number there -> number here.

    No number there may be one of those here. Returns its pid; the caller waits for it. Raises OSError (posix_spawn(3)).
    """
    copies = [(posix.POSIX_SPAWN_DUP2, ours, number) for number, ours in descriptors.items()]
    signals = _signal.valid_signals()
    return posix.posix_spawn(argv[0], argv, env, file_actions=copies, setsigmask=(), setsigdef=signals)


class _Pipes:
    """The pipes to and from a program, all four ends, closed together.

    The program's ends stay open here too: so writing to a program that has closed its stdin gives no SIGPIPE,
    and to one that never reads the pipe is full and not writable, and that is all.
    """

    def __init__(self) -> None:
        self.stdin_reader, self.stdin = posix.pipe2(posix.O_CLOEXEC)
        self.output, self.output_writer = posix.pipe2(posix.O_CLOEXEC)
        self._open = [self.stdin_reader, self.stdin, self.output, self.output_writer]
        posix.set_blocking(self.stdin, False)
        posix.set_blocking(self.output, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._open:
            posix.close(fd)

    def add(self, fd: int) -> int:
        """Own one more descriptor."""
        self._open.append(fd)
        return fd

    def end_stdin(self) -> None:
        """Close the writing end of stdin, so that the program sees its end."""
        self._open.remove(self.stdin)
        posix.close(self.stdin)


def _spawn(path: str, argv: tuple[str, ...], env: Mapping[str, str], pipes: _Pipes, cwd: str) -> int:
    """posix_spawn(3) with the pipes as standard streams.

    It cannot change directory, so we do, there and back.
    """
    # Should our own 0 to 2 be closed, the pipes took these numbers. Still no copy covers what the next one
    # copies: the first end goes first, and the last, the fourth one that was opened, is above 2.
    ends = (pipes.stdin_reader, pipes.output_writer, pipes.output_writer)
    streams = [(posix.POSIX_SPAWN_DUP2, end, number) for number, end in enumerate(ends)]
    here = pipes.add(posix.open(".", _O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)) if cwd else -1
    try:
        if cwd:
            posix.chdir(cwd)
        return posix.posix_spawn(
            path,
            argv,
            env,
            file_actions=streams,
            setpgroup=0,
            setsigmask=(),
            setsigdef=_signal.valid_signals(),
        )
    finally:
        if cwd:
            posix.fchdir(here)


def _attend(
    pid: int, pidfd: int, pipes: _Pipes, stdin: bytes, timeout: float | None, size: int
) -> tuple[bytes, bool]:
    """Feed and drain a program until it ends; its own end counts, since a daemon may hold on to the pipes."""
    deadline = None if timeout is None else time.monotonic() + timeout
    poll = select.poll()
    # The pidfd first, as poll(2) looks at them in this order: once it says "ended", the output is all there.
    for fd, events in ((pidfd, select.POLLIN), (pipes.output, select.POLLIN), (pipes.stdin, select.POLLOUT)):
        poll.register(fd, events)
    kept, timed_out, ended = b"", False, False
    while not ended:
        ready = {fd for fd, _ in poll.poll(_milliseconds_to(deadline))}
        ended = pidfd in ready
        if deadline is not None and time.monotonic() >= deadline and not ended:
            _kill_group(pid)
            timed_out, deadline = True, None
        if pipes.output in ready:
            kept = (kept + posix.read(pipes.output, _PIPE_SIZE))[-size:]
        if pipes.stdin in ready:
            stdin = stdin[posix.write(pipes.stdin, stdin) :]
            if not stdin:
                poll.unregister(pipes.stdin)
                pipes.end_stdin()
    return kept, timed_out


def _milliseconds_to(deadline: float | None) -> int | None:
    if deadline is None:
        return None
    # poll(2) takes an int; a longer timeout than that is looked at again
    return min(max(0, int((deadline - time.monotonic()) * 1000) + 1), _INT_MAX)


def _kill_group(pid: int) -> None:
    """SIGKILL a child and its process group. Not reaped yet, so that both numbers are still its own."""
    posix.kill(pid, _signal.SIGKILL)  # it may have left the group
    try:
        posix.killpg(pid, _signal.SIGKILL)
    except ProcessLookupError:
        pass
