"""From containerd's command lines to a process that serves (containerd, core/runtime/v2/README.md).

`start` binds the socket and forks: no second interpreter. One shim serves a whole pod: the socket's name is made of
what groups its containers, and who finds it served answers with it.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import gc
import posix
import time

from pyrunc.errors import PyruncError, StateError, reason
from pyrunc.jsontext import dump, parse
from pyrunc.kernel.prctl import set_child_subreaper
from pyrunc.record import Record
from pyrunc.shim.calls import handlers
from pyrunc.shim.codec import encode
from pyrunc.shim.events import Publisher, timestamp
from pyrunc.shim.jobs import Jobs, read_note, remove
from pyrunc.shim.log import Log
from pyrunc.shim.loop import Loop
from pyrunc.shim.protos.options import RuntimeInfo, RuntimeVersion
from pyrunc.shim.protos.task import DeleteResponse
from pyrunc.shim.protos.types import Any
from pyrunc.shim.questions import Questions
from pyrunc.shim.rootfs import unmount_all
from pyrunc.shim.service import ROOT, Service
from pyrunc.shim.task import Tasks
from pyrunc.shim.ttrpc import Server
from pyrunc.shim.work import Workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

NAMES = ("containerd.task.v2.Task", "containerd.task.v3.Task")
SOCKETS = "/run/containerd/s"
_GROUPS = ("io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id")
"""Annotations: containers that have the same value share a shim."""
_FEATURES = "types.containerd.io/opencontainers/runtime-spec/1/features/Features"
# What the service manager gave to containerd is not meant for its containers.
_NOT_OURS = (b"LISTEN_FDS", b"LISTEN_PID", b"LISTEN_FDNAMES", b"NOTIFY_SOCKET")
_NEWEST = 3
_KILLED = 137
_BACKLOG = 128
_FLUSH_TIMEOUT = 2.0  # seconds
_LAST_OOM_SCORE = 1000
_ABSENT = (errno.ECONNREFUSED, errno.ENOENT)


class Caller(Record):
    """What containerd says on every command line."""

    namespace: str
    address: str
    id: str
    debug: bool = False


def start(caller: Caller) -> str:
    """Have a shim serve, in the bundle that is the working directory, and return what to answer.

    Raises StateError.
    """
    path = f"{SOCKETS}/{_name(caller)}"
    socket = _bind(path)
    address = f"unix://{path}"
    _write_address(address)
    if socket is not None and posix.fork() == 0:
        _be_daemon(caller, socket, path)
    return _answer(address)


def _answer(address: str) -> str:
    """Return the address alone, or what newer versions of containerd take, which say so.

    The version is that of the task service: 1.7 knows 2, 2.1 both, and both say 2.
    """
    most = posix.environ.get(b"MAX_SHIM_VERSION", b"")
    if not most:
        return address
    version = 3 if most.isdigit() and int(most) >= _NEWEST else 2
    return dump({"version": version, "address": address, "protocol": "ttrpc"})


def _name(caller: Caller) -> str:
    from _blake2 import blake2b  # hashlib would load OpenSSL, and _sha256 has another name since 3.12

    group = caller.id
    try:
        fd = posix.open("config.json", posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            text = b"".join(iter(lambda: posix.read(fd, 1 << 16), b"")).decode()
        finally:
            posix.close(fd)
        annotations = parse(text).get("annotations") or {}
        group = next((annotations[name] for name in _GROUPS if annotations.get(name)), group)
    except (OSError, ValueError, AttributeError) as err:
        raise StateError(f"cannot read config.json of the bundle: {err}") from err
    digest: str = blake2b(f"pyrunc/{caller.address}/{caller.namespace}/{group}".encode(), digest_size=32).hexdigest()
    return digest


def _bind(path: str) -> _socket.socket | None:
    """Return a listening socket, None if a shim listens there already. Raises StateError.

    CVE-2020-15257: no abstract sockets, which everybody in the network namespace may connect to.
    """
    try:
        directory = _open_directory()
        try:
            # Between bind and listen a socket looks like one whose shim is gone.
            fcntl.flock(directory, fcntl.LOCK_EX)
            if _is_served(path):
                return None
            try:
                posix.unlink(path)
            except FileNotFoundError:
                pass
            socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
            socket.bind(path)
            posix.chmod(path, 0o600)
            socket.listen(_BACKLOG)
        finally:
            posix.close(directory)
    except OSError as err:
        raise StateError(f"cannot listen at {path}: {reason(err)}") from err
    return socket


def _open_directory() -> int:
    for path in (SOCKETS.rpartition("/")[0], SOCKETS):
        try:
            posix.mkdir(path, 0o711 if path != SOCKETS else 0o700)
        except FileExistsError:
            pass
    fd = posix.open(SOCKETS, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC)
    posix.fchmod(fd, 0o700)
    return fd


def _is_served(path: str) -> bool:
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        socket.connect(path)
    except OSError as err:
        if err.errno not in _ABSENT:
            raise
        return False
    finally:
        socket.close()
    return True


def _write_address(address: str) -> None:
    """Containerd looks there after a restart."""
    fd = posix.open("address.new", posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC, 0o600)
    posix.write(fd, address.encode())
    posix.close(fd)
    posix.rename("address.new", "address")


def _be_daemon(caller: Caller, socket: _socket.socket, path: str) -> NoReturn:
    """Leave everything of the caller's, and serve until it is shut down."""
    status = 1
    try:
        log = Log(caller.debug)
        posix.setsid()
        null = posix.open("/dev/null", posix.O_RDWR)
        for fd in (0, 1, 2):
            posix.dup2(null, fd)
        posix.close(null)
        posix.chdir("/")
        posix.umask(0o022)
        for name in _NOT_OURS:
            posix.environ.pop(name, None)
        set_child_subreaper(True)
        _be_spared_less()
        try:
            serve(caller, socket, path, log)
            status = 0
        except BaseException as err:
            log.write("error", f"internal error: {type(err).__name__}: {err}")
            raise
    finally:
        posix._exit(status)


