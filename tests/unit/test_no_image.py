"""tools/image.py where there can be no image: the installation says why, in one line that names what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools import image


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Where an earlier build has left an image."""
    (tmp_path / "pyrunc").mkdir()
    (tmp_path / "pyrunc/image").write_text("of another python")
    return tmp_path


def reason(library: Path) -> str:
    """What a build leaves in the place of an image."""
    made = image.make_image(library, library / "temporary", library / "python")
    assert made == str(library / "pyrunc/no-image")
    assert not (library / "pyrunc/image").exists(), "an old one would start another python's code"
    (line,) = (library / "pyrunc/no-image").read_text().splitlines()
    return line


@pytest.fixture
def known_python(monkeypatch: pytest.MonkeyPatch) -> str:
    """One that lacks nothing, whatever runs the tests."""
    monkeypatch.setattr(sys, "builtin_module_names", image.BUILT_IN)
    monkeypatch.setattr(image, "VERSIONS", (sys.version_info[:2],))
    monkeypatch.setattr(image, "archive", lambda: Path(__file__))
    monkeypatch.setattr(image, "with_what_is_there", lambda libraries, folder: (image.archive(), []))
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def test_a_known_python_is_no_obstacle(known_python: str) -> None:
    assert image.obstacle() == ""


def test_without_the_archive(library: Path, known_python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "archive", lambda: library / "libpython.a")
    assert f"there is no libpython{known_python}.a: install python{known_python}-dev" in reason(library)


def test_another_version(library: Path, known_python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "VERSIONS", ((2, 6), (2, 7)))
    assert f"of CPython 2.6, 2.7, this is cpython {known_python}" in reason(library)


@pytest.mark.usefixtures("known_python")
def test_a_python_of_shared_libraries(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "builtin_module_names", set(image.BUILT_IN) - {"fcntl", "select"})
    assert "this python has fcntl, select as shared libraries" in reason(library)


@pytest.mark.usefixtures("known_python")
@pytest.mark.parametrize(("compiler", "expected"), [("/nonexistent", "install gcc"), ("false", "pip install -v")])
def test_without_a_compiler_that_works(
    compiler: str, expected: str, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", compiler)
    assert expected in reason(library)
