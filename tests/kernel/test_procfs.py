"""A /proc of our own, whatever the one at /proc has become."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from pyrunc.kernel import mounts, paths, procfs
from pyrunc.kernel.flags import CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUTS, MNT_DETACH, MS_BIND, PROC_SUPER_MAGIC
from tests.kernel.apart import apart

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requires("root")

LINES = r"""
22 27 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
23 27 0:21 / /proc rw - proc proc rw
27 1 253:1 /a\040b /c\134d\011e\012f rw,sync shared:1 master:2 propagate_from:3 - ext4 /a\0431 rw,errors=go
40 27 0:35 / /x ro - tmpfs  rw
""".lstrip("\n")


def test_mountinfo_is_read_with_all_its_fields() -> None:
    found = procfs.mountinfo(LINES)
    assert [mount.mount_id for mount in found] == [22, 23, 27, 40]
    assert found[2] == procfs.Mount(
        27,
        1,
        "253:1",
        "/a b",
        "/c\\d\te\nf",
        ("rw", "sync"),
        ("shared:1", "master:2", "propagate_from:3"),
        "ext4",
        "/a#1",
        ("rw", "errors=go"),
    )
    assert found[1].optional == ()
    assert found[3].source == ""


def test_mountinfo_ends_lines_only_where_the_kernel_does(tmp_path: Path) -> None:
    """A form feed, or a line separator of Unicode, in a mount point ends no line (runc#4417's class)."""
    strange = tmp_path / "a\fb\u2028c\x1cd e"
    strange.mkdir()

    def body() -> list[str]:
        mounts.mount(str(strange), str(strange), flags=MS_BIND)
        with open("/proc/self/mountinfo", newline="\n") as text:
            return [mount.mount_point for mount in procfs.mountinfo(text.read())]

    assert str(strange) in apart(body)


def test_a_broken_line_is_an_error() -> None:
    with pytest.raises(ValueError, match="unpack"):
        procfs.mountinfo("22 27 0:20 / /sys\n")


def test_the_private_procfs_has_processes_and_nothing_else() -> None:
    fd = procfs.open_private()
    assert paths.filesystem_type(fd) == PROC_SUPER_MAGIC
    assert procfs.read(fd, f"{os.getpid()}/comm").strip()
    with pytest.raises(FileNotFoundError):
        procfs.read(fd, "sys/kernel/ostype")
    os.close(fd)


def test_the_whole_procfs_has_sysctls() -> None:
    fd = procfs.open_whole()
    assert procfs.read(fd, "sys/kernel/ostype") == b"Linux\n"
    os.close(fd)


def test_it_is_another_one_than_that_at_proc() -> None:
    def body() -> tuple[bytes, bool]:
        mounts.mount("tmpfs", "/proc", "tmpfs")
        fd = procfs.open_private()
        return procfs.read(fd, f"{os.getpid()}/comm"), os.path.exists("/proc/self")

    comm, seen = apart(body)
    assert comm
    assert not seen


def listed(directory: int) -> bytes:
    """The names in a directory; mount fds are O_PATH, so it is opened again."""
    return str(os.listdir(os.open(".", os.O_RDONLY, dir_fd=directory))).encode()


def test_it_is_of_our_pid_namespace() -> None:
    def body() -> bytes:
        reader, writer = os.pipe()
        if os.fork() == 0:
            fd = procfs.open_private()
            os.write(writer, procfs.read(fd, "1/stat").split()[0] + listed(fd))
            os._exit(0)
        os.close(writer)
        os.wait()
        return os.read(reader, 1000)

    said = apart(body, CLONE_NEWPID)
    assert said.startswith(b"1[")
    assert b"'2'" not in said


@pytest.mark.parametrize("refusal", [errno.EPERM, errno.EINVAL, errno.ENOSYS])
def test_where_a_new_one_is_refused_the_old_one_serves(refusal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(refusal, "refused")

    monkeypatch.setattr(mounts, "new_filesystem", refuse)
    fd = procfs.open_private()
    assert procfs.read(fd, f"{os.getpid()}/comm")
    os.close(fd)


def test_the_old_one_must_be_a_procfs(monkeypatch: pytest.MonkeyPatch) -> None:
    """CVE-2019-16884: an image's volume mounted on /proc."""

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EPERM, "refused")

    monkeypatch.setattr(mounts, "new_filesystem", refuse)

    def body() -> None:
        mounts.mount("tmpfs", "/proc", "tmpfs")
        with pytest.raises(OSError, match="not a procfs"):
            procfs.open_private()
        mounts.umount("/proc", MNT_DETACH)

    apart(body)


def test_other_failures_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(mounts, "new_filesystem", refuse)
    with pytest.raises(OSError, match="too many"):
        procfs.open_private()


@pytest.mark.parametrize(
    "path", ["self/comm", "mounts", "../etc/passwd", "/etc/passwd", "{pid}/root/etc", "{pid}/exe"]
)
def test_links_and_ways_out_are_refused(path: str) -> None:
    fd = procfs.open_whole()
    with pytest.raises(OSError, match=r"symbolic links|cross-device") as caught:
        procfs.open_beneath(fd, path.format(pid=os.getpid()), os.O_RDONLY)
    assert caught.value.errno in (errno.ELOOP, errno.EXDEV)
    os.close(fd)


def test_what_is_mounted_over_a_file_is_refused(tmp_path: Path) -> None:
    """CVE-2025-52881: a write to a label or sysctl that was led to another file."""
    (tmp_path / "fake").touch()

    def body() -> None:
        mounts.mount(str(tmp_path / "fake"), "/proc/sys/kernel/hostname", flags=MS_BIND)
        covered = mounts.open_tree("/proc", recursive=True)
        with pytest.raises(OSError, match="cross-device"):
            procfs.write(covered, "sys/kernel/hostname", b"x")
        procfs.write(procfs.open_whole(), "sys/kernel/hostname", b"uncovered")
        assert os.uname().nodename == "uncovered"

    apart(body, CLONE_NEWUTS | CLONE_NEWNS)
    assert (tmp_path / "fake").read_bytes() == b""


def test_write_reports_what_the_kernel_says() -> None:
    fd = procfs.open_private()
    with pytest.raises(OSError, match="Invalid argument"):
        procfs.write(fd, f"{os.getpid()}/oom_score_adj", b"5000")
    procfs.write(fd, f"{os.getpid()}/comm", b"renamed")
    with open("/proc/self/comm") as file:
        assert file.read() == "renamed\n"
    os.close(fd)
