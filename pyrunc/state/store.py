"""The state directory: one directory per container, made before anything else of the container is.

`<root>/<id>/` holds state.json, written whole or not at all, the two fifos between start and the waiting init, and
a copy of config.json for exec. Making the directory is what takes the id: of two creates at once exactly one
succeeds. state.json names all that will be made outside before it is made, so that delete finds it after a kill -9
at any point. Commands that change a container hold flock(2) on the directory; the kernel drops it with the
process.
"""

from __future__ import annotations

import errno
import fcntl
import posix
import time

from pyrunc.errors import ExistsError, NotFoundError, StateError, reason
from pyrunc.jsontext import dump, parse
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

_OPEN_DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC
_ID_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+.-")
_LONGEST_ID = 255  # NAME_MAX: the id is the directory's name
_PATH_MAX = 4096
_LOCK_WAIT = 10.0
START_FIFO = "start.fifo"
RESULT_FIFO = "result.fifo"
NOTIFY_DIRECTORY = "notify"  # below ours: what the container sees as /run/notify
CRIU_ROOT = "criu-root"  # below ours, while a restore is at work: where criu, and nobody else, sees the root mounted
CONFIG = "config.json"  # as it was at create: later changes of the bundle's do not matter (runtime.md, "Create")
_FILES = ("state.json", "state.json.new", START_FIFO, RESULT_FIFO, CONFIG)


class State(Record):
    """What is remembered of a container; the names of the fields are those of state.json.

    `status` is "creating" until create is done, then "created": what became of the container since is asked of
    the kernel, see status.py. `pid` and `start_time` (clock ticks since boot) name the init, `creator*` the create
    that is, or was, at work. `freezer` is the file that tells whether the container is paused. `hooks` are the
    poststart and poststop hooks, as kept for later commands.
    """

    id: str
    oci_version: str
    status: str
    bundle: str
    rootfs: str
    created: str
    owner: int
    creator: int
    creator_start: int
    pid: int = 0
    start_time: int = 0
    annotations: dict[str, str] = {}
    cgroup_leaves: tuple[str, ...] = ()
    cgroup_made: tuple[str, ...] = ()
    hooks: dict[str, list[dict[str, Any]]] = {}
    freezer: str = ""
    host_mounts: bool = False
    private_pids: bool = True
    resctrl_made: tuple[str, ...] = ()
    unit: dict[str, str] = {}
    """The systemd scope: its name, the bus and whose manager made it, and its description (host/scope.py)."""
    session_keyring: str = ""
    device_rules: tuple[str, ...] = ()
    """Those of the last update that changed them; else config.json's hold."""


