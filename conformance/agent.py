"""A seccomp agent, the other end of linux.seccomp.listenerPath: the case itself is it, one connection after the other.

A runtime finds the socket's queue and does not wait for us, so no thread is needed.
"""

from __future__ import annotations

import array
import fcntl
import json
import os
import select
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from conformance.case import Failure, check
from conformance.runtime import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

RECEIVE, ANSWER = 0xC0502100, 0xC0182101  # ioctls of seccomp_unotify(2)
REQUEST, RESPONSE = "QIIi", "QqiI"
SIZE_OF_REQUEST = 80
LONGEST_MESSAGE = 1 << 16


@dataclass
class Delivery:
    """What came over one connection until the runtime closed it: bytes, and descriptors by the message they came in."""

    text: bytes
    descriptors: list[list[int]]

    def document(self) -> dict[str, Any]:
        """The one container process state. Raises Failure if there is not exactly one JSON object."""
        try:
            document = json.loads(self.text)
        except ValueError:
            raise Failure(f"it is not one JSON document: {self.text[:300]!r}") from None
        check(isinstance(document, dict), f"it is no JSON object: {self.text[:300]!r}")
        return dict(document)


class Agent:
    """Listens on a stream socket; descriptors that came are closed at the end."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._received: list[int] = []

    def __enter__(self) -> Self:
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(self.path)
        self._server.listen(8)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        for fd in self._received:
            os.close(fd)

    def is_called(self, patience: float = 0.0) -> bool:
        """Tell whether somebody connects within so many seconds."""
        return bool(select.select([self._server], [], [], patience)[0])

    def take(self) -> Delivery:
        """Take the next connection, to its end. Raises Failure when there is none, or the runtime keeps it open."""
        check(self.is_called(PATIENCE), "nobody connected to the agent")
        delivery = Delivery(b"", [])
        with self._server.accept()[0] as connection:
            connection.settimeout(PATIENCE)
            try:
                while True:
                    text, ancillary, _, _ = connection.recvmsg(LONGEST_MESSAGE, socket.CMSG_SPACE(64))
                    fds = array.array("i", b"".join(data[: len(data) // 4 * 4] for _, _, data in ancillary))
                    if not text and not fds:
                        break
                    delivery.text += text
                    delivery.descriptors.append(list(fds))
            except TimeoutError:
                raise Failure(f"the connection was not closed after {delivery.text[:100]!r}") from None
        self._received += [fd for fds in delivery.descriptors for fd in fds]
        return delivery

    @staticmethod
    def answer(listener: int, value: int = 0, errno: int = 0) -> int:
        """Wait for one system call and answer it with a value or an error; return the call's number.

        Raises Failure when none comes, or the descriptor is no listener.
        """
        check(select.select([listener], [], [], PATIENCE)[0], "the listener told of no system call")
        request = bytearray(SIZE_OF_REQUEST)
        try:
            fcntl.ioctl(listener, RECEIVE, request)
            identity, _, _, number = struct.unpack_from(REQUEST, request)
            fcntl.ioctl(listener, ANSWER, struct.pack(RESPONSE, identity, value, -errno, 0))
        except OSError as error:
            raise Failure(f"the descriptor is no listener of seccomp: {error}") from None
        return int(number)
