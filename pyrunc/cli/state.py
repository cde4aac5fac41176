"""pyrunc state: print the state of one container (runtime.md, "State")."""

from __future__ import annotations

import posix
import sys

from pyrunc.cli import Context
from pyrunc.errors import NotFoundError
from pyrunc.jsontext import dump
from pyrunc.state.status import STOPPED, status_of
from pyrunc.state.store import open_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cli.arguments import Arguments
    from pyrunc.state.store import Entry


def main(context: Context, arguments: Arguments) -> int:
    """Print the state as JSON."""
    with open_entry(context.root, arguments.positional[0]) as entry:
        sys.stdout.write(dump(document_of(entry), indent=2) + "\n")
    return 0


def document_of(entry: Entry) -> dict[str, object]:
    """Return what state and list print: the spec's fields, and those that runc's users know besides.

    Raises NotFoundError where create was killed before it wrote anything down: there is no container yet.
    """
    state = entry.load()
    if state is None:
        hint = "its create or delete was killed; delete --force clears up"
        raise NotFoundError(f"container {entry.id} does not exist", hint)
    status = status_of(entry, state)
    document: dict[str, object] = {
        "ociVersion": state.oci_version,
        "id": state.id,
        "pid": 0 if status == STOPPED else state.pid,
        "status": status,
        "bundle": state.bundle,
        "rootfs": state.rootfs,
        "created": state.created,
    }
    if state.annotations:
        document["annotations"] = state.annotations
    document["owner"] = _owner(state.owner)
    return document


def _owner(uid: int) -> str:
    """Return the name of who created it. Only an ordinary user's is looked up: 0 is root by definition."""
    if uid == 0:
        return "root" if posix.getuid() == 0 else ""
    import pwd  # noqa: TID251 - of the host, which this command never leaves

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
