"""tmpcopyup: what the image has at a tmpfs's mount point is copied into it (config.md, "Linux mount options")."""

from __future__ import annotations

import errno
import posix

from pyrunc.errors import StepError
from pyrunc.kernel.credentials import FilesystemUser

_KIND = 0o170000
_DIRECTORY, _LINK, _FILE = 0o040000, 0o120000, 0o100000
_OPEN_DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC
_DEEPEST = 64


def copy_tree(source: int, tree: int, uid: int = 0, gid: int = 0) -> None:
    """Copy the directory `source` (a descriptor, maybe O_PATH) into the root of the detached mount `tree`.

    `uid` and `gid` are of somebody who may make files there, which a tmpfs with mapped ids may not let root do.
    Only descriptors are followed, never a link: the image may swap its directories while we read them.
    Raises StepError where the tree is deeper than 64 directories, or has an owner who is not mapped, OSError as the
    calls do.
    """
    if (uid, gid) == (0, 0):
        _copy(source, tree)
        return
    try:
        with FilesystemUser(uid, gid):
            _copy(source, tree)
    except OSError as err:
        if err.errno != errno.EOVERFLOW:
            raise
        raise StepError("cannot copy the image's files into the tmpfs: one has an owner who is not mapped") from err


def _copy(source: int, tree: int) -> None:
    old = posix.open(".", _OPEN_DIRECTORY, dir_fd=source)
    new = posix.open(".", _OPEN_DIRECTORY, dir_fd=tree)
    try:
        _copy_entries(old, new, 0)
        _copy_owner(posix.fstat(old), new)
    finally:
        posix.close(old)
        posix.close(new)


def _copy_entries(source: int, target: int, depth: int) -> None:
    if depth > _DEEPEST:
        raise StepError(f"cannot copy the image's files into the tmpfs: deeper than {_DEEPEST} directories")
    for name in posix.listdir(source):
        status = posix.stat(name, dir_fd=source, follow_symlinks=False)
        kind = status.st_mode & _KIND
        if kind == _DIRECTORY:
            _copy_directory(name, source, target, depth, status)
        elif kind == _LINK:
            posix.symlink(posix.readlink(name, dir_fd=source), name, dir_fd=target)
            posix.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
        elif kind == _FILE:
            _copy_file(name, source, target, status)
        else:
            posix.mknod(name, status.st_mode, status.st_rdev, dir_fd=target)
            posix.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)


def _copy_directory(name: str, source: int, target: int, depth: int, status: posix.stat_result) -> None:
    posix.mkdir(name, 0o700, dir_fd=target)
    old = posix.open(name, _OPEN_DIRECTORY, dir_fd=source)
    new = posix.open(name, _OPEN_DIRECTORY, dir_fd=target)
    try:
        _copy_entries(old, new, depth + 1)
        _copy_owner(status, new)
    finally:
        posix.close(old)
        posix.close(new)


def _copy_file(name: str, source: int, target: int, status: posix.stat_result) -> None:
    # O_NONBLOCK: if the name has become a FIFO since we looked, opening it must not wait for a writer.
    old = posix.open(name, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC, dir_fd=source)
    create = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
    new = posix.open(name, create, 0o600, dir_fd=target)
    try:
        while block := posix.read(old, 1 << 16):
            while block:  # a filesystem that is full takes a part, and says why at the next try
                block = block[posix.write(new, block) :]
        _copy_owner(status, new)
    finally:
        posix.close(old)
        posix.close(new)


def _copy_owner(status: posix.stat_result, fd: int) -> None:
    posix.fchown(fd, status.st_uid, status.st_gid)
    # After the owner: chown(2) clears set-user-ID.
    posix.fchmod(fd, status.st_mode & 0o7777)
    posix.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))
