"""A root file system while it is being filled: every name in it is resolved inside it.

A container may have been root in it before, and an image may bring any link along: `etc -> /etc` must lead to the
tree's own etc, never to this host's. So no name is joined to a path of the host. The kernel resolves the directory
inside the tree (pyrunc/kernel/paths.py), and the last part is made there with O_EXCL, or replaced, not followed.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from pyrunc.kernel import paths

if TYPE_CHECKING:
    from collections.abc import Iterator

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Tree:
    """A directory of the host, made if it is missing; names are relative to it. All methods raise OSError."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.fd = paths.open_root(str(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    @contextmanager
    def parent(self, name: str) -> Iterator[tuple[int, str]]:
        """Yield the descriptor of the directory that a name is in, made if it is missing, and its last part."""
        fd, last = paths.parent_in(self.fd, name)
        try:
            yield fd, last
        finally:
            os.close(fd)

    @contextmanager
    def open(self, name: str, flags: int = os.O_RDONLY) -> Iterator[int]:
        """Yield a descriptor of what a name is."""
        fd = paths.open_in(self.fd, name, flags)
        try:
            yield fd
        finally:
            os.close(fd)

    def kind(self, name: str) -> int:
        """Return the file type of stat(2), such as S_IFDIR, links not followed; 0 if there is nothing."""
        with self.parent(name) as (fd, last):
            return _kind(fd, last)

    def directory(self, name: str, mode: int = 0o755) -> None:
        """Make a directory where there is none; one that is there, or a link to one, stays as it is."""
        os.close(paths.make_directory_in(self.fd, name, mode))

    def replace(self, name: str, source: BinaryIO, mode: int) -> None:
        """Make a regular file in place of whatever has the name."""
        with self.parent(name) as (fd, last):
            remove(fd, last)
            with os.fdopen(os.open(last, NEW, 0o600, dir_fd=fd), "wb") as file:
                shutil.copyfileobj(source, file)
                os.fchmod(file.fileno(), mode)

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """Make a file with a text in place of whatever has the name."""
        with self.parent(name) as (fd, last):
            remove(fd, last)
            with os.fdopen(os.open(last, NEW, 0o600, dir_fd=fd), "w") as file:
                file.write(text)
                os.fchmod(file.fileno(), mode)

    def copy(self, source: Path, name: str) -> None:
        """Copy a file of the host, its links followed, with its permissions but not set-uid and set-gid."""
        with source.open("rb") as file:
            self.replace(name, file, os.fstat(file.fileno()).st_mode & 0o777)

    def link(self, name: str, target: str) -> None:
        """Make a symbolic link in place of whatever has the name, unless that is a directory."""
        with self.parent(name) as (fd, last):
            if _kind(fd, last) != stat.S_IFDIR:
                remove(fd, last)
                os.symlink(target, last, dir_fd=fd)

    def remove(self, name: str) -> None:
        """Remove whatever has the name, with all that is in it; nothing is as good."""
        with self.parent(name) as (fd, last):
            remove(fd, last)

    def empty(self, name: str) -> None:
        """Remove all that is in a directory."""
        with self.open(name or ".", os.O_RDONLY | os.O_DIRECTORY) as fd:
            for entry in os.listdir(fd):
                remove(fd, entry)


def remove(fd: int, name: str) -> None:
    """Remove a name in an open directory, with all that is below it. Raises OSError."""
    kind = _kind(fd, name)
    if kind == stat.S_IFDIR:
        shutil.rmtree(name, dir_fd=fd)
    elif kind:
        os.unlink(name, dir_fd=fd)


def _kind(fd: int, name: str) -> int:
    try:
        return stat.S_IFMT(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return 0
