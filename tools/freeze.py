"""Put all modules of a package tree into one file, pyrunc/frozen.pyc: pyrunc/_start.py says why and reads it.

    python tools/freeze.py ROOT        ROOT/pyrunc/frozen.pyc from ROOT/pyrunc/**/*.py

The build calls write_frozen on what it is about to install.
"""

from __future__ import annotations
import __future__

import ast
import importlib.util
import marshal
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType


HOME = "pyrunc/home"


class Frozen(NamedTuple):
    """One module: its marshalled code, the modules of ours that it imports as soon as it runs, its kind."""

    code: bytes
    needs: tuple[str, ...]
    package: bool


class Lean(ast.NodeTransformer):
    """Take out what only readers and type checkers need; a fifth less to load and run at start-up.

    Class annotations stay, because record.Record reads them. Docstrings and asserts go by optimize=2.
    """

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """Drop the annotations of a function and of what is in it."""
        arguments = node.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        for argument in [*named, arguments.vararg, arguments.kwarg]:
            if argument is not None:
                argument.annotation = None
        node.returns = None
        self.generic_visit(node)
        return node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        """Keep only what runs of `if TYPE_CHECKING:`."""
        self.generic_visit(node)
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node.orelse
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        """Drop `from __future__ import annotations`, which at run time reads a module from disk."""
        return None if node.module == "__future__" else node


def write_frozen(root: Path) -> None:
    """Write root/pyrunc/frozen.pyc from the modules below root/pyrunc. Raises OSError, SyntaxError."""
    sources = sorted(file for file in root.glob("pyrunc/**/*.py") if HOME not in file.as_posix())
    files = {module_name(file, root): file for file in sources}
    modules = {name: freeze(file, root, set(files)) for name, file in files.items()}
    index, before_end = {}, sum(len(module.code) for module in modules.values())
    for name, module in modules.items():
        index[name] = (before_end, len(module.code), module.package, module.needs)
        before_end -= len(module.code)
    start = root / "pyrunc/_start.py"
    source = start.read_text("utf-8").replace("]] = {}\n", f"]] = {index}\n")
    source = source.replace("STDLIB: tuple[str, ...] = ()\n", f"STDLIB: tuple[str, ...] = {standard_library()}\n")
    header = importlib.util.MAGIC_NUMBER + bytes(12)  # PEP 552: flags, time and size of an unchecked source
    codes = [marshal.dumps(compile_lean(ast.parse(source), start, root)), *(m.code for m in modules.values())]
    (root / "pyrunc/frozen.pyc").write_bytes(header + b"".join(codes))


def standard_library() -> tuple[str, str]:
    """Return where the standard library's modules and its compiled ones are, not those of a virtual environment."""
    return sysconfig.get_path("stdlib"), str(sysconfig.get_config_var("DESTSHARED"))


def write_home(root: Path) -> list[Path]:
    """Make a home for the launcher's python, with the little it loads before our code runs; return its files.

    python takes a directory for its home that has lib/pythonX.Y/os.py, the landmark it looks for going up from its
    own name; without lib-dynload it prints a warning. pyrunc/_encodings.py says what this is good for.
    """
    library = root / HOME / f"lib/python{sys.version_info.major}.{sys.version_info.minor}"
    encodings = (root / "pyrunc/_encodings.py").read_text("utf-8")
    contents = {
        "os.py": '"""The landmark of a home of python; os itself is built into the interpreter."""\n',
        "lib-dynload/README": "The standard library's compiled modules are where they always were.\n",
        # Lean: __future__ would have to be imported before anything can be.
        "encodings/__init__.py": ast.unparse(Lean().visit(ast.parse(encodings))),
    }
    for name, text in contents.items():
        (library / name).parent.mkdir(parents=True, exist_ok=True)
        (library / name).write_text(text, "utf-8")
    return [library / name for name in contents]


def module_name(file: Path, root: Path) -> str:
    """Return the dotted name of the module in a file."""
    return ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def freeze(file: Path, root: Path, known: set[str]) -> Frozen:
    """Compile one module and find out which of the `known` ones it imports when it is run."""
    tree = Lean().visit(ast.parse(file.read_text("utf-8")))
    needs = tuple(dict.fromkeys(name for name in imports(tree) if name in known))
    return Frozen(marshal.dumps(compile_lean(tree, file, root)), needs, file.name == "__init__.py")


def imports(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module's top-level import statements may load, parents first."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[: end + 1]) for end in range(len(parts)))


def compile_lean(tree: ast.Module, file: Path, root: Path) -> CodeType:
    """Compile a tree without docstrings and asserts.

    The file name is in angle brackets: traceback would look a relative one up in the working directory, the
    bundle.
    """
    lean: ast.Module = ast.fix_missing_locations(Lean().visit(tree))
    flags = __future__.annotations.compiler_flag
    name = f"<{file.relative_to(root)}>"
    code: CodeType = compile(lean, name, "exec", flags, dont_inherit=True, optimize=2)
    return code


if __name__ == "__main__":
    write_frozen(Path(sys.argv[1]))
    write_home(Path(sys.argv[1]))
