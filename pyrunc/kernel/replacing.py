"""A file takes another's place."""

from __future__ import annotations

import posix

from pyrunc.kernel.libc import named

_RENAME_EXCHANGE = 2


def replace(name: str, target: str, directory: int) -> None:
    """Do what rename(2) does within a directory, whether there is a `target` yet or not. Raises OSError.

    Where there is one the two change places (renameat2(2), RENAME_EXCHANGE), and the old one is removed. ext4 starts
    writing a file to disk when a plain rename puts it in another's place (ext4(5), auto_da_alloc), and who removes it a
    few milliseconds later, as `run` does, waits for the disk.
    """
    try:
        named("renameat2", directory, name, directory, target, _RENAME_EXCHANGE)
    except OSError:  # nothing there, or a file system that cannot do it
        posix.rename(name, target, src_dir_fd=directory, dst_dir_fd=directory)
    else:
        posix.unlink(name, dir_fd=directory)
