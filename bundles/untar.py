"""Unpack a tar as a layer of an image: image-spec, layer.md ("Applying Changesets").

Nothing is believed. Names are resolved inside the tree (tree.py), `..` is refused, links are made and not followed,
and a hard link cannot be made to what is outside. What a layer takes away it takes from the layers below, wherever in
the tar it says so; therefore a tar is read twice.

`.wh.NAME` says that NAME is gone, `.wh..wh..opq` that nothing of the directory below shows through. Where all layers
go into one tree they are carried out. Where each layer has a tree of its own they become what overlay has for
them: a character device 0:0, and the attribute trusted.overlay.opaque (kernel: filesystems/overlayfs).
"""

from __future__ import annotations

import os
import stat
import tarfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, NamedTuple

from bundles.tree import NEW, Tree, remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    Opener = Callable[[], AbstractContextManager[IO[bytes]]]

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
CHUNK = 1 << 20


class Whiteouts(NamedTuple):
    """What a layer takes away: names, and directories whose content below is hidden."""

    names: list[str]
    opaque: list[str]


def unpack(opener: Opener, tree: Tree, alone: bool = False) -> list[str]:
    """Unpack a tar; return the names that were left out, with the reason.

    `opener` opens the tar, not compressed, anew each time. `alone` says that the tree has this layer only. Root keeps
    owners, devices, file capabilities and user.* attributes; an ordinary user becomes the owner of all, and cannot make
    devices. Of other attributes none is kept: they are about another host's policies.

    Raises OSError, tarfile.TarError; ValueError for a name that leads outside.
    """
    with opener() as file:
        gone = whiteouts(file)
    for name in gone.opaque:
        hide_below(tree, name, alone)
    for name in gone.names:
        hide(tree, name, alone)
    with opener() as file:
        return Layer(tree, alone).extract(file)


def whiteouts(file: IO[bytes]) -> Whiteouts:
    """Return what a layer takes away. Raises ValueError for what would take away something else."""
    found = Whiteouts([], [])
    for _, path in members(file):
        folder, _, last = path.rpartition("/")
        if last == OPAQUE:
            found.opaque.append(folder)
        elif is_whiteout(last):
            victim = last.removeprefix(WHITEOUT)
            # ".wh..." would be "..": the directory above, and with it all of the tree.
            if victim in ("", ".", ".."):
                raise ValueError(f"{path}: a whiteout of nothing that has a name")
            found.names.append(f"{folder}/{victim}")
    return found


def is_whiteout(last: str) -> bool:
    """Say whether the last part of a name is that of a whiteout. Relics of aufs are `.wh..wh.` and more."""
    return last.startswith(WHITEOUT) and not last.startswith(WHITEOUT * 2)


def members(file: IO[bytes]) -> Iterator[tuple[tarfile.TarInfo, str]]:
    """Yield what is in a tar, with its name as a relative path; read to the end, so that a digest is whole."""
    with tarfile.open(fileobj=file, mode="r|") as tar:
        for member in tar:
            yield member, clean(member.name)
    while file.read(CHUNK):
        pass


