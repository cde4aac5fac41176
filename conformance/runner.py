"""Judge a runtime: every case in a process of its own, with a time limit and a look at what is left behind."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

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

    @property
    def surprising(self) -> bool:
        """Neither passed nor known to fail; or known to fail, and passed."""
        if self.outcome in ("fail", "error"):
            return not self.expected or self.outcome == "error"
        return self.outcome == "pass" and bool(self.expected)


def judge_all(
    runtime: Runtime, cases: Iterable[Case], probe: Path, jobs: int, known: Expected, tell: Callable[[Verdict], None]
) -> list[Verdict]:
    """Judge a runtime by cases; `tell` hears each verdict as soon as it is there. In the order of the cases."""
    with ThreadPoolExecutor(jobs) as pool:

        def one(case: Case) -> Verdict:
            verdict = replace(judge(runtime, case, probe), expected=known.reason(runtime, case.id))
            tell(verdict)
            return verdict

        return list(pool.map(one, cases))


def judge(runtime: Runtime, case: Case, probe: Path) -> Verdict:
    """Judge a runtime by one case, in a new process with the case's time limit."""
    missing = [need for need in case.needs if not needs.host_has(need)]
    if missing:
        return Verdict(case, runtime, "missing", f"this host lacks {', '.join(missing)}", 0.0)
    began = time.monotonic()
    with _Workshop() as folder:
        outcome, reason = _apart(runtime, case, probe, folder)
    return Verdict(case, runtime, outcome, reason, time.monotonic() - began)


class _Workshop:
    """A folder of a case that containers' users may enter; nothing is deleted while something is mounted in it."""

    def __enter__(self) -> Path:
        self.folder = Path(tempfile.mkdtemp(prefix="conformance-"))
        self.folder.chmod(0o755)
        return self.folder

    def __exit__(self, *_: object) -> None:
        if not host.mounts(self.folder.name):
            shutil.rmtree(self.folder, ignore_errors=True)


def _apart(runtime: Runtime, case: Case, probe: Path, folder: Path) -> tuple[Outcome, str]:
    reader, writer = multiprocessing.Pipe(duplex=False)
    box_token = f"{folder.name.removeprefix('conformance-')}".lower().replace("_", "x")
    pid = os.fork()
    if pid == 0:
        reader.close()
        _judge_here(runtime, case, Box(runtime, probe, folder, f"t{box_token}"), writer.fileno())
    writer.close()
    # A runtime that hangs is told apart before, by its command's own patience.
    if reader.poll(case.time_limit * SLOWNESS + 30):
        try:
            said = os.read(reader.fileno(), 1 << 16)
        except OSError:
            said = b""
    else:
        os.kill(pid, signal.SIGKILL)
        said = b""
    os.waitpid(pid, 0)
    host.take_away(f"t{box_token}")
    if not said:
        return "error", f"the case itself died or took over {case.time_limit:g} s"
    outcome, reason = json.loads(said)
    return outcome, reason


def _judge_here(runtime: Runtime, case: Case, box: Box, writer: int) -> None:
    outcome: Outcome
    outcome, reason = "error", "nothing was found out"
    try:
        host.become_subreaper()
        if runtime.name == "crun":
            host.hide_hybrid()
        signal.signal(signal.SIGALRM, _too_late)
        signal.setitimer(signal.ITIMER_REAL, case.time_limit * SLOWNESS)
        outcome, reason = _outcome(case, box)
        signal.setitimer(signal.ITIMER_REAL, 0)
        left = box.tidy_up()
        if left and outcome == "pass":
            outcome, reason = "fail", f"left behind after delete --force: {'; '.join(left[:3])}"
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is told, and this process ends
        outcome, reason = "error", f"{type(error).__name__}: {error}"
    os.write(writer, json.dumps([outcome, reason]).encode()[: 1 << 16])
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


class _TooLateError(Exception):
    pass


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
