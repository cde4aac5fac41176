"""Landlock, seen from a process that has restricted itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pyrunc.kernel import landlock
from tests.kernel.apart import apart

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.vm, pytest.mark.requires("root", "landlock")]

READ_FILE, READ_DIR = 1 << 2, 1 << 3


def test_only_what_is_allowed_remains(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open/file").write_text("text")
    (tmp_path / "closed").write_text("secret")

    def body() -> str:
        ruleset = landlock.create_ruleset(READ_FILE)
        folder = os.open(tmp_path / "open", os.O_PATH)
        landlock.allow_beneath(ruleset, folder, READ_FILE)
        landlock.restrict_self(ruleset)
        with pytest.raises(PermissionError):
            os.open(tmp_path / "closed", os.O_RDONLY)
        os.listdir(tmp_path)  # not handled, so not restricted
        with open(tmp_path / "open/file") as file:
            return file.read()

    assert apart(body, 0) == "text"


def test_rights_of_directories_mean_nothing_for_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    def body() -> None:
        ruleset = landlock.create_ruleset(READ_FILE | READ_DIR)
        with pytest.raises(OSError, match="Invalid argument"):
            landlock.allow_beneath(ruleset, os.open(tmp_path / "file", os.O_PATH), READ_DIR)

    apart(body, 0)


def test_unknown_rights_are_refused() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        landlock.create_ruleset(1 << 63)
