"""Pseudo-terminals that no path can lead astray."""

from __future__ import annotations

import errno
import os
import stat
import termios
from typing import TYPE_CHECKING

import pytest

from pyrunc.kernel import mounts, paths, terminal
from pyrunc.kernel.flags import DEVPTS_SUPER_MAGIC, MS_BIND, TMPFS_MAGIC
from tests.kernel.apart import apart

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.requires("root")

O_PATH = 0o10000000
IUTF8 = 0o40000  # termios has it from Python 3.12 on
Pair = tuple[int, int]


@pytest.fixture
def pair() -> Iterator[Pair]:
    devpts = mounts.new_filesystem("devpts", "devpts", ("newinstance", "ptmxmode=0666"), 0)
    master, slave, _ = terminal.open_pty(devpts)
    yield master, slave
    for fd in (master, slave, devpts):
        os.close(fd)


def test_a_pair_of_a_devpts_that_is_mounted_nowhere() -> None:
    devpts = mounts.new_filesystem(
        "devpts", "devpts", ("newinstance", "ptmxmode=0666", "mode=0620", "gid=5"), 0
    )
    master, slave, name = terminal.open_pty(devpts)
    assert name == "/dev/pts/0"
    assert paths.filesystem_type(slave) == DEVPTS_SUPER_MAGIC
    assert os.fstat(slave).st_gid == 5
    assert sorted(os.listdir(os.open(".", os.O_RDONLY, dir_fd=devpts))) == ["0", "ptmx"]
    assert terminal.open_pty(devpts)[2] == "/dev/pts/1"
    os.write(master, b"line\n")
    assert os.read(slave, 100) == b"line\n"
    assert not os.get_inheritable(master)
    assert not os.get_inheritable(slave)
    assert not os.isatty(devpts)
    assert os.isatty(slave)


@pytest.mark.parametrize("own_proc", [True, False])
def test_a_pair_of_a_ptmx_device(own_proc: bool) -> None:
    proc = paths.open_root("/proc") if own_proc else -1
    fd = paths.openat2(-100, "/dev/ptmx", O_PATH)
    master, slave, name = terminal.open_pty(fd, proc)
    assert os.ttyname(slave) == name
    for each in (fd, master, slave):
        os.close(each)


def refuses(fd: int) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="ptmx") as caught:
        terminal.open_pty(fd)
    assert caught.value.errno in (errno.ENOTTY, errno.ENOENT)
    assert os.listdir("/proc/self/fd") == before
    os.close(fd)


def test_another_device_of_that_name_is_refused(tmp_path: Path) -> None:
    os.mknod(tmp_path / "ptmx", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    refuses(os.open(tmp_path, os.O_RDONLY))
    refuses(os.open(tmp_path / "ptmx", O_PATH))


def test_a_block_device_with_the_numbers_of_ptmx_is_refused(tmp_path: Path) -> None:
    os.mknod(tmp_path / "ptmx", stat.S_IFBLK | 0o666, os.makedev(5, 2))
    refuses(os.open(tmp_path / "ptmx", O_PATH))


def test_a_file_or_link_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ptmx").symlink_to("/dev/ptmx")
    refuses(os.open(tmp_path, os.O_RDONLY))
    (tmp_path / "ptmx").unlink()
    (tmp_path / "ptmx").touch()
    refuses(os.open(tmp_path, os.O_RDONLY))


def test_something_mounted_over_ptmx_is_refused(tmp_path: Path) -> None:
    def body() -> None:
        mounts.mount("devpts", str(tmp_path), "devpts", data="newinstance,ptmxmode=0666")
        mounts.mount("/dev/null", f"{tmp_path}/ptmx", flags=MS_BIND)
        refuses(os.open(tmp_path, os.O_RDONLY))

    apart(body)


def test_what_is_put_there_after_the_look_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[os.stat_result] = []
    monkeypatch.setattr(terminal, "_check_ptmx", looked.append)
    (tmp_path / "ptmx").symlink_to("/dev/ptmx")
    fd = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(OSError, match="symbolic links"):
        terminal.open_pty(fd)
    os.close(fd)
    assert len(looked) == 1


def test_a_terminal_that_is_on_no_devpts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """CVE-2025-52565: whatever the driver gave us, only a devpts cannot be the container's own making."""
    devpts = mounts.new_filesystem("devpts", "devpts", ("newinstance", "ptmxmode=0666"), 0)
    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(paths, "filesystem_type", lambda _: TMPFS_MAGIC)
    with pytest.raises(OSError, match="not on a devpts"):
        terminal.open_pty(devpts)
    assert os.listdir("/proc/self/fd") == before
    os.close(devpts)


def test_the_size_is_that_of_both_ends(pair: Pair) -> None:
    master, slave = pair
    assert terminal.get_size(master) == (0, 0)
    terminal.set_size(slave, 25, 132)
    assert terminal.get_size(master) == (25, 132)
    assert os.get_terminal_size(master) == os.terminal_size((132, 25))


def test_what_is_no_terminal_has_no_size() -> None:
    fd = os.open("/dev/null", os.O_RDWR)
    for call in (terminal.get_size, terminal.make_raw, terminal.make_controlling):
        with pytest.raises(OSError, match="Inappropriate ioctl") as caught:
            call(fd)
        assert caught.value.errno == errno.ENOTTY
    os.close(fd)


def test_raw_mode_is_what_python_calls_raw_and_is_undone(pair: Pair) -> None:
    _, slave = pair
    normal = termios.tcgetattr(slave)
    before = terminal.make_raw(slave)
    raw = termios.tcgetattr(slave)
    terminal.restore(slave, before)
    assert termios.tcgetattr(slave) == normal
    assert raw[0] & (termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP) == 0
    assert raw[0] & (termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON) == 0
    assert raw[1] & termios.OPOST == 0
    assert raw[2] & (termios.CSIZE | termios.PARENB) == termios.CS8
    assert raw[3] & (termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN) == 0
    assert (raw[6][termios.VMIN], raw[6][termios.VTIME]) == (1, 0)


def test_raw_mode_changes_nothing_else(pair: Pair) -> None:
    _, slave = pair
    attributes = termios.tcgetattr(slave)
    attributes[0] |= IUTF8
    attributes[2] |= termios.HUPCL
    attributes[2] &= ~termios.CSIZE
    attributes[2] |= termios.CS7 | termios.PARENB
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    terminal.make_raw(slave)
    raw = termios.tcgetattr(slave)
    assert raw[0] == IUTF8
    assert raw[2] & termios.HUPCL
    assert raw[4:6] == attributes[4:6]


def test_raw_bytes_pass_through_at_once(pair: Pair) -> None:
    master, slave = pair
    terminal.make_raw(slave)
    os.write(master, b"\x03\r")
    assert os.read(slave, 10) == b"\x03\r"
    os.write(slave, b"a\n")
    assert os.read(master, 10) == b"a\n"


def test_a_session_gets_its_controlling_terminal(pair: Pair) -> None:
    _, slave = pair

    def body() -> bool:
        os.setsid()
        terminal.make_controlling(slave)
        return os.tcgetpgrp(os.open("/dev/tty", os.O_RDWR)) == os.getpid()

    assert apart(body, 0)
