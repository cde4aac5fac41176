"""Test Anything Protocol, version 13 (testanything.org)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.runner import Verdict


def tap(verdicts: list[Verdict]) -> str:
    """Return all verdicts as TAP; what was not found out is skipped, with the reason, and never passes."""
    lines = ["TAP version 13", f"1..{len(verdicts)}"]
    for number, verdict in enumerate(verdicts, 1):
        what = f"{number} - {verdict.runtime.name} {verdict.case.id}: {_plain(verdict.case.sentence)}"
        if verdict.outcome == "pass":
            lines.append(f"ok {what}")
        elif verdict.outcome in ("missing", "n/a"):
            lines.append(f"ok {what} # SKIP {_plain(verdict.reason)}")
        elif verdict.expected:
            lines.append(f"not ok {what} # TODO {_plain(verdict.expected)}")
        else:
            lines.append(f"not ok {what}")
        if verdict.outcome in ("fail", "error"):
            lines += ["  ---", f"  message: {_quoted(verdict.reason)}", f"  severity: {verdict.case.level}", "  ..."]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Number signs and newlines mean something in TAP."""
    return " ".join(text.split()).replace("#", "\\#")


def _quoted(text: str) -> str:
    return '"' + " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"') + '"'
