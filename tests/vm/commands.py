"""Steps of a build: programs that say nothing unless they fail."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.vm.recipe import SBIN

if TYPE_CHECKING:
    from pathlib import Path

LAST_OUTPUT = 3000
STARTED = time.monotonic()


class LaneError(Exception):
    """The lane itself failed, not what ran in it."""


def note(text: str) -> None:
    """Tell the people who wait what takes the time."""
    print(f"vm {time.monotonic() - STARTED:6.1f} s: {text}", file=sys.stderr, flush=True)


def step(*command: str | Path, cwd: Path | None = None, **variables: str) -> None:
    """Run a program; its output is shown only if it fails. Raises LaneError."""
    output_of(*command, cwd=cwd, **variables)


def output_of(*command: str | Path, cwd: Path | None = None, **variables: str) -> str:
    """Run a program and return what it wrote to stdout. Raises LaneError with all it said."""
    path = f"{os.environ.get('PATH', '')}:{SBIN}"
    try:
        done = subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            cwd=cwd,
            env={**os.environ, "PATH": path, **variables},
        )
    except OSError as error:
        raise LaneError(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        said = (done.stdout + done.stderr)[-LAST_OUTPUT:]
        raise LaneError(f"{' '.join(map(str, command[:6]))} ...: exit {done.returncode}\n{said}")
    return done.stdout
