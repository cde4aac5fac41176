"""criu as a service of one request: `criu swrk`, and its messages over a socket (criu's images/rpc.proto).

    us                                          criu
    ──                                          ────
    VERSION, FEATURE_CHECK (keep_open) ───────>
    DUMP, PRE_DUMP or RESTORE          ───────>
                                       <─────── NOTIFY script, pid, perhaps a descriptor     as often as it likes
    NOTIFY notify_success              ───────>
                                       <─────── the same type again: success, or why not

criu opens what a request names by a number in /proc/PID/fd of whoever made its socket. So it makes that itself, and
sends us the other end: then what it opens is in its own mount namespace, where it may mount on it. Should we die, it
finds nobody to notify, undoes what it has begun, and ends.
"""

from __future__ import annotations

import _socket
import _struct
import posix
from errno import ECONNRESET, EPIPE

from pyrunc.container.namespaces import join_cgroups
from pyrunc.errors import PyruncError, StepError, reason
from pyrunc.host.protobuf import decode, encode
from pyrunc.kernel import flags, mounts
from pyrunc.kernel.namespaces import clone3, unshare
from pyrunc.kernel.paths import real_path_of
from pyrunc.kernel.processes import close_range, join_session_keyring, reset_signals
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from pyrunc.host.protobuf import Value

    Nested = tuple[Value, ...]
    Option = Value | Nested | list[Value | Nested]
    Heed = Callable[[str, int, tuple[int, ...]], None]

DUMP, RESTORE, PRE_DUMP = 1, 2, 4
_NOTIFY, _FEATURE_CHECK, _VERSION = 6, 9, 10
# criu_req
_TYPE, _OPTS, _NOTIFY_SUCCESS, _KEEP_OPEN, _FEATURES = 1, 2, 3, 4, 5
# criu_resp
_SUCCESS, _RESTORE, _NOTIFICATION, _RESP_FEATURES, _ERRMSG, _RESP_VERSION = 2, 4, 5, 8, 9, 10
# criu_opts. A message within has its fields numbered from 1 on, so that a tuple stands for it.
OPTIONS = {
    "images_dir_fd": 1,
    "pid": 2,
    "leave_running": 3,
    "ext_unix_sk": 4,
    "tcp_established": 5,
    "shell_job": 7,
    "file_locks": 8,
    "log_level": 9,
    "log_file": 10,
    "ps": 11,
    "notify_scripts": 12,
    "root": 13,
    "parent_img": 14,
    "track_mem": 15,
    "auto_dedup": 16,
    "work_dir_fd": 17,
    "link_remap": 18,
    "ext_mnt": 23,
    "manage_cgroups": 24,
    "cg_root": 25,
    "rst_sibling": 26,
    "inherit_fd": 27,
    "manage_cgroups_mode": 34,
    "external": 37,
    "empty_ns": 38,
    "join_ns": 39,
    "freeze_cgroup": 44,
    "tcp_skip_in_flight": 46,
    "lazy_pages": 48,
    "status_fd": 49,
    "orphan_pts_master": 50,
    "config_file": 51,
    "tcp_close": 52,
    "lsm_profile": 53,
    "lsm_mount_context": 63,
    "network_lock": 64,
}
FEATURES = {"mem_track": 1, "lazy_pages": 2}
CGROUP_MODES = {"ignore": 0, "soft": 3, "full": 4, "strict": 5}
NETWORK_LOCKS = {"iptables": 1, "nftables": 2, "skip": 3}

# The first with all that is asked of it here: pid namespaces from outside (3.15), labels, network locks (3.16).
_OLDEST = (3, 16)
_LONGEST = 65536
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# criu says so wherever CAP_SYS_RESOURCE is missing, and goes on.
_HARMLESS = "rlimit: Can't setup RLIMIT_NOFILE"


class Launch(Record):
    """How criu is started.

    `log` is the path of the log that it is going to write. With `terminal` it stays in our session, whose terminal a
    shell job shares. `cgroup` is a v2 cgroup for it to be born in, `tasks` are files of v1 cgroups for it to join.
    `rootfs` is bound at `root` in a mount namespace of its own, so that nothing of that is ever seen on the host.
    The container's root is a copy of that mount: with `readonly`, which criu does not bring back, it is so from here.
    `keep` are descriptors that it inherits, of which `directories` are opened anew in that mount namespace. `keyring`
    is the name of a session keyring, which the container then has from it: else that would be the caller's. `program`
    is its path; without one it is looked for.
    """

    log: str
    terminal: bool = False
    cgroup: int = -1
    tasks: tuple[int, ...] = ()
    rootfs: str = ""
    root: str = ""
    readonly: bool = False
    keep: tuple[int, ...] = ()
    directories: tuple[int, ...] = ()
    keyring: str = ""
    program: str = ""


