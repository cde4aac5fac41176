"""oci-spec/requirements.toml against the code: what it names is there, and every MUST has a test that shows it."""

from __future__ import annotations

import ast
import functools
import tomllib
from typing import Any

import pytest

from tests.house.source import REPOSITORY

REQUIREMENTS: list[dict[str, Any]] = tomllib.loads((REPOSITORY / "oci-spec/requirements.toml").read_text())[
    "requirement"
]
TOTAL = 137
# How many are without a test so far; a new one is no accident, and neither is one less.
OPEN = 0
MEMBERS = {"number", "level", "section", "text", "meets", "tests", "note", "open"}
CHAPTERS = {
    *("bundle.md", "runtime.md", "runtime-linux.md", "config.md", "config-linux.md", "features.md"),
    "features-linux.md",
}


def ident(requirement: dict[str, Any]) -> str:
    return f"{requirement['number']}"


each = pytest.mark.parametrize("requirement", REQUIREMENTS, ids=ident)


def test_every_requirement_is_there_once_and_in_order() -> None:
    assert [requirement["number"] for requirement in REQUIREMENTS] == list(range(1, TOTAL + 1))


@each
def test_it_says_what_it_is(requirement: dict[str, Any]) -> None:
    assert requirement.keys() <= MEMBERS
    assert requirement["level"] in ("M", "S", "m")
    assert requirement["text"]
    assert not requirement["text"].endswith(".")
    file, _, anchor = requirement["section"].partition("#")
    assert file in CHAPTERS
    assert anchor


@each
def test_a_must_is_met_and_tested(requirement: dict[str, Any]) -> None:
    if "open" in requirement:
        assert requirement["open"], "say why there is no test yet"
        assert not {"meets", "tests"} & requirement.keys(), "no longer open"
    else:
        assert requirement.get("meets")
        assert requirement.get("tests")


@each
def test_the_function_that_meets_it_exists(requirement: dict[str, Any]) -> None:
    if "open" not in requirement:
        file, _, name = requirement["meets"].partition(":")
        assert name in definitions(file)


@each
def test_its_tests_exist_and_run(requirement: dict[str, Any]) -> None:
    for test in requirement.get("tests", ()):
        file, _, name = test.partition("::")
        assert file.startswith("tests/")
        assert name.startswith("test_")
        assert name in definitions(file)
        assert not is_always_skipped(definitions(file)[name]), test


def test_what_is_open_is_counted() -> None:
    still = [f"{ident(requirement)}: {requirement['open']}" for requirement in REQUIREMENTS if "open" in requirement]
    assert len(still) == OPEN, "\n".join(still)


def test_most_are_shown_from_outside() -> None:
    """By the command line: a plan that is right is not yet a container that is."""
    inside = [
        ident(requirement)
        for requirement in REQUIREMENTS
        if "open" not in requirement
        and not requirement.get("note")
        and not any(test.startswith("tests/scenario/") for test in requirement["tests"])
        and not requirement["section"].startswith("features")
    ]
    assert inside == []


@functools.cache
def definitions(file: str) -> dict[str, ast.AST]:
    """The functions and classes at the top of a file by their names; none if there is no such file."""
    path = REPOSITORY / file
    if not path.is_file():
        return {}
    body = ast.parse(path.read_text()).body
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def is_always_skipped(node: ast.AST) -> bool:
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
    never = ("pytest.mark.skip(", "pytest.mark.xfail")
    return any(ast.unparse(decorator).startswith(never) for decorator in decorators)
