"""What a foreground `run` or `exec` does beside the program: terminal, streams, signals, waiting.

With a terminal the caller's is put into raw mode and bytes are carried both ways between it and the container's
pty, as is its size. Without one the container has the caller's streams themselves, except those that are a
terminal: they become pipes, because whoever holds a terminal can push input into it (CVE-2017-5226).
"""

from __future__ import annotations

import _signal
import errno
import fcntl
import posix
import select

from pyrunc.kernel import terminal
from pyrunc.kernel.flags import TIOCGWINSZ
from pyrunc.kernel.pidfd import send_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from pyrunc.host.notify import NotifyProxy

_BLOCK = 1 << 16
# Ours to handle, or none of the container's business.
_NOT_RELAYED = (_signal.SIGCHLD, _signal.SIGPIPE, _signal.SIGURG, _signal.SIGWINCH, _signal.SIGKILL, _signal.SIGSTOP)


class Foreground:
    """The caller's side of one foreground program, put back in order on leaving."""

    def __init__(self, wants_terminal: Callable[[], bool], subreaper: bool) -> None:
        """`wants_terminal` is asked only where a stream of ours is one: streams are settled before the fork."""
        self._wants_terminal = wants_terminal
        self._subreaper = subreaper
        self._relays: list[Relay | NotifyProxy] = []
        self._restore: bytes | None = None
        self._pty = -1
        self._pidfd = -1
        self._wake = (-1, -1)
        self._saved: list[tuple[int, int]] = []

    def __enter__(self) -> Self:
        if self._subreaper:
            from pyrunc.kernel.prctl import set_child_subreaper

            # prctl(2): what the container leaves behind comes to us to be reaped, not to the host's init.
            set_child_subreaper(True)
        if any(_is_terminal(fd) for fd in (0, 1, 2)) and not self._wants_terminal():
            self._replace_terminals()
        return self

    def _replace_terminals(self) -> None:
        for fd in (0, 1, 2):
            if not _is_terminal(fd):
                continue
            reader, writer = posix.pipe2(posix.O_CLOEXEC)
            kept = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
            self._saved.append((fd, kept))
            posix.dup2(reader if fd == 0 else writer, fd, True)
            posix.close(reader if fd == 0 else writer)
            self._relays.append(Relay(kept, writer, True) if fd == 0 else Relay(reader, kept, False))

    def listen(self) -> None:
        """Begin to collect signals: after the fork, so that the container does not inherit the handlers."""
        reader, writer = posix.pipe2(posix.O_CLOEXEC | posix.O_NONBLOCK)
        self._wake = (reader, writer)
        _signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in _signal.valid_signals() - set(_NOT_RELAYED):
            _signal.signal(number, _ignore)
        _signal.signal(_signal.SIGWINCH, _ignore)

    def attach(self, pid: int, console: int) -> None:
        """Begin to relay for a child of ours; `console` is the master of its pty, or -1."""
        self._pidfd = posix.pidfd_open(pid)
        for fd, kept in self._saved:
            # Ours are the terminals again; the container has the pipes.
            posix.dup2(kept, fd, True)
        if console >= 0:
            self._attach_terminal(console)

    def _attach_terminal(self, pty: int) -> None:
        self._pty = pty
        self._resize()
        if _is_terminal(0):
            self._restore = terminal.make_raw(0)
        self._relays = [Relay(0, fcntl.fcntl(pty, fcntl.F_DUPFD_CLOEXEC, 3), False), Relay(pty, 1, False)]

    def _resize(self) -> None:
        if self._pty < 0:
            return
        for fd in (0, 1, 2):
            if _is_terminal(fd):
                terminal.set_size(self._pty, *terminal.get_size(fd))
                return

    def add(self, proxy: NotifyProxy) -> None:
        """Pass on the container's sd_notify(3) messages as well."""
        self._relays.append(proxy)

    def wait(self, pid: int) -> int:
        """Relay until the container's init has ended, then until its output is drained; return its wait status."""
        status = None
        while status is None:
            self._turn(None)
            status = self._reap(pid)
        # What was written before the end is still in the pipes; what somebody holds open may be for ever.
        while self._turn(0):
            pass
        return status

    def _turn(self, timeout: int | None) -> bool:
        """Wait for one round of events and serve them; false when the timeout (ms) passed without any."""
        poll = select.poll()
        poll.register(self._wake[0], select.POLLIN)
        if timeout is None:
            poll.register(self._pidfd, select.POLLIN)
        readers = {relay.source: relay for relay in self._relays if relay.open}
        for fd in readers:
            poll.register(fd, select.POLLIN)
        ready = poll.poll(timeout)
        # Whatever woke us: when poll(2) returns with input a signal has been noted too late for it to tell, and the
        # size of a terminal has to be right before what was typed after the change is read.
        self._signals()
        served = False
        for fd, _ in ready:
            if fd in readers:
                readers[fd].carry()
                served = served or not readers[fd].towards_container
        return served

    def _signals(self) -> None:
        try:
            numbers = posix.read(self._wake[0], 64)
        except BlockingIOError:
            return
        for number in numbers:
            if number == _signal.SIGWINCH:
                self._resize()
            elif number not in _NOT_RELAYED:
                try:
                    send_signal(self._pidfd, number)
                except ProcessLookupError:
                    return

    def _reap(self, pid: int) -> int | None:
        """Take the status of every child that has ended; return that of the container's init."""
        found = None
        while True:
            try:
                ended, status = posix.waitpid(-1, posix.WNOHANG)
            except ChildProcessError:
                return found
            if ended == 0:
                return found
            if ended == pid:
                found = status

    def __exit__(self, *_: object) -> None:
        if self._restore is not None:
            terminal.restore(0, self._restore)
        for fd, kept in self._saved:
            posix.dup2(kept, fd, True)
        if self._wake[1] >= 0:
            _signal.set_wakeup_fd(-1)


class Relay:
    """Bytes on their way from one descriptor to another."""

    def __init__(self, source: int, target: int, towards_container: bool) -> None:
        self.source = source
        self.target = target
        self.towards_container = towards_container
        self.open = True

    def carry(self) -> None:
        """Carry what can be read now. At the end of a stream its reader is told by closing the pipe."""
        try:
            block = posix.read(self.source, _BLOCK)
        except OSError as err:
            if err.errno != errno.EIO:  # EIO: the last slave of the pty is closed
                raise
            block = b""
        if not block:
            self.open = False
            if self.towards_container:
                posix.close(self.target)
            return
        try:
            while block:
                block = block[posix.write(self.target, block) :]
        except BrokenPipeError:
            self.open = False


def _is_terminal(fd: int) -> bool:
    try:
        fcntl.ioctl(fd, TIOCGWINSZ, bytes(8))
    except OSError:
        return False
    return True


def _ignore(_number: int, _frame: object) -> None:
    """Do nothing: the number is read from the wake-up pipe, where no system call is interrupted."""
