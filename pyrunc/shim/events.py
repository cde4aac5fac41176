"""What containerd is told unasked: events, one after the other, and again where it was away for a while."""

from __future__ import annotations

import _socket
import time

from pyrunc.shim.codec import Message, encode
from pyrunc.shim.protos.events import Envelope, ForwardRequest
from pyrunc.shim.protos.types import Any, Timestamp
from pyrunc.shim.ttrpc import OK, UNAVAILABLE, Client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.shim.loop import Loop
    from pyrunc.shim.protos.ttrpc import Status

_SERVICE = "containerd.services.events.ttrpc.v1.Events"
_TIMEOUT = 5.0
_RETRY = 0.5
_PATIENCE = 120.0  # seconds that an event is kept for a containerd that does not answer
_NANO = 10**9


def timestamp(nanoseconds: int) -> Timestamp:
    """Return a time since 1970 as messages have it."""
    return Timestamp(nanoseconds // _NANO, nanoseconds % _NANO)


def wrap(message: Message, url: str = "") -> Any:
    """Put a message into an Any, under its own name unless another is given."""
    return Any(url or f"containerd.events.{type(message).__name__}", encode(message))


class Publisher:
    """Sends events in order to containerd's ttrpc socket."""

    def __init__(self, loop: Loop, address: str, namespace: str, log: Callable[[str], None]) -> None:
        self._loop = loop
        self._address = address
        self._namespace = namespace
        self._log = log
        self._queue: list[tuple[float, bytes]] = []
        self._client: Client | None = None
        self._busy = False
        self._when_empty: list[Callable[[], None]] = []

    def publish(self, topic: str, event: Message) -> None:
        """Send an event, after all that were published before it."""
        envelope = Envelope(timestamp(time.time_ns()), self._namespace, f"/tasks/{topic}", wrap(event))
        if self._address:
            self._queue.append((time.monotonic(), encode(ForwardRequest(envelope))))
            self._next()

    def when_empty(self, act: Callable[[], None]) -> None:
        """Call `act` once all events are sent, or given up."""
        self._when_empty.append(act)
        self._next()

    def _next(self) -> None:
        if self._busy:
            return
        if not self._queue:
            acts, self._when_empty = self._when_empty, []
            for act in acts:
                act()
            return
        self._busy = True
        client = self._connected()
        if client is None:
            self._again()
            return
        client.call(_SERVICE, "Forward", self._queue[0][1], self._sent, _TIMEOUT)

    def _connected(self) -> Client | None:
        if self._client is not None and self._client.connection.open:
            return self._client
        socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        socket.setblocking(False)
        try:
            socket.connect(self._address)
        except OSError:
            socket.close()
            return None
        self._client = Client(self._loop, socket)
        return self._client

    def _sent(self, status: Status, _: bytes) -> None:
        if status.code == UNAVAILABLE:
            self._again()
            return
        if status.code != OK:
            self._log(f"an event was not taken: {status.message}")
        self._queue.pop(0)
        self._busy = False
        self._next()

    def _again(self) -> None:
        """Try once more, in a while; what is too old is dropped."""
        if time.monotonic() - self._queue[0][0] > _PATIENCE:
            self._log("containerd does not take events: one is dropped")
            self._queue.pop(0)
        self._loop.later(_RETRY, self._retry)

    def _retry(self) -> None:
        self._busy = False
        self._next()