def find_criu() -> str:
    """Return criu's path, from the caller's PATH: nothing of the container's is looked at. Raises StepError."""
    path = posix.environ.get(b"PATH", b"").decode("utf-8", "surrogateescape") or _PATH
    for directory in path.split(":"):
        program = f"{directory}/criu"
        if directory.startswith("/") and posix.access(program, posix.X_OK):
            return program
    raise StepError("checkpoint and restore need criu, which is not in PATH", "install the package criu")


class Criu:
    """One running criu."""

    def __init__(self, launch: Launch) -> None:
        """Start it. Raises StepError."""
        program = launch.program or find_criu()
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        self._log = launch.log
        self._socket = ours
        self._output = posix.memfd_create("criu", posix.MFD_CLOEXEC)
        try:
            self.pid, pidfd = clone3(0, launch.cgroup)
        except OSError as err:
            raise StepError(f"cannot start criu: {reason(err)}") from err
        if self.pid == 0:
            _become(program, theirs, self._output, launch)
        posix.close(pidfd)
        theirs.close()
        _, fds = self._receive()
        if fds:  # else it has ended, as the first request finds out
            self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fds[0])
            ours.close()

    def check_version(self) -> None:
        """Raise StepError for a criu that is too old, or that cannot do its work on this kernel."""
        reply = self._ask(_VERSION, [(_KEEP_OPEN, True)])
        fields = decode(_message(reply, _RESP_VERSION))
        version = (_number(fields, 1), _number(fields, 2))
        if version < _OLDEST:
            found, needed = (".".join(map(str, each)) for each in (version, _OLDEST))
            raise StepError(f"criu {found} is too old: {needed} or newer is needed")

    def check_feature(self, name: str, flag: str, hint: str) -> None:
        """Raise StepError where the kernel lacks something that a flag needs; `name` is one of FEATURES."""
        features = encode([(FEATURES[name], True)])
        reply = self._ask(_FEATURE_CHECK, [(_KEEP_OPEN, True), (_FEATURES, features)])
        if not _number(decode(_message(reply, _RESP_FEATURES)), FEATURES[name]):
            raise StepError(f"{flag}: neither this kernel nor criu can do it", hint)

    def request(self, kind: int, options: dict[str, Option], heed: Heed) -> int:
        """Have criu DUMP, PRE_DUMP or RESTORE; return the pid that it restored, else 0.

        `heed` is called for each notification with its name, a pid where it has one, and descriptors, which are then
        the callee's. What it raises ends criu's work, and is raised here. Raises StepError with criu's reason.
        """
        reply = self._ask(kind, [(_OPTS, encode_options(options))], heed)
        if not _number(reply, _SUCCESS):
            said = _text(reply, _ERRMSG)
            raise self._failed(said)
        return _number(decode(_message(reply, _RESTORE)), 1)

    def _ask(
        self, kind: int, fields: list[tuple[int, Value]], heed: Heed | None = None
    ) -> dict[int, list[int | bytes]]:
        self._send(encode([(_TYPE, kind), *fields]))
        refused: BaseException | None = None
        while True:
            data, fds = self._receive()
            reply = decode(data)
            found = _number(reply, _TYPE)
            if refused is not None and (not data or found != _NOTIFY):
                raise refused
            if not data:
                raise self._failed("")
            if found != _NOTIFY:
                return reply
            try:
                if heed is not None and refused is None:
                    notification = decode(_message(reply, _NOTIFICATION))
                    heed(_text(notification, 1), _number(notification, 2), fds)
            except (PyruncError, OSError) as err:
                refused = err
            self._send(encode([(_TYPE, _NOTIFY), (_NOTIFY_SUCCESS, refused is None)]))

    def _send(self, message: bytes) -> None:
        try:
            self._socket.sendmsg([message], (), _socket.MSG_NOSIGNAL)
        except OSError as err:
            if err.errno not in (EPIPE, ECONNRESET):
                raise StepError(f"cannot speak to criu: {reason(err)}") from err
            # It has ended: what there is to know of that is found where its answer is waited for.

    def _receive(self) -> tuple[bytes, tuple[int, ...]]:
        try:
            room = _socket.CMSG_SPACE(16)
            data, ancillary, _, _ = self._socket.recvmsg(_LONGEST, room, _socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            return b"", ()
        fds = b"".join(item[2] for item in ancillary if item[1] == _socket.SCM_RIGHTS)
        return data, _struct.unpack(f"{len(fds) // 4}i", fds)

    def _failed(self, said: str) -> StepError:
        """Say why: by the first error in its log, or by what it printed if it did not come as far as that."""
        log = _read(self._log)
        why = first_error(log) or first_error(self._printed()) or said or "it died"
        return StepError(f"criu failed: {why}", f"see {self._log}" if log else "")

    def _printed(self) -> str:
        return posix.pread(self._output, _LONGEST, 0).decode("utf-8", "replace")

    def end(self) -> None:
        """Let go of it, and wait until it has ended."""
        self._socket.close()
        posix.close(self._output)
        try:
            posix.waitpid(self.pid, 0)
        except ChildProcessError:
            return  # reaped along with others, by a foreground restore


def encode_options(options: dict[str, Option]) -> bytes:
    """Return a criu_opts message; a list is a repeated field, a tuple a message within."""
    fields: list[tuple[int, Value]] = []
    for name, option in options.items():
        for each in option if isinstance(option, list) else [option]:
            fields.append((OPTIONS[name], encode(enumerate(each, 1)) if isinstance(each, tuple) else each))
    return encode(fields)


def first_error(text: str) -> str:
    """Return the first error in what criu wrote, without its time and its place in the source; "" without one."""
    for line in text.splitlines():
        _, error, said = line.partition("Error (")
        said = said.partition("): ")[2].strip()
        if error and said and not said.startswith(_HARMLESS):
            return said
    return ""


def _become(program: str, channel: _socket.socket, output: int, launch: Launch) -> NoReturn:
    """Turn this child into criu. Never returns and never raises: what goes wrong is left in `output`."""
    try:
        join_cgroups(launch.tasks)
        if launch.keyring:
            join_session_keyring(launch.keyring)
        if launch.rootfs:
            _show_root(launch)
        if not launch.terminal:
            # A Ctrl-C is for us: criu would be gone with the container still frozen.
            posix.setsid()
            posix.dup2(posix.open("/dev/null", posix.O_RDONLY), 0)
        for fd in (1, 2):
            posix.dup2(output, fd)
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _struct.pack("i", theirs.fileno()))
        channel.sendmsg([b"socket"], [rights], _socket.MSG_NOSIGNAL)
        close_range(3, flags=flags.CLOSE_RANGE_CLOEXEC)
        for fd in (ours.fileno(), *launch.keep):
            posix.set_inheritable(fd, True)
        reset_signals()
        posix.execve(program, (program, "swrk", str(ours.fileno())), posix.environ)
    except PyruncError as err:
        posix.write(output, f"Error (pyrunc): {err}\n".encode())
    except BaseException as err:  # noqa: BLE001 - whatever it is, it must not run on as a copy of the host side
        why = reason(err) if isinstance(err, OSError) else f"{type(err).__name__}: {err}"
        posix.write(output, f"Error (pyrunc): cannot start {program}: {why}\n".encode())
    posix._exit(127)