def _be_spared_less() -> None:
    """Let the kernel, when memory runs out, kill us before it kills containerd."""
    with_parent = f"/proc/{posix.getppid()}/oom_score_adj"
    try:
        fd = posix.open(with_parent, posix.O_RDONLY | posix.O_CLOEXEC)
        score = int(posix.read(fd, 16))
        posix.close(fd)
        fd = posix.open("/proc/self/oom_score_adj", posix.O_WRONLY | posix.O_CLOEXEC)
        posix.write(fd, str(min(score + 1, _LAST_OOM_SCORE)).encode())
        posix.close(fd)
    except (OSError, ValueError):
        return  # then it is as it was with containerd


def serve(caller: Caller, socket: _socket.socket, path: str, log: Log) -> None:
    """Serve calls until Shutdown, then answer what is asked, send what is to be sent, and return."""
    gc.freeze()
    gc.enable()
    loop = Loop(lambda err: log.write("error", f"internal error: {type(err).__name__}: {err}{_place(err)}"))
    loop.heed_children()
    address = posix.environ.get(b"TTRPC_ADDRESS", b"").decode("utf-8", "surrogateescape")
    publisher = Publisher(loop, address, caller.namespace, log.warning)
    jobs = Jobs(caller.namespace, log)
    tasks = Tasks(caller.namespace)
    ending: list[float] = []
    service = Service(loop, Workers(loop), jobs, publisher, tasks, lambda: ending.append(time.monotonic()))
    methods = {**service.methods(), **Questions(tasks).methods()}
    served = dict.fromkeys(NAMES, handlers(methods, log.debug if caller.debug else None))
    server = Server(loop, socket, served, lambda uid: uid == posix.geteuid())
    log.debug(f"serving at {path}")
    while not ending:
        loop.turn(3600.0)
    try:
        posix.unlink(path)
    except FileNotFoundError:
        pass
    done: list[bool] = []
    publisher.when_empty(lambda: done.append(True))
    deadline = ending[0] + _FLUSH_TIMEOUT
    while (not done or server.unread) and time.monotonic() < deadline:
        loop.turn(deadline - time.monotonic())
    server.close()


def _place(err: Exception) -> str:
    """Return where it happened, the innermost last."""
    found = ""
    trace = err.__traceback__
    while trace is not None:
        found += f" {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def delete(caller: Caller, bundle: str, warn: Callable[[str], None]) -> bytes:
    """Clean up after a shim that is gone, and return the answer: when it was killed so was the container."""
    note = read_note(bundle)
    root = note.get("root")
    remove(root if isinstance(root, str) else f"{ROOT}/{caller.namespace}", caller.id, warn)
    unmount_all(f"{bundle}/rootfs")
    _remove_socket(bundle)
    return encode(DeleteResponse(0, _KILLED, timestamp(time.time_ns())))


def _remove_socket(bundle: str) -> None:
    """Remove the socket that the bundle names, unless it is served: by the shim of a pod that goes on."""
    try:
        fd = posix.open(f"{bundle}/address", posix.O_RDONLY | posix.O_CLOEXEC)
    except FileNotFoundError:
        return
    path = posix.read(fd, 4096).decode().removeprefix("unix://")
    posix.close(fd)
    if path.rpartition("/")[0] != SOCKETS:
        return
    directory = _open_directory()
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        if not _is_served(path):
            posix.unlink(path)
    except FileNotFoundError:
        return
    finally:
        posix.close(directory)


def information(version: str, features: str) -> bytes:
    """Return what -info answers: a RuntimeInfo with the features document."""
    return encode(
        RuntimeInfo(
            name="io.containerd.pyrunc.v1",
            version=RuntimeVersion(version),
            features=Any(_FEATURES, features.encode()),
        )
    )


def check(caller: Caller) -> None:
    """Refuse a command line that is not containerd's. Raises PyruncError."""
    if not caller.namespace or not caller.id:
        raise PyruncError("-namespace and -id are needed: this program is started by containerd")