class Entry:
    """One container's place in the store, held open."""

    def __init__(self, root: str, container_id: str, directory: int) -> None:
        self.root = root
        self.id = container_id
        self.directory = directory

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the directory, and of its lock if we hold it."""
        if self.directory >= 0:
            posix.close(self.directory)
            self.directory = -1

    def save(self, state: State) -> None:
        """Write state.json. Raises StateError."""
        self.write(encode(state))

    def write(self, text: bytes) -> None:
        """Write state.json so that readers see the old or the new one, never a part (rename(2))."""
        from pyrunc.kernel.replacing import replace

        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_NOFOLLOW | posix.O_CLOEXEC
        try:
            fd = posix.open("state.json.new", flags, 0o600, dir_fd=self.directory)
            try:
                left = text
                while left:  # a full file system takes a part, and says why only when it is asked again
                    left = left[posix.write(fd, left) :]
            finally:
                posix.close(fd)
            replace("state.json.new", "state.json", self.directory)
        except OSError as err:
            raise StateError(f"cannot write the state of {self.id}: {reason(err)}") from err

    def load(self) -> State | None:
        """Read state.json; None where create was killed before it wrote one."""
        try:
            fd = posix.open("state.json", posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=self.directory)
        except FileNotFoundError:
            return None
        except OSError as err:
            raise StateError(f"the state of {self.id} cannot be read: {reason(err)}") from err
        try:
            text = b"".join(iter(lambda: posix.read(fd, 1 << 16), b""))
        finally:
            posix.close(fd)
        try:
            return _from_json(parse(text.decode()))
        except (ValueError, TypeError, AttributeError) as err:
            raise StateError(f"the state of {self.id} cannot be read: {err}", "delete --force removes it") from err

    def keep_config(self, text: str) -> None:
        """Keep config.json for exec, once, before anybody may ask for it. Raises StateError."""
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_NOFOLLOW | posix.O_CLOEXEC
        try:
            fd = posix.open(CONFIG, flags, 0o600, dir_fd=self.directory)
            try:
                left = text.encode()
                while left:
                    left = left[posix.write(fd, left) :]
            finally:
                posix.close(fd)
        except OSError as err:
            raise StateError(f"cannot keep the configuration of {self.id}: {reason(err)}") from err

    def kept_config(self) -> str:
        """Return the text of config.json as it was at create. Raises StateError."""
        try:
            fd = posix.open(CONFIG, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=self.directory)
            try:
                return b"".join(iter(lambda: posix.read(fd, 1 << 16), b"")).decode()
            finally:
                posix.close(fd)
        except OSError as err:
            raise StateError(f"the configuration of {self.id} cannot be read: {reason(err)}") from err

    def lock(self, wait: float = _LOCK_WAIT) -> None:
        """Keep other commands from changing this container; waits for at most `wait` seconds.

        Raises NotFoundError if the container was deleted meanwhile, StateError when the wait is over.
        """
        deadline = time.monotonic() + wait
        pause = 0.001
        while not self._try_lock():
            if time.monotonic() > deadline:
                raise StateError(f"container {self.id} is busy: another command works on it")
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
        if posix.fstat(self.directory).st_nlink == 0:
            raise NotFoundError(f"container {self.id} does not exist")

    def unlock(self) -> None:
        """Let other commands at the container again."""
        fcntl.flock(self.directory, fcntl.LOCK_UN)

    def _try_lock(self) -> bool:
        try:
            fcntl.flock(self.directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            if err.errno != errno.EWOULDBLOCK:
                raise StateError(f"cannot lock the state of {self.id}: {reason(err)}") from err
            return False
        return True

    def make_fifos(self) -> tuple[int, int]:
        """Make the fifos of start, and open them for the init: both ways, so that neither ever ends by itself.

        Raises StateError.
        """
        fds = []
        try:
            for name in (START_FIFO, RESULT_FIFO):
                posix.mkfifo(name, 0o600, dir_fd=self.directory)
                fds.append(self.open_fifo(name, posix.O_RDWR))
        except OSError as err:
            raise StateError(f"cannot make the fifos of {self.id} in the state root: {reason(err)}") from err
        return fds[0], fds[1]

    def open_fifo(self, name: str, flags: int) -> int:
        """Open one of the fifos. Raises OSError; ENXIO for O_WRONLY|O_NONBLOCK means that no init waits."""
        return posix.open(name, flags | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=self.directory)

    def make_directory(self, path: str) -> None:
        """Make a directory of the container's, open to its users, below ours, which is not. Raises StateError."""
        try:
            posix.mkdir(path, 0o755)
            posix.chmod(path, 0o755)  # whatever the umask
        except OSError as err:
            raise StateError(f"cannot make the directory {path}: {reason(err)}") from err

    def remove(self) -> None:
        """Give the id free. The directory has to hold nothing but our own files."""
        socket = f"{NOTIFY_DIRECTORY}/notify.sock"
        for name, remove in ((socket, posix.unlink), (NOTIFY_DIRECTORY, posix.rmdir), (CRIU_ROOT, posix.rmdir)):
            try:
                remove(name, dir_fd=self.directory)
            except FileNotFoundError:
                continue
        for name in _FILES:
            try:
                posix.unlink(name, dir_fd=self.directory)
            except FileNotFoundError:
                continue
        try:
            posix.rmdir(f"{self.root}/{self.id}")
        except FileNotFoundError:
            return
        except OSError as err:
            raise StateError(f"cannot remove the state directory of {self.id}: {reason(err)}") from err


def encode(state: State) -> bytes:
    """Return a state as the text of state.json."""
    return dump(dict(state.__dict__)).encode()


