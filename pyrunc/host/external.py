"""What of a container comes from outside of it, and so is not in a checkpoint: mounts, namespaces, streams."""

from __future__ import annotations

import posix

from pyrunc.errors import StepError, reason
from pyrunc.kernel import paths
from pyrunc.kernel.procfs import mountinfo, own_mounts
from pyrunc.plan.steps import BindDevice, MaskPath, MountBind, MountFs
from pyrunc.plan.steps_process import Landlock, MakeCoreCookie, SetIoPriority, SetMemoryPolicy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.plan.steps import JoinNamespace, Plan

# The names are runc's, so that either can restore what the other has dumped.
_HANDED_IN = {"network": ("net", "extRootNetNS"), "pid": ("pid", "extRootPidNS")}
_JOINED_AGAIN = {"ipc": "ipc", "uts": "uts", "time": "time"}
_MASK = "/dev/null"
_DIRECTORY = 0o040000
_KIND = 0o170000


def external_mounts(plan: Plan) -> Iterator[tuple[str, str]]:
    """Say where in the container something of the host is mounted, and what: (destination, source)."""
    cgroups = {each.hierarchy.mount.rpartition("/")[2]: each.path for each in plan.cgroup.directories}
    for step in (*plan.before_pivot, *plan.after_pivot):
        if isinstance(step, MountBind):
            yield step.target, step.source
        elif isinstance(step, BindDevice):
            yield step.path, step.path
        elif isinstance(step, MaskPath):
            yield step.path, _MASK
        elif isinstance(step, MountFs) and step.fstype == "cgroup":
            yield step.target, cgroups.get(step.target.rpartition("/")[2], "")


def dumped_mounts(plan: Plan, pid: int) -> list[tuple[str, str]]:
    """Name the outside mounts of a running container for criu: its mount point, and the name that restore gives.

    What criu calls a mount point is where it really is, beyond the links of the image.
    """
    root = paths.open_root(f"/proc/{pid}/root")
    try:
        real = [_real(root, destination, source) for destination, source in external_mounts(plan)]
        trees = [_real(root, step.target, step.source) for step in _recursive(plan)]
        own = {_real(root, step.target, "") for step in plan.before_pivot if isinstance(step, MountFs)}
    finally:
        posix.close(root)
    # What is mounted below a source came along with it, and is no more the container's than the source is.
    points = {mount.mount_point for mount in mountinfo(_read(f"/proc/{pid}/mountinfo"))} - own
    below = {point for point in points for tree in trees if tree and point.startswith(f"{tree.rstrip('/')}/")}
    return [(name, name) for name in sorted({*real, *below} - {""})]


def _recursive(plan: Plan) -> Iterator[MountBind]:
    return (step for step in plan.before_pivot if isinstance(step, MountBind) and step.recursive)


