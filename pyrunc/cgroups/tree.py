"""The cgroups below one cgroup: who is in them, and how they go away, however many and deep they are.

A container that may write to its cgroups decides about both. So a walk goes by one name at a time from one
descriptor to the next, and back by "..": no path is too long for it, and no recursion too deep.
"""

from __future__ import annotations

import posix
from errno import EBUSY, ENODEV, ENOENT, ENOTEMPTY, EOPNOTSUPP

from pyrunc.errors import CgroupError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_GONE = (ENOENT, ENODEV)
_FLAGS = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC
_CHUNK = 65536


def members(top: str) -> set[int]:
    """Return the pids in a cgroup and below it; 0 stands for those that our pid namespace does not show.

    What is gone has none. Raises CgroupError.
    """
    pids: set[int] = set()
    try:
        for fd in walk(top):
            pids.update(_pids(fd))
    except OSError as err:
        raise CgroupError(f"cannot read the processes of {top}: {reason(err)}") from err
    return pids


def write_everywhere(top: str, file: str, value: str) -> None:
    """Write a value in a cgroup and all below it, where that has the file. Raises CgroupError."""
    try:
        for fd in walk(top):
            _try_write(fd, file, value)
    except OSError as err:
        raise CgroupError(f"cannot write '{value}' to {file} in and below {top}: {reason(err)}") from err


def walk(top: str) -> Iterator[int]:
    """Yield a descriptor of a cgroup, then of each one below it; each is open until the next is asked for.

    What goes away meanwhile is passed over. Raises OSError.
    """
    fd = _open(top)
    pending: list[list[str]] = []  # the names still to be visited, at each level from the top down
    try:
        if fd >= 0:
            yield fd
            pending.append(_children(fd))
        while pending:
            if not pending[-1]:
                pending.pop()
                fd = _move(fd, "..") if pending else fd
                continue
            fd, came = _enter(fd, pending[-1].pop())
            if came:
                yield fd
                pending.append(_children(fd))
    finally:
        if fd >= 0:
            posix.close(fd)


def remove(top: str) -> bool:
    """Remove a cgroup and those below it; false where one is still in use, after trying all others.

    Raises CgroupError.
    """
    try:
        if _remove_one(top):
            return True
        _remove_below(top)
        return _remove_one(top)
    except OSError as err:
        raise CgroupError(f"cannot remove the cgroup {top}: {reason(err)}") from err


def _remove_below(top: str) -> None:
    fd = _open(top)
    if fd < 0:
        return
    way: list[str] = []  # the names that lead from the top to where we are
    pending = [_children(fd)]
    try:
        while pending:
            if pending[-1]:
                name = pending[-1].pop()
                if _remove_one(name, fd):
                    continue
                fd, came = _enter(fd, name)
                if came:
                    way.append(name)
                    pending.append(_children(fd))
                continue
            pending.pop()
            if pending:
                fd = _move(fd, "..")
                _remove_one(way.pop(), fd)
    finally:
        posix.close(fd)


def _remove_one(name: str, within: int | None = None) -> bool:
    try:
        posix.rmdir(name, dir_fd=within)
    except OSError as err:
        if err.errno in (EBUSY, ENOTEMPTY):
            return False
        if err.errno not in _GONE:
            raise
    return True


def _open(top: str) -> int:
    try:
        return posix.open(top, _FLAGS)
    except OSError as err:
        if err.errno not in _GONE:
            raise
        return -1


def _enter(fd: int, name: str) -> tuple[int, bool]:
    """Go down to a child; where that is gone, stay. Returns the descriptor to go on with."""
    try:
        return _move(fd, name), True
    except OSError as err:
        if err.errno not in _GONE:
            raise
        return fd, False


def _move(fd: int, name: str) -> int:
    new = posix.open(name, _FLAGS, dir_fd=fd)
    posix.close(fd)
    return new


def _children(fd: int) -> list[str]:
    try:
        # Links counted are ".", the name above and ".." in each child: mostly that says there is none.
        if posix.fstat(fd).st_nlink == 2:
            return []
        with posix.scandir(fd) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError as err:
        if err.errno not in _GONE:
            raise
        return []


def _pids(fd: int) -> Iterator[int]:
    try:
        text = _read("cgroup.procs", fd)
    except OSError as err:
        # A threaded v2 cgroup has no processes of its own: they are listed above it, in what it is threaded for.
        if err.errno not in (*_GONE, EOPNOTSUPP):
            raise
        return
    yield from map(int, text.split())


def _read(name: str, within: int) -> bytes:
    fd = posix.open(name, posix.O_RDONLY | posix.O_CLOEXEC, dir_fd=within)
    try:
        data = chunk = posix.read(fd, _CHUNK)
        while chunk:
            chunk = posix.read(fd, _CHUNK)
            data += chunk
    finally:
        posix.close(fd)
    return data


def _try_write(within: int, name: str, value: str) -> None:
    try:
        fd = posix.open(name, posix.O_WRONLY | posix.O_CLOEXEC, dir_fd=within)
    except OSError as err:
        if err.errno not in _GONE:
            raise
        return
    try:
        posix.write(fd, value.encode())
    except OSError as err:
        if err.errno not in _GONE:
            raise
    finally:
        posix.close(fd)