def _from_json(document: dict[str, Any]) -> State:
    known = {name: value for name, value in document.items() if name in State._fields}
    for name in ("cgroup_leaves", "cgroup_made", "resctrl_made", "device_rules"):
        known[name] = tuple(known.get(name, ()))
    state = State(**known)
    numbers = (state.pid, state.start_time, state.creator, state.creator_start)
    if not all(isinstance(number, int) for number in numbers) or not isinstance(state.status, str):
        raise TypeError("it is not what was written")
    return state


def check_id(container_id: str) -> None:
    """Refuse ids that are no directory names (runtime.md, "Create"); engines use [A-Za-z0-9_+.-] only."""
    if not container_id or container_id in (".", "..") or not _ID_CHARACTERS.issuperset(container_id):
        raise StateError(f"invalid container id {container_id!r}", "letters, digits and _ + . - are allowed")
    if len(container_id) > _LONGEST_ID:
        raise StateError(f"invalid container id: longer than {_LONGEST_ID} characters")


def reserve(root: str, state: State) -> Entry:
    """Take an id: make its directory, lock it, and write down what is about to be made.

    Raises ExistsError if it is taken.
    """
    check_id(state.id)
    _make_root(root)
    path = f"{root}/{state.id}"
    try:
        posix.mkdir(path, 0o700)
    except FileExistsError as err:
        raise ExistsError(f"container {state.id} already exists") from err
    except OSError as err:
        raise StateError(f"cannot make the state directory {path}: {reason(err)}") from err
    entry = Entry(root, state.id, posix.open(path, _OPEN_DIRECTORY))
    try:
        entry.lock()
        entry.save(state)
    except StateError:
        entry.remove()
        entry.close()
        raise
    return entry


def _make_root(root: str) -> None:
    """Make the directory of all containers, with its parents, for its owner only. Raises StateError."""
    if len(root) >= _PATH_MAX:
        raise StateError("cannot make the state root: its path is too long", "--root names another")
    if posix.access(root, posix.F_OK):
        return
    parent = root.rstrip("/").rpartition("/")[0]
    if parent and not posix.access(parent, posix.F_OK):
        _make_root(parent)
    try:
        posix.mkdir(root, 0o700)
    except FileExistsError:
        return
    except OSError as err:
        raise StateError(f"cannot make the state root {root}: {reason(err)}", "--root names another") from err


def open_entry(root: str, container_id: str) -> Entry:
    """Open an existing container's entry. Raises NotFoundError."""
    check_id(container_id)
    try:
        return Entry(root, container_id, posix.open(f"{root}/{container_id}", _OPEN_DIRECTORY))
    except (FileNotFoundError, NotADirectoryError) as err:
        raise NotFoundError(f"container {container_id} does not exist") from err
    except OSError as err:
        raise StateError(f"cannot open the state of {container_id}: {reason(err)}") from err


def ids(root: str) -> tuple[str, ...]:
    """Return the ids of all containers, sorted."""
    try:
        names = posix.listdir(root)
    except FileNotFoundError:
        return ()
    except OSError as err:
        raise StateError(f"cannot read the state root {root}: {reason(err)}") from err
    return tuple(sorted(name for name in names if _ID_CHARACTERS.issuperset(name)))


def default_root() -> str:
    """Return where the state of containers is, unless told otherwise: where runc's users look for it.

    An ordinary user has it in XDG_RUNTIME_DIR, also as root of a user namespace, as podman starts us.
    """
    runtime = posix.environ.get(b"XDG_RUNTIME_DIR", b"").decode("utf-8", "surrogateescape")
    return f"{runtime}/pyrunc" if runtime and (posix.geteuid() or _is_root_for_itself_only()) else "/run/pyrunc"


def _is_root_for_itself_only() -> bool:
    """Tell whether our root is an ordinary user outside; who calls itself root there too, as in a container, is not."""
    if posix.environ.get(b"USER") == b"root":
        return False
    fd = posix.open("/proc/self/uid_map", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return posix.read(fd, 4096).split() != [b"0", b"0", b"4294967295"]  # user_namespaces(7): the first of all
    finally:
        posix.close(fd)


def timestamp() -> str:
    """Return now as RFC 3339, UTC, with nanoseconds."""
    now = time.time_ns()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now // 10**9))}.{now % 10**9:09}Z"
