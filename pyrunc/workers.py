"""Run one command of pyrunc in a process of its own, for programs that embed it (api.py).

What enters a container must not be the embedding process: it has threads, open files and secrets, and its
interpreter can be written to (CVE-2019-5736). So a worker is started that is all that the command line is. An
embedding process that is sealed itself and has one thread, as a shim is, forks: that takes a millisecond. Any
other starts the installed command anew.
"""

from __future__ import annotations

import fcntl
import posix
import select
import sys

from pyrunc import errors, sealing
from pyrunc.errors import PyruncError, reason
from pyrunc.jsontext import parse
from pyrunc.kernel.pidfd import open_number, start_time
from pyrunc.kernel.prctl import set_child_subreaper
from pyrunc.kernel.processes import exit_status, spawn
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from typing import NoReturn
else:
    import _signal  # signal would import enum

# What a service manager gave to the embedding process is not meant for its containers.
_OURS = (b"LISTEN_FDS", b"LISTEN_PID", b"LISTEN_FDNAMES", b"NOTIFY_SOCKET")
_CLD_EXITED = 1  # waitid(2), si_code
_SIGINT, _SIGPIPE, _SIGXFSZ = 2, 13, 25
_CHUNK = 65536


class Streams(Record):
    """Descriptors that a program gets: its standard streams, and `passed` as 3 and the following."""

    stdin: int = 0
    stdout: int = 1
    stderr: int = 2
    passed: tuple[int, ...] = ()


def work(words: tuple[str, ...], subject: str, streams: Streams) -> int:
    """Run `pyrunc WORDS...` and return its exit code.

    Orphans of the worker become children of this process, which stays a subreaper (prctl(2)): so it can wait for
    the programs of its containers. `subject` is the command and the id, which the message then need not repeat. Raises
    what the command reports as an error.
    """
    set_child_subreaper(True)
    reader, writer = posix.pipe2(posix.O_CLOEXEC)
    try:
        try:
            pid = _start(words, subject, streams, writer)
        finally:
            posix.close(writer)
        lines, status = _attend(pid, reader)
    finally:
        posix.close(reader)
    for line in lines:
        _raise(line, f"pyrunc: {subject}: ")
    return status


def _start(words: tuple[str, ...], subject: str, streams: Streams, log: int) -> int:
    """Start the worker and return its pid. It writes its errors to `log`, behind the descriptors that it passes on."""
    given = (streams.stdin, streams.stdout, streams.stderr, *streams.passed)
    number = len(given)
    line = ("--log", f"/proc/self/fd/{number}", "--log-format", "json", *words)
    # Out of the way of the numbers that they get: no copy may cover what is still to be copied.
    copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, number + 1) for fd in (*given, log)]
    try:
        if sealing.is_sealed() and len(posix.listdir("/proc/self/task")) == 1:
            return _fork(line, copies, subject.partition(" ")[0])
        environment = {name: value for name, value in posix.environ.items() if name not in _OURS}
        return spawn(_command(line), environment, dict(enumerate(copies)))
    except OSError as err:
        raise PyruncError(f"cannot start a worker: {reason(err)}") from err
    finally:
        for fd in copies:
            posix.close(fd)


def _command(line: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command line of a new interpreter, or of the installed launcher, which seals itself in one go."""
    package: str = sys.modules["pyrunc"].__path__[0]
    launcher = package.rpartition("/lib/")[0] + "/bin/pyrunc"
    if posix.access(f"{package}/frozen.pyc", posix.R_OK) and posix.access(launcher, posix.X_OK):
        return (launcher, *line)
    return (*sealing.isolated(sys.executable or posix.readlink("/proc/self/exe")), *line)


def _fork(line: tuple[str, ...], copies: list[int], command: str) -> int:
    # Here, and not in each child anew.
    from pyrunc.cli import main

    __import__(f"pyrunc.cli.{command}")
    pid = posix.fork()
    if pid == 0:
        _become_worker(main, line, copies)
    return pid


def _become_worker(main: Callable[[list[str]], int], line: tuple[str, ...], copies: list[int]) -> NoReturn:
    """Be the command line in a copy of the embedding process; nothing of its own runs any more."""
    status = 1
    try:
        _signal.set_wakeup_fd(-1)
        for signal in _signal.valid_signals() - {_signal.SIGKILL, _signal.SIGSTOP}:
            _signal.signal(signal, _signal.SIG_IGN if signal in (_SIGPIPE, _SIGXFSZ) else _signal.SIG_DFL)
        _signal.signal(_SIGINT, _signal.default_int_handler)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        for name in _OURS:
            posix.environ.pop(name, None)
        for number, fd in enumerate(copies):
            posix.dup2(fd, number)
        status = main(list(line))
    finally:
        posix._exit(status)


def _attend(pid: int, log: int) -> tuple[list[str], int]:
    """Read the log while the worker runs, and return its lines and the exit code.

    Its end is the worker's: the container's init holds the log open until it is started.
    """
    pidfd = posix.pidfd_open(pid)
    poll = select.poll()
    for fd in (pidfd, log):
        poll.register(fd, select.POLLIN)
    posix.set_blocking(log, False)
    text, ended, more = b"", False, True
    while not ended:
        ended = pidfd in [fd for fd, _ in poll.poll()]
        chunk = _read(log) if more else None
        if chunk == b"":
            poll.unregister(log)
            more = False
        text += chunk or b""
    posix.close(pidfd)
    _, status = posix.waitpid(pid, 0)
    return text.decode("utf-8", "replace").splitlines(), exit_status(status)


def _read(log: int) -> bytes | None:
    """Read what is there: None for nothing yet, empty at the end of file."""
    try:
        return posix.read(log, _CHUNK)
    except BlockingIOError:
        return None


def _raise(line: str, prefix: str) -> None:
    """Raise the error that a line of the log tells of; a warning is none."""
    document = parse(line)
    if document["level"] != "error":
        return
    kind = getattr(errors, document.get("error", ""), PyruncError)
    error = PyruncError(document["msg"].removeprefix(prefix))
    if isinstance(kind, type) and issubclass(kind, PyruncError):
        error.__class__ = kind
    raise error


def wait_for(pid: int, start: int, timeout: float | None) -> int | None:
    """Wait until a process has ended and return its exit code, 128 + n for signal n.

    None if another process is its parent, or has waited for it already. Raises TimeoutError after `timeout` seconds.
    """
    if pid <= 0:
        return None
    try:
        pidfd = open_number(pid)
    except ProcessLookupError:
        return None
    try:
        if start_time(pid) != start:
            return None  # the pid is somebody else's by now
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(None if timeout is None else timeout * 1000):
            raise TimeoutError(f"process {pid} has not ended within {timeout} s")
        result = posix.waitid(posix.P_PIDFD, pidfd, posix.WEXITED)
    except (ChildProcessError, FileNotFoundError, ProcessLookupError):
        return None
    finally:
        posix.close(pidfd)
    if result is None:
        return None
    return result.si_status if result.si_code == _CLD_EXITED else 128 + result.si_status
