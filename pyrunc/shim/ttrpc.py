"""ttrpc, containerd's remote procedure calls over a stream (github.com/containerd/ttrpc, PROTOCOL.md).

A frame is a header of ten bytes, length and stream id as big-endian 32 bit numbers, type and flags as bytes, and that
many bytes. A call is a stream: one request, one response; nobody here asks for streams of more. What is no frame
closes its connection, and no other.

Neither side may make the other keep what it does not read: of a peer with too much to read nothing more is read.
"""

from __future__ import annotations

import _socket
import _struct
import errno

from pyrunc.record import Record
from pyrunc.shim import loop as loops
from pyrunc.shim.codec import decode, encode
from pyrunc.shim.protos.ttrpc import KeyValue, Request, Response, Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyrunc.shim.loop import Loop, Timer

    Handler = Callable[["Call"], None]

REQUEST, RESPONSE, DATA = 1, 2, 3
LONGEST = 4 << 20
"""How many bytes a frame may have behind its header."""
BACKLOG = 1 << 20
"""Above so many bytes that a peer does not read, nothing is read of it."""

# Codes of gRPC (google/rpc/code.proto)
OK, CANCELED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS = range(7)
RESOURCE_EXHAUSTED, FAILED_PRECONDITION, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 8, 9, 12, 13, 14

_HEADER = _struct.Struct(">IIBB")
_CHUNK = 1 << 18
_NANO = 10**9
_SO_PEERCRED = 17
_AGAIN = (errno.EAGAIN, errno.EINTR)


class Frame(Record):
    """One frame."""

    stream: int
    type: int
    flags: int
    payload: bytes

    def encode(self) -> bytes:
        """Return it as bytes. Raises ValueError for one that is too long."""
        if len(self.payload) > LONGEST:
            raise ValueError(f"a message of {len(self.payload)} bytes is longer than {LONGEST}")
        return _HEADER.pack(len(self.payload), self.stream, self.type, self.flags) + self.payload


class Frames:
    """Bytes as they come in, cut into frames."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that are whole now. Raises ValueError for what is none."""
        self._bytes += data
        found = []
        at = 0
        while len(self._bytes) - at >= _HEADER.size:
            length, stream, kind, flags = _HEADER.unpack_from(self._bytes, at)
            if length > LONGEST or kind not in (REQUEST, RESPONSE, DATA) or not stream:
                raise ValueError(f"no frame of ttrpc: type {kind}, {length} bytes, stream {stream}")
            end = at + _HEADER.size + length
            if end > len(self._bytes):
                break
            found.append(Frame(stream, kind, flags, bytes(self._bytes[at + _HEADER.size : end])))
            at = end
        del self._bytes[:at]
        return found


