"""pyrunc delete: remove what create made."""

from __future__ import annotations

from pyrunc.cli import Context
from pyrunc.errors import NotFoundError
from pyrunc.host.delete import delete
from pyrunc.state.store import open_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cli.arguments import Arguments


def main(context: Context, arguments: Arguments) -> int:
    """Delete a container; with --force one that does not exist is no error: engines make sure that way."""
    force = arguments.switch("force")
    try:
        with open_entry(context.root, arguments.positional[0]) as entry:
            delete(entry, force, context.log.warning, strict=context.options.switch("strict"))
    except NotFoundError:
        if not force:
            raise
    return 0
