"""Mounts by fd: made apart from the tree, changed, attached, and refused with the filesystem's own words."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from pyrunc.kernel import mounts, namespaces, paths
from pyrunc.kernel.flags import (
    CLONE_NEWUSER,
    MNT_DETACH,
    MOUNT_ATTR_IDMAP,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_BIND,
    MS_REC,
    MS_SHARED,
    PROC_SUPER_MAGIC,
    TMPFS_MAGIC,
)
from tests.kernel.apart import apart

if TYPE_CHECKING:
    from pathlib import Path

MS_RDONLY = 1  # mount(2); only tests still use the old call with it

pytestmark = pytest.mark.requires("root")


def options_at(path: Path) -> str:
    """The options of the topmost mount on a path, and its propagation, as the kernel tells them.

    How wide a tmpfs makes its inode numbers is a matter of the kernel's configuration.
    """
    with open("/proc/self/mountinfo") as lines:
        found = [line for line in lines if line.split()[4] == str(path)]
    before, _, after = found[-1].partition(" - ")
    return " ".join(before.split()[5:] + after.split()[1:]).removesuffix(",inode64")


def tmpfs_on(path: Path, *options: str, attributes: int = 0) -> None:
    mount_fd = mounts.new_filesystem("tmpfs", "tmpfs", options, attributes)
    target = paths.open_root(str(path))
    mounts.move_mount(mount_fd, target)
    os.close(mount_fd)
    os.close(target)


@pytest.mark.vm
def test_a_new_filesystem_is_nowhere_until_it_is_moved(tmp_path: Path) -> None:
    def body() -> None:
        fd = mounts.new_filesystem(
            "tmpfs", "mine", ("mode=711", "size=64k"), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
        )
        assert paths.filesystem_type(fd) == TMPFS_MAGIC
        assert os.get_inheritable(fd) is False
        with open("/proc/self/mountinfo") as text:
            assert str(tmp_path) not in text.read()
        target = paths.open_root(str(tmp_path))
        mounts.move_mount(fd, target)
        assert os.stat(tmp_path).st_mode & 0o7777 == 0o711
        assert options_at(tmp_path) == "rw,nosuid,nodev,relatime mine rw,size=64k,mode=711"

    apart(body)


def test_a_flag_without_a_value_is_set() -> None:
    def body() -> bool:
        fd = mounts.new_filesystem("tmpfs", "", ("ro",), 0)
        return bool(os.fstatvfs(fd).f_flag & os.ST_RDONLY)

    assert apart(body)


@pytest.mark.parametrize(
    ("fstype", "options", "number", "words"),
    [
        ("tmpfs", ("mode=many",), errno.EINVAL, "Bad value for 'mode'"),
        ("tmpfs", ("sizes=1",), errno.EINVAL, "Unknown parameter 'sizes'"),
        ("proc", ("subset=some",), errno.EINVAL, "subset"),
        ("nosuchfs", (), errno.ENODEV, "'nosuchfs'"),
        ("overlay", ("lowerdir=/" + "x" * 255,), errno.ENAMETOOLONG, "lowerdir has 256 of 255 bytes"),
    ],
)
def test_a_refusal_tells_why(fstype: str, options: tuple[str, ...], number: int, words: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match=words) as caught:
        mounts.new_filesystem(fstype, "", options, 0)
    assert caught.value.errno == number
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_value_of_the_greatest_length_is_passed() -> None:
    with pytest.raises(FileNotFoundError):
        mounts.new_filesystem("overlay", "", ("lowerdir=/" + "x" * 254,), 0)


@pytest.mark.vm
def test_a_recursive_copy_has_the_mounts_below(tmp_path: Path) -> None:
    def body() -> tuple[list[str], list[str]]:
        tmpfs_on(tmp_path)
        (tmp_path / "sub").mkdir()
        tmpfs_on(tmp_path / "sub")
        (tmp_path / "sub" / "file").touch()
        whole = mounts.open_tree(str(tmp_path), recursive=True)
        alone = mounts.open_tree("", paths.open_root(str(tmp_path)))
        below = [os.open("sub", os.O_RDONLY, dir_fd=fd) for fd in (whole, alone)]
        return os.listdir(below[0]), os.listdir(below[1])

    assert apart(body) == (["file"], [])


def test_a_link_is_copied_itself_if_asked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    followed = mounts.open_tree(str(tmp_path / "link"))
    itself = mounts.open_tree(str(tmp_path / "link"), follow=False)
    assert os.readlink("", dir_fd=itself) == "file"
    assert os.path.samestat(os.fstat(followed), os.stat(tmp_path / "file"))
    os.close(followed)
    os.close(itself)


def test_attributes_are_set_and_cleared(tmp_path: Path) -> None:
    def body() -> tuple[str, str]:
        tmpfs_on(tmp_path, "size=4k")
        fd = paths.open_root(str(tmp_path))
        mounts.set_attributes(fd, set=MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV)
        with pytest.raises(OSError, match="Read-only"):
            (tmp_path / "file").touch()
        first = options_at(tmp_path)
        mounts.set_attributes(fd, clear=MOUNT_ATTR_RDONLY, propagation=MS_SHARED)
        (tmp_path / "file").touch()
        return first.split()[0], options_at(tmp_path).split(":")[0]

    assert apart(body) == ("ro,nodev,relatime", "rw,nodev,relatime shared")


@pytest.mark.parametrize("recursive", [True, False])
def test_attributes_reach_the_mounts_below_only_when_recursive(tmp_path: Path, recursive: bool) -> None:
    def body() -> bool:
        tmpfs_on(tmp_path)
        (tmp_path / "sub").mkdir()
        tmpfs_on(tmp_path / "sub")
        mounts.set_attributes(-100, set=MOUNT_ATTR_RDONLY, recursive=recursive, path=str(tmp_path))
        return "ro" in options_at(tmp_path / "sub").split()[0]

    assert apart(body) is recursive


@pytest.mark.vm
def test_an_id_mapped_mount_shows_other_owners(tmp_path: Path) -> None:
    def body() -> int:
        pid, _ = namespaces.clone3(CLONE_NEWUSER)
        if pid == 0:
            while True:
                os.sched_yield()
        try:
            for file in ("uid_map", "gid_map"):
                with open(f"/proc/{pid}/{file}", "w") as map_file:
                    map_file.write("0 5000 10")
            userns = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        fd = mounts.new_filesystem("tmpfs", "", (), 0)
        mounts.set_attributes(fd, set=MOUNT_ATTR_IDMAP, userns_fd=userns)
        return os.fstat(fd).st_uid

    assert apart(body) == 5000


def test_a_file_cannot_be_mounted_on_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    def body() -> None:
        fd = mounts.open_tree(str(tmp_path / "file"))
        with pytest.raises(OSError, match="Invalid argument"):
            mounts.move_mount(fd, paths.open_root(str(tmp_path)))

    apart(body)


def test_an_attached_mount_is_moved(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()

    def body() -> tuple[list[str], list[str]]:
        tmpfs_on(tmp_path / "one")
        (tmp_path / "one" / "file").touch()
        mounts.move_mount(paths.open_root(str(tmp_path / "one")), paths.open_root(str(tmp_path / "two")))
        return os.listdir(tmp_path / "one"), os.listdir(tmp_path / "two")

    assert apart(body) == ([], ["file"])


def test_reconfigure_changes_what_is_named_and_keeps_the_rest(tmp_path: Path) -> None:
    def body() -> str:
        tmpfs_on(tmp_path, "size=4k", "mode=700")
        mounts.reconfigure(paths.open_root(str(tmp_path)), ("size=8k", "ro"))
        return options_at(tmp_path)

    assert apart(body) == "rw,relatime tmpfs ro,size=8k,mode=700"


def test_reconfigure_tells_why_it_is_refused(tmp_path: Path) -> None:
    def body() -> None:
        tmpfs_on(tmp_path, "size=8k")
        (tmp_path / "file").write_bytes(bytes(8192))
        with pytest.raises(OSError, match="Too small a size"):
            mounts.reconfigure(paths.open_root(str(tmp_path)), ("size=4k",))

    apart(body)


def test_reconfigure_wants_the_root_of_a_mount(tmp_path: Path) -> None:
    def body() -> None:
        with pytest.raises(OSError, match="Invalid argument"):
            mounts.reconfigure(paths.open_root(str(tmp_path)), ("ro",))

    apart(body)


def test_mount_and_umount_by_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    def body() -> None:
        mounts.mount("tmpfs", str(tmp_path), "tmpfs", MS_RDONLY, "size=4k")
        assert options_at(tmp_path) == "ro,relatime tmpfs ro,size=4k"
        mounts.umount(str(tmp_path), MNT_DETACH)
        assert os.listdir(tmp_path) == ["file"]

    apart(body)


@pytest.mark.vm
def test_pivot_root_leaves_the_old_root_behind(tmp_path: Path) -> None:
    def body() -> tuple[list[str], int]:
        mounts.mount(str(tmp_path), str(tmp_path), flags=MS_BIND | MS_REC)
        os.mkdir(tmp_path / "proc")
        mounts.mount("proc", f"{tmp_path}/proc", "proc")
        os.chdir(tmp_path)
        mounts.pivot_root(".", ".")
        mounts.umount(".", MNT_DETACH)
        os.chdir("/")
        return os.listdir("/"), paths.filesystem_type(os.open("/proc", os.O_RDONLY))

    assert apart(body) == (["proc"], PROC_SUPER_MAGIC)
