"""docs/engines.md, its last chapter: engine, operation and result, for pyrunc and for runc on the same machine."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from tests.engines.documents import DOCS
from tests.engines.engine import FAILED, IMPOSSIBLE, PASSED, Outcome
from tests.scenario import host

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PAGE = DOCS / "engines.md"
HEADING = "## What was tried\n"
COMMAND = "sudo .venv/bin/python -m tests.engines --write-docs"
LONGEST_REMARK = 220


class Row(NamedTuple):
    """One operation with both runtimes."""

    operation: str
    ours: Outcome
    reference: Outcome

    @property
    def lacks(self) -> bool:
        """Tell whether runc can and pyrunc cannot."""
        return self.reference.result == PASSED and self.ours.result == FAILED

    def line(self) -> str:
        """The row in Markdown."""
        remark = next((_remark(each) for each in (self.ours, self.reference) if each.result != PASSED), "")
        return f"| {self.operation} | {self.ours.result} | {self.reference.result} | {remark} |"


class Chapter(NamedTuple):
    """All rows of one engine."""

    engine: str
    version: str
    rows: tuple[Row, ...]


def write(chapters: Iterable[Chapter], runtimes: dict[str, Path]) -> None:
    """Put these results in the place of the last ones."""
    guide = PAGE.read_text().partition(HEADING)[0]
    PAGE.write_text(f"{guide}{HEADING}\n{_introduction(runtimes)}{''.join(map(_chapter, chapters))}")


def _introduction(runtimes: dict[str, Path]) -> str:
    versions = [
        subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
        for path in runtimes.values()
    ]
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    return (
        f"Written by `{COMMAND}`, which asks for every operation with\n"
        "either runtime, and fails where runc can and pyrunc cannot; so does `make test`, which asks runc only then.\n"
        f"{PASSED}: done, the result looked at, nothing left behind. {FAILED}: not so, and the remark says why.\n"
        f"{IMPOSSIBLE}: this version of the engine has no such thing.\n\n"
        f"{' and '.join(versions)}, {system}, Linux {'.'.join(os.uname().release.split('.')[:2])}, {_cgroups()}.\n"
    )


def _cgroups() -> str:
    kinds = {mount.fstype for mount in host.host_mounts() if mount.fstype.startswith("cgroup")}
    return {1: "cgroup v2", 2: "cgroup v1 and v2 (hybrid)"}[len(kinds)] if "cgroup2" in kinds else "cgroup v1"


def _chapter(chapter: Chapter) -> str:
    head = "| operation | pyrunc | runc | remark |\n| --- | --- | --- | --- |\n"
    return f"\n### {chapter.engine} ({chapter.version})\n\n{head}" + "".join(f"{row.line()}\n" for row in chapter.rows)


def _remark(outcome: Outcome) -> str:
    """What went wrong, in the program's last words, without the paths and ids of this run."""
    words = re.sub(r"(/[\w.+-]+){2,}", lambda path: path[0].rpartition("/")[2], outcome.why)
    words = re.sub(r"\w*-?\b[0-9a-f]{8,}\b", "ID", words)
    said = re.search(r": exit \d+ (.*)", words)
    return (said[1] if said else words).replace("|", "\\|")[:LONGEST_REMARK].strip()


def rows_of_page() -> dict[str, dict[str, list[str]]]:
    """What the page says now: engine, operation, and the results with pyrunc and runc."""
    found: dict[str, dict[str, list[str]]] = {}
    for line in PAGE.read_text().partition(HEADING)[2].splitlines():
        if line.startswith("### "):
            rows = found.setdefault(line.removeprefix("### ").rpartition(" (")[0], {})
        elif line.startswith("| ") and not line.startswith(("| operation", "| ---")):
            operation, *results = [cell.strip() for cell in line.strip("|").split(" | ")]
            rows[operation] = results[:2]
    return found
