"""docs/tutorial.md: every command in it runs, prints what it is said to print, and is done by the calls it names."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bundles import folder
from tests.bundles.tutorial import FILE, Command, Step, same, steps
from tests.lanes import SLOWNESS
from tests.scenario import host

if TYPE_CHECKING:
    from collections.abc import Iterator

STEPS = steps()
SECONDS = 60.0 + 5.0 * SLOWNESS  # for one command
# Whatever the tables name; strace(1) would take seconds to print all.
CALLS = ",".join(sorted({call for step in STEPS for act in step.acts for call in act.calls}))
# strace ends with the last process that it follows, so it follows only what ends with the command.
PYRUNC = """#!/bin/sh
case "{trace} $*" in
*--detach* | False*) exec {runtime} --root {state}/run --debug --log {state}/log "$@" ;;
*) exec strace -f -qq -o {state}/calls.$$ -e trace={calls} {runtime} --root {state}/run "$@" ;;
esac
"""
# By requirement: what is restored by mistake would be processes of nobody else's (tests/scenario/test_checkpoint.py).
APART = {
    "criu": ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"],
    "veth": ["unshare", "--net"],  # the host of the bridge
}


class Shell:
    """A shell in a copy of the bundles, with `pyrunc` and `python3` in its PATH."""

    def __init__(self, place: Path, runtime: str, trace: bool, prefix: list[str]) -> None:
        self.place = place
        self.runtime = runtime
        self.state = place / "state"
        self.state.mkdir()
        self.state.chmod(0o1777)  # the ordinary user's containers as well
        programs = place / "bin"
        programs.mkdir()
        script = PYRUNC.format(runtime=runtime, calls=CALLS, state=self.state, trace=trace)
        (programs / "pyrunc").write_text(script)
        (programs / "pyrunc").chmod(0o755)
        # Not a link: a python knows by its path which virtual environment it is of.
        (programs / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (programs / "python3").chmod(0o755)
        (place / "pyrunc").symlink_to(folder.HERE.parent / "pyrunc")  # a part of which reads images
        shutil.copytree(folder.HERE, place / "bundles", ignore=what_was_made)
        environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            host.TOKEN_VARIABLE: place.name,
        }
        self._bash = subprocess.Popen(
            [*prefix, "bash", "--norc"],
            cwd=place,
            env=environment,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, command: str) -> tuple[str, int]:
        """Run a command; return what it said and its exit status. One that does not end fails the test by name."""
        end = f"end-{secrets.token_hex(8)}"
        assert self._bash.stdin
        assert self._bash.stdout
        self._bash.stdin.write(f"{{ {command}\n}} </dev/null\nstatus=$?; echo; echo {end} $status\n".encode())
        written, late = b"", time.monotonic() + SECONDS
        while not (last := re.search(rf"\n{end} (\d+)\n".encode(), written)):
            ready, _, _ = select.select([self._bash.stdout], [], [], max(0, late - time.monotonic()))
            more = os.read(self._bash.stdout.fileno(), 65536) if ready else b""
            what = "the shell ended" if ready else f"still running after {SECONDS:g} seconds"
            assert more, f"{what}: {command}\n{written.decode(errors='replace')}"
            written += more
        return written[: last.start()].decode(errors="replace"), int(last[1])

    def close(self) -> list[str]:
        """Delete what is left of containers and end the shell; return their ids."""
        with self._bash:  # it may still be busy with a command that does not end
            os.killpg(self._bash.pid, signal.SIGKILL)
        left = [path.name for path in self.state.glob("run/*") if path.is_dir()]
        for name in left:
            subprocess.run([self.runtime, "--root", self.state / "run", "delete", "--force", name], check=False)
        host.sweep(self.place.name)  # what a command in the background has left, where one after it failed
        assert not host.mounts_of(self.place.name), "a mount is left: nothing is deleted there"
        shutil.rmtree(self.place)
        return left


def what_was_made(directory: str, names: list[str]) -> set[str]:
    """For copytree: what is not a source."""
    return shutil.ignore_patterns(*folder.made_in(Path(directory)))(directory, names)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait for other runs of these tests: the ids in the document name cgroups, and there is one of each."""
    with FILE.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def in_shell(step: Step, runtime: str, trace: bool) -> tuple[list[tuple[Command, str, int]], str]:
    """Run the commands of a step, up to the first that fails; also return what pyrunc has logged or called."""
    place = Path(tempfile.mkdtemp(prefix="pyrunc-tutorial-"))
    place.chmod(0o755)
    prefix = [word for name, words in APART.items() if name in step.requires for word in words]
    shell = Shell(place, runtime, trace, prefix)
    results: list[tuple[Command, str, int]] = []
    try:
        for name in sorted(step.bundles):
            said, status = shell.run(f"python3 -m bundles {name}")
            assert status == 0, said
        for command in step.commands:
            results.append((command, *shell.run(command.words)))
            if results[-1][2]:
                break
        logged = "".join(path.read_text() for path in sorted(place.glob("state/calls.*" if trace else "state/log")))
    finally:
        left = shell.close()
    assert left == [], f"containers are left at the end of a step: {left}"
    return results, logged


def parameters(steps: list[Step]) -> list[object]:
    """Each with what its host must have."""
    return [
        pytest.param(step, id=step.title, marks=pytest.mark.requires(*step.requires)) for step in steps if step.commands
    ]


@pytest.mark.parametrize("step", parameters(STEPS))
def test_commands_print_what_is_written(step: Step, runtime: str) -> None:
    with alone():
        results, logged = in_shell(step, runtime, trace=False)
    for command, said, status in results:
        assert status == 0, f"{command.words}: exit {status}\n{said}"
        if command.printed:
            written = "\n".join(command.printed)
            assert same(command.printed, said), f"{command.words}\n--- written\n{written}\n--- said\n{said}"
    for act in step.acts:
        wanted = f"{act.field}: {act.step}" if act.field.startswith(".") else act.step
        assert re.search(re.escape(wanted).replace(re.escape("..."), ".*"), logged), f"{wanted!r} is not in\n{logged}"


@pytest.mark.requires("strace")
@pytest.mark.parametrize("step", parameters([step for step in STEPS if step.acts]))
def test_the_system_calls_are_made(step: Step, runtime: str) -> None:
    with alone():
        _, traced = in_shell(step, runtime, trace=True)
    made = set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)", traced, re.MULTILINE))
    missing = {call for act in step.acts for call in act.calls} - made
    assert not missing, f"{missing} are not among {sorted(made)}"


def test_every_bundle_has_its_step() -> None:
    assert {name for step in STEPS for name in step.bundles} == set(folder.names())


def test_every_step_can_be_run() -> None:
    """A block of commands without the line that says what the step requires would be forgotten."""
    assert [step.title for step in STEPS if bool(step.commands) != bool(step.requires)] == []
    assert FILE.read_text().count("```") % 2 == 0


def test_what_is_written_is_compared() -> None:
    """Of the comparison itself: dots are anything, all else is literal."""
    assert same(("a ... c", "...", "d"), "a b c\nx\ny\nd\n")
    assert same(("a...", "..."), "a\n")
    assert not same(("a",), "a\nb\n")
    assert not same(("a.b",), "axb\n")
