"""Work that enters a container, or may take long, in a fork of the shim (workers.py says why it is not a thread).

The fork says how it went in one message, with descriptors if there are any, and ends. Should the shim be killed, it is
too, and what it has begun is found by `delete`.
"""

from __future__ import annotations

import _socket
import _struct
import gc
import posix

from pyrunc.errors import PyruncError, reason
from pyrunc.jsontext import dump, parse
from pyrunc.kernel.prctl import set_pdeathsig
from pyrunc.record import Record
from pyrunc.shim.loop import READ
from pyrunc.sync import ERROR, decode_error, encode_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from typing import Any, NoReturn

    from pyrunc.shim.loop import Loop

    Job = Callable[[], "Result"]
else:
    import _signal  # signal would import enum

_LONGEST = 65536
_RIGHTS = 4096
_SIGINT, _SIGPIPE, _SIGXFSZ = 2, 13, 25


class Result(Record):
    """What a fork found out: facts that JSON can tell, and descriptors, which belong to whoever hears of them."""

    facts: dict[str, Any] = {}
    fds: tuple[int, ...] = ()


class Workers:
    """Starts forks, and calls back when they are done."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def run(
        self,
        job: Job,
        done: Callable[[Result], None],
        failed: Callable[[PyruncError], None],
        streams: tuple[int, ...] = (),
    ) -> None:
        """Do `job` in a fork that has `streams` as its first descriptors, then call `done` or `failed`."""
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        parent = posix.getpid()
        self._loop.claim_children()
        try:
            pid = posix.fork()
        except OSError as err:
            self._loop.release_children()
            ours.close()
            theirs.close()
            error = PyruncError(f"cannot start a process: {reason(err)}")
            self._loop.soon(lambda: failed(error))
            return
        if pid == 0:
            _be_worker(job, theirs, parent, streams)
        theirs.close()
        self._loop.watch(ours.fileno(), READ, lambda _: self._hear(ours, done, failed))

    def _hear(
        self, ours: _socket.socket, done: Callable[[Result], None], failed: Callable[[PyruncError], None]
    ) -> None:
        self._loop.forget(ours.fileno())
        message, fds = _receive(ours)
        ours.close()
        if not message:
            failed(PyruncError("the process that was to do it has died"))
        elif message.startswith(ERROR):
            failed(decode_error(message))
        else:
            done(Result(parse(message.decode()), fds))
        self._loop.release_children()


def _be_worker(job: Job, channel: _socket.socket, parent: int, streams: tuple[int, ...]) -> NoReturn:
    """Do the work in a copy of the shim, of which nothing else runs any more."""
    try:
        gc.disable()
        set_pdeathsig(_signal.SIGKILL)
        if posix.getppid() != parent:
            posix._exit(1)
        _signal.set_wakeup_fd(-1)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        for number, fd in enumerate(streams):
            posix.dup2(fd, number)
        _tell(channel, job())
        posix._exit(0)
    except PyruncError as err:
        channel.send(encode_error(err))
    except BaseException as err:  # noqa: BLE001 - the other side has to hear of it, whatever it is
        channel.send(encode_error(PyruncError(f"internal error: {type(err).__name__}: {err}")))
    finally:
        posix._exit(1)


def _tell(channel: _socket.socket, result: Result) -> None:
    count = len(result.fds)
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _struct.pack(f"{count}i", *result.fds))] if count else []
    channel.sendmsg([dump(result.facts).encode()], rights)


def _receive(channel: _socket.socket) -> tuple[bytes, tuple[int, ...]]:
    try:
        message, ancillary, _, _ = channel.recvmsg(_LONGEST, _RIGHTS, _socket.MSG_CMSG_CLOEXEC)
    except OSError:  # it died before it had said anything
        return b"", ()
    fds: tuple[int, ...] = ()
    for level, kind, data in ancillary:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
            fds += _struct.unpack(f"{len(data) // 4}i", data[: len(data) // 4 * 4])
    return message, fds
