"""`python -m conformance --runtime PATH [--runtime PATH ...]`, as root."""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
import tempfile
from pathlib import Path

from conformance import host, probe, runner
from conformance.case import Case, load_cases
from conformance.runtime import find_runtime


def main(words: list[str]) -> int:
    """Judge the runtimes and return the exit code: 0 if all is as expected, 1 if not, 2 for a wrong command line."""
    arguments = parse(words)
    cases = select(load_cases(), arguments.only)
    if arguments.list:
        for case in cases:
            print(f"{case.id:50} {case.level:7} {','.join(map(str, case.requirements)):12} {case.sentence}")
        return 0
    if os.geteuid() != 0:
        print("conformance: containers with all namespaces are root's to make: run this as root", file=sys.stderr)
        return 2
    host.become_subreaper()
    verdicts = []
    with tempfile.TemporaryDirectory(prefix="conformance-probe-") as folder:
        Path(folder).chmod(0o755)
        try:
            runtimes = [find_runtime(path) for path in arguments.runtime]
            program = probe.build(Path(folder))
        except ValueError as error:
            print(f"conformance: {error}", file=sys.stderr)
            return 2
        tell = runner.progress(len(cases) * len(runtimes))
        for runtime in runtimes:
            verdicts += runner.judge_all(runtime, cases, program, arguments.jobs, tell)
    for runtime in runtimes:
        of_one = [verdict for verdict in verdicts if verdict.runtime == runtime]
        print(f"{runtime.name} {runtime.version}:", ", ".join(f"{n} {what}" for what, n in runner.counts(of_one)))
    return int(any(verdict.outcome in ("fail", "error") for verdict in verdicts))


def parse(words: list[str]) -> argparse.Namespace:
    """Read the command line; exits with 2 if it makes no sense."""
    parser = argparse.ArgumentParser(prog="python -m conformance", description="Judge OCI runtimes from outside.")
    parser.add_argument("--runtime", action="append", default=[], help="a runtime: a path, or a name in PATH")
    parser.add_argument("--only", action="append", default=[], metavar="PATTERN", help="cases, e.g. 'hooks/*'")
    parser.add_argument("--jobs", type=int, default=2, help="cases at once (2)")
    parser.add_argument("--list", action="store_true", help="list the cases instead")
    arguments = parser.parse_args(words)
    if not arguments.runtime and not arguments.list:
        parser.error("--runtime is missing")
    return arguments


def select(cases: dict[str, Case], patterns: list[str]) -> list[Case]:
    """Return the cases whose id matches one of the patterns, or all."""
    return [
        case for case in cases.values() if not patterns or any(fnmatch.fnmatch(case.id, each) for each in patterns)
    ]


sys.exit(main(sys.argv[1:]))