def clean(name: str) -> str:
    """Return a name without leading slash and `.`; "" is the root. Raises ValueError if it has `..`."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError(f"{name}: leads outside")
    return "/".join(parts)


def hide_below(tree: Tree, name: str, alone: bool) -> None:
    """Carry out an opaque whiteout: of all that is there now, which is what lower layers have."""
    tree.directory(name)
    if alone:
        make_opaque(tree, name)
    else:
        tree.empty(name)


def make_opaque(tree: Tree, name: str) -> None:
    """Let nothing show through a directory: overlayfs.rst, "whiteouts and opaque directories"."""
    with tree.open(name or ".") as fd:
        os.setxattr(fd, "trusted.overlay.opaque", b"y")


def hide(tree: Tree, name: str, alone: bool) -> None:
    """Carry out a whiteout of one name."""
    with tree.parent(name) as (fd, last):
        remove(fd, last)
        if alone:
            os.mknod(last, stat.S_IFCHR, os.makedev(0, 0), dir_fd=fd)


class Layer:
    """One layer on its way into a tree."""

    def __init__(self, tree: Tree, alone: bool) -> None:
        self.tree = tree
        self.alone = alone
        self.is_root = os.geteuid() == 0
        self.left_out: list[str] = []
        self.directories: dict[str, tarfile.TarInfo] = {}

    def extract(self, file: IO[bytes]) -> list[str]:
        """Make everything but whiteouts; return what was left out. Raises as unpack does."""
        with tarfile.open(fileobj=file, mode="r|") as tar:
            for member in tar:
                path = clean(member.name)
                if not path.rpartition("/")[2].startswith(WHITEOUT):
                    self.make(tar, member, path)
        # Last, or what is made in a directory would change its time, or not be allowed in it.
        for path, member in reversed(self.directories.items()):
            with self.tree.open(path or ".", os.O_RDONLY | os.O_DIRECTORY) as fd:
                self.dress(fd, member)
        return self.left_out

    def make(self, tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
        """Make one name, in place of what has it; a directory that is there already stays."""
        if member.isdir():
            self.make_directory(member, path)
        elif member.isreg():
            self.make_file(tar.extractfile(member), member, path)
        elif member.islnk():
            self.make_hard_link(member, path)
        elif member.issym():
            with self.place(path) as (fd, last):
                os.symlink(member.linkname, last, dir_fd=fd)
                self.own(fd, last, member)
        elif member.ischr() or member.isblk() or member.isfifo():
            self.make_node(member, path)
        else:
            self.left_out.append(f"{path}: of a kind that tar(5) does not know")

    @contextmanager
    def place(self, path: str) -> Iterator[tuple[int, str]]:
        """Make room for a name: yield its directory and its last part, with whatever had it removed."""
        if not path:
            raise ValueError("the root of a layer can only be a directory")
        if path in self.directories:
            below = f"{path}/"
            kept = self.directories.items()
            self.directories = {name: each for name, each in kept if not f"{name}/".startswith(below)}
        with self.tree.parent(path) as (fd, last):
            remove(fd, last)
            yield fd, last

    def make_directory(self, member: tarfile.TarInfo, path: str) -> None:
        """Make a directory, open for now; if a link has its name, the link goes: it may lead anywhere."""
        if path and (kind := self.tree.kind(path)) != stat.S_IFDIR:
            with self.place(path) as (fd, last):
                os.mkdir(last, 0o700, dir_fd=fd)
            # The layer says both: what is below is gone, and here is another.
            if self.alone and kind == stat.S_IFCHR:
                make_opaque(self.tree, path)
        self.directories[path] = member

    def make_file(self, content: IO[bytes] | None, member: tarfile.TarInfo, path: str) -> None:
        """Make a regular file."""
        with self.place(path) as (fd, last):
            made = os.open(last, NEW, 0o600, dir_fd=fd)
            try:
                while content and (chunk := content.read(CHUNK)):
                    _write_all(made, chunk)
                self.dress(made, member)
            finally:
                os.close(made)

    def make_hard_link(self, member: tarfile.TarInfo, path: str) -> None:
        """Make another name of a file of this tree. Raises FileNotFoundError if that is not there."""
        target = clean(member.linkname)
        if target == path:
            raise ValueError(f"{path}: a hard link to itself")
        with self.place(path) as (fd, last), self.tree.parent(target) as (source, name):
            os.link(name, last, src_dir_fd=source, dst_dir_fd=fd, follow_symlinks=False)

    def make_node(self, member: tarfile.TarInfo, path: str) -> None:
        """Make a device or a fifo; a device takes root."""
        if not member.isfifo() and not self.is_root:
            self.left_out.append(f"{path}: only root can make a device")
            return
        kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK if member.isblk() else stat.S_IFIFO
        with self.place(path) as (fd, last):
            os.mknod(last, kind | 0o600, os.makedev(member.devmajor, member.devminor), dir_fd=fd)
            self.own(fd, last, member)
            os.chmod(last, member.mode & 0o7777, dir_fd=fd)

    def own(self, fd: int, last: str, member: tarfile.TarInfo) -> None:
        """Give a name its owner and its time, links not followed."""
        if self.is_root:
            os.chown(last, member.uid, member.gid, dir_fd=fd, follow_symlinks=False)
        os.utime(last, (member.mtime, member.mtime), dir_fd=fd, follow_symlinks=False)

    def dress(self, fd: int, member: tarfile.TarInfo) -> None:
        """Give an open file or directory its owner, mode, attributes and time."""
        if self.is_root:
            os.fchown(fd, member.uid, member.gid)
            for name, value in attributes(member):
                os.setxattr(fd, name, value)
        os.fchmod(fd, member.mode & 0o7777)  # after fchown, which takes set-uid away
        os.utime(fd, (member.mtime, member.mtime))


def attributes(member: tarfile.TarInfo) -> Iterator[tuple[str, bytes]]:
    """Yield the extended attributes to keep, which GNU tar and docker write as SCHILY.xattr.NAME."""
    for key, value in member.pax_headers.items():
        name = key.removeprefix("SCHILY.xattr.")
        # user.overlay.* would mean something to overlay, and is not for a layer to say.
        if name != key and (name == "security.capability" or name.startswith("user.")) and ".overlay." not in name:
            yield name, value.encode("utf-8", "surrogateescape")


def _write_all(fd: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(fd, view) :]
