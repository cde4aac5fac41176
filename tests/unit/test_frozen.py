"""frozen.pyc: all modules in one file, the same modules as in the source tree."""

from __future__ import annotations

import ast
import marshal
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.freeze import Lean, imports, module_name, write_frozen

REPOSITORY = Path(__file__).resolve().parents[2]
HEADER_LENGTH = 16


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the package and its frozen.pyc, as the build leaves it."""
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(REPOSITORY / "pyrunc", site / "pyrunc", ignore=shutil.ignore_patterns("__pycache__"))
    write_frozen(site)
    return site


def start_module(site: Path) -> dict[str, Any]:
    """The names of frozen.pyc's own module, run without being the main program."""
    names: dict[str, Any] = {"__name__": "start"}
    exec(marshal.loads((site / "pyrunc/frozen.pyc").read_bytes()[HEADER_LENGTH:]), names)
    return names


def python(site: Path, *arguments: str) -> str:
    """Run frozen.pyc as the launcher does, and return what it printed."""
    command = [sys.executable, "-I", "-S", str(site / "pyrunc/frozen.pyc"), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd="/").stdout


def test_every_module_is_there(site: Path) -> None:
    files = site.glob("pyrunc/**/*.py")
    assert set(start_module(site)["MODULES"]) == {module_name(file, site) for file in files}


def test_every_code_is_where_the_index_says(site: Path) -> None:
    data = (site / "pyrunc/frozen.pyc").read_bytes()
    for name, (before_end, length, package, _) in start_module(site)["MODULES"].items():
        at = len(data) - before_end
        code = marshal.loads(data[at : at + length])
        path = name.replace(".", "/") + ("/__init__" if package else "")
        assert (code.co_name, code.co_filename) == ("<module>", f"<{path}.py>")


def test_command_line_runs_from_it(site: Path) -> None:
    assert python(site, "--version").startswith("pyrunc version ")


def test_nothing_else_is_imported(site: Path) -> None:
    """Neither a source file nor `__future__`: the modules can be taken away."""
    for file in site.glob("pyrunc/**/*.py"):
        file.unlink()
    try:
        assert python(site, "--help").startswith("pyrunc")
    finally:
        shutil.copytree(REPOSITORY / "pyrunc", site / "pyrunc", dirs_exist_ok=True)


def test_source_tree_needs_none() -> None:
    command = [sys.executable, "-m", "pyrunc", "--version"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.stdout.startswith("pyrunc version ")


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import a.b.c", ["a", "a.b", "a.b.c"]),
        ("from a.b import c", ["a", "a.b", "a", "a.b", "a.b.c"]),
        ("def f():\n    import lazy", []),
        ("if TYPE_CHECKING:\n    import never", []),
    ],
)
def test_imports_of_a_module(source: str, names: list[str]) -> None:
    assert list(imports(Lean().visit(ast.parse(source)))) == names


@pytest.mark.parametrize(
    ("source", "lean"),
    [
        ("from __future__ import annotations", ""),
        ("def f(a: int, *b: A, c: A = 1, **d: A) -> int: return a", "def f(a, *b, c=1, **d):\n    return a"),
        ("if TYPE_CHECKING:\n    import a\nelse:\n    b = 1", "b = 1"),
        ("class A:\n    field: int = 1", "class A:\n    field: int = 1"),
    ],
)
def test_lean_source(source: str, lean: str) -> None:
    assert ast.unparse(Lean().visit(ast.parse(source))) == lean
