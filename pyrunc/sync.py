"""Every message between the processes of create, between start and the waiting init, and of exec.

    create (host side)                         init (inside)
      |  the v2 cgroup is made                    |
      |--- clone3 ------------------------------->|  born in it, and in the namespaces `at_clone`
      |<-- NEED_ID_MAPS --------------------------|  only with a new user namespace
      |  writes uid_map, gid_map                  |
      |--- ID_MAPS_WRITTEN ---------------------->|  becomes root inside; unshares the rest
      |  meanwhile: v1 cgroups, and all limits    |
      |--- CGROUP + fds of the tasks files ------>|  joins them by itself, then the cgroup namespace; a memory
      |                                           |  cgroup with a small limit it leaves again till GO
      |                                           |  mounts, devices
      |<-- ROOTFS_READY --------------------------|
      |  prestart, createRuntime hooks            |
      |--- HOOKS_DONE --------------------------->|  createContainer hooks; seal; pivot; masks; ids
      |<-- CONSOLE + fd of the pty ---------------|  only with a terminal
      |<-- LOADING_FILTER ------------------------|  only for a seccomp filter with a listener, which is taken from
      |  sends the listener to the agent          |  the init's descriptors: it may be stopped from here on
      |<-- LISTENER + fd -------------------------|  only for an ordinary user, who may not take it
      |<-- READY ---------------------------------|  nothing is left that should fail at create
      |  last cgroups, limits, state "created"    |
      |--- GO + fds of the last tasks files ----->|  (and pids.max, to be set after hooks) waits on start.fifo
      |                                           |
    start                                         |
      |--- START (start.fifo) ------------------->|  startContainer hooks; seccomp; execve
      |<-- result.fifo: an error, or end of file -|  end of file: the program runs

    exec (host side)            a process between            the program's process
      |--- clone3 ----------------->|  cgroups, namespaces, user
      |                             |--- clone3 (CLONE_PARENT) ->|  born in the pid namespace
      |<-- pid, through a pipe -----|                            |  working directory, environment, program found
      |<-- CONSOLE + fd of the pty -|                            |
      |<-- LOADING_FILTER ---------------------------------------|  as above
      |<-- READY ------------------------------------------------|
      |--- GO -------------------------------------------------->|  seccomp; execve
      |<-- END, or ERROR ----------------------------------------|

Either side may say ERROR at any time instead; the death of a side is an empty message to the other.
SEQPACKET keeps messages whole, whatever their length (CVE-2021-43784 was a length that did not fit its field).
"""

from __future__ import annotations

import _struct
import posix

from pyrunc import errors
from pyrunc.errors import PyruncError, SyncError, reason
from pyrunc.jsontext import dump

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import NoReturn

NEED_ID_MAPS = b"need-id-maps"
ID_MAPS_WRITTEN = b"id-maps-written"
CGROUP = b"cgroup"
ROOTFS_READY = b"rootfs-ready"
HOOKS_DONE = b"hooks-done"
CONSOLE = b"console"
LOADING_FILTER = b"loading-filter"
LISTENER = b"listener"
READY = b"ready"
GO = b"go"
END = b""  # of file: the other side has executed a program, or is dead
ERROR = b"error"
START = b"start"
_GONE = (32, 104, 111)  # EPIPE, ECONNRESET, ECONNREFUSED

_LONGEST = 65536


