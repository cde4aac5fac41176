"""`python -m conformance --runtime PATH [--runtime PATH ...]`, as root."""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
import tempfile
from pathlib import Path

from conformance import host, probe, runner
from conformance.broken import FAULTS, self_test
from conformance.case import Case, load_cases
from conformance.expected import Expected
from conformance.reports.junit import junit
from conformance.reports.page import page
from conformance.reports.table import table
from conformance.reports.tap import tap
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
        if arguments.self_test:
            problems = [
                f"{runtime.name}: {problem}"
                for runtime in runtimes
                for problem in self_test(runtime, load_cases(), program, arguments.jobs, Path(folder))
            ]
            print("\n".join(problems) or f"{len(FAULTS)} faults, all of them noticed")
            return int(bool(problems))
        tell = runner.progress(len(cases) * len(runtimes))
        for runtime in runtimes:
            verdicts += runner.judge_all(runtime, cases, program, arguments.jobs, Expected(), tell)
    print(summary(verdicts))
    for name, report in {"tap": tap, "junit": junit, "html": page, "table": table}.items():
        if path := getattr(arguments, name):
            Path(path).write_text(report(verdicts))
    return int(any(verdict.surprising for verdict in verdicts))


def summary(verdicts: list[runner.Verdict]) -> str:
    """What is surprising, one line each, then how many verdicts of each kind each runtime has."""
    lines = []
    for verdict in verdicts:
        if verdict.surprising:
            why = verdict.reason or f"it passes, but was known to fail: {verdict.expected}"
            lines.append(f"{verdict.runtime.name}: {verdict.case.id} ({verdict.case.level}): {why}")
    for runtime in dict.fromkeys(verdict.runtime for verdict in verdicts):
        of_one = [verdict for verdict in verdicts if verdict.runtime == runtime]
        known = sum(bool(verdict.expected) for verdict in of_one if verdict.outcome == "fail")
        numbers = ", ".join(f"{number} {what}" for what, number in runner.counts(of_one))
        lines.append(f"{runtime.name} {runtime.version}: {numbers}; {known} of the failures are known")
    return "\n".join(lines)


def parse(words: list[str]) -> argparse.Namespace:
    """Read the command line; exits with 2 if it makes no sense."""
    parser = argparse.ArgumentParser(prog="python -m conformance", description="Judge OCI runtimes from outside.")
    parser.add_argument("--runtime", action="append", default=[], help="a runtime: a path, or a name in PATH")
    parser.add_argument("--only", action="append", default=[], metavar="PATTERN", help="cases, e.g. 'hooks/*'")
    parser.add_argument("--jobs", type=int, default=2, help="cases at once (2)")
    parser.add_argument("--tap", metavar="FILE", help="write the verdicts as TAP")
    parser.add_argument("--junit", metavar="FILE", help="write the verdicts as JUnit's XML")
    parser.add_argument("--html", metavar="FILE", help="write a page with the whole matrix")
    parser.add_argument("--table", metavar="FILE", help="write the tables of docs/conformance.md")
    parser.add_argument("--self-test", action="store_true", help="spoil the runtime on purpose: do the cases notice?")
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
