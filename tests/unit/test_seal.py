"""After seal() nothing of Python's is read from a file again."""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pyrunc.container.seal import seal

UNUSED = "this_is_the_containers_own"


def sealed(act: Callable[[], str]) -> str:
    """Run something in a child that has been sealed, and return what it says or what it raised."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = "died"
        try:
            seal()
            said = act()
        except BaseException as err:  # noqa: BLE001
            said = f"{type(err).__name__}: {err}"
        finally:
            os.write(writer, said.encode())
            os._exit(0)
    os.close(writer)
    said = os.read(reader, 65536).decode()
    os.close(reader)
    os.waitpid(pid, 0)
    return said


def test_a_module_of_the_containers_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{UNUSED}.py").write_text("raise SystemExit('the container runs')\n")
    monkeypatch.syspath_prepend(tmp_path)
    expected = f"ImportError: {UNUSED} was not imported before the container was entered"
    assert sealed(lambda: str(importlib.import_module(UNUSED))) == expected


@pytest.mark.parametrize("name", ["_xxsubinterpreters", "this", "antigravity", "encodings.cp037"])
def test_neither_is_one_of_the_interpreters(name: str) -> None:
    assert name not in sys.modules
    assert sealed(lambda: str(importlib.import_module(name))).startswith("ImportError: ")


def test_putting_a_path_back_does_not_help(tmp_path: Path) -> None:
    (tmp_path / f"{UNUSED}.py").write_text("")

    def act() -> str:
        sys.path.append(str(tmp_path))
        return str(importlib.import_module(UNUSED))

    assert sealed(act).startswith("ImportError: ")


def test_an_unknown_encoding_is_not_looked_for() -> None:
    assert sealed(lambda: "x".encode("cp424").decode()).startswith(("ImportError", "LookupError"))


def test_what_is_loaded_works_on() -> None:
    def act() -> str:
        import json as again

        assert again is json
        return json.dumps({"a": [1, "ü".encode().decode("utf-8")]})

    assert sealed(act) == json.dumps({"a": [1, "ü"]})


def test_nothing_is_collected_any_more() -> None:
    assert sealed(lambda: str(gc.isenabled())) == "False"


def test_the_parent_is_as_it_was() -> None:
    paths = list(sys.path)
    assert sealed(lambda: str(sys.path)) == "[]"
    assert sys.path == paths != []
    assert gc.isenabled()
