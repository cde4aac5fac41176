"""What may not stand in the sources."""

from __future__ import annotations

import ast
import functools
import os
import re
from pathlib import Path

import pytest

from bundles.folder import made, names
from tests.house.source import REPOSITORY, Source, dotted, sources

# Published, and read before it was cited. A number that is not here is a slip of the pen, or belongs here.
KNOWN_CVES = """
    2016-3697 2016-8867 2016-9962 2017-5226 2018-15664 2019-5736 2019-14271 2019-16884 2019-18837 2019-19921
    2020-14298 2020-14300 2020-15257 2021-30465 2021-43784 2022-0492 2022-0811 2022-24769 2022-27649
    2022-27650 2022-27651 2022-29162 2023-25809 2023-27561 2023-28642 2024-0132 2024-21626 2024-45310
    2025-23266 2025-24965 2025-27612 2025-31133 2025-52565 2025-52881 2025-54867 2025-62161 2025-62596
    2026-30892 2026-41579 2026-47766 2026-84042 2026-88264 2026-88265
""".split()
SUFFIXES = {".py", ".md", ".toml", ".c", ".h", ".json", ".sh", ".in", ""}
SKIPPED = {
    ".git",
    ".venv",
    "build",
    "dist",
    "rootfs",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
}
FAIL_CLOSED = ("container/", "kernel/")


@functools.cache
def project_files() -> tuple[Path, ...]:
    """The project's own text files, without what `make bundles` has made of this machine's paths."""
    built = {path for name in names() for path in made(name)}
    found = []
    for folder, folders, files in os.walk(REPOSITORY):
        folders[:] = [name for name in folders if name not in SKIPPED and not name.endswith(".egg-info")]
        folders[:] = [name for name in folders if Path(folder, name) not in built]
        found += [Path(folder, name) for name in files if Path(name).suffix in SUFFIXES]
    return tuple(path for path in sorted(found) if path.is_file() and path not in built)


def swallowed(source: Source) -> list[int]:
    """Lines of handlers that catch OSError, or everything, and do nothing about it."""
    return [
        handler.lineno
        for handler in ast.walk(source.tree)
        if isinstance(handler, ast.ExceptHandler)
        and catches_os_errors(handler.type)
        and all(isinstance(statement, ast.Pass | ast.Continue) or is_ellipsis(statement) for statement in handler.body)
    ]


def catches_os_errors(kind: ast.expr | None) -> bool:
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(each is None or dotted(each) in ("OSError", "Exception", "BaseException") for each in kinds)


def is_ellipsis(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and statement.value.value is ...
    )


@pytest.mark.parametrize(
    "source", [each for each in sources() if each.name.startswith(FAIL_CLOSED)], ids=lambda source: source.name
)
def test_no_failure_is_swallowed_where_security_is_made(source: Source) -> None:
    assert swallowed(source) == []


def test_no_drawer_for_odds_and_ends() -> None:
    """A function belongs to the noun it is about."""
    drawers = {"utils.py", "util.py", "helpers.py", "helper.py", "misc.py", "common.py"}
    assert [path for path in project_files() if path.name in drawers] == []


def text_of(path: Path) -> str:
    return path.read_text(errors="replace")


def test_no_paths_of_the_authors_machine() -> None:
    """Written in pieces here, or this file would find itself."""
    machine = re.compile("|".join(["/wo" + "rk/(main|shared|\\.)", "/tmp/" + "venv", "/ro" + "ot/\\.pyenv"]))
    assert [str(path) for path in project_files() if machine.search(text_of(path))] == []


def test_no_home_directories_in_the_runtime() -> None:
    """A rootfs has a /root of its own; the runtime has no business there or in anybody's home."""
    home = re.compile(r"""["'](/root|/home)\b""")
    assert [source.name for source in sources() if home.search(source.text)] == []


def test_published_holes_are_cited_by_their_numbers() -> None:
    cited = {
        (number, str(path)) for path in project_files() for number in re.findall(r"CVE-(\d{4}-\d+)", text_of(path))
    }
    assert {entry for entry in cited if entry[0] not in KNOWN_CVES} == set()


def test_no_todo_is_left_behind() -> None:
    """What is not done yet stands in the README and the issues, where somebody looks."""
    word = re.compile(r"#.*\b(TO" + "DO|FIX" + r"ME|XX" + r"X)\b")
    assert [source.name for source in sources() if word.search(source.text)] == []
