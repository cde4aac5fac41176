"""pyrunc kill: send a signal to a container."""

from __future__ import annotations

from pyrunc.cli import Context
from pyrunc.host.kill import kill, signal_number
from pyrunc.state.store import open_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cli.arguments import Arguments


def main(context: Context, arguments: Arguments) -> int:
    """Signal the init, or with --all every process of the container."""
    signal = signal_number(arguments.positional[1] if len(arguments.positional) > 1 else "TERM")
    with open_entry(context.root, arguments.positional[0]) as entry:
        kill(entry, signal, arguments.switch("all"))
    return 0
