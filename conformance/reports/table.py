"""Markdown tables for docs/conformance.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.runner import Verdict

SIGNS = {"pass": "✓", "fail": "✗", "error": "!", "missing": "-", "n/a": "○"}


def table(verdicts: list[Verdict]) -> str:
    """Return how many cases of each chapter each runtime passes, and then every case that one of them fails."""
    runtimes = list(dict.fromkeys(verdict.runtime for verdict in verdicts))
    cases = list(dict.fromkeys(verdict.case for verdict in verdicts))
    found = {(verdict.case, verdict.runtime): verdict for verdict in verdicts}
    names = [f"{runtime.name} {runtime.version}" for runtime in runtimes]
    lines = [f"| chapter | cases | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for group in [*dict.fromkeys(case.group for case in cases), ""]:
        of_group = [case for case in cases if group in ("", case.group)]
        passed = [
            str(sum((each := found.get((case, runtime))) is not None and each.outcome == "pass" for case in of_group))
            for runtime in runtimes
        ]
        lines.append(f"| {group or '**all**'} | {len(of_group)} | {' | '.join(passed)} |")
    lines += ["", f"| case that somebody fails | level | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for case in cases:
        row = [found.get((case, runtime)) for runtime in runtimes]
        if any(verdict is not None and verdict.outcome in ("fail", "error") for verdict in row):
            cells = [SIGNS[verdict.outcome] if verdict else "" for verdict in row]
            lines.append(f"| {case.id}: {case.sentence} | {case.level} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
