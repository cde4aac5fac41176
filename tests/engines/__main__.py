"""`python -m tests.engines [--runtime PATH] [--engine NAME ...] [--write-docs]`, as root."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from tests.conftest import default_runtime
from tests.engines import table
from tests.engines.engine import PASSED, Engine, title
from tests.engines.station import ENGINES, NEWER, OURS, REFERENCE, Station
from tests.engines.table import Chapter, Row


def drive(engine: type[Engine], runtimes: dict[str, Path]) -> Chapter:
    """Ask one engine for all that it can do, with both runtimes, and print each result as it comes."""
    with Station.open(engine, runtimes) as station:
        print(f"{engine.name} {station.version}", flush=True)
        rows = []
        for operation in engine.operations():
            ours, reference = (station.judge(name, operation) for name in (OURS, REFERENCE))
            rows.append(Row(title(operation), ours, reference))
            seconds = f"{ours.seconds:5.1f} {reference.seconds:5.1f} s"
            print(f"  {title(operation):35} {ours.result:4} {reference.result:4} {seconds}", flush=True)
            for outcome in (ours, reference):
                if outcome.result != PASSED:
                    print(f"    {outcome.why}")
    return Chapter(engine.name, station.version, tuple(rows))


def main() -> int:
    """Return 1 where runc can and pyrunc cannot."""
    parser = argparse.ArgumentParser(description="Drive real engines with pyrunc and with runc.")
    parser.add_argument("--runtime", metavar="PATH", default=default_runtime())
    parser.add_argument("--engine", choices=[each.name for each in (*ENGINES, *NEWER)], action="append")
    parser.add_argument("--write-docs", action="store_true", help="put the results into docs/engines.md")
    options = parser.parse_args()
    if options.write_docs and options.engine:
        parser.error("--write-docs wants all engines")
    runtimes = {OURS: Path(options.runtime).absolute(), REFERENCE: Path(shutil.which("runc") or "runc")}
    chosen = [each for each in (*ENGINES, *NEWER) if each.name in options.engine] if options.engine else ENGINES
    chapters = [drive(engine, runtimes) for engine in chosen]
    if options.write_docs:
        table.write(chapters, runtimes)
    lacking = [f"{chapter.engine}: {row.operation}" for chapter in chapters for row in chapter.rows if row.lacks]
    if lacking:
        print(f"runc can, pyrunc cannot: {', '.join(lacking)}", file=sys.stderr)
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
