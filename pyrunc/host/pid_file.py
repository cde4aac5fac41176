"""The file through which an engine hears of a pid."""

from __future__ import annotations

import posix

from pyrunc.errors import StateError, reason

_TEMPORARY = posix.O_WRONLY | posix.O_TMPFILE | posix.O_CLOEXEC
_HIDDEN = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC


def write_pid_file(path: str, pid: int) -> None:
    """Write a bare number: whoever waits for the file reads all of it.

    The file has no name until the number is in it, so that a killed create leaves none. Where one is there already, or
    the file system knows no such files, it has a hidden name first, and is renamed. Raises StateError.
    """
    directory, _, name = path.rpartition("/")
    try:
        if not _write_nameless(directory or ".", path, pid):
            hidden = f"{directory}/.{name}" if directory else f".{name}"
            _write(posix.open(hidden, _HIDDEN, 0o644), pid)
            posix.rename(hidden, path)
    except OSError as err:
        raise StateError(f"cannot write the pid file {path}: {reason(err)}") from err


def _write_nameless(directory: str, path: str, pid: int) -> bool:
    """Do it by O_TMPFILE and linkat(2); False if that cannot be done here."""
    try:
        fd = posix.open(directory, _TEMPORARY, 0o644)
    except OSError:
        return False
    try:
        posix.write(fd, str(pid).encode())
        posix.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd)  # a descriptor, so that the link is followed
    except OSError:
        return False
    finally:
        posix.close(fd)
    return True


def _write(fd: int, pid: int) -> None:
    try:
        posix.write(fd, str(pid).encode())
    finally:
        posix.close(fd)
