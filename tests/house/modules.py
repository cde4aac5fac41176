"""Which modules a few words of Python load in an interpreter as the launcher starts it, and which are too heavy."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from tests.house.source import REPOSITORY

# Milliseconds that each costs, and what does the same: ruff's banned-api in pyproject.toml.
HEAVY = """
    os typing dataclasses enum re json ctypes socket signal subprocess pathlib logging argparse collections
    functools contextlib shutil tempfile inspect asyncio threading random datetime traceback linecache
    warnings operator locale jsonschema pyroute2 jeepney importlib
""".split()
# Built into the interpreter or C modules without a Python half: less than half a millisecond each.
LIGHT = """
    __future__ _ctypes _json _sha256 _socket _struct _posixsubprocess array binascii errno fcntl gc
    marshal posix select time _signal
""".split()
LOOK = """
import sys
sys.path[:] = [{repository!r}, *sys.path, {site!r}]
before = set(sys.modules)
{action}
print("\\nMODULES", *sorted(set(sys.modules) - before))
"""


def site_packages() -> str:
    """-S knows no site-packages; the launcher appends ours as the last entry."""
    found = find_spec("jsonschema")
    return str(Path(found.origin).parents[1]) if found and found.origin else ""


@functools.cache
def modules_loaded(action: str) -> frozenset[str]:
    """Run a few words of Python in an isolated interpreter and return the modules that they loaded."""
    script = LOOK.format(repository=str(REPOSITORY), site=site_packages(), action=action)
    command = [sys.executable, "-I", "-S", "-B", "-c", script]
    # A file, not a pipe: a container that such words create keeps the other end.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, timeout=60, check=False)
        output.seek(0)
        said = output.read()
    assert done.returncode == 0, said
    return frozenset(said.rpartition("MODULES")[2].split())


def heavy(modules: frozenset[str]) -> set[str]:
    """Those of the modules that no hot command may load."""
    return {name for name in modules if name.split(".")[0] in HEAVY}
