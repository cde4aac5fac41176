"""Runtimes that are broken on purpose: each spoils one thing, and the cases named with it have to notice.

`python -m conformance --self-test --runtime PATH` puts each of these programs in front of a runtime. A suite whose
cases pass whatever a runtime does would be worth nothing; this shows for each group that they do not.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from conformance import runner
from conformance.expected import Expected
from conformance.faults.asked import ASKED
from conformance.faults.done import DONE
from conformance.runtime import find_runtime

if TYPE_CHECKING:
    from conformance.case import Case
    from conformance.faults import Fault
    from conformance.runtime import Runtime

COMMANDS = ("create", "run", "start", "state", "kill", "delete", "features", "list", "exec", "pause", "update")
WRAPPER = """#!{python}
import json, os, subprocess, sys
runtime, words = {runtime!r}, sys.argv[1:]
command = next((word for word in words if word in {commands!r}), "")
def bundle():
    for index, word in enumerate(words):
        if word in ("--bundle", "-b"):
            return words[index + 1]
    return "."
def config():
    with open(bundle() + "/config.json") as file:
        return json.load(file)
def save(document):
    with open(bundle() + "/config.json", "w") as file:
        json.dump(document, file)
def go(*words):
    os.execv(runtime, [runtime, *words])
def making():
    return command in ("create", "run")
try:
{spoil}
except (OSError, ValueError, KeyError, TypeError, IndexError):
    pass
go(*words)
"""

FAULTS = (*ASKED, *DONE)


def write_wrapper(fault: Fault, runtime: Runtime, folder: Path) -> Runtime:
    """Write the broken runtime and return it."""
    path = folder / fault.name.replace(" ", "-").replace(",", "")
    spoil = "\n".join(f"    {line}" for line in fault.spoil.strip("\n").splitlines())
    path.write_text(WRAPPER.format(python=sys.executable, runtime=runtime.path, commands=COMMANDS, spoil=spoil))
    path.chmod(0o755)
    return find_runtime(str(path))


def self_test(runtime: Runtime, cases: dict[str, Case], probe: Path, jobs: int, folder: Path) -> list[str]:
    """Return what went unnoticed, and which group has no fault at all; empty if the suite can be trusted.

    Only cases that the runtime passes as it is are expected to notice; a fault without one is a problem, unless it is
    known of all of its cases that the runtime fails them, or the host or the runtime lacks what they are about.
    """
    problems = [
        f"no fault spoils anything for {group}"
        for group in sorted({case.group for case in cases.values()})
        if not any(name.startswith(f"{group}/") for fault in FAULTS for name in fault.noticed_by)
    ]
    for fault in FAULTS:
        wanted = [cases[name] for name in fault.noticed_by]
        healthy = runner.judge_all(runtime, wanted, probe, jobs, Expected(), lambda _: None)
        explained = all(verdict.expected or verdict.outcome in ("missing", "n/a") for verdict in healthy)
        usable = [verdict.case for verdict in healthy if verdict.outcome == "pass"]
        broken = write_wrapper(fault, runtime, folder)
        for verdict in runner.judge_all(broken, usable, probe, jobs, Expected(), lambda _: None):
            if verdict.outcome == "pass":
                problems.append(f"{verdict.case.id} did not notice that {fault.name}")
        if not usable and not explained:
            problems.append(f"{fault.name}: {runtime.name} passes none of its cases as it is")
    return problems
