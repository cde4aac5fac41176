"""Walking and removing trees of directories that stand for cgroups: deeper and wider than one would believe."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from pyrunc.cgroups import tree
from pyrunc.errors import CgroupError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEEP = 1500  # more than recursion takes, and with 6 characters a level more than PATH_MAX


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A chain of directories, the last with a process in it."""
    top = tmp_path / "top"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(DEEP):
        os.mkdir("child", dir_fd=fd)
        below = os.open("child", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    write(fd, "42\n")
    os.close(fd)
    yield top
    subprocess.run(["rm", "-rf", str(top)], check=True)  # shutil and pytest recurse


def write(within: int, pids: str) -> None:
    fd = os.open("cgroup.procs", os.O_WRONLY | os.O_CREAT, dir_fd=within)
    os.write(fd, pids.encode())
    os.close(fd)


def test_processes_are_found_at_any_depth(deep: Path) -> None:
    assert tree.members(str(deep)) == {42}
    assert sum(1 for _ in tree.walk(str(deep))) == DEEP + 1


def test_no_descriptor_is_left_open(deep: Path) -> None:
    before = os.listdir("/proc/self/fd")
    tree.members(str(deep))
    next(iter(tree.walk(str(deep))))
    tree.remove(str(deep))
    assert os.listdir("/proc/self/fd") == before


def test_any_depth_is_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    for width in range(20):
        (top / f"{width}/a/b").mkdir(parents=True)
    assert tree.remove(str(top))
    assert not top.exists()


def test_what_is_in_use_stays_and_all_else_goes(deep: Path) -> None:
    """A file in it keeps a plain directory, as a process does a cgroup."""
    (deep / "beside/empty").mkdir(parents=True)
    assert not tree.remove(str(deep))
    assert os.listdir(deep) == ["child"]
    assert sum(1 for _ in tree.walk(str(deep))) == DEEP + 1


def test_what_is_gone_has_nobody_and_is_removed(tmp_path: Path) -> None:
    assert tree.members(f"{tmp_path}/gone") == set()
    assert tree.remove(f"{tmp_path}/gone")


def test_symbolic_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    (tmp_path / "outside/inner").mkdir(parents=True)
    (tmp_path / "top/link").symlink_to(tmp_path / "outside")
    assert not tree.remove(str(tmp_path / "top"))
    assert (tmp_path / "outside/inner").is_dir()
    with pytest.raises(CgroupError, match="cannot read the processes"):
        tree.members(str(tmp_path / "top/link"))


def test_a_value_is_written_wherever_its_file_is(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "a", tmp_path / "a/b"):
        path.mkdir(exist_ok=True)
    for path in (tmp_path, tmp_path / "a/b"):
        (path / "freezer.state").touch()
    tree.write_everywhere(str(tmp_path), "freezer.state", "THAWED")
    assert [(path / "freezer.state").read_text() for path in (tmp_path, tmp_path / "a/b")] == ["THAWED", "THAWED"]
    assert not (tmp_path / "a/freezer.state").exists()
