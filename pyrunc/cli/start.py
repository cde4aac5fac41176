"""pyrunc start: run the program of a created container."""

from __future__ import annotations

from pyrunc.cli import Context
from pyrunc.host.start import start
from pyrunc.state.store import open_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cli.arguments import Arguments


def main(context: Context, arguments: Arguments) -> int:
    """Start a container and return when its program runs."""
    with open_entry(context.root, arguments.positional[0]) as entry:
        start(entry, context.log.warning)
    return 0
