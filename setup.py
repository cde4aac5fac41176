"""What pyproject.toml cannot say: how bin/pyrunc is compiled, and how all modules become one file.

Both are there for speed and for the seal; without a C compiler, and in an editable install, a script takes
the launcher's place and python is started twice.
"""

from __future__ import annotations

import importlib.util
import marshal
import os
import shlex
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup  # first: it brings distutils where python has none any more
from setuptools.command.build_py import build_py

from distutils.command.build_scripts import build_scripts  # isort: skip

HERE = Path(__file__).resolve().parent
PYTHON_NAME = f"python{sys.version_info.major}.{sys.version_info.minor}"


class BinaryDistribution(Distribution):
    """A distribution for one version of python and one kind of machine: it has an ELF and marshalled code."""

    def has_ext_modules(self) -> bool:
        """Make the wheel's tags say so."""
        return True


class BuildModules(build_py):
    """Copy the package, then add frozen.pyc (pyrunc/_start.py says what is in it, and why)."""

    def run(self) -> None:
        """Build into self.build_lib."""
        super().run()
        if not self.editable_mode:
            write_frozen(Path(self.build_lib))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Tell the installer about the file too."""
        return [*super().get_outputs(include_bytecode), str(Path(self.build_lib, "pyrunc/frozen.pyc"))]


class BuildLauncher(build_scripts):
    """Compile launcher/pyrunc.c to bin/pyrunc, or copy the script of that name instead."""

    editable_mode = False  # set by setuptools

    def run(self) -> None:
        """Build into self.build_dir."""
        self.mkpath(self.build_dir)
        launcher = Path(self.build_dir, "pyrunc")
        if not self.editable_mode and compile_launcher(launcher):
            return
        self.warn("pyrunc gets a script instead of its launcher: every command will take 10 to 40 ms more")
        launcher.write_bytes((HERE / "launcher/pyrunc.py").read_bytes())
        launcher.chmod(0o755)


def write_frozen(root: Path) -> None:
    """Write root/pyrunc/frozen.pyc from the modules of root/pyrunc.

    Docstrings and asserts are left out (optimize=2): a tenth of what a command reads. A code object's file
    name is in angle brackets: a relative one would be looked up in the working directory, the bundle.
    """
    codes = {}
    for file in sorted(root.glob("pyrunc/**/*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        codes[name] = (marshal.dumps(compile_module(file, root)), parts[-1] == "__init__")
    index, before_end = {}, sum(len(code) for code, _ in codes.values())
    for name, (code, package) in codes.items():
        index[name] = (before_end, len(code), package)
        before_end -= len(code)
    start = compile_module(root / "pyrunc/_start.py", root, f"= {index}")
    header = importlib.util.MAGIC_NUMBER + bytes(12)  # PEP 552: flags, time and size of an unchecked source
    (root / "pyrunc/frozen.pyc").write_bytes(
        header + marshal.dumps(start) + b"".join(code for code, _ in codes.values())
    )


def compile_module(file: Path, root: Path, modules: str = "= {}") -> object:
    """Return a module's code object; `modules` is put in the place of _start.MODULES' empty value."""
    source = file.read_text("utf-8").replace("bool]] = {}\n", f"bool]] {modules}\n")
    return compile(source, f"<{file.relative_to(root)}>", "exec", dont_inherit=True, optimize=2)


def compile_launcher(target: Path) -> bool:
    """Compile the launcher and return whether that went well. Statically linked it starts 0.1 ms sooner."""
    command = [
        *shlex.split(os.environ.get("CC", "cc")),
        *("-O2", "-Wall", "-Wextra", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2"),
        f'-DPYTHON_NAME="{PYTHON_NAME}"',
        f'-DPYTHON_EXECUTABLE="{Path(getattr(sys, "_base_executable", sys.executable)).resolve()}"',
        *("-o", str(target), str(HERE / "launcher/pyrunc.c")),
    ]
    for linking in (["-static"], []):
        try:
            subprocess.run([*command, *linking], check=True)
            return True
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"cannot compile the launcher: {error}", file=sys.stderr)
    return False


setup(
    distclass=BinaryDistribution,
    cmdclass={"build_py": BuildModules, "build_scripts": BuildLauncher},
    scripts=["launcher/pyrunc.c"],  # makes setuptools run build_scripts, which decides what becomes of it
)
