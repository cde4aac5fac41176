"""Hand a pty or a pidfd to the socket that the caller listens on (unix(7), SCM_RIGHTS)."""

from __future__ import annotations

import _socket
import _struct
import posix

from pyrunc.errors import StepError, reason


def send_console(path: str, master: int) -> None:
    """Send the master of the container's pty: its name as the message, the descriptor with it. Closes it here."""
    _send(path, "--console-socket", b"/dev/ptmx", master)
    posix.close(master)


def send_pidfd(path: str, pid: int) -> None:
    """Send a pidfd of the container's init."""
    pidfd = posix.pidfd_open(pid)
    try:
        _send(path, "--pidfd-socket", b"pidfd", pidfd)
    finally:
        posix.close(pidfd)


def _send(path: str, flag: str, message: bytes, fd: int) -> None:
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        socket.connect(path)
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _struct.pack("i", fd))
        socket.sendmsg([message], [rights], _socket.MSG_NOSIGNAL)
    except OSError as err:
        raise StepError(f"{flag}: cannot send to {path}: {reason(err)}", "is anybody listening there?") from err
    finally:
        socket.close()
