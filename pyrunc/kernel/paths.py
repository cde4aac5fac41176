"""Paths below a root that cannot be trusted.

Whoever wrote the root filesystem may have put symlinks into it, and whoever shares it may swap a directory
for a symlink while we look. So the kernel resolves every path as if it had chrooted (openat2(2),
RESOLVE_IN_ROOT), what comes back is an fd, and whatever is done next is done to that fd: no string is
resolved twice (CVE-2021-30465, CVE-2024-45310, CVE-2026-41579).
"""

from __future__ import annotations

import _struct
import errno
import posix

from pyrunc.kernel import libc
from pyrunc.kernel.flags import AT_FDCWD, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS

_O_PATH = 0o10000000  # posix has it only when the C library Python was built with had it
_DIRECTORY = _O_PATH | posix.O_DIRECTORY
_ATTEMPTS = 1000  # EAGAIN of openat2: a rename or mount anywhere on the system raced with a ".."
_LINKS_MAX = 40  # what the kernel itself follows in one path (path_resolution(7))
_S_IFMT, _S_IFREG, _S_IFLNK = 0o170000, 0o100000, 0o120000


def openat2(dirfd: int, path: str, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """openat2(2). `mode` must be 0 unless the flags create something; the fd is close-on-exec.

    Raises OSError.
    """
    how = _struct.pack("=QQQ", flags | posix.O_CLOEXEC, mode, resolve)
    return libc.syscall(libc.OPENAT2, dirfd, path, how, len(how))


def open_root(path: str, dirfd: int = AT_FDCWD) -> int:
    """Return an O_PATH fd of a directory the runtime trusts, to be the root of the other functions here."""
    return openat2(dirfd, path, _DIRECTORY)


def open_in(root_fd: int, path: str, flags: int, mode: int = 0) -> int:
    """Open a path as seen from a root: "/", ".." and symlinks stay inside it, magic links refused (ELOOP).

    Raises OSError; EAGAIN only if somebody races with us for longer than is believable.
    """
    resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
    for _ in range(_ATTEMPTS):
        try:
            return openat2(root_fd, path, flags, mode, resolve)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
    raise OSError(errno.EAGAIN, f"{path} keeps changing while it is resolved")


def make_directory_in(root_fd: int, path: str, mode: int = 0o755) -> int:
    """Return an O_PATH fd of a directory below a root; what is missing of the path is made (umask applies).

    A symlink to nothing is followed as any other, inside the root, and its target made: images have them.
    Raises OSError; ENOTDIR if something on the way is not a directory, ELOOP for too many dangling links.
    """
    parts = _split(path)
    for _ in range(_LINKS_MAX):
        reached: int | str
        reached, count = _open_existing(root_fd, parts)
        while isinstance(reached, int) and count < len(parts):
            reached = _enter(reached, parts[count], mode)
            count += 1
        if isinstance(reached, int):
            return reached
        parts = _join(parts[: count - 1], reached) + parts[count:]
    raise OSError(errno.ELOOP, posix.strerror(errno.ELOOP))


def make_file_in(root_fd: int, path: str, mode: int = 0o644) -> int:
    """Return an O_PATH fd of what is at a path below a root, or of a new empty file if nothing is.

    Missing parents are made. Raises OSError as make_directory_in does.
    """
    for _ in range(_LINKS_MAX):
        try:
            return open_in(root_fd, path, _O_PATH)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
        parent, name = parent_in(root_fd, path)
        try:
            made = _make_file(parent, name, mode)
        finally:
            posix.close(parent)
        if isinstance(made, int):
            return made
        path = "/".join(_join(_split(path)[:-1], made))
    raise OSError(errno.ELOOP, posix.strerror(errno.ELOOP))


def parent_in(root_fd: int, path: str) -> tuple[int, str]:
    """Return an O_PATH fd of a path's parent below a root, made if missing, and the last component.

    The last component is not looked at: it may be missing, or a symlink. It is never "", "." or "..": a path
    that ends so raises OSError(EINVAL).
    """
    parts = _split(path)
    if not parts or parts[-1] == "..":
        raise OSError(errno.EINVAL, f"{path!r} does not name anything in a directory")
    return make_directory_in(root_fd, "/".join(parts[:-1])), parts[-1]


def real_path_of(fd: int, proc_fd: int = -1) -> str:
    """Return the path of an fd as the kernel sees it from the current root (proc(5), /proc/PID/fd).

    It tells where something was, for messages and checks; do not open it. Inside a container give the fd of
    a procfs that is known to be one (procfs.open_private), since /proc may be anything there.
    """
    if proc_fd < 0:
        return posix.readlink(f"/proc/self/fd/{fd}")
    return posix.readlink(f"self/fd/{fd}", dir_fd=proc_fd)


def filesystem_type(fd: int) -> int:
    """Return f_type of fstatfs(2), such as PROC_SUPER_MAGIC: the one thing a mount cannot fake."""
    status = bytearray(256)  # struct statfs has 120 bytes; f_type comes first, as a long
    libc.named("fstatfs", fd, status)
    (kind,) = _struct.unpack_from("l", status)
    return int(kind)


def _split(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _join(directory: list[str], link: str) -> list[str]:
    """Return the path that a symlink in `directory` leads to; its ".." are left to the kernel."""
    return _split(link) if link.startswith("/") else directory + _split(link)


def _open_existing(root_fd: int, parts: list[str]) -> tuple[int, int]:
    """Open the longest part of a path that exists, resolved in the root; also tell how many parts it has."""
    for count in range(len(parts), -1, -1):
        if ".." in parts[count:]:
            raise OSError(errno.ENOENT, f"{'/'.join(parts)} leads through .. of a missing directory")
        try:
            return open_in(root_fd, "/".join(parts[:count]) or ".", _DIRECTORY), count
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
    raise OSError(errno.ENOENT, posix.strerror(errno.ENOENT))  # the root itself was removed


def _enter(parent: int, name: str, mode: int) -> int | str:
    """Make a directory and return its fd, or the target if the name is a symlink to nothing.

    Closes the parent.
    """
    try:
        posix.mkdir(name, mode, dir_fd=parent)
    except FileExistsError:
        pass  # made by someone else since we looked, or a symlink to nothing
    try:
        return posix.open(name, _DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=parent)
    except NotADirectoryError:
        return _dangling(parent, name)
    finally:
        posix.close(parent)


def _dangling(fd: int, name: str) -> str:
    try:
        return posix.readlink(name, dir_fd=fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # EINVAL: not a symlink
            raise
        raise OSError(errno.ENOTDIR, f"{posix.strerror(errno.ENOTDIR)}: {name}") from None


def _make_file(parent: int, name: str, mode: int) -> int | str:
    """Make an empty file and return its O_PATH fd, or the target if the name is a symlink to nothing.

    mknod rather than O_CREAT: opening a file that somebody else made meanwhile could block (a fifo) or
    act (a device). An O_PATH fd of the name itself can do neither, and fstat of it tells what we got.
    """
    try:
        posix.mknod(name, _S_IFREG | mode, dir_fd=parent)
    except FileExistsError:
        pass
    fd = posix.open(name, _O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=parent)
    kind = posix.fstat(fd).st_mode & _S_IFMT
    if kind == _S_IFREG:
        return fd
    try:
        if kind == _S_IFLNK:
            return posix.readlink("", dir_fd=fd)
        raise OSError(errno.EEXIST, f"{name} was put there while it was made")
    finally:
        posix.close(fd)
