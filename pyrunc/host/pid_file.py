"""The file through which an engine hears of a pid."""

from __future__ import annotations

import posix

from pyrunc.errors import StateError, reason


def write_pid_file(path: str, pid: int) -> None:
    """Write a bare number under a hidden name and rename it: whoever waits for the file reads all of it.

    Raises StateError.
    """
    directory, _, name = path.rpartition("/")
    hidden = f"{directory}/.{name}" if directory else f".{name}"
    try:
        fd = posix.open(hidden, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC, 0o644)
        posix.write(fd, str(pid).encode())
        posix.close(fd)
        posix.rename(hidden, path)
    except OSError as err:
        raise StateError(f"cannot write the pid file {path}: {reason(err)}") from err
