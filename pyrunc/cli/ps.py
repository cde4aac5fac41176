"""pyrunc ps: the processes of a container."""

from __future__ import annotations

import sys

from pyrunc.cli import Context
from pyrunc.errors import UsageError
from pyrunc.jsontext import dump
from pyrunc.state.store import open_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cli.arguments import Arguments


def main(context: Context, arguments: Arguments) -> int:
    """Print a table as ps(1) does, with the options after the id, or a JSON array of pids."""
    from pyrunc.host.ps import processes, table

    form = arguments.text("format")
    if form not in ("table", "json"):
        raise UsageError(f"--format is table or json, not {form!r}")
    container_id, *options = arguments.positional
    with open_entry(context.root, container_id) as entry:
        text = f"{dump(processes(entry))}\n" if form == "json" else table(entry, tuple(options))
    sys.stdout.write(text)
    return 0
