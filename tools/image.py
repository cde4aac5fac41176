"""Compile launcher/image.c and let it make pyrunc/image: a python that has imported everything already."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

LAUNCHER = Path(__file__).resolve().parents[1] / "launcher"
PROGRAM = str(LAUNCHER / "image.c")
CONTENTS = str(LAUNCHER / "contents.py")
# What image.c hands out from its own memory while the image is made.
WRAPPED = ("malloc", "calloc", "realloc", "free", "mmap64", "munmap")


def make_image(library: Path, temporary: Path, interpreter: Path) -> tuple[str, ...]:
    """Make LIBRARY/pyrunc/image, and return its name; nothing where this python or this machine cannot have one.

    Needs libpythonX.Y.a, which distributions have in the package with python's headers.
    """
    image, plain = library / "pyrunc/image", (temporary / "interpreter").absolute()
    temporary.mkdir(parents=True, exist_ok=True)
    frozen = str((library / "pyrunc/frozen.pyc").absolute())
    try:
        compile_interpreter(plain, interpreter)
        subprocess.run([plain, CONTENTS, str(image), frozen], check=True, env={})
        subprocess.run([image.absolute(), "--version"], check=True, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no image: every command will take 5 to 10 ms more: {error}", file=sys.stderr)
        image.unlink(missing_ok=True)
        return ()
    return (str(image),)


def compile_interpreter(target: Path, interpreter: Path) -> None:
    """Compile launcher/image.c. Raises OSError, CalledProcessError."""
    archive = Path(sysconfig.get_config_var("LIBPL") or "", sysconfig.get_config_var("LIBRARY") or "")
    variables = map(sysconfig.get_config_var, ("MODLIBS", "LIBS", "SYSLIBS"))
    libraries = dict.fromkeys(shlex.split(" ".join(map(str, variables))))
    # Those of the C library itself cannot be had inside; each of the others costs 0.1 ms to load.
    outside = [library for library in libraries if library in ("-lm", "-ldl", "-lpthread", "-lutil")]
    inside = [library for library in libraries if library not in outside]
    command = [
        *shlex.split(os.environ.get("CC", "cc")),
        *("-O2", "-s", "-Wall", "-Wextra", "-no-pie", "-Wl,-z,now", f"-I{sysconfig.get_path('include')}"),
        f'-DPYTHON_EXECUTABLE="{interpreter}"',
        *("-o", str(target), PROGRAM),
        *(f"-Wl,--wrap={function}" for function in WRAPPED),
        # Whole, and for all to see: shared libraries that are loaded later want any of it.
        *("-Wl,--export-dynamic", "-Wl,--whole-archive", str(archive), "-Wl,--no-whole-archive"),
    ]
    try:
        subprocess.run([*command, "-Wl,-Bstatic", *inside, "-Wl,-Bdynamic", *outside], check=True)
    except subprocess.CalledProcessError:
        subprocess.run([*command, *inside, *outside], check=True)
