"""What pyproject.toml cannot say: how bin/pyrunc is compiled, how all modules become one file, and the man pages.

The first two are there for speed and for the seal; without a C compiler, and in an editable install, a script takes
the launcher's place and python is started twice.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup  # first: it brings distutils where python has none any more
from setuptools.command.build_py import build_py

from distutils.command.build_scripts import build_scripts  # isort: skip

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "tools"))

from freeze import write_frozen, write_home  # noqa: E402
from image import make_image  # noqa: E402
from man import write_pages  # noqa: E402

SHIM = "containerd-shim-pyrunc-v1"
"""What containerd looks for when it is asked for the runtime io.containerd.pyrunc.v1."""
PYTHON_NAME = f"python{sys.version_info.major}.{sys.version_info.minor}"


class BinaryDistribution(Distribution):
    """A distribution for one version of python and one kind of machine: it has an ELF and marshalled code."""

    def has_ext_modules(self) -> bool:
        """Make the wheel's tags say so."""
        return True


class BuildModules(build_py):
    """Copy the package, then add frozen.pyc and the launcher's home of python."""

    home: tuple[str, ...] = ()
    image: tuple[str, ...] = ()

    def run(self) -> None:
        """Build into self.build_lib."""
        super().run()
        if not self.editable_mode:
            write_frozen(Path(self.build_lib))
            self.home = tuple(str(file) for file in write_home(Path(self.build_lib)))
            temporary = Path(self.get_finalized_command("build").build_temp)
            self.image = (make_image(Path(self.build_lib), temporary, INTERPRETER),)
            pages = write_pages(HERE / "build/man")
            self.distribution.data_files = [("share/man/man8", [str(page.relative_to(HERE)) for page in pages])]
            for schema, copy in self.schemas().items():
                self.mkpath(str(Path(copy).parent))
                self.copy_file(str(schema), copy)

    def schemas(self) -> dict[Path, str]:
        """Return the schemas and where `pyrunc check` looks for them: it has no source tree beside it."""
        files = sorted((HERE / "oci-spec").glob("*.schema.json"))
        return {file: str(Path(self.build_lib, "pyrunc/oci_spec", file.name)) for file in files}

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Tell the installer about the file too."""
        made = [str(Path(self.build_lib, "pyrunc/frozen.pyc")), *self.home, *self.image, *self.schemas().values()]
        return [*super().get_outputs(include_bytecode), *made]


class BuildLauncher(build_scripts):
    """Compile launcher/pyrunc.c to bin/pyrunc, or copy the script of that name instead; the shim is the same."""

    editable_mode = False  # set by setuptools

    def run(self) -> None:
        """Build into self.build_dir."""
        self.mkpath(self.build_dir)
        launcher, shim = (Path(self.build_dir, name) for name in ("pyrunc", SHIM))
        if self.editable_mode or not compile_launcher(launcher):
            self.warn("pyrunc gets a script instead of its launcher: every command will take 10 to 40 ms more")
            launcher.write_bytes((HERE / "launcher/pyrunc.py").read_bytes())
        shim.write_bytes(launcher.read_bytes())
        for file in (launcher, shim):
            file.chmod(0o755)


# In this order: without a C library (launcher/machine.h says why), with one inside, with one to be loaded.
LINKINGS = (
    ["-DFREESTANDING", "-ffreestanding", "-nostdlib", "-static", "-fno-stack-protector"],
    ["-static"],
    [],
)


INTERPRETER = Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def compile_launcher(target: Path) -> bool:
    """Compile the launcher and return whether that went well."""
    command = [
        *shlex.split(os.environ.get("CC", "cc")),
        *("-O2", "-Wall", "-Wextra"),
        f'-DPYTHON_NAME="{PYTHON_NAME}"',
        f'-DPYTHON_EXECUTABLE="{INTERPRETER}"',
        *("-o", str(target), str(HERE / "launcher/pyrunc.c")),
    ]
    for linking in LINKINGS:
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
