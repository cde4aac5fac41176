"""A /proc of our own.

The /proc that can be seen in a mount namespace may be hidden, covered or swapped by whoever shares it;
writes of labels and sysctls were led astray that way (CVE-2019-16884, CVE-2025-52881). A procfs that was
mounted just now and is attached nowhere can only be reached through its fd, and is walked without symlinks
or crossing of mounts.
"""

from __future__ import annotations

import errno
import posix

from pyrunc.kernel import mounts, paths
from pyrunc.kernel.flags import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    PROC_SUPER_MAGIC,
    RESOLVE_BENEATH,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
)
from pyrunc.record import Record

_ATTRIBUTES = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
_RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS


class Mount(Record):
    """One line of /proc/PID/mountinfo (proc_pid_mountinfo(5)), with its escapes undone."""

    mount_id: int
    parent_id: int
    device: str
    root: str
    mount_point: str
    options: tuple[str, ...]
    optional: tuple[str, ...]
    """Propagation: "shared:N", "master:N", "propagate_from:N", "unbindable"; empty when private."""
    fstype: str
    source: str
    super_options: tuple[str, ...]


def open_private() -> int:
    """Return an fd of a detached procfs of our pid namespace, with only what is about processes if possible.

    Falls back to a detached copy of what is at /proc where a new procfs is refused (a user namespace whose
    /proc has covered parts): still a procfs, since its type is looked at, but perhaps with mounts on it,
    which open_beneath refuses to cross. Raises OSError.
    """
    return _open(("subset=pid",))


def open_whole() -> int:
    """Return an fd of a detached procfs with /proc/sys too; else like open_private. Raises OSError."""
    return _open(())


def open_beneath(proc_fd: int, path: str, flags: int) -> int:
    """Open a file of a procfs by a relative path, without following links or crossing mounts. Raises OSError.

    "self" and "thread-self" are links: use f"{posix.getpid()}/..." instead. EXDEV means that something
    is mounted over the file, ELOOP that a link is in the way.
    """
    return paths.openat2(proc_fd, path, flags, resolve=_RESOLVE)


def write(proc_fd: int, path: str, data: bytes) -> None:
    """Write all of `data` to a file of a procfs with one write(2), as its handlers demand. Raises OSError."""
    fd = open_beneath(proc_fd, path, posix.O_WRONLY)
    try:
        if posix.write(fd, data) != len(data):
            raise OSError(errno.EIO, f"/proc/{path} took only a part of what was written")
    finally:
        posix.close(fd)


def read(proc_fd: int, path: str) -> bytes:
    """Return the whole content of a file of a procfs. Raises OSError."""
    fd = open_beneath(proc_fd, path, posix.O_RDONLY)
    try:
        pieces = []
        while piece := posix.read(fd, 65536):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        posix.close(fd)


def mountinfo(text: str) -> tuple[Mount, ...]:
    """Return the mounts in the text of a mountinfo file, in its order.

    Raises ValueError for a broken line.
    """
    # Not splitlines: it knows more ends of lines than Linux does, and a path may hold them.
    return tuple(_mount(line) for line in text.split("\n") if line)


def _open(options: tuple[str, ...]) -> int:
    try:
        return mounts.new_filesystem("proc", "proc", options, _ATTRIBUTES)
    except OSError as error:
        # EPERM: see open_private. EINVAL: subset=pid is unknown before 5.8. ENOSYS: no fsopen before 5.2.
        if error.errno not in (errno.EPERM, errno.EINVAL, errno.ENOSYS):
            raise
    fd = mounts.open_tree("/proc", recursive=False)
    if paths.filesystem_type(fd) != PROC_SUPER_MAGIC:
        posix.close(fd)
        raise OSError(errno.ENOTSUP, "what is mounted on /proc is not a procfs")
    return fd


def _mount(line: str) -> Mount:
    before, _, after = line.partition(" - ")
    mount_id, parent_id, device, root, mount_point, options, *optional = before.split(" ")
    fstype, source, super_options = after.split(" ", 2)
    return Mount(
        int(mount_id),
        int(parent_id),
        device,
        _unescape(root),
        _unescape(mount_point),
        tuple(options.split(",")),
        tuple(optional),
        fstype,
        _unescape(source),
        tuple(super_options.split(",")),
    )


def _unescape(field: str) -> str:
    r"""Undo the kernel's \ooo for space, tab, newline, # and backslash."""
    if "\\" not in field:
        return field
    first, *rest = field.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)


def own_mounts() -> tuple[Mount, ...]:
    """Return the mounts of our mount namespace, in the order in which they were made. Raises OSError."""
    fd = posix.open("/proc/self/mountinfo", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        # A short read would hide mounts from us: read until there is nothing more.
        text = b"".join(iter(lambda: posix.read(fd, 1 << 16), b""))
    finally:
        posix.close(fd)
    return mountinfo(text.decode("utf-8", "surrogateescape"))
