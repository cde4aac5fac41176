"""A connection to a D-Bus peer: the system's bus, a user's, or systemd itself on its own socket.

Messages are made and read by jeepney (20 ms to load), which is imported only here. The transport is ours, because
each wait has to end: a service manager that hangs must not make a create hang for ever.
"""

from __future__ import annotations

import _socket
import struct
from time import monotonic

from pyrunc.errors import CgroupError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jeepney import Message

BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
PATIENCE = 30.0  # seconds for one answer; systemd's own clients wait 25
_CONNECT_PATIENCE = 5.0
_CHUNK = 65536
_LONGEST_LINE = 8192


class RefusedError(CgroupError):
    """The other side answered with an error: `name` is D-Bus's, such as org.freedesktop.systemd1.NoSuchUnit."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text or name)
        self.name = name


class Peer:
    """One connection. `address` is the socket's path, with an @ in front where it is abstract (unix(7))."""

    def __init__(self, address: str, is_bus: bool) -> None:
        """Connect and authenticate. Raises CgroupError, OSError where nobody listens."""
        try:
            from jeepney import Parser
        except ImportError as err:
            raise CgroupError("the systemd cgroup driver needs the python package jeepney") from err
        self.address = address
        self._parser: Any = Parser()
        self._serial = 0
        self._signals: list[Message] = []
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            self._socket.settimeout(_CONNECT_PATIENCE)
            self._socket.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            self._authenticate()
            if is_bus:
                self.call(*BUS, "Hello")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _authenticate(self) -> None:
        """D-Bus specification, "Authentication Protocol": EXTERNAL, without a name: the socket says who we are.

        In a user namespace we could only guess which user we are to the other side. BEGIN goes along with it, as
        sd-bus sends it: systemd does not look at a first message that it reads together with BEGIN.
        """
        self._socket.sendall(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")
        said = b""
        while said.count(b"\r\n") < 2 and len(said) < _LONGEST_LINE:
            said += self._read(monotonic() + _CONNECT_PATIENCE)
        if not said.split(b"\r\n")[1].startswith(b"OK "):
            raise CgroupError(f"{self.address} does not let us in")

    def call(
        self, name: str, path: str, interface: str, member: str, signature: str = "", body: tuple[Any, ...] = ()
    ) -> tuple[Any, ...]:
        """Call a method and return what it answers.

        Raises RefusedError if that is an error, CgroupError if no answer comes or a value does not fit its type.
        """
        from jeepney import DBusAddress, HeaderFields, MessageType, new_method_call

        self._serial += 1
        try:
            message = new_method_call(DBusAddress(path, name, interface), member, signature or None, body)
            data = message.serialise(self._serial)
        except (ValueError, TypeError, KeyError, IndexError, struct.error) as err:
            raise CgroupError(f"cannot ask systemd to {member}: {err}") from err
        deadline = monotonic() + PATIENCE
        self._send(data)
        while True:
            answer = self._receive(deadline)
            kind = answer.header.message_type
            if kind is MessageType.signal:
                self._signals.append(answer)
            if answer.header.fields.get(HeaderFields.reply_serial) != self._serial:
                continue
            if kind is MessageType.error:
                text = answer.body[0] if answer.body and isinstance(answer.body[0], str) else ""
                raise RefusedError(answer.header.fields.get(HeaderFields.error_name, ""), text)
            return tuple(answer.body)

    def signal(self, member: str, wanted: Any) -> tuple[Any, ...]:
        """Wait for a signal with `wanted` among its values; return them all. Raises CgroupError if none comes."""
        from jeepney import HeaderFields, MessageType

        deadline = monotonic() + PATIENCE
        while True:
            message = self._signals.pop(0) if self._signals else self._receive(deadline)
            is_signal = message.header.message_type is MessageType.signal
            if is_signal and message.header.fields.get(HeaderFields.member) == member and wanted in message.body:
                return tuple(message.body)

    def _receive(self, deadline: float) -> Message:
        while True:
            try:
                message: Message | None = self._parser.get_next_message()
            except (ValueError, KeyError, IndexError, AssertionError, struct.error) as err:
                raise CgroupError(f"{self.address} does not speak D-Bus: {err}") from err
            if message is not None:
                return message
            self._parser.add_data(self._read(deadline))

    def _read(self, deadline: float) -> bytes:
        left = deadline - monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            data = self._socket.recv(_CHUNK)
        except TimeoutError as err:
            raise CgroupError(f"no answer from {self.address}") from err
        except OSError as err:
            raise CgroupError(f"no answer from {self.address}: {reason(err)}") from err
        if not data:
            raise CgroupError(f"{self.address} has closed the connection")
        return data

    def _send(self, data: bytes) -> None:
        try:
            self._socket.settimeout(PATIENCE)
            self._socket.sendall(data)
        except OSError as err:
            raise CgroupError(f"cannot write to {self.address}: {reason(err)}") from err
