"""Which cgroup hierarchies the host has, where they are mounted, and where we are in them.

Two small files are read once and split: this is on the path of every command that touches a cgroup.
"""

from __future__ import annotations

import posix

from pyrunc.errors import CgroupError, reason
from pyrunc.plan.facts import CgroupLayout, Hierarchy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_CHUNK = 65536


def read_layout(proc: str = "/proc/self") -> CgroupLayout:
    """Return the layout as seen from this process's mount and cgroup namespaces, in order of mounting.

    proc(5), cgroups(7): /proc/PID/cgroup says which controllers belong together and where we are, mountinfo
    where they are mounted. `own` of each hierarchy counts from its mount point, so mount + own is our
    directory there. Raises CgroupError where procfs cannot be read.
    """
    try:
        own = _own_cgroups(read_file(f"{proc}/cgroup"))
        mounts = _mounts(read_file(f"{proc}/mountinfo"))
    except OSError as err:
        raise CgroupError(f"cannot read the cgroups of {proc}: {reason(err)}") from err
    hierarchies: dict[tuple[str, ...], Hierarchy] = {}
    for mount in mounts:
        each = _hierarchy(mount, own)
        if each is not None:
            key = each.controllers if each.version == 1 else ()
            known = hierarchies.get(key)
            # Where a hierarchy is mounted twice, as in a container's rootfs, the usual place is the host's.
            if known is None or _is_usual(each) > _is_usual(known):
                hierarchies[key] = each
    return CgroupLayout(tuple(hierarchies.values()))


def _is_usual(hierarchy: Hierarchy) -> bool:
    return hierarchy.mount.startswith("/sys/fs/cgroup")


def read_file(path: str) -> str:
    """Return a whole proc or cgroup file. Raises OSError."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        data = chunk = posix.read(fd, _CHUNK)
        while chunk:
            chunk = posix.read(fd, _CHUNK)
            data += chunk
    finally:
        posix.close(fd)
    return data.decode("utf-8", "surrogateescape")


def write_file(path: str, value: str) -> None:
    """Write a whole value to a cgroup file. Raises OSError."""
    fd = posix.open(path, posix.O_WRONLY | posix.O_CLOEXEC)
    try:
        posix.write(fd, value.encode())
    finally:
        posix.close(fd)


def open_tasks(paths: Iterable[str]) -> tuple[int, ...]:
    """Open the `tasks` files of v1 cgroups for a process that enters by itself (see creation.entry_fds).

    The caller owns the fds. Raises CgroupError, with none left open.
    """
    fds: list[int] = []
    for path in paths:
        try:
            fds.append(posix.open(f"{path}/tasks", posix.O_WRONLY | posix.O_CLOEXEC))
        except OSError as err:
            for fd in fds:
                posix.close(fd)
            raise CgroupError(f"cannot open the cgroup {path}: {reason(err)}") from err
    return tuple(fds)


def _own_cgroups(text: str) -> dict[tuple[str, ...], str]:
    """Map the controllers of each hierarchy, () for v2, to our cgroup in it (cgroups(7))."""
    own = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        own[tuple(controllers.split(",")) if controllers else ()] = path
    return own


def _mounts(text: str) -> list[tuple[str, str, str, str]]:
    """Return root, mount point, type and superblock options of the cgroup mounts (proc(5), mountinfo)."""
    mounts = []
    for line in text.split("\n"):
        # A node may have thousands of mounts, and only a dozen are looked at more closely.
        if " - cgroup" not in line:
            continue
        before, _, after = line.partition(" - ")
        fields, (fstype, *_, options) = before.split(" "), after.split(" ")
        if fstype in ("cgroup", "cgroup2"):
            mounts.append((_unescape(fields[3]), _unescape(fields[4]), fstype, options))
    return mounts


def _unescape(field: str) -> str:
    """Undo mountinfo's octal escapes for space, tab, newline and backslash."""
    first, *rest = field.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)


def _hierarchy(mount: tuple[str, str, str, str], own: dict[tuple[str, ...], str]) -> Hierarchy | None:
    root, point, fstype, options = mount
    if fstype == "cgroup2":
        path = own.get((), "/")
        return Hierarchy(point, 2, _controllers_v2(point), _below(path, root), root)
    words = set(options.split(","))
    for controllers, path in own.items():
        if controllers and words.issuperset(controllers):
            return Hierarchy(point, 1, controllers, _below(path, root), root)
    return None


def _controllers_v2(mount: str) -> tuple[str, ...]:
    try:
        return tuple(read_file(f"{mount}/cgroup.controllers").split())
    except OSError:
        return ()


def _below(path: str, root: str) -> str:
    """Return our cgroup as seen from the mount, "/" where it lies outside of what is mounted there."""
    if root != "/":
        inside = path == root or path.startswith(f"{root}/")
        path = path[len(root) :] if inside else ""
    return path if path and "/.." not in path else "/"
