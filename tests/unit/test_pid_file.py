"""The file that tells an engine the init's pid."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from pyrunc.errors import StateError
from pyrunc.host.pid_file import write_pid_file


def test_it_is_a_bare_number(tmp_path: Path) -> None:
    write_pid_file(f"{tmp_path}/pid", 4711)
    assert (tmp_path / "pid").read_bytes() == b"4711"
    assert os.listdir(tmp_path) == ["pid"]


def test_others_may_read_it(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        write_pid_file(f"{tmp_path}/pid", 1)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "pid").stat().st_mode) == 0o644


def test_who_reads_the_old_file_reads_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text("123456")
    with (tmp_path / "pid").open() as reader:
        write_pid_file(f"{tmp_path}/pid", 7)
        assert reader.read() == "123456"
    assert (tmp_path / "pid").read_text() == "7"


def test_it_has_no_other_name_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A create that is killed in between leaves nothing."""
    linked = []
    real = os.link

    def link(source: str, target: str, **more: Any) -> None:
        linked.append(os.listdir(tmp_path))
        real(source, target, **more)

    monkeypatch.setattr("posix.link", link)
    write_pid_file(f"{tmp_path}/pid", 7)
    assert linked == [[]]


def test_where_a_file_must_have_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrunc.host.pid_file._write_nameless", lambda *_: False)
    write_pid_file(f"{tmp_path}/pid", 7)
    assert (tmp_path / "pid").read_text() == "7"
    assert os.listdir(tmp_path) == ["pid"]


def test_what_a_killed_create_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".pid").write_text("999999999")
    write_pid_file(f"{tmp_path}/pid", 7)
    assert (tmp_path / "pid").read_text() == "7"


def test_a_relative_name_is_below_the_directory_we_are_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_pid_file("pid", 7)
    assert os.listdir(tmp_path) == ["pid"]


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=f"cannot write the pid file {tmp_path}/no/pid: not found"):
        write_pid_file(f"{tmp_path}/no/pid", 7)
