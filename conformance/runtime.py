"""A runtime, driven through the command line that all of them have in common."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.case import Failure

# How much slower than usual this machine is: an emulated one may be sixteen times.
SLOWNESS = float(os.environ.get("CONFORMANCE_SLOWNESS", "1"))
PATIENCE = 15.0 * SLOWNESS
WORDS_OF_AN_ERROR = 400


@dataclass(frozen=True)
class Result:
    """What a command came to. For create and run the streams hold what the container's process wrote as well."""

    command: tuple[str, ...]
    status: int
    stdout: str
    stderr: str

    def succeeded(self) -> Result:
        """Return itself. Raises Failure, with the runtime's words, if the command failed."""
        if self.status != 0:
            raise Failure(f"{self} failed ({self.status}): {self.words()}")
        return self

    def failed(self) -> Result:
        """Return itself. Raises Failure if the command went well, or died of something."""
        if self.status == 0:
            raise Failure(f"{self} went well")
        if self.status < 0:
            raise Failure(f"{self} was killed by signal {-self.status}")
        if "Traceback (most recent call last)" in self.stderr or "goroutine 1 [" in self.stderr:
            raise Failure(f"{self} crashed: {self.words()}")
        return self

    def words(self) -> str:
        """What the runtime said, on one line."""
        return " ".join((self.stderr or self.stdout).split())[-WORDS_OF_AN_ERROR:]

    def document(self) -> Any:
        """Stdout as JSON. Raises Failure if it is none."""
        try:
            return json.loads(self.succeeded().stdout)
        except ValueError as error:
            raise Failure(f"{self}: not JSON ({error}): {self.stdout[:WORDS_OF_AN_ERROR]!r}") from None

    def __str__(self) -> str:
        return " ".join(Path(word).name if word.startswith("/") else word for word in self.command)


@dataclass(frozen=True)
class Runtime:
    """One program that claims to be a runtime; `path` is absolute."""

    path: str
    name: str
    version: str

    def call(
        self,
        *words: str,
        root: Path,
        cwd: Path | None = None,
        environment: dict[str, str] | None = None,
        patience: float = PATIENCE,
        stdin: bytes = b"",
        pass_fds: tuple[int, ...] = (),
        stdout: int | None = None,
        umask: int = 0o22,
    ) -> Result:
        """Run one command with its own state root.

        Its streams are files, not pipes: a container that lives on would keep a pipe open. Raises Failure when it
        does not return within `patience` seconds; its process group is killed then. `stdout` is another file for it.
        """
        command = (self.path, "--root", str(root), *words)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as into:
            into.write(stdin)
            into.seek(0)
            process = subprocess.Popen(
                command,
                stdin=into,
                stdout=out if stdout is None else stdout,
                stderr=err,
                cwd=cwd,
                env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), **(environment or {})},
                pass_fds=pass_fds,
                start_new_session=True,
                umask=umask,
            )
            try:
                status = process.wait(patience)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise Failure(f"{Result(words, 0, '', '')} did not return within {patience:g} s") from None
            out.seek(0)
            err.seek(0)
            return Result(words, status, out.read().decode(errors="replace"), err.read().decode(errors="replace"))


def find_runtime(path: str) -> Runtime:
    """Return the runtime at a path or in PATH. Raises ValueError if there is none, or it does not answer --version."""
    import shutil

    found = shutil.which(path)
    if found is None:
        raise ValueError(f"{path}: no such program")
    try:
        done = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ValueError(f"{path}: {error}") from error
    words = done.stdout.split()
    if done.returncode != 0 or len(words) < 3:
        raise ValueError(f"{path}: --version is not answered as a runtime does")
    return Runtime(str(Path(found).absolute()), words[0], words[2])
