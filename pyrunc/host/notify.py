"""sd_notify(3) between a container and the service manager that started us (NOTIFY_SOCKET).

The container gets a socket of its own, in a directory of the state that is bound to /run/notify: the manager's would
give it the manager's ear. What it says is passed on line by line, as far as a service may say it about itself;
MAINPID and descriptors are ours to give. READY goes out with the pid of the container's init.
"""

from __future__ import annotations

import _socket
import _struct
import posix
import select

from pyrunc.errors import StateError, reason
from pyrunc.kernel.pidfd import open_number
from pyrunc.state.store import NOTIFY_DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.state.store import Entry

_NAME = "notify.sock"
# The words that a container may pass on: its state and nothing that changes what the manager holds of us.
PASSED_ON = frozenset(
    (
        *("READY", "STATUS", "ERRNO", "BUSERROR", "EXIT_STATUS", "STOPPING", "RELOADING", "MONOTONIC_USEC"),
        *("WATCHDOG", "WATCHDOG_USEC", "EXTEND_TIMEOUT_USEC", "VARLINKERROR"),
    )
)
_LONGEST = 65536
_BARRIER_TIMEOUT = 30_000  # ms, as runc waits


class NotifyProxy:
    """The container's end, and where it is passed on to; in the foreground one of the relays of foreground.py."""

    towards_container = False

    def __init__(self, listener: _socket.socket, manager: str, pid: int) -> None:
        self._listener = listener
        self._manager = f"\0{manager[1:]}" if manager.startswith("@") else manager
        self._pid = pid
        self.source = listener.fileno()
        self.open = True
        self.ready = False

    def carry(self) -> None:
        """Pass one message on. Descriptors that come with it (BARRIER, FDSTORE) are closed by the kernel."""
        message = filtered(self._listener.recv(_LONGEST), self._pid)
        if message:
            self._say(message, ())
        if b"READY=1" in message.split(b"\n") and not self.ready:
            self.ready = True
            self._barrier()

    def until_ready(self) -> None:
        """Pass on what the container says until it is ready, or has ended."""
        try:
            pidfd = open_number(self._pid)
        except ProcessLookupError:
            return
        poll = select.poll()
        for fd in (self.source, pidfd):
            poll.register(fd, select.POLLIN)
        while not self.ready:
            served = [fd for fd, _ in poll.poll()]
            if self.source in served:
                self.carry()
            elif pidfd in served:
                break
        posix.close(pidfd)

    def _barrier(self) -> None:
        """sd_notify_barrier(3): wait until the manager has read it, for it asks /proc who we are."""
        reader, writer = posix.pipe2(posix.O_CLOEXEC)
        try:
            self._say(b"BARRIER=1", (writer,))
        finally:
            posix.close(writer)
        poll = select.poll()
        poll.register(reader, select.POLLHUP)
        poll.poll(_BARRIER_TIMEOUT)
        posix.close(reader)

    def _say(self, message: bytes, fds: tuple[int, ...]) -> None:
        socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _struct.pack(f"{len(fds)}i", *fds))] if fds else []
        try:
            socket.connect(self._manager)
            socket.sendmsg([message], rights, _socket.MSG_NOSIGNAL)
        except OSError:
            return  # a manager that is gone is no reason to stop the service
        finally:
            socket.close()


def filtered(message: bytes, pid: int) -> bytes:
    """Return the lines of a message that are passed on; MAINPID goes along with READY."""
    lines = [line for line in message.split(b"\n") if line.partition(b"=")[0].decode("latin-1") in PASSED_ON]
    if b"READY=1" in lines:
        lines.append(b"MAINPID=%d" % pid)
    return b"\n".join(lines)


def open_proxy(entry: Entry, manager: str, pid: int) -> NotifyProxy | None:
    """Open the container's socket; None where create did not see a NOTIFY_SOCKET. Raises StateError."""
    try:
        directory = posix.open(NOTIFY_DIRECTORY, posix.O_PATH | posix.O_DIRECTORY, dir_fd=entry.directory)
    except FileNotFoundError:
        return None
    try:
        listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        # Through the descriptor: the state root may be longer than the 107 bytes of a socket's name (unix(7)).
        listener.bind(f"/proc/self/fd/{directory}/{_NAME}")
        # Whatever user the container runs as; who else could reach it is kept out by the state directory.
        posix.chmod(_NAME, 0o777, dir_fd=directory)
    except OSError as err:
        raise StateError(f"cannot make the notify socket of {entry.id}: {reason(err)}") from err
    finally:
        posix.close(directory)
    return NotifyProxy(listener, manager, pid)
