"""Paths in a root that somebody hostile has written, or is writing."""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import TYPE_CHECKING

import pytest

from pyrunc.kernel import library, paths
from pyrunc.kernel.flags import (
    AT_FDCWD,
    CGROUP2_SUPER_MAGIC,
    PROC_SUPER_MAGIC,
    RESOLVE_NO_SYMLINKS,
    SYSFS_MAGIC,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RENAME_EXCHANGE = 2


class Root:
    """A directory that stands for a root filesystem, next to things that nobody may reach from it."""

    def __init__(self, folder: Path) -> None:
        self.outside = folder / "outside"
        self.path = folder / "rootfs"
        self.outside.mkdir()
        self.path.mkdir()
        self.fd = paths.open_root(str(self.path))

    def inside(self, fd: int) -> str:
        """Where an fd is, as a path in the root; closes it."""
        found = paths.real_path_of(fd)
        os.close(fd)
        assert found.startswith(str(self.path)), f"{found} is outside of the root"
        return found.removeprefix(str(self.path)) or "/"

    def link(self, name: str, target: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).symlink_to(target)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    made = Root(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    yield made
    assert len(os.listdir("/proc/self/fd")) == before, "a descriptor was left open"
    assert not list(made.outside.iterdir()), "something was made outside of the root"
    os.close(made.fd)


@pytest.mark.parametrize(
    ("target", "leads_to"),
    [
        ("/etc", "/etc"),
        ("../../../etc", "/etc"),
        ("etc/../../../etc", "/etc"),
        ("etc", "/etc"),
        ("/", "/"),
        ("..", "/"),
    ],
)
def test_links_and_dots_stay_inside(root: Root, target: str, leads_to: str) -> None:
    (root.path / "etc").mkdir()
    root.link("link", target)
    assert root.inside(paths.open_in(root.fd, "/link", os.O_RDONLY)) == leads_to


def test_opened_files_are_close_on_exec(root: Root) -> None:
    fd = paths.open_in(root.fd, "/", os.O_RDONLY)
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_a_file_is_made_with_its_mode(root: Root) -> None:
    fd = paths.open_in(root.fd, "/../file", os.O_CREAT | os.O_WRONLY, 0o640)
    assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o640
    assert root.inside(fd) == "/file"


def test_magic_links_are_refused(root: Root) -> None:
    proc = paths.open_root("/proc")
    with pytest.raises(OSError, match="symbolic links") as caught:
        paths.open_in(proc, "/self/root", os.O_RDONLY)
    assert caught.value.errno == errno.ELOOP
    os.close(proc)


def test_a_resolution_that_is_always_raced_ends(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def raced(_dirfd: int, path: str, *_: int) -> int:
        tried.append(path)
        raise BlockingIOError(errno.EAGAIN, "again")

    monkeypatch.setattr(paths, "openat2", raced)
    with pytest.raises(BlockingIOError, match="keeps changing"):
        paths.open_in(root.fd, "x", os.O_RDONLY)
    assert len(tried) > 100


def test_a_race_is_tried_again(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    real, results = paths.openat2, [errno.EAGAIN, errno.EAGAIN]

    def sometimes(*arguments: int) -> int:
        if results:
            raise OSError(results.pop(), "again")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(paths, "openat2", sometimes)
    assert root.inside(paths.open_in(root.fd, "/", os.O_RDONLY)) == "/"


def test_openat2_passes_its_restrictions(root: Root) -> None:
    root.link("link", "/")
    with pytest.raises(OSError, match="symbolic links"):
        paths.openat2(root.fd, "link", os.O_RDONLY, resolve=RESOLVE_NO_SYMLINKS)


@pytest.mark.parametrize("path", ["a/b/c", "/a/b/c", "a//b/./c/", "/../a/b/c"])
def test_missing_directories_are_made(root: Root, path: str) -> None:
    assert root.inside(paths.make_directory_in(root.fd, path, 0o750)) == "/a/b/c"
    assert stat.S_IMODE((root.path / "a/b").stat().st_mode) == 0o750


def test_an_existing_directory_is_left_as_it_is(root: Root) -> None:
    (root.path / "a").mkdir(mode=0o700)
    assert root.inside(paths.make_directory_in(root.fd, "a")) == "/a"
    assert stat.S_IMODE((root.path / "a").stat().st_mode) == 0o700


def test_the_root_itself_is_a_directory_in_it(root: Root) -> None:
    assert root.inside(paths.make_directory_in(root.fd, "/")) == "/"


@pytest.mark.parametrize(
    ("link", "target", "asked", "made"),
    [
        ("var/run", "/run", "/var/run/x/y", "/run/x/y"),
        ("var/run", "../run", "/var/run/x/y", "/run/x/y"),
        ("var/run", "../../../../run", "/var/run", "/run"),
        ("a", "/b/c/d", "/a", "/b/c/d"),
        ("a", "../outside", "/a/x", "/outside/x"),
        ("a/b", "c", "/a/b", "/a/c"),
        ("a/b", "./c/./d", "/a/b/e", "/a/c/d/e"),
    ],
)
def test_a_link_to_nothing_is_followed_inside(
    root: Root, link: str, target: str, asked: str, made: str
) -> None:
    root.link(link, target)
    assert root.inside(paths.make_directory_in(root.fd, asked)) == made
    assert (root.path / link).is_symlink()


def test_a_chain_of_links_to_nothing_is_followed(root: Root) -> None:
    root.link("a", "b")
    root.link("b", "/c/d")
    root.link("c", "e")
    assert root.inside(paths.make_directory_in(root.fd, "/a/f")) == "/e/d/f"


def test_links_in_a_circle_end(root: Root) -> None:
    root.link("a", "b")
    root.link("b", "a")
    with pytest.raises(OSError, match="symbolic links") as caught:
        paths.make_directory_in(root.fd, "/a/x")
    assert caught.value.errno == errno.ELOOP


def test_a_link_to_nothing_through_itself_ends(root: Root) -> None:
    root.link("a", "a/b/c")
    with pytest.raises(OSError, match="symbolic links") as caught:
        paths.make_directory_in(root.fd, "/a")
    assert caught.value.errno == errno.ELOOP


def test_a_file_in_the_way_is_an_error(root: Root) -> None:
    (root.path / "a").touch()
    with pytest.raises(NotADirectoryError):
        paths.make_directory_in(root.fd, "/a")
    with pytest.raises(NotADirectoryError):
        paths.make_directory_in(root.fd, "/a/b")


def test_dots_after_something_missing_are_refused(root: Root) -> None:
    """Made or not, what ".." of it means would be a guess."""
    with pytest.raises(FileNotFoundError, match=r"\.\. of a missing"):
        paths.make_directory_in(root.fd, "/a/../b")
    assert not list(root.path.iterdir())


def test_a_file_is_made_with_its_parents(root: Root) -> None:
    fd = paths.make_file_in(root.fd, "/a/b/file", 0o600)
    assert os.fstat(fd).st_mode == stat.S_IFREG | 0o600
    assert root.inside(fd) == "/a/b/file"


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFREG])
def test_whatever_exists_is_opened_and_not_touched(root: Root, kind: int) -> None:
    os.mknod(root.path / "a", kind | 0o600)
    before = os.lstat(root.path / "a")
    fd = paths.make_file_in(root.fd, "a")
    assert os.fstat(fd) == before
    os.close(fd)


def test_the_last_link_of_a_file_is_followed_inside(root: Root) -> None:
    (root.path / "etc").mkdir()
    (root.path / "etc" / "real").touch()
    root.link("link", "../../etc/real")
    assert root.inside(paths.make_file_in(root.fd, "link")) == "/etc/real"


@pytest.mark.parametrize("target", ["../run/resolve/conf", "/run/resolve/conf", "../../../run/resolve/conf"])
def test_a_file_behind_a_link_to_nothing_is_made_inside(root: Root, target: str) -> None:
    """/etc/resolv.conf of images that were made on a system with systemd-resolved."""
    root.link("etc/resolv.conf", target)
    assert root.inside(paths.make_file_in(root.fd, "/etc/resolv.conf")) == "/run/resolve/conf"
    assert (root.path / "run/resolve/conf").is_file()


def test_parent_in_gives_the_directory_and_the_name(root: Root) -> None:
    root.link("dev", "/real")
    (root.path / "real" / "shm").mkdir(parents=True)
    fd, name = paths.parent_in(root.fd, "/dev/shm/../new/null/")
    assert (root.inside(fd), name) == ("/real/new", "null")
    fd, name = paths.parent_in(root.fd, "x")
    assert (root.inside(fd), name) == ("/", "x")


@pytest.mark.parametrize("path", ["", "/", ".", "a/..", "..", "/./"])
def test_parent_in_wants_a_name(root: Root, path: str) -> None:
    with pytest.raises(OSError, match="does not name") as caught:
        paths.parent_in(root.fd, path)
    assert caught.value.errno == errno.EINVAL


def test_real_path_can_use_a_proc_of_its_own(root: Root) -> None:
    proc = paths.open_root("/proc")
    assert paths.real_path_of(root.fd, proc) == str(root.path)
    os.close(proc)


@pytest.mark.parametrize(
    ("path", "magic"),
    [("/proc", PROC_SUPER_MAGIC), ("/sys", SYSFS_MAGIC), ("/proc/self/status", PROC_SUPER_MAGIC)],
)
def test_filesystem_type(path: str, magic: int) -> None:
    fd = os.open(path, os.O_RDONLY)
    assert paths.filesystem_type(fd) == magic != CGROUP2_SUPER_MAGIC
    os.close(fd)


def swap_for_ever(one: Path, other: Path) -> int:
    """Fork a process that exchanges two names as fast as it can; returns its pid."""
    rename = library.declare(
        "renameat2", library.c_int, library.c_pointer, library.c_int, library.c_pointer, library.c_uint
    )
    pid = os.fork()
    while pid == 0:
        rename(AT_FDCWD, str(one), AT_FDCWD, str(other), RENAME_EXCHANGE)
    return pid


@pytest.mark.parametrize("make", [paths.make_directory_in, paths.make_file_in])
def test_nothing_is_made_outside_while_a_directory_is_swapped_for_a_link(root: Root, make: object) -> None:
    """CVE-2021-30465 and CVE-2024-45310: a second container shares the volume and changes it all the time."""
    assert callable(make)
    (root.path / "dir").mkdir()
    root.link("link", str(root.outside))
    (root.path / "escape").symlink_to("../" * 20 + str(root.outside).lstrip("/"))
    attacker = swap_for_ever(root.path / "dir", root.path / "link")
    try:
        made, end = 0, time.monotonic() + 0.5
        while time.monotonic() < end:
            try:
                root.inside(make(root.fd, f"dir/{made}/x"))
            except OSError:
                continue  # to fail in a race is fine
            made += 1
    finally:
        os.kill(attacker, 9)
        os.waitpid(attacker, 0)
    assert made > 10
