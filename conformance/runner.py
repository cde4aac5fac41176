"""Judge a runtime: every case in a process of its own, with a time limit and a look at what is left behind."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from conformance import host, needs
from conformance.box import Box
from conformance.case import Case, Failure, NotApplicable
from conformance.runtime import SLOWNESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from conformance.expected import Expected
    from conformance.runtime import Runtime

Outcome = Literal["pass", "fail", "missing", "n/a", "error"]
"""missing: the host lacks what the case needs. n/a: the runtime says that it lacks an optional feature. error: ours."""
LONGEST_REASON = 2000
LONGEST_VERDICT = 1 << 16
FIRST_DESCRIPTOR = 100
TIDYING = 30.0
"""Seconds that a case has for tidying up after its time limit; past that it is killed from outside."""


@dataclass(frozen=True)
class Verdict:
    """What a case came to with a runtime: the outcome, why in a line, and how long it took, in seconds."""

    case: Case
    runtime: Runtime
    outcome: Outcome
    reason: str
    seconds: float
    expected: str = ""
    """Why a failure is known (expected.toml)."""
    sometimes: bool = False
    """It is known to come now and then only."""

    @property
    def surprising(self) -> bool:
        """Neither passed nor known to fail; or known to fail, and passed."""
        if self.outcome in ("fail", "error"):
            return not self.expected or self.outcome == "error"
        return self.outcome == "pass" and bool(self.expected) and not self.sometimes


def judge_all(
    runtime: Runtime, cases: Iterable[Case], probe: Path, jobs: int, known: Expected, tell: Callable[[Verdict], None]
) -> list[Verdict]:
    """Judge a runtime by cases, `jobs` of them at once; `tell` hears each verdict as soon as it is there.

    Returns them in the order of the cases. There are no threads: a fork out of one may copy a lock that nobody opens.
    """
    waiting = list(cases)
    order = {case.id: number for number, case in enumerate(waiting)}
    waiting.reverse()
    trials: list[_Trial] = []
    verdicts: list[Verdict] = []

    def conclude(case: Case, outcome: Outcome, reason: str, seconds: float = 0.0) -> None:
        why, sometimes = known.reason(runtime, case.id), known.sometimes(runtime, case.id)
        verdicts.append(Verdict(case, runtime, outcome, reason, seconds, why, sometimes))
        tell(verdicts[-1])

    try:
        while waiting or trials:
            while waiting and len(trials) < jobs:
                case = waiting.pop()
                if missing := [need for need in case.needs if not needs.host_has(need)]:
                    conclude(case, "missing", f"this host lacks {', '.join(missing)}")
                else:
                    trials.append(_Trial(runtime, case, probe))
            patience = min((trial.deadline for trial in trials), default=0.0) - time.monotonic()
            heard = select.select([trial.reader for trial in trials], [], [], max(0.0, patience))[0]
            for trial in [each for each in trials if each.reader in heard or time.monotonic() > each.deadline]:
                trials.remove(trial)
                conclude(trial.case, *trial.end(), time.monotonic() - trial.began)
    finally:
        for trial in trials:  # somebody pressed ^C: what is at work would go on without us
            trial.end()
        host.reap()
    return sorted(verdicts, key=lambda verdict: order[verdict.case.id])


class _Trial:
    """One case at work in a process of its own, with a folder that containers' users may enter."""

    def __init__(self, runtime: Runtime, case: Case, probe: Path) -> None:
        self.case = case
        self.began = time.monotonic()
        # A runtime that hangs is told apart before, by its command's own patience.
        self.deadline = self.began + (case.time_limit + TIDYING) * SLOWNESS
        self.folder = Path(tempfile.mkdtemp(prefix="conformance-"))
        self.folder.chmod(0o755)
        self.token = f"t{self.folder.name.removeprefix('conformance-')}".lower().replace("_", "x")
        self.reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _judge_here(runtime, case, Box(runtime, probe, self.folder, self.token), writer)
        os.close(writer)

    def end(self) -> tuple[Outcome, str]:
        """Read what the case came to and take away the process, what it left, and the folder.

        The process is killed in any case: it has said all it had to say, or is too late, or let go of its pipe.
        """
        said = b""
        if select.select([self.reader], [], [], 0)[0]:
            said = os.read(self.reader, LONGEST_VERDICT)
        os.close(self.reader)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        host.take_away(self.token)
        # Nothing is deleted while something is mounted in it.
        if not host.mounts(self.folder.name):
            shutil.rmtree(self.folder, ignore_errors=True)
        if not said:
            return "error", f"the case itself died or took over {self.case.time_limit:g} s"
        outcome, reason = json.loads(said)
        return outcome, reason


def _judge_here(runtime: Runtime, case: Case, box: Box, writer: int) -> NoReturn:
    """Judge in this process, which ends with that, whatever happens: it must not go on as a second runner."""
    outcome: Outcome
    outcome, reason = "error", "nothing was found out"
    try:
        # Cases have the low numbers for themselves: one passes descriptors 3 and 4 to the runtime.
        low, writer = writer, fcntl.fcntl(writer, fcntl.F_DUPFD_CLOEXEC, FIRST_DESCRIPTOR)
        os.close(low)
        host.become_subreaper()
        if runtime.name == "crun":
            host.hide_hybrid()
        signal.signal(signal.SIGALRM, _too_late)
        signal.setitimer(signal.ITIMER_REAL, case.time_limit * SLOWNESS)
        try:
            outcome, reason = _outcome(case, box)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        left = box.tidy_up()
        if left and outcome == "pass":
            outcome, reason = "fail", f"left behind after delete --force: {'; '.join(left[:3])}"
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is told, and this process ends
        outcome, reason = "error", f"{type(error).__name__}: {error}"
    finally:
        try:
            os.write(writer, json.dumps([outcome, reason[:LONGEST_REASON]]).encode())
        finally:
            os._exit(0)


def _outcome(case: Case, box: Box) -> tuple[Outcome, str]:
    try:
        case.judge(box)
    except NotApplicable as without:
        return "n/a", str(without)
    except (Failure, _TooLateError) as failure:
        return "fail", str(failure)
    except Exception as error:  # noqa: BLE001 - an answer of unexpected shape: the last line says where
        place = traceback.extract_tb(error.__traceback__)[-1]
        return "error", f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
    return "pass", ""


class _TooLateError(BaseException):
    """A case may take any Exception of what it tried for an answer, but not this one."""


def _too_late(_number: int, _frame: object) -> None:
    raise _TooLateError("it took too long")


def progress(total: int) -> Callable[[Verdict], None]:
    """Return what tells each verdict on one line of stderr that is written over and over, if that is a terminal."""
    count = iter(range(1, total + 1))

    def tell(verdict: Verdict) -> None:
        line = f"[{next(count):4}/{total}] {verdict.runtime.name}: {verdict.case.id}: {verdict.outcome}"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{line[:100]}")
        elif verdict.surprising:
            sys.stderr.write(f"{line}: {verdict.reason or 'it was known to fail'}\n")
        sys.stderr.flush()

    return tell


def counts(verdicts: list[Verdict]) -> Iterator[tuple[str, int]]:
    """Yield how many verdicts there are of each outcome."""
    for outcome in ("pass", "fail", "error", "missing", "n/a"):
        yield outcome, sum(verdict.outcome == outcome for verdict in verdicts)