class Channel:
    """One end of the socket pair between the host side and the inside."""

    def __init__(self, socket: _socket.socket) -> None:
        self._socket = socket

    def fileno(self) -> int:
        """Return the descriptor, so that a process can keep it when it closes all others."""
        return self._socket.fileno()

    def close(self) -> None:
        """Let go of this end: the other side hears the end of file."""
        self._socket.close()

    def say(self, message: bytes, fds: tuple[int, ...] = ()) -> None:
        """Send one message, with file descriptors as SCM_RIGHTS (unix(7)).

        Raises the error that the other side said before it left, SyncError when it is gone without a word, or the
        kernel takes no message.
        """
        import _socket  # not at the top: start only wants the names of the messages

        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _struct.pack(f"{len(fds)}i", *fds))] if fds else []
        try:
            self._socket.sendmsg([message], rights, _socket.MSG_NOSIGNAL)
        except OSError as err:
            if err.errno in _GONE:
                self._raise_last_words()
            why = "the other side is gone" if err.errno in _GONE else reason(err)
            # An error's own text may be long, and is not what could not be done.
            said = message.partition(b"\0")[0].decode()
            raise SyncError(f"cannot say {said}: {why}") from err

    def expect(self, wanted: bytes) -> tuple[int, ...]:
        """Wait for one message and return the file descriptors that came with it.

        Raises the other side's error if it says one, and SyncError if it died or said something else.
        """
        heard, fds = self._receive()
        if heard.startswith(ERROR):
            raise decode_error(heard)
        if heard != wanted:
            said = heard.decode() or "nothing (it died)"
            raise SyncError(f"expected {wanted.decode()}, the other side said {said}")
        return fds

    def _raise_last_words(self) -> None:
        """Raise the error that is in what the other side has said, if there is one; it says nothing more."""
        heard = b"?"
        while heard:
            heard, fds = self._receive()
            for fd in fds:
                posix.close(fd)
            if heard.startswith(ERROR):
                raise decode_error(heard)

    def _receive(self) -> tuple[bytes, tuple[int, ...]]:
        import _socket

        # CMSG_LEN of 64 descriptors: more hierarchies than any kernel has.
        flags = _socket.MSG_CMSG_CLOEXEC
        try:
            try:
                message, ancillary, _, _ = self._socket.recvmsg(_LONGEST, 4096, flags)
            except ConnectionResetError:
                # It ended before it had read all that we said. The kernel tells that once, before what it said itself.
                message, ancillary, _, _ = self._socket.recvmsg(_LONGEST, 4096, flags)
        except OSError as err:
            raise SyncError(f"cannot hear the other side: {reason(err)}") from err
        fds: tuple[int, ...] = ()
        for level, kind, data in ancillary:
            if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
                fds += _struct.unpack(f"{len(data) // 4}i", data[: len(data) // 4 * 4])
        return message, fds

    def fail(self, error: PyruncError) -> None:
        """Tell the other side why we stop; if it is gone too there is nobody to tell."""
        try:
            self.say(encode_error(error))
        except PyruncError:
            return


def channel() -> tuple[Channel, Channel]:
    """Make both ends: (host side, inside)."""
    import _socket

    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    return Channel(ours), Channel(theirs)


def encode_error(error: PyruncError) -> bytes:
    """Write an error as one message: its class's name, its text and its hint."""
    parts = (type(error).__name__, error.message, error.hint)
    return b"\0".join((ERROR, *(part.encode("utf-8", "backslashreplace") for part in parts)))[:_LONGEST]


def decode_error(message: bytes) -> PyruncError:
    """Make the error that the other side sent; an unknown class is a PyruncError."""
    parts = [part.decode("utf-8", "replace") for part in message.split(b"\0")]
    _, name, text, hint = (*parts, "", "", "", "")[:4]
    kind = getattr(errors, name, PyruncError)
    error = PyruncError(text or "the other side failed without a word", hint)
    if isinstance(kind, type) and issubclass(kind, PyruncError):
        error.__class__ = kind
    return error


def give_up(channel: Channel, error: PyruncError) -> NoReturn:
    """End the inside process: say why, and leave without running anything of the interpreter's exit."""
    channel.fail(error)
    posix._exit(1)


def state_document(
    oci_version: str, container_id: str, status: str, pid: int, bundle: str, annotations: dict[str, str]
) -> str:
    """Return the state that hooks get on stdin (runtime.md, "State"); no pid where there is no process."""
    document: dict[str, object] = {"ociVersion": oci_version, "id": container_id, "status": status}
    if pid:
        document["pid"] = pid
    document["bundle"] = bundle
    if annotations:
        document["annotations"] = annotations
    return dump(document)
