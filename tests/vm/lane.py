"""The tests that belong in the guest: as root, then as an ordinary user, in as many guests as there are processors."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from tests.vm.cache import guest, obstacles
from tests.vm.checkout import PLACE, REPOSITORY, pack, unpack
from tests.vm.commands import LaneError, note
from tests.vm.machine import EXIT, Machine, Request
from tests.vm.recipe import USER
from tests.vm.scratch import Scratch

if TYPE_CHECKING:
    from pathlib import Path

    from tests.vm.cache import Guest

TEST_SECONDS = 1500.0
HANGS_AFTER = 120  # seconds: then pytest says where a test hangs
NOTHING_COLLECTED = 5
# What a test takes in the guest, where that is far from what most take.
SECONDS_OF_MOST = 0.5
SECONDS = {
    "tests/bundles/test_isolated.py": 2.0,
    "tests/bundles/test_limits.py": 1.8,
    "tests/bundles/test_systemd_service.py": 7.0,
    "tests/bundles/test_tutorial.py": 8.0,
    "tests/scenario/test_api.py": 13.0,
    "tests/scenario/test_checkpoint.py": 2.2,
    "tests/scenario/test_conformance.py": 7.0,
    "tests/scenario/test_exec_crash.py": 4.0,
    "tests/scenario/test_limits.py": 3.0,
    "tests/scenario/test_systemd.py": 1.7,
    "tests/scenario/test_update_more.py": 1.8,
}
SLOWNESS = "16"  # of python in the guest; times in tests are multiplied by it


class Part(NamedTuple):
    """One of `of` guests, counted from 1, and what pytest is told in it: the `files` of each lane or, where these are
    empty because the options name some, a part of the tests.
    """

    number: int
    of: int
    options: tuple[str, ...]
    files: dict[str, list[str]]
    everything: bool

    def lane(self, user: str) -> str:
        """Return which tests a user runs."""
        return "all" if self.everything else "root" if user == "root" else "user"

    def request(self, user: str) -> Request:
        """Return the command for the tests of a user."""
        lane = self.lane(user)
        files = self.files[lane]
        python = [f"{PLACE}/.venv/bin/python", "-m", "pytest", "-p", "no:cacheprovider", "-q", "--color=no"]
        python += ["-o", f"faulthandler_timeout={HANGS_AFTER}"]
        which = [f"--lane={lane}", *([] if files else [f"--part={self.number}/{self.of}"])]
        env = {
            "PYRUNC_CI": "1",
            "PYRUNC_SLOWNESS": SLOWNESS,
            "PYRUNC_TEST_PROGRAMS": f"{PLACE}/programs",
            "CONFORMANCE_PROBE": f"{PLACE}/programs/conformance",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # those of Debian's packages: seconds
        }
        return Request([*python, *which, *self.options, *files], user, PLACE, env)


def divide(files: dict[str, dict[str, int]], count: int, everything: bool) -> list[dict[str, list[str]]]:
    """Return the files of each guest, by lane, so that all have about as much to do.

    Whole files: what its tests share is made once then, and only one guest has to import it.
    """
    shares: list[dict[str, list[str]]] = [{lane: [] for lane in files} for _ in range(count)]
    loads = [0.0] * count
    for lane in ("all",) if everything else ("root", "user"):
        costs = {file: tests * SECONDS.get(file, SECONDS_OF_MOST) for file, tests in files[lane].items()}
        for file in sorted(costs, key=lambda file: -costs[file]):
            least = loads.index(min(loads))
            loads[least] += costs[file]
            shares[least][lane].append(file)
    return shares


def names_a_test(options: list[str]) -> bool:
    """Tell whether pytest's options have a path, other than as the value of an option before it."""
    return any(
        (REPOSITORY / word.partition("::")[0]).exists() and ("=" in before or not before.startswith("--"))
        for before, word in itertools.pairwise(("", *options))
    )


