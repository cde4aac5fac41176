"""tmpcopyup: a copy that is the same, without following a link."""

from __future__ import annotations

import os
import posix
import stat
from pathlib import Path

import pytest

from pyrunc.container.copyup import copy_tree
from pyrunc.errors import StepError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def copied(source: Path) -> Path:
    """A copy of the source, made as the runtime does."""
    target = source.parent / "target"
    target.mkdir()
    old, new = os.open(source, os.O_PATH), os.open(target, os.O_PATH)
    try:
        copy_tree(old, new)
    finally:
        os.close(old)
        os.close(new)
    return target


def facts(path: Path) -> tuple[int, int, int, int, int]:
    status = path.lstat()
    return status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_atime_ns


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 300_000])
def test_files_have_their_content(source: Path, size: int) -> None:
    content = os.urandom(size)
    (source / "file").write_bytes(content)
    assert (copied(source) / "file").read_bytes() == content


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o755, 0o4755, 0o2750, 0o777])
def test_files_have_their_mode_and_times_whatever_the_umask(source: Path, mode: int) -> None:
    (source / "file").write_text("x")
    (source / "file").chmod(mode)
    os.utime(source / "file", ns=(1_000_000_001, 2_000_000_002))
    before = facts(source / "file")
    assert facts(copied(source) / "file") == before
    assert before[3:] == (2_000_000_002, 1_000_000_001)


def test_directories_have_theirs_after_they_were_filled(source: Path) -> None:
    (source / "d/e").mkdir(parents=True)
    (source / "d/e/f").write_text("x")
    (source / "d").chmod(0o1777)
    for name in ("d/e", "d"):
        os.utime(source / name, ns=(1, 2_000_000_002))
    before = [facts(source / name) for name in ("d", "d/e")]
    target = copied(source)
    assert [facts(target / name) for name in ("d", "d/e")] == before
    assert (target / "d/e/f").read_text() == "x"


def test_the_top_has_the_mode_of_the_images(source: Path) -> None:
    source.chmod(0o1777)
    assert stat.S_IMODE(copied(source).stat().st_mode) == 0o1777


def test_the_top_has_its_times_after_it_was_filled(source: Path) -> None:
    (source / "file").write_text("x")
    os.utime(source, ns=(1, 2_000_000_002))
    assert copied(source).stat().st_mtime_ns == 2_000_000_002


@pytest.mark.parametrize("target", ["file", "/etc/passwd", "nowhere", "..", "."])
def test_links_stay_links(source: Path, target: str) -> None:
    (source / "file").write_text("x")
    (source / "link").symlink_to(target)
    copy = copied(source)
    assert os.readlink(copy / "link") == target
    assert sorted(os.listdir(copy)) == ["file", "link"]


def test_a_fifo_is_not_read(source: Path) -> None:
    os.mkfifo(source / "fifo")
    assert stat.S_ISFIFO((copied(source) / "fifo").lstat().st_mode)


def test_names_that_are_not_utf8(source: Path) -> None:
    (source / "\udcff").write_text("x")
    assert os.listdir(copied(source)) == ["\udcff"]


@pytest.mark.parametrize(("depth", "too_deep"), [(64, False), (66, True)])
def test_a_tree_that_is_too_deep_is_refused(source: Path, depth: int, too_deep: bool) -> None:
    (source / "/".join("d" * depth)).mkdir(parents=True)
    if too_deep:
        with pytest.raises(StepError, match="deeper than 64 directories"):
            copied(source)
    else:
        assert (copied(source) / "/".join("d" * depth)).is_dir()


def test_a_write_that_takes_less_is_gone_on_with(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source / "file").write_text("0123456789")
    write = posix.write
    monkeypatch.setattr(posix, "write", lambda fd, block: write(fd, bytes(block)[:4]))
    copy = copied(source)
    monkeypatch.undo()
    assert (copy / "file").read_text() == "0123456789"
