"""A program's streams: pipes or a terminal on its side, on the other what containerd named.

That is a FIFO, or `file://PATH`, or `binary://PATH?KEY=VALUE`: a program that gets the output as descriptors 3 and 4
and closes 5 when it is ready. A container never gets the FIFO itself: security modules judge by path what it has open.
"""

from __future__ import annotations

import errno
import fcntl
import posix
import select

from pyrunc.errors import StateError, reason
from pyrunc.kernel.processes import spawn
from pyrunc.record import Record
from pyrunc.shim.loop import READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyrunc.shim.loop import Loop

_CHUNK = 1 << 16
_READY_TIMEOUT = 10000  # ms, for a logger to be ready
_GONE = (errno.EPIPE, errno.EIO, errno.ENXIO)
_FIFO = posix.O_RDWR | posix.O_NONBLOCK | posix.O_CLOEXEC
_FILE = posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_CLOEXEC


class Places(Record):
    """Where the streams lead; "" is nowhere."""

    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    terminal: bool = False


class Relay:
    """Bytes from one descriptor to another, both closed at the end. What cannot be written yet stops the reading."""

    def __init__(self, loop: Loop, source: int, target: int, ended: Callable[[], None]) -> None:
        self._loop = loop
        self._source = source
        self._target = target
        self._ended = ended
        self._rest = b""
        self._finishing = False
        self.open = True
        for fd in (source, target):
            posix.set_blocking(fd, False)
        loop.watch(source, READ, self._carry)

    def finish(self) -> None:
        """Carry what is there, then close."""
        self._finishing = True
        if self.open and not self._rest:
            self._carry(0)

    def close(self) -> None:
        """Carry what can be carried at once, and close both ends."""
        while self.open and not self._rest and self._step():
            pass
        self._end()

    def _carry(self, _: int) -> None:
        more = self._step()
        while more and self._finishing and not self._rest:
            more = self._step()
        if self.open and self._rest:
            self._loop.forget(self._source)
            self._loop.watch(self._target, WRITE, self._go_on)
        elif self.open and self._finishing and not more:
            self._end()

    def _step(self) -> bool:
        """Read once and write; false if there was nothing to read."""
        try:
            data = posix.read(self._source, _CHUNK)
        except BlockingIOError:
            return False
        except OSError as err:
            if err.errno not in _GONE:  # EIO: the last to have the terminal open has closed it
                raise
            data = b""
        if not data:
            self._end()
            return False
        self._rest = data
        self._write()
        return True

    def _write(self) -> None:
        try:
            while self._rest:
                self._rest = self._rest[posix.write(self._target, self._rest) :]
        except BlockingIOError:
            return
        except OSError as err:
            self._rest = b""  # of a file on a full disk as much is lost as does not fit
            if err.errno in _GONE:
                self._end()

    def _go_on(self, _: int) -> None:
        self._write()
        if self.open and not self._rest:
            self._loop.forget(self._target)
            self._loop.watch(self._source, READ, self._carry)
            if self._finishing:
                self._carry(0)

    def _end(self) -> None:
        if not self.open:
            return
        self.open = False
        for fd in (self._source, self._target):
            self._loop.forget(fd)
            posix.close(fd)
        self._ended()


