"""pyrunc run: create and start, in the foreground or detached."""

from __future__ import annotations

from pyrunc.cli import Context
from pyrunc.cli.create import order_of
from pyrunc.host.run import detach, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cli.arguments import Arguments


def main(context: Context, arguments: Arguments) -> int:
    """Run a container; in the foreground its exit code is ours, 128 + n for signal n."""
    detached = arguments.switch("detach")
    order = order_of(context, arguments, foreground=not detached)
    if detached:
        detach(order, context.log.debug, context.log.warning)
        return 0
    subreaper = not arguments.switch("no-subreaper")
    return run(order, arguments.switch("keep"), subreaper, context.log.debug, context.log.warning)
