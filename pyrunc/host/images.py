"""A checkpoint on disk: its directories, and what checkpoint and restore ask of criu alike."""

from __future__ import annotations

import posix

from pyrunc.cgroups.control import guard
from pyrunc.cgroups.layout import read_file, read_layout
from pyrunc.errors import StateError, StepError, reason
from pyrunc.host.criu import CGROUP_MODES, NETWORK_LOCKS
from pyrunc.jsontext import dump, parse
from pyrunc.kernel.flags import CLONE_NEWNET
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from pyrunc.host.criu import Option
    from pyrunc.plan.steps import Plan

DESCRIPTORS = "descriptors.json"
"""Names of the container's standard streams when it was dumped, as runc writes them."""

ANNOTATION = "org.criu.config"
"""Names a file of settings for criu, which can do anything that criu can."""
_CONFIGS = ("/etc/criu/pyrunc.conf", "/etc/criu/runc.conf")
_LOG_EVERYTHING = 4


class Options(Record):
    """What checkpoint and restore have in common; the paths are absolute, and `work_path` and `criu` may be empty.

    `cgroups_mode` is a key of criu.CGROUP_MODES, `network_lock` of criu.NETWORK_LOCKS, or empty.
    """

    image_path: str
    work_path: str = ""
    tcp_established: bool = False
    ext_unix_sk: bool = False
    shell_job: bool = False
    file_locks: bool = False
    lazy_pages: bool = False
    auto_dedup: bool = False
    link_remap: bool = False
    cgroups_mode: str = ""
    network_lock: str = ""
    criu: str = ""


class Images:
    """The directories of one checkpoint, held open: criu opens them by our numbers."""

    def __init__(self, options: Options, log: str, make: bool) -> None:
        """Open them, and with `make` make them; `log` is the name of criu's log. Raises StateError."""
        self.directory = _open(options.image_path, "--image-path", make)
        self.work = -1
        try:
            self.work = _open(options.work_path or options.image_path, "--work-path", True)
            self.log = f"{(options.work_path or options.image_path).rstrip('/')}/{log}"
            posix.unlink(log, dir_fd=self.work)  # an old one would be read for the reason of a new failure
        except FileNotFoundError:
            return
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the directories."""
        for fd in (self.directory, self.work):
            if fd >= 0:
                posix.close(fd)

    def write_descriptors(self, names: tuple[str, ...]) -> None:
        """Write down what the standard streams were. Raises StateError."""
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_NOFOLLOW | posix.O_CLOEXEC
        try:
            fd = posix.open(DESCRIPTORS, flags, 0o600, dir_fd=self.directory)
            try:
                posix.write(fd, dump(list(names)).encode())
            finally:
                posix.close(fd)
        except OSError as err:
            raise StateError(f"cannot write {DESCRIPTORS} in the image directory: {reason(err)}") from err

    def descriptors(self) -> tuple[str, ...]:
        """Return what the standard streams were. Raises StateError."""
        try:
            fd = posix.open(DESCRIPTORS, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=self.directory)
        except OSError as err:
            raise StateError(f"cannot read {DESCRIPTORS} in the image directory: {reason(err)}") from err
        try:
            names = parse(posix.read(fd, 1 << 16).decode())
        except ValueError as err:
            raise StateError(f"cannot read {DESCRIPTORS} in the image directory: {err}") from err
        finally:
            posix.close(fd)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise StateError(f"{DESCRIPTORS} in the image directory is not a list of names")
        return tuple(names)


def _open(path: str, flag: str, make: bool) -> int:
    try:
        if make:
            _make(path.rstrip("/"))
        return posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    except OSError as err:
        raise StateError(f"{flag}: cannot use {path}: {reason(err)}") from err


def _make(path: str) -> None:
    """Make a directory with its parents; for its owner only, as it holds the memory of every process."""
    if not path or posix.access(path, posix.F_OK):
        return
    _make(path.rpartition("/")[0])
    try:
        posix.mkdir(path, 0o700)
    except FileExistsError:
        return


def criu_options(options: Options, images: Images, plan: Plan) -> dict[str, Option]:
    """Return what every request says."""
    wanted: dict[str, Option] = {
        "images_dir_fd": images.directory,
        "work_dir_fd": images.work,
        "log_file": images.log.rpartition("/")[2],
        "log_level": _LOG_EVERYTHING,
        "notify_scripts": True,
        "orphan_pts_master": True,
        "tcp_established": options.tcp_established,
        "ext_unix_sk": options.ext_unix_sk,
        "shell_job": options.shell_job,
        "file_locks": options.file_locks,
        "lazy_pages": options.lazy_pages,
        "auto_dedup": options.auto_dedup,
        "link_remap": options.link_remap,
        # What is in a network namespace was put there by the engine, and is again: see host/restore.py.
        "empty_ns": CLONE_NEWNET,
    }
    if options.network_lock:
        wanted["network_lock"] = NETWORK_LOCKS[options.network_lock]
    config = plan.annotations.get(ANNOTATION, _default_config())
    if config:
        wanted["config_file"] = config
    return wanted


def _default_config() -> str:
    return next((path for path in _CONFIGS if posix.access(path, posix.F_OK)), "")


def cgroup_options(options: Options, leaves: tuple[str, ...], pid: int) -> dict[str, Option]:
    """Return how criu shall deal with cgroups; `leaves` are the container's, and `pid` is a process in them.

    criu writes down, and makes again, each cgroup below that of the first process, in every hierarchy of the
    kernel. Where that is not the container's own, as in a hierarchy that it was not given one in, it would be the
    host's, in the end the whole of it. Then criu is told nothing of cgroups: it is itself in the container's, and so
    is all that it restores.
    """
    roots = _roots(leaves, pid)
    mode = options.cgroups_mode or "soft"
    if mode == "ignore" or roots is None:
        if mode in ("full", "strict"):
            problem = "the container does not have a cgroup of its own in every hierarchy of this host"
            raise StepError(f"--manage-cgroups-mode {mode}: {problem}", "use soft or ignore")
        return {"manage_cgroups_mode": CGROUP_MODES["ignore"]}
    return {"manage_cgroups": True, "manage_cgroups_mode": CGROUP_MODES[mode], "cg_root": list(roots)}


def _roots(leaves: tuple[str, ...], pid: int) -> tuple[tuple[str, str], ...] | None:
    """Return (controller, path) for every cgroup of a process; None unless each is the container's own.

    A path is as the kernel has it, and never "/": guard() raises CgroupError for what can be no container's.
    """
    layout = read_layout()
    own: dict[str, str] = {}
    for path in leaves:
        hierarchy = guard(path, layout)
        names = ",".join(hierarchy.controllers) if hierarchy.version == 1 else ""
        own[names] = hierarchy.root.rstrip("/") + path.removeprefix(hierarchy.mount)
    roots: list[tuple[str, str]] = []
    for line in read_file(f"/proc/{pid}/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        leaf = own.get(names, "")
        if not leaf or not f"{path}/".startswith(f"{leaf}/"):
            return None
        roots += [(name, leaf) for name in names.split(",")]
    return tuple(roots)
