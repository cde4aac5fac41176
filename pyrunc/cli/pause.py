"""pyrunc pause: freeze a container's processes."""

from __future__ import annotations

from pyrunc.cli import Context
from pyrunc.host.pause import pause
from pyrunc.state.store import open_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cli.arguments import Arguments


def main(context: Context, arguments: Arguments) -> int:
    """Pause a container."""
    with open_entry(context.root, arguments.positional[0]) as entry:
        pause(entry)
    return 0
