"""One command, run and measured; one container's life, command by command."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
CONTAINER = "bench"


class CommandError(Exception):
    """A command failed, which ends the benchmark: numbers of failing commands mean nothing."""


class Runtime:
    """One runtime under measurement, with a state directory and an error file of its own."""

    def __init__(self, path: str, folder: Path) -> None:
        self.path = path
        self.name = os.path.basename(path)
        self.folder = folder / self.name
        self.folder.mkdir()
        self.pid_file = self.folder / "pid"
        self.errors = self.folder / "errors"

    def command(self, name: str, *arguments: str) -> list[str]:
        """The argument vector of a command of this runtime."""
        return [self.path, "--root", str(self.folder / "state"), name, *arguments]

    def creating(self, name: str, bundle: Path) -> list[str]:
        """The argument vector of create or run."""
        return self.command(name, "--bundle", str(bundle), "--pid-file", str(self.pid_file), CONTAINER)

    def time(self, command: list[str]) -> float:
        """Run a command and return how long it took, in milliseconds. Raises CommandError.

        posix_spawn instead of subprocess: a pipe or a thread of ours would be measured too.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, str(self.errors), flags, 0o644),
        ]
        begin = time.perf_counter()
        pid = os.posix_spawn(command[0], command, ENVIRONMENT, file_actions=actions)
        _, status = os.waitpid(pid, 0)
        elapsed = time.perf_counter() - begin
        if status:
            code = os.waitstatus_to_exitcode(status)
            raise CommandError(f"{' '.join(command)}: exit code {code}\n{self.errors.read_text()}".strip())
        return elapsed * 1000

    def init_pid(self) -> int:
        """The pid of the created container's init, from the pid file."""
        return int(self.pid_file.read_text())

    def wait_for_init(self) -> float:
        """Wait until the container's init, our child since we are a subreaper, has ended. Milliseconds."""
        begin = time.perf_counter()
        os.waitpid(self.init_pid(), 0)
        return (time.perf_counter() - begin) * 1000

    def clean(self) -> None:
        """Remove what a failed round left; nothing to remove is fine."""
        command = self.command("delete", "--force", CONTAINER)
        subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=False)


def measure_round(runtime: Runtime, short: Path, long: Path) -> dict[str, float]:
    """Take one container through every command and return the time of each in milliseconds.

    `short` is a bundle that ends at once, `long` one that waits to be killed. Raises CommandError.
    """
    taken = {"run": runtime.time(runtime.creating("run", short))}
    taken["create"] = runtime.time(runtime.creating("create", short))
    taken["state"] = runtime.time(runtime.command("state", CONTAINER))
    taken["start"] = runtime.time(runtime.command("start", CONTAINER))
    waited = runtime.wait_for_init()
    taken["delete"] = runtime.time(runtime.command("delete", CONTAINER))
    taken["create+start+delete"] = taken["create"] + taken["start"] + waited + taken["delete"]

    runtime.time(runtime.creating("create", long))
    runtime.time(runtime.command("start", CONTAINER))
    taken["kill"] = runtime.time(runtime.command("kill", CONTAINER, "9"))
    runtime.wait_for_init()
    runtime.time(runtime.command("delete", CONTAINER))
    return taken


def compile_peak(folder: Path) -> str:
    """Compile peak.c and return the program's path, or "" where there is no compiler."""
    program = str(folder / "peak")
    source = str(Path(__file__).with_name("peak.c"))
    try:
        subprocess.run(["cc", "-O2", "-o", program, source], check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return program


def measure_memory(runtime: Runtime, short: Path, long: Path, peak: str) -> dict[str, float]:
    """Return the peak resident memory of each command, and what the waiting init has to itself, in MiB.

    `peak` is the compiled peak.c. Raises CommandError.
    """
    output = runtime.folder / "peak"

    def measured(command: list[str]) -> float:
        runtime.time([peak, str(output), *command])
        return int(output.read_text()) / 1024

    used = {"run": measured(runtime.creating("run", short))}
    used["create"] = measured(runtime.creating("create", long))
    used["init waiting, private"] = private_memory(runtime.init_pid())
    used["state"] = measured(runtime.command("state", CONTAINER))
    used["start"] = measured(runtime.command("start", CONTAINER))
    used["kill"] = measured(runtime.command("kill", CONTAINER, "9"))
    runtime.wait_for_init()
    used["delete"] = measured(runtime.command("delete", CONTAINER))
    return used


def private_memory(pid: int) -> float:
    """Return the pages, in MiB, that would be free without this process (proc_pid_smaps(5))."""
    fields: Mapping[str, str] = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    )
    return sum(int(fields[name].split()[0]) for name in ("Private_Clean", "Private_Dirty")) / 1024