class Connection:
    """One stream socket in a loop: frames in, frames out, and the end of it."""

    def __init__(
        self, loop: Loop, socket: _socket.socket, on_frame: Callable[[Frame], None], on_close: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._socket = socket
        self._on_frame = on_frame
        self._on_close = on_close
        self._frames = Frames()
        self._out = bytearray()
        self._events = loops.READ
        self.open = True
        socket.setblocking(False)
        loop.watch(socket.fileno(), loops.READ, self._ready)

    @property
    def unread(self) -> int:
        """How many bytes the peer has still to read."""
        return len(self._out)

    def send(self, frame: Frame) -> None:
        """Send a frame, now or as soon as the peer reads; to one that is gone nothing is sent."""
        if self.open:
            self._out += frame.encode()
            self._write()

    def close(self) -> None:
        """Close it, once."""
        if not self.open:
            return
        self.open = False
        self._loop.forget(self._socket.fileno())
        self._socket.close()
        self._on_close()

    def _ready(self, events: int) -> None:
        if events & loops.WRITE:
            self._write()
        if self.open and events & ~loops.WRITE:
            self._read()

    def _read(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)
        except OSError as err:
            if err.errno not in _AGAIN:
                self.close()
            return
        try:
            frames = self._frames.feed(data) if data else []
        except ValueError:
            data = b""
            frames = []
        for frame in frames:
            if self.open:
                self._on_frame(frame)
        if not data:
            self.close()

    def _write(self) -> None:
        try:
            while self._out:
                del self._out[: self._socket.send(self._out, _socket.MSG_NOSIGNAL)]
        except OSError as err:
            if err.errno not in _AGAIN:
                self.close()
                return
        wanted = (loops.WRITE if self._out else 0) | (loops.READ if len(self._out) <= BACKLOG else 0)
        if wanted != self._events:
            self._events = wanted
            self._loop.change(self._socket.fileno(), wanted)


class Call:
    """A request that waits for its one answer, which may be given at any later time."""

    def __init__(self, connection: Connection, stream: int, request: Request) -> None:
        self.service = request.service
        self.method = request.method
        self.payload = request.payload
        self.metadata = tuple((each.key, each.value) for each in request.metadata)
        self.answered = False
        self.deadline: Timer | None = None
        self._connection = connection
        self._stream = stream
        self._on_answer: list[Callable[[int], None]] = []

    def on_answer(self, act: Callable[[int], None]) -> None:
        """Call `act` with the code of the answer once there is one; CANCELED if nobody waits for it any more."""
        self._on_answer.append(act)

    def reply(self, payload: bytes = b"") -> None:
        """Answer it. A second answer is not sent."""
        self._answer(Response(Status(), payload))

    def fail(self, code: int, message: str) -> None:
        """Answer that it failed."""
        self._answer(Response(Status(code, message)))

    def cancel(self) -> None:
        """Forget it: the connection is gone."""
        self._done(CANCELED)

    def _answer(self, response: Response) -> None:
        if self.answered:
            return
        data = encode(response)
        if len(data) > LONGEST:
            response = Response(Status(RESOURCE_EXHAUSTED, f"the answer has {len(data)} bytes"))
            data = encode(response)
        self._connection.send(Frame(self._stream, RESPONSE, 0, data))
        self._done(response.status.code if response.status else OK)

    def _done(self, code: int) -> None:
        if self.answered:
            return
        self.answered = True
        if self.deadline is not None:
            self.deadline.cancel()
        for act in self._on_answer:
            act(code)


class Server:
    """Answers calls of any number of connections to one listening socket.

    `services` has the handlers by service and method; a handler answers its call, now or later. Only peers whose
    effective uid `admit` takes are listened to.
    """

    def __init__(
        self,
        loop: Loop,
        socket: _socket.socket,
        services: Mapping[str, Mapping[str, Handler]],
        admit: Callable[[int], bool],
    ) -> None:
        self._loop = loop
        self._socket = socket
        self._services = services
        self._admit = admit
        self._peers: set[_Peer] = set()
        socket.setblocking(False)
        loop.watch(socket.fileno(), loops.READ, self._accept)

    def _accept(self, _: int) -> None:
        try:
            fd, _address = self._socket._accept()  # type: ignore[attr-defined]
        except OSError:
            return  # whoever knocked is gone, or there are no descriptors left: he waits
        peer = _socket.socket(fileno=fd)
        uid = _struct.unpack("iii", peer.getsockopt(_socket.SOL_SOCKET, _SO_PEERCRED, 12))[1]
        if self._admit(uid):
            self._peers.add(_Peer(self._loop, peer, self._services, self._peers))
        else:
            peer.close()

    @property
    def unread(self) -> int:
        """How many bytes of answers are still to be read by all peers."""
        return sum(peer.connection.unread for peer in self._peers)

    def close(self) -> None:
        """Close the socket and all connections."""
        self._loop.forget(self._socket.fileno())
        self._socket.close()
        for peer in tuple(self._peers):
            peer.connection.close()


class _Peer:
    """One connection to a server, and its calls without an answer."""

    def __init__(
        self,
        loop: Loop,
        socket: _socket.socket,
        services: Mapping[str, Mapping[str, Handler]],
        peers: set[_Peer],
    ) -> None:
        self._loop = loop
        self._services = services
        self._peers = peers
        self._calls: set[Call] = set()
        self._last = 0
        self.connection = Connection(loop, socket, self._heed, self._closed)

    def _heed(self, frame: Frame) -> None:
        if frame.type == RESPONSE:
            return self.connection.close()
        if frame.type == DATA or frame.stream <= self._last or not frame.stream % 2:
            why = "is not open" if frame.type == DATA else "cannot be used"
            status = Status(INVALID_ARGUMENT, f"stream {frame.stream} {why}")
            return self.connection.send(Frame(frame.stream, RESPONSE, 0, encode(Response(status))))
        self._last = frame.stream
        try:
            request = decode(Request, frame.payload)
        except ValueError:
            return self.connection.close()
        return self._call(Call(self.connection, frame.stream, request), request.timeout_nano)

    def _call(self, call: Call, timeout: int) -> None:
        handler = self._services.get(call.service, {}).get(call.method)
        if handler is None:
            call.fail(UNIMPLEMENTED, f"{call.service}/{call.method} is not implemented")
            return
        self._calls.add(call)
        call.on_answer(lambda _: self._calls.discard(call))
        if timeout > 0:
            late = f"no answer within {timeout / _NANO:g} s"
            call.deadline = self._loop.later(timeout / _NANO, lambda: call.fail(DEADLINE_EXCEEDED, late))
        handler(call)

    def _closed(self) -> None:
        self._peers.discard(self)
        for call in tuple(self._calls):
            call.cancel()


class Client:
    """The other side of a server: calls over one connection.

    When that closes, calls without an answer fail with UNAVAILABLE, and `on_close` is called.
    """

    def __init__(self, loop: Loop, socket: _socket.socket, on_close: Callable[[], None] = lambda: None) -> None:
        self._loop = loop
        self._waiting: dict[int, Callable[[Status, bytes], None]] = {}
        self._next = 1
        self._on_close = on_close
        self.connection = Connection(loop, socket, self._heed, self._closed)

    def call(
        self,
        service: str,
        method: str,
        payload: bytes,
        done: Callable[[Status, bytes], None],
        timeout: float = 0.0,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Call a method; `done` gets the status and the answer. After `timeout` seconds, if any, it fails."""
        stream, self._next = self._next, self._next + 2
        pairs = tuple(KeyValue(key, value) for key, value in metadata)
        request = Request(service, method, payload, int(timeout * _NANO), pairs)
        self._waiting[stream] = done
        if timeout:
            self._loop.later(timeout, lambda: self._end(stream, Status(DEADLINE_EXCEEDED, "no answer in time"), b""))
        if not self.connection.open:
            self._loop.soon(lambda: self._end(stream, Status(UNAVAILABLE, "the connection is closed"), b""))
        self.connection.send(Frame(stream, REQUEST, 0, encode(request)))

    def _heed(self, frame: Frame) -> None:
        try:
            if frame.type != RESPONSE:
                raise ValueError("a server sends responses only")
            response = decode(Response, frame.payload)
        except ValueError:
            self.connection.close()
            return
        self._end(frame.stream, response.status or Status(), response.payload)

    def _end(self, stream: int, status: Status, payload: bytes) -> None:
        done = self._waiting.pop(stream, None)
        if done is not None:
            done(status, payload)

    def _closed(self) -> None:
        for stream in tuple(self._waiting):
            self._end(stream, Status(UNAVAILABLE, "the connection was closed"), b"")
        self._on_close()
