"""Take the listener of the init's seccomp filter and hand it to the agent (config-linux.md, "Seccomp Notify").

From the moment the filter is loaded any system call of the init may stop until the agent has answered, so the init
says beforehand that it is going to load it and we look for ourselves: the listener is among its descriptors. Where we
have no right to look, as an ordinary user, it is brought (container/listener.py). Our own copy is closed at once. As
long as it were open, an agent that died would leave the container hanging.
"""

from __future__ import annotations

import _socket
import _struct
import posix
import select

from pyrunc.errors import StepError, reason
from pyrunc.jsontext import dump, parse
from pyrunc.kernel.processes import pidfd_getfd
from pyrunc.sync import LISTENER, LOADING_FILTER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.seccomp import SendListener
    from pyrunc.sync import Channel

_LINK = "anon_inode:seccomp notify"
_PAUSE = 1  # milliseconds


def send_listener(step: SendListener, pid: int, state: str, channel: Channel) -> None:
    """Give the agent a ContainerProcessState; `state` is the container's as JSON.

    Raises StepError, or what the init says went wrong.
    """
    listener = channel.expect(LISTENER)[0] if step.brought else _take(pid, channel)
    try:
        _send(step, _document(step, pid, state), listener)
    finally:
        posix.close(listener)


def _take(pid: int, channel: Channel) -> int:
    pidfd = posix.pidfd_open(pid)
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    try:
        while True:
            heard = poll.poll(0)
            number = _find(pid)
            if number >= 0:
                return pidfd_getfd(pidfd, number)
            if heard:
                channel.expect(LOADING_FILTER)  # raises what it says instead
            poll.poll(_PAUSE)
    except OSError as err:
        raise StepError(f".linux.seccomp: cannot take the listener from the init: {reason(err)}") from err
    finally:
        posix.close(pidfd)


def _find(pid: int) -> int:
    """Return the number of the listener among a process's descriptors, -1 while there is none."""
    for name in posix.listdir(f"/proc/{pid}/fd"):
        try:
            if posix.readlink(f"/proc/{pid}/fd/{name}") == _LINK:
                return int(name)
        except FileNotFoundError:  # closed since
            continue
    return -1


def _document(step: SendListener, pid: int, state: str) -> bytes:
    container = parse(state)
    document = {"ociVersion": container["ociVersion"], "fds": ["seccompFd"], "pid": pid}
    if step.metadata:
        document["metadata"] = step.metadata
    return dump({**document, "state": container}).encode("utf-8", "surrogateescape")


def _send(step: SendListener, document: bytes, listener: int) -> None:
    """One connection, one state; the descriptor is in the first message even if that takes only a part."""
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        socket.connect(step.path)
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _struct.pack("i", listener))
        sent = socket.sendmsg([document], [rights], _socket.MSG_NOSIGNAL)
        while sent < len(document):
            sent += socket.send(document[sent:], _socket.MSG_NOSIGNAL)
    except OSError as err:
        tried = f"{step.where}: cannot {step.describe()}: {reason(err)}"
        raise StepError(tried, "is an agent listening there?") from err
    finally:
        socket.close()


