"""frozen.pyc: all modules in one file, the same modules as in the source tree."""

from __future__ import annotations

import ast
import codecs
import marshal
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from tools.freeze import HOME, Lean, imports, module_name, standard_library, write_frozen, write_home

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


def home_python(site: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a python that has our home, as the launcher starts it, with the library's directories added."""
    write_home(site)
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = f"{sysconfig.get_config_var('BINDIR')}/{name}"
    library = standard_library()
    start = (
        f"import sys; assert sys.prefix == {str(site / HOME)!r}, sys.prefix; sys.path[:] = {library!r};"
        f"sys.modules['encodings'].__path__.append({library[0] + '/encodings'!r}); {script}"
    )
    program = site / "start.py"  # as the launcher does: -c brings in linecache since 3.13
    program.write_text(start, "utf-8")
    command = [str(site / HOME / "bin" / name), "-I", "-S", "-B", "-X", "utf8", str(program)]
    return subprocess.run(command, executable=base, check=False, capture_output=True, text=True, cwd="/")


def test_python_in_our_home_starts_without_a_word(site: Path) -> None:
    result = home_python(site, "print('\\u00e9', len(sys.modules['encodings'].__file__) > 0)")
    assert (result.returncode, result.stdout, result.stderr) == (0, "\u00e9 True\n", "")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "windows-1252", "UTF-16", "idna", "rot13"])
def test_other_encodings_come_from_the_standard_library(site: Path, encoding: str) -> None:
    result = home_python(site, f"import codecs; print(codecs.lookup({encoding!r}).name)")
    assert result.stdout.strip() == codecs.lookup(encoding).name


def test_unknown_encoding_is_a_lookup_error(site: Path) -> None:
    assert "LookupError: unknown encoding: nonsense" in home_python(site, "''.encode('nonsense')").stderr
