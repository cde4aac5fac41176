"""A file in another's place, at once and without waiting for the disk."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from pyrunc.kernel import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("before", ["", "old"])
def test_the_new_file_is_there_and_nothing_else(tmp_path: Path, directory: int, before: str) -> None:
    if before:
        (tmp_path / "state").write_text(before)
    (tmp_path / "state.new").write_text("new")
    replacing.replace("state.new", "state", directory)
    assert os.listdir(tmp_path) == ["state"]
    assert (tmp_path / "state").read_text() == "new"


def test_a_file_system_that_cannot_exchange(
    tmp_path: Path, directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, "not here")

    monkeypatch.setattr(replacing, "named", refuse)
    test_the_new_file_is_there_and_nothing_else(tmp_path, directory, "old")


def test_who_has_the_old_file_open_reads_on(tmp_path: Path, directory: int) -> None:
    (tmp_path / "state").write_text("old")
    (tmp_path / "state.new").write_text("new")
    with (tmp_path / "state").open() as reader:
        replacing.replace("state.new", "state", directory)
        assert reader.read() == "old"


def test_what_is_not_there_is_an_error(directory: int) -> None:
    with pytest.raises(FileNotFoundError):
        replacing.replace("no", "state", directory)
