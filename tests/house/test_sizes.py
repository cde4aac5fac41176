"""Sizes to hold: what is short is read. Lines of a function are counted without its docstring and
decorators.
"""

from __future__ import annotations

import ast
import statistics

import pytest

from tests.house.source import Function, Source, sources

FILE_LINES = 400
FUNCTION_LINES = 50
STORY_LINES = 80
MEDIAN_LINES = 10
STORIES = {("host/create.py", "create"), ("container/init.py", "init")}


def lines(function: Function) -> int:
    """Lines from `def` to the end, without the docstring."""
    whole = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    is_docstring = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return whole - ((first.end_lineno or first.lineno) - first.lineno + 1 if is_docstring else 0)


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)
def test_file_is_short(source: Source) -> None:
    assert len(source.text.splitlines()) <= FILE_LINES


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)
def test_functions_are_short(source: Source) -> None:
    limit = {name: STORY_LINES for file, name in STORIES if file == source.name}
    long = {
        name: lines(function)
        for name, function in source.functions()
        if lines(function) > limit.get(name, FUNCTION_LINES)
    }
    assert long == {}


def test_most_functions_are_a_few_lines() -> None:
    counts = [lines(function) for source in sources() for _, function in source.functions()]
    assert not counts or statistics.median(counts) <= MEDIAN_LINES


def public(source: Source) -> list[ast.AST]:
    """The module, its public classes, their public methods, its public functions."""
    tops = [node for node in source.tree.body if isinstance(node, Function | ast.ClassDef)]
    members = [
        node for top in tops if isinstance(top, ast.ClassDef) and not top.name.startswith("_") for node in top.body
    ]
    found = [node for node in (*tops, *members) if isinstance(node, Function | ast.ClassDef)]
    return [source.tree, *(node for node in found if not node.name.startswith("_"))]


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)
def test_public_things_have_docstrings(source: Source) -> None:
    """An empty __init__.py needs none; describe() and `where` of steps are explained once, in their base class."""
    without = [
        getattr(node, "name", "the module")
        for node in public(source)
        if isinstance(node, Function | ast.ClassDef | ast.Module) and not ast.get_docstring(node)
    ]
    if not source.text.strip():
        without.remove("the module")
    if source.room == "plan":
        without = [name for name in without if name not in ("describe", "where")]
    assert without == []


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)
def test_everything_is_annotated(source: Source) -> None:
    """mypy --strict says so too, where it is run."""
    bare = [
        name
        for name, function in source.functions()
        if function.returns is None and function.name != "__init__" and not is_inner_decorator(source, name)
    ]
    assert bare == []


def is_inner_decorator(source: Source, name: str) -> bool:
    """record.py's stand-in for typing.dataclass_transform is seen by no type checker."""
    return source.name == "record.py" and name == "dataclass_transform"
