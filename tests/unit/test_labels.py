"""Labels of security modules, on a stand-in for /proc/PID/attr and /sys: the machines of tests have no such module."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pyrunc.kernel import labels, procfs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def attributes(tmp_path: Path) -> Iterator[int]:
    for name in ("exec", "keycreate"):
        (tmp_path / name).touch()
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_apparmor_has_a_directory_of_its_own(attributes: int, tmp_path: Path) -> None:
    (tmp_path / "apparmor").mkdir()
    (tmp_path / "apparmor/exec").touch()
    labels.set_apparmor_exec(attributes, "profile//child")
    assert (tmp_path / "apparmor/exec").read_text() == "exec profile//child"
    assert (tmp_path / "exec").read_text() == ""


def test_older_kernels_have_one_file_for_all(attributes: int, tmp_path: Path) -> None:
    labels.set_apparmor_exec(attributes, "profile")
    assert (tmp_path / "exec").read_text() == "exec profile"


def test_selinux(attributes: int, tmp_path: Path) -> None:
    labels.set_selinux_exec(attributes, "u:r:t:s0:c1,c2")
    labels.set_selinux_key(attributes, "u:r:t:s0")
    assert (tmp_path / "exec").read_text() == "u:r:t:s0:c1,c2"
    assert (tmp_path / "keycreate").read_text() == "u:r:t:s0"


def test_links_are_not_followed(attributes: int, tmp_path: Path) -> None:
    (tmp_path / "exec").unlink()
    (tmp_path / "exec").symlink_to("keycreate")
    with pytest.raises(OSError, match="symbolic links"):
        labels.set_selinux_exec(attributes, "x")


def test_what_only_looks_like_procfs_is_refused(tmp_path: Path) -> None:
    (tmp_path / f"{os.getpid()}/attr").mkdir(parents=True)
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    with pytest.raises(OSError, match="not a procfs"):
        labels.open_attributes(fd)
    os.close(fd)


@pytest.mark.parametrize(("text", "enabled"), [("Y\n", True), ("N\n", False), (None, False)])
def test_apparmor_is_enabled(tmp_path: Path, text: str | None, enabled: bool) -> None:
    folder = tmp_path / "module/apparmor/parameters"
    if text is not None:
        folder.mkdir(parents=True)
        (folder / "enabled").write_text(text)
    assert labels.apparmor_enabled(str(tmp_path)) is enabled


def test_selinux_is_enabled_where_its_filesystem_is_mounted() -> None:
    line = "24 23 0:22 / /sys/fs/selinux rw,relatime shared:8 - selinuxfs selinuxfs rw"
    assert labels.selinux_enabled(procfs.mountinfo(line))
    assert not labels.selinux_enabled(procfs.mountinfo(line.replace("selinuxfs", "sysfs")))