def _show_root(launch: Launch) -> None:
    """Bind the root of the container where criu wants it: at a mount point with nothing mounted over its parent."""
    unshare(flags.CLONE_NEWNS)
    top = posix.open("/", posix.O_PATH | posix.O_DIRECTORY)
    # What is mounted on the host still comes in; nothing of ours goes out.
    mounts.set_attributes(top, propagation=flags.MS_SLAVE, recursive=True)
    tree = mounts.open_tree(launch.rootfs, recursive=True)
    if launch.readonly:
        mounts.set_attributes(tree, set=flags.MOUNT_ATTR_RDONLY)
    mounts.move_mount(tree, posix.open(launch.root, posix.O_PATH | posix.O_DIRECTORY | posix.O_NOFOLLOW))
    for fd in launch.directories:
        posix.dup2(posix.open(real_path_of(fd), posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW), fd)


def _read(path: str) -> str:
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:  # criu did not come as far as that
        return ""
    try:
        return b"".join(iter(lambda: posix.read(fd, _LONGEST), b"")).decode("utf-8", "replace")
    finally:
        posix.close(fd)


def _number(fields: dict[int, list[int | bytes]], number: int) -> int:
    value = fields.get(number, [0])[-1]
    return value if isinstance(value, int) else 0


def _message(fields: dict[int, list[int | bytes]], number: int) -> bytes:
    value = fields.get(number, [b""])[-1]
    return value if isinstance(value, bytes) else b""


def _text(fields: dict[int, list[int | bytes]], number: int) -> str:
    return _message(fields, number).decode("utf-8", "replace")
