"""pyrunc resume: let a paused container go on."""

from __future__ import annotations

from pyrunc.cli import Context
from pyrunc.host.pause import resume
from pyrunc.state.store import open_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cli.arguments import Arguments


def main(context: Context, arguments: Arguments) -> int:
    """Resume a container."""
    with open_entry(context.root, arguments.positional[0]) as entry:
        resume(entry)
    return 0
