"""Compile launcher/image.c and let it make pyrunc/image: a python that has imported everything already."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

LAUNCHER = Path(__file__).resolve().parents[1] / "launcher"
PROGRAM = str(LAUNCHER / "image.c")
CONTENTS = str(LAUNCHER / "contents.py")
HOT = str(LAUNCHER / "hot.txt")
# What image.c hands out from its own memory while the image is made.
WRAPPED = ("malloc", "calloc", "realloc", "free", "mmap64", "munmap")
VERSIONS = ((3, 11), (3, 12), (3, 13))
"""What launcher/image.c knows."""
BUILT_IN = ("_socket", "_struct", "array", "fcntl", "select")
"""What pyrunc's modules import of the standard library's C modules: an image has none that is a shared library."""
REASON = "pyrunc/no-image"
"""The file that says in one line why there is no image, and what to do: for `pyrunc --version` and make."""


def make_image(library: Path, temporary: Path, interpreter: Path) -> str:
    """Make LIBRARY/pyrunc/image; where this python or this machine cannot have one, LIBRARY/pyrunc/no-image.

    Returns the name of the file that it has made. Raises OSError if it could make neither.
    """
    image, reason = library / "pyrunc/image", library / REASON
    why = obstacle() or build(image.absolute(), (library / "pyrunc/frozen.pyc").absolute(), temporary, interpreter)
    if not why:
        reason.unlink(missing_ok=True)
        return str(image)
    image.unlink(missing_ok=True)
    reason.write_text(f"{why}\n", "utf-8")
    print(f"no image: every command will take 5 to 10 ms more: {why}", file=sys.stderr)
    return str(reason)


def obstacle() -> str:
    """Say why this python cannot have an image, and what can be done; "" if it can, given a C compiler."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if sys.implementation.name != "cpython" or sys.version_info[:2] not in VERSIONS:
        known = ", ".join(f"{major}.{minor}" for major, minor in VERSIONS)
        return f"it can be made of CPython {known}, this is {sys.implementation.name} {version}"
    jit = "-D_Py_JIT" in str(sysconfig.get_config_var("PY_CORE_CFLAGS"))  # its code would be in the image's memory
    if jit or sysconfig.get_config_var("Py_GIL_DISABLED") or sysconfig.get_config_var("Py_DEBUG"):
        return f"this python {version} is free-threaded, has a JIT, or is for debugging: take the ordinary one"
    if shared := [name for name in BUILT_IN if name not in sys.builtin_module_names]:
        return f"this python has {', '.join(shared)} as shared libraries: take the distribution's /usr/bin/python3"
    if not archive().is_file():
        return f"there is no libpython{version}.a: install python{version}-dev (apt), then pyrunc again"
    return ""


def build(image: Path, frozen: Path, temporary: Path, interpreter: Path) -> str:
    """Make the image; return "" or why that failed. What compiler and image say goes to stderr."""
    plain = (temporary / "interpreter").absolute()
    temporary.mkdir(parents=True, exist_ok=True)
    steps: tuple[tuple[str, list[Path | str]], ...] = (
        ("the interpreter that is to become the image did not start", [plain, CONTENTS, image, frozen, HOT]),
        ("the image did not start", [image, "--version"]),
    )
    try:
        compile_interpreter(plain, interpreter)
    except OSError as error:
        return f"cannot run the C compiler ({error}): install gcc and libc6-dev, then pyrunc again"
    except subprocess.CalledProcessError:
        return "launcher/image.c could not be compiled or linked: `pip install -v` shows why"
    for what, command in steps:
        try:
            subprocess.run(command, check=True, env={}, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError) as error:
            status = error.returncode if isinstance(error, subprocess.CalledProcessError) else error
            return f"{what} (status {status}): `pip install -v` shows why"
    return ""


def archive() -> Path:
    """Return libpythonX.Y.a, which distributions have in the package with python's headers."""
    return Path(sysconfig.get_config_var("LIBPL") or "", sysconfig.get_config_var("LIBRARY") or "")


def compile_interpreter(target: Path, interpreter: Path) -> None:
    """Compile launcher/image.c. Raises OSError, CalledProcessError."""
    variables = map(sysconfig.get_config_var, ("MODLIBS", "LIBS", "SYSLIBS"))
    libraries = dict.fromkeys(shlex.split(" ".join(map(str, variables))))
    python, options = with_what_is_there(list(libraries), target.parent)
    # Those of the C library itself cannot be had inside; each of the others costs 0.1 ms to load.
    outside = [library for library in libraries if library in ("-lm", "-ldl", "-lpthread", "-lutil")]
    inside = [library for library in libraries if library.startswith("-") and library not in outside]
    command = [
        *shlex.split(os.environ.get("CC", "cc")),
        *("-O2", "-s", "-Wall", "-Wextra", "-no-pie", "-Wl,-z,now", f"-I{sysconfig.get_path('include')}"),
        *(f'-DPYTHON_EXECUTABLE="{interpreter}"', *options),
        *("-o", str(target), PROGRAM),
        *(f"-Wl,--wrap={function}" for function in WRAPPED),
        # Whole, and for all to see: shared libraries that are loaded later want any of it.
        *("-Wl,--export-dynamic", "-Wl,--whole-archive", str(python), "-Wl,--no-whole-archive"),
    ]
    try:
        subprocess.run([*command, "-Wl,-Bstatic", *inside, "-Wl,-Bdynamic", *outside], check=True)
    except subprocess.CalledProcessError:
        subprocess.run([*command, *inside, *outside], check=True)


def with_what_is_there(libraries: list[str], folder: Path) -> tuple[Path, list[str]]:
    """Return python's archive, or a copy of it that can be linked, and the compiler's options for that.

    Since 3.12 _sha2 is linked with an archive of python's own build, Modules/_hacl/libHacl_Hash_SHA2.a, which neither
    python nor Debian installs. The image then goes without: hashlib and random take OpenSSL's, as they do anyway.
    """
    if not any(library.endswith("/libHacl_Hash_SHA2.a") for library in libraries):
        return archive(), []
    copy = folder / archive().name
    shutil.copyfile(archive(), copy)
    subprocess.run(["ar", "d", copy, "sha2module.o"], check=True)
    return copy, ["-DWITHOUT_SHA2"]