def _real(root: int, destination: str, source: str) -> str:
    """Return where a mount point is, "" where there is none or criu can make the mount by itself."""
    try:
        fd = paths.open_in(root, destination, posix.O_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return ""  # a masked path that the container does not have
    try:
        # A directory is masked by a small tmpfs, which goes into the images.
        empty = source == _MASK and posix.fstat(fd).st_mode & _KIND == _DIRECTORY
        return "" if empty else paths.real_path_of(fd)
    finally:
        posix.close(fd)


def restored_mounts(plan: Plan) -> list[tuple[str, str]]:
    """Map the names of outside mounts to what is mounted there now.

    A destination that leads through links of the image is named both ways: as written and as it really is.
    """
    root = paths.open_root(plan.rootfs.path)
    try:
        top = paths.real_path_of(root)
        named: dict[str, str] = {}
        for destination, source in (*_below_sources(plan), *external_mounts(plan)):
            for name in (_plain(destination), _reached(root, top, _plain(destination))):
                named[name] = source
        return list(named.items())
    finally:
        posix.close(root)


def _below_sources(plan: Plan) -> Iterator[tuple[str, str]]:
    points = [mount.mount_point for mount in own_mounts()]
    for step in _recursive(plan):
        source = _where(step)
        for point in points:
            if point.startswith(f"{source}/"):
                yield step.target + point.removeprefix(source), point


def _where(step: MountBind) -> str:
    try:
        fd = posix.open(step.source, posix.O_PATH | posix.O_CLOEXEC)
    except OSError as err:
        raise StepError(f"{step.where}: cannot {step.describe()}: {reason(err)}") from err
    try:
        return paths.real_path_of(fd)
    finally:
        posix.close(fd)


def _plain(path: str) -> str:
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def _reached(root: int, top: str, path: str) -> str:
    """Return a path with the links in it followed, as far as it is there; what is covered by a mount is not yet."""
    parent, _, name = path.rpartition("/")
    try:
        fd = paths.open_in(root, path, posix.O_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return f"{_reached(root, top, parent).rstrip('/')}/{name}" if name else "/"
    try:
        return paths.real_path_of(fd).removeprefix(top.rstrip("/")) or "/"
    finally:
        posix.close(fd)


def make_mount_points(plan: Plan) -> None:
    """Make what the container's mounts need in its root: criu does not.

    What lies below another mount comes with that: out of the images, or from its source. Raises StepError.
    """
    steps = [step for step in plan.before_pivot if isinstance(step, MountFs | MountBind | BindDevice)]
    targets = {_plain(step.path if isinstance(step, BindDevice) else step.target) for step in steps}
    root = paths.open_root(plan.rootfs.path)
    try:
        for step in steps:
            target = _plain(step.path if isinstance(step, BindDevice) else step.target)
            if not any(target.startswith(f"{other}/") for other in targets):
                _make_mount_point(root, target, step)
    finally:
        posix.close(root)


def _make_mount_point(root: int, target: str, step: MountFs | MountBind | BindDevice) -> None:
    try:
        file = isinstance(step, BindDevice)
        if isinstance(step, MountBind):
            file = posix.stat(step.source).st_mode & _KIND != _DIRECTORY
        posix.close(paths.make_file_in(root, target) if file else paths.make_directory_in(root, target))
    except OSError as err:
        raise StepError(f"{step.where}: cannot {step.describe()}: {reason(err)}") from err


def check(plan: Plan) -> None:
    """Refuse what criu cannot put back: better before there are images that nobody can use. Raises StepError."""
    if plan.rootfs.entry == "chroot":
        raise StepError(".linux.namespaces: a container without a mount namespace cannot be checkpointed")
    for step in plan.namespaces.join:
        if step.kind not in _HANDED_IN and step.kind not in _JOINED_AGAIN:
            raise StepError(f"{step.where}: a container in a joined {step.kind} namespace cannot be checkpointed")
    if plan.listener is not None:
        raise StepError(".linux.seccomp.listenerPath: a container with a seccomp agent cannot be checkpointed")
    for each in plan.process.policies if plan.process else ():
        if isinstance(each, Landlock | MakeCoreCookie):
            # It would go on, and without a word be less confined than before.
            raise StepError(f"{each.where}: criu cannot {each.describe()} again: it cannot be checkpointed")


def lost(plan: Plan) -> Iterator[str]:
    """Say what criu does not bring back, and nobody has to fear the loss of."""
    for step in plan.process.policies if plan.process else ():
        if isinstance(step, SetIoPriority | SetMemoryPolicy):
            yield f"{step.where}: is not restored: criu cannot {step.describe()} again"


def dumped_namespaces(joins: tuple[JoinNamespace, ...], pid: int) -> list[str]:
    """Name the namespaces that are not the container's own, so that criu leaves them alone."""
    named = [_HANDED_IN[step.kind] for step in joins if step.kind in _HANDED_IN]
    return [f"{file}[{posix.stat(f'/proc/{pid}/ns/{file}').st_ino}]:{name}" for file, name in named]


def handed_namespaces(joins: dict[str, int]) -> list[tuple[str, int]]:
    """Return the names and descriptors of namespaces that criu takes over; `joins` are open files by kind."""
    return [(_HANDED_IN[kind][1], fd) for kind, fd in joins.items() if kind in _HANDED_IN]


def joined_namespaces(joins: tuple[JoinNamespace, ...]) -> list[tuple[str, str]]:
    """Return the kinds and paths of namespaces that criu joins by itself, in place of those that were dumped."""
    return [(_JOINED_AGAIN[step.kind], step.path) for step in joins if step.kind in _JOINED_AGAIN]


def streams(pid: int) -> tuple[tuple[str, ...], list[str]]:
    """Return the names of a process's standard streams, and which of them criu has to be told are outside.

    A pipe's name is its link's text, as "pipe:[4711]": criu finds out by itself that nobody inside has its other
    end. A file that is on none of the container's mounts is "file[MOUNT:INODE]", in hexadecimal; others are paths.
    """
    mounts = _mount_ids(pid)
    names: list[str] = []
    outside: list[str] = []
    for fd in (0, 1, 2):
        try:
            name = posix.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            names.append("")
            continue
        if name.startswith("/"):
            mount = _mount_of(pid, fd)
            if mount not in mounts:
                name = f"file[{mount:x}:{posix.stat(f'/proc/{pid}/fd/{fd}').st_ino:x}]"
                outside.append(name)
        names.append(name)
    return tuple(names), sorted(set(outside))


def _mount_ids(pid: int) -> set[int]:
    return {int(line.split(" ", 1)[0]) for line in _read(f"/proc/{pid}/mountinfo").splitlines()}


def _mount_of(pid: int, fd: int) -> int:
    for line in _read(f"/proc/{pid}/fdinfo/{fd}").splitlines():
        key, _, value = line.partition(":")
        if key == "mnt_id":
            return int(value)
    return -1


def _read(path: str) -> str:
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return b"".join(iter(lambda: posix.read(fd, 1 << 16), b"")).decode("utf-8", "surrogateescape")
    finally:
        posix.close(fd)


def inherited_streams(names: tuple[str, ...]) -> list[tuple[str, int]]:
    """Say which of our standard streams takes the place of which that was dumped: (name, our descriptor)."""
    wanted: dict[str, int] = {}
    for fd, name in enumerate(names[:3]):
        if name.startswith(("pipe:", "file[")):
            # Two streams may have been the same pipe; the first one's successor serves both.
            wanted.setdefault(name, fd)
    return list(wanted.items())