class Stdio:
    """The streams of one process, from before it is made to after its end."""

    def __init__(self, loop: Loop, places: Places, owner: tuple[int, int] = (0, 0)) -> None:
        """Open what containerd named; `owner` gets the pipes. Raises StateError."""
        self.places = places
        self.console = -1
        self._loop = loop
        self._pipes: dict[str, tuple[int, int]] = {}  # of each stream: the program's end, ours
        self._outer: dict[str, int] = {}
        self._shown = -1  # what a logger reads of a terminal
        self._input: Relay | None = None
        self._outputs: list[Relay] = []
        self._null = posix.open("/dev/null", posix.O_RDWR | posix.O_CLOEXEC)
        try:
            self._open(owner)
        except OSError as err:
            self.close()
            what = err.filename or "a pipe"
            raise StateError(f"cannot open {what} for the program's streams: {reason(err)}") from err

    def _open(self, owner: tuple[int, int]) -> None:
        for name in ("stdin", "stdout", "stderr"):
            place: str = getattr(self.places, name)
            if not place or (self.places.terminal and name == "stderr"):
                continue
            if not self.places.terminal:
                reader, writer = posix.pipe2(posix.O_CLOEXEC)
                self._pipes[name] = (reader, writer) if name == "stdin" else (writer, reader)
                if any(owner):
                    posix.fchown(self._pipes[name][0], *owner)
            if not place.startswith("binary:"):
                self._outer[name] = _open_outer(place, name == "stdin")
            elif self.places.terminal:
                self._shown, self._outer[name] = posix.pipe2(posix.O_CLOEXEC)

    def streams(self) -> tuple[int, int, int]:
        """Return what the program gets as 0, 1 and 2."""
        ends = [self._pipes[name][0] if name in self._pipes else self._null for name in ("stdin", "stdout", "stderr")]
        return ends[0], ends[1], ends[2]

    def start_logger(self, environment: Mapping[bytes, bytes]) -> None:
        """Start the program that binary:// names, and wait until it is ready; in a fork. Raises StateError."""
        if not self.places.stdout.startswith("binary:"):
            return
        path, pairs = _parse(self.places.stdout)
        words = tuple(word for pair in pairs for word in pair if word)
        ready, writer = posix.pipe2(posix.O_CLOEXEC)
        ends = [self._pipes[name][1] if name in self._pipes else self._null for name in ("stdout", "stderr")]
        if self._shown >= 0:
            ends[0] = self._shown
        given = dict(zip((0, 1, 2, 3, 4, 5), (self._null, self._null, self._null, *ends, writer), strict=True))
        copies = {number: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for number, fd in given.items()}
        try:
            spawn((path, *words), environment, copies)
        except OSError as err:
            raise StateError(f"cannot start the logger {path}: {reason(err)}") from err
        for fd in (writer, *copies.values()):
            posix.close(fd)
        poll = select.poll()
        poll.register(ready, select.POLLIN)
        if not poll.poll(_READY_TIMEOUT):
            raise StateError(f"the logger {path} is not ready after {_READY_TIMEOUT // 1000} s")

    def attach(self, console: int = -1) -> None:
        """Begin to carry bytes: the program has its ends. `console` is its terminal's master."""
        self.console = console
        if self._shown >= 0:
            posix.close(self._shown)
            self._shown = -1
        for theirs, _ in self._pipes.values():
            posix.close(theirs)
        ours = {name: pipe[1] for name, pipe in self._pipes.items()}
        self._pipes = {}
        if console >= 0:
            ours = {name: fcntl.fcntl(console, fcntl.F_DUPFD_CLOEXEC, 3) for name in self._outer}
        for name, fd in ours.items():
            outer = self._outer.pop(name, -1)
            if outer < 0:
                posix.close(fd)  # the logger reads it
            elif name == "stdin":
                self._input = Relay(self._loop, outer, fd, _nothing)
            else:
                self._outputs.append(Relay(self._loop, fd, outer, _nothing))

    def close_input(self) -> None:
        """Let the program see the end of its input, after what is on its way."""
        if self._input is not None and not self.places.terminal:
            self._input.finish()

    def end(self) -> None:
        """Note that the process has ended: its output may still be on the way, input is for nobody."""
        if self._input is not None:
            self._input.close()
        self._input = None
        self._close_console()

    def close(self) -> None:
        """Close everything; of output on the way what its reader takes at once is carried."""
        self.end()
        for relay in self._outputs:
            relay.close()
        pipes = (fd for pipe in self._pipes.values() for fd in pipe)
        for fd in (self._null, self._shown, *self._outer.values(), *pipes):
            if fd >= 0:
                posix.close(fd)
        self._null, self._shown, self._outputs, self._outer, self._pipes = -1, -1, [], {}, {}

    def _close_console(self) -> None:
        if self.console >= 0:
            posix.close(self.console)
            self.console = -1


def _open_outer(place: str, reading: bool) -> int:
    if place.startswith("file:"):
        path, _ = _parse(place)
        _make_parents(path)
        return posix.open(path, _FILE, 0o600)
    # Both ways, so that neither reader nor writer on the other side is ever missed: containerd may be restarted.
    flags = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC if reading else _FIFO
    return posix.open(place, flags)


def _make_parents(path: str) -> None:
    parent = path.rpartition("/")[0]
    if parent and not posix.access(parent, posix.F_OK):
        _make_parents(parent)
        posix.mkdir(parent, 0o755)


def _parse(uri: str) -> tuple[str, list[tuple[str, str]]]:
    """Cut SCHEME://PATH?KEY=VALUE&KEY=VALUE (RFC 3986)."""
    path, _, query = uri.partition("://")[2].partition("?")
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return _unquoted(path), [(_unquoted(key), _unquoted(value)) for key, _, value in pairs]


def _unquoted(text: str) -> str:
    first, *parts = text.split("%")
    data = first.encode()
    for part in parts:
        try:
            data += bytes.fromhex(part[:2]) + part[2:].encode()
        except ValueError:
            data += b"%" + part.encode()
    return data.decode("utf-8", "surrogateescape")


def _nothing() -> None:
    """Do nothing when a relay ends: its descriptors are closed."""