def test(options: list[str], count: int, everything: bool) -> int:
    """Run the tests; return 0 if all went well, 1 if not. Where there can be no guest: only CI is strict."""
    if found := obstacles():
        print(f"the tests of the VM lane did not run: {'; '.join(found)}", file=sys.stderr)
        return 1 if os.environ.get("PYRUNC_CI") else 0
    with guest() as built, Scratch() as folder:
        note("installing pyrunc for the guest")
        files = pack(built, folder)
        note("running the tests in it")
        shares = [{lane: [] for lane in files}] * count if names_a_test(options) else divide(files, count, everything)
        runs = [
            Run(built, folder, Part(number + 1, count, tuple(options), share, everything))
            for number, share in enumerate(shares)
        ]
        try:
            for run in runs:
                run.start()
            for run in runs:
                run.ended.wait()  # a join() that a signal interrupts takes the thread for ended (CPython 3.11)
        finally:
            for run in runs:
                run.stop()
    return judge(runs)


def judge(runs: list[Run]) -> int:
    """Say how it went. No test at all for a user means that something is wrong with the choosing of them."""
    failed = [run for run in runs if run.failure or set(run.statuses.values()) - {0, NOTHING_COLLECTED}]
    for run in failed:
        note(f"guest {run.part.number} failed: {run.failure or run.statuses}")
    asked = any(run.part.options for run in runs)
    for user in () if asked else ("root", USER):
        if all(run.statuses.get(user, NOTHING_COLLECTED) == NOTHING_COLLECTED for run in runs):
            note(f"no test ran as {user}")
            return 1
    note("the tests of the VM lane " + ("failed" if failed else "passed"))
    return 1 if failed else 0


class Run(threading.Thread):
    """One guest with one part of the tests; prints what pytest says, line by line."""

    def __init__(self, built: Guest, folder: Path, part: Part) -> None:
        super().__init__(name=f"guest {part.number}")
        self.built = built
        self.folder = folder
        self.part = part
        self.statuses: dict[str, int] = {}
        self.failure = "it did not come to its end"
        self.machine: Machine | None = None
        self.stopped = False
        self.ended = threading.Event()

    def stop(self) -> None:
        """Turn the guest off, wherever it is, or is about to be: we were told to end."""
        self.stopped = True
        if self.machine is not None:
            self.machine.process.kill()

    def run(self) -> None:
        """Do it; the outcome is in `statuses` by user, or in `failure`."""
        try:
            with Machine(self.built.guest, share=self.folder) as self.machine:
                if not self.stopped:
                    self._run(self.machine)
                    self.failure = ""
        except TimeoutError:
            self.failure = "a command took too long"
        except (LaneError, OSError) as error:
            self.failure = str(error)
        finally:
            self.ended.set()

    def _run(self, machine: Machine) -> None:
        unpack(machine)
        named = names_a_test(list(self.part.options))
        for user in ("root",) if self.part.everything else ("root", USER):
            if not named and not self.part.files[self.part.lane(user)]:
                continue
            began, computed = time.monotonic(), machine.cpu_seconds()
            seconds = TEST_SECONDS * (4 if self.part.everything else 1)
            self.statuses[user] = self._command(machine, self.part.request(user), seconds, user)
            took, computed = time.monotonic() - began, machine.cpu_seconds() - computed
            note(f"guest {self.part.number}: {took:.0f} s as {user}, {computed:.0f} s of them computing")

    def _command(self, machine: Machine, request: Request, seconds: float, label: str) -> int:
        rest = b""
        for kind, data in machine.run(request, seconds):
            if kind == EXIT:
                self._print([rest] if rest else [], label)
                return int(data)
            *lines, rest = (rest + data).split(b"\n")
            self._print(lines, label)
        raise LaneError("no exit status")

    def _print(self, lines: list[bytes], label: str) -> None:
        text = "".join(f"[{self.part.number} {label}] {line.decode(errors='replace')}\n" for line in lines)
        sys.stdout.write(text)
        sys.stdout.flush()
