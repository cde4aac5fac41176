"""The sources as the tests of the house read them: parsed once, with their imports and calls."""

from __future__ import annotations

import ast
import functools
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "pyrunc"

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Import(NamedTuple):
    """One imported module of ours or of others; `typing` says that only type checkers see it."""

    module: str
    line: int
    typing: bool


class Source:
    """One file of the package. `name` is its path below pyrunc/, `room` its first folder, or its own name
    at the top.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.relative_to(PACKAGE).as_posix()
        self.room = self.name.split("/")[0].removesuffix(".py")
        self.text = path.read_text()
        self.tree = ast.parse(self.text, str(path))

    def imports(self) -> Iterator[Import]:
        """Yield every import, wherever in the file it stands."""
        hidden = {id(node) for node in self._seen_by_type_checkers_only()}
        for node in ast.walk(self.tree):
            for module in _modules(node):
                yield Import(module, getattr(node, "lineno", 0), id(node) in hidden)

    def _seen_by_type_checkers_only(self) -> Iterator[ast.AST]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
                for statement in node.body:
                    yield from ast.walk(statement)

    def calls(self) -> Iterator[tuple[str, int]]:
        """Yield (dotted name as it is written, line) of every call."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and (name := dotted(node.func)):
                yield name, node.lineno

    def functions(self) -> Iterator[tuple[str, Function]]:
        """Yield (dotted name, function) of every function and method, inner ones too."""
        yield from _functions("", self.tree)


def _modules(node: ast.AST) -> list[str]:
    """The modules that an import statement names. `from pyrunc.a import b` may name pyrunc.a.b or a name
    in pyrunc.a.
    """
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        return [f"{base}.{alias.name}" if is_module(f"{base}.{alias.name}") else base for alias in node.names]
    return []


def is_module(name: str) -> bool:
    """Tell whether a dotted name is one of our modules or rooms."""
    path = REPOSITORY.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def dotted(node: ast.AST) -> str:
    """`a.b.c` of such an expression, "" of any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return ""


def _functions(prefix: str, node: ast.AST) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, Function | ast.ClassDef)
        inner = f"{prefix}{child.name}." if isinstance(child, Function | ast.ClassDef) else prefix
        if isinstance(child, Function):
            yield f"{prefix}{child.name}", child
        if named or isinstance(child, ast.stmt):
            yield from _functions(inner, child)


@functools.cache
def sources() -> tuple[Source, ...]:
    """Every file of the package."""
    return tuple(Source(path) for path in sorted(PACKAGE.rglob("*.py")))
