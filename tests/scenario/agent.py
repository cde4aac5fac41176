"""A seccomp agent, as the tests need one: it answers some system calls and lets all others pass.

seccomp_unotify(2) is spoken here once more, on its own: what pyrunc sends has to be usable without pyrunc.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import select
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

NOTIF_RECV, NOTIF_SEND = 0xC0502100, 0xC0182101  # _IOWR('!', 0, struct seccomp_notif), ('!', 1, ..._resp)
CONTINUE = 1


class Agent:
    """Listens on a socket; `answers` is number of a system call -> (value, errno), and `seen` what was asked."""

    def __init__(self, path: Path, answers: dict[int, tuple[int, int]]) -> None:
        self.path = str(path)
        self.answers = answers
        self.states: list[dict[str, Any]] = []
        self.seen: list[int] = []
        self.connections_closed = 0
        self._done, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._listeners: list[int] = []
        self._connections: dict[int, socket.socket] = {}

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(self.path)
        self._socket.listen(4)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._stop)
        self._thread.join(10)
        self._socket.close()
        for connection in self._connections.values():
            connection.close()
        for fd in (*self._listeners, self._done):
            os.close(fd)

    def _work(self) -> None:
        poll = select.poll()
        for fd in (self._done, self._socket.fileno()):
            poll.register(fd, select.POLLIN)
        while True:
            for fd, event in poll.poll():
                if fd == self._done:
                    return
                if fd == self._socket.fileno():
                    for new in self._accept():
                        poll.register(new, select.POLLIN)
                elif fd in self._connections:
                    poll.unregister(fd)
                    self._connections.pop(fd).close()
                    self.connections_closed += 1
                elif event & select.POLLIN:
                    self._answer(fd)
                else:
                    poll.unregister(fd)

    def _accept(self) -> tuple[int, int]:
        """Take one state and its listener; the connection is watched until the runtime closes it."""
        connection = self._socket.accept()[0]
        data, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(64))
        self._connections[connection.fileno()] = connection
        (fd,) = array.array("i", b"".join(item[2] for item in ancillary))
        self._listeners.append(fd)
        self.states.append(json.loads(data))
        return fd, connection.fileno()

    def _answer(self, fd: int) -> None:
        request = bytearray(80)
        with contextlib.suppress(FileNotFoundError):  # the caller was killed meanwhile
            fcntl.ioctl(fd, NOTIF_RECV, request)
            identity, _, _, number = struct.unpack_from("QIIi", request)
            self.seen.append(number)
            value, error = self.answers.get(number, (0, 0))
            flags = 0 if number in self.answers else CONTINUE
            fcntl.ioctl(fd, NOTIF_SEND, struct.pack("QqiI", identity, value, -error, flags))
