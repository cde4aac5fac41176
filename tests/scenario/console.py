"""The caller's end of a container's terminal."""

from __future__ import annotations

import array
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path


class Console:
    """The engine's end of --console-socket: receives the pty's master."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.name = ""
        self._fds: list[int] = []

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(self.path)
        self._socket.listen(1)
        self._socket.settimeout(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        for fd in self._fds:
            os.close(fd)

    def master(self) -> int:
        """Accept one connection and take the descriptor that its message carries (SCM_RIGHTS)."""
        with self._socket.accept()[0] as connection:
            connection.settimeout(5)
            data, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(16))
        self.name = data.decode()
        received = array.array("i", b"".join(item[2] for item in ancillary))
        self._fds += received
        assert len(received) == 1, f"{len(received)} descriptors in the console message"
        return received[0]


def read_terminal(master: int) -> str:
    """Everything that comes from a pty until its other side is closed."""
    text = b""
    with contextlib.suppress(OSError):  # EIO: the last slave is gone
        while chunk := os.read(master, 4096):
            text += chunk
    return text.decode()
