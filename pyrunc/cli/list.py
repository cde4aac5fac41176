"""pyrunc list: the containers of one state root."""

from __future__ import annotations

import sys

from pyrunc.cli import Context
from pyrunc.cli.state import document_of
from pyrunc.errors import NotFoundError, StateError, UsageError
from pyrunc.jsontext import dump
from pyrunc.state.store import ids, open_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cli.arguments import Arguments

_COLUMNS = (
    ("ID", "id"),
    ("PID", "pid"),
    ("STATUS", "status"),
    ("BUNDLE", "bundle"),
    ("CREATED", "created"),
    ("OWNER", "owner"),
)
_NARROWEST, _APART = 12, 3


def main(context: Context, arguments: Arguments) -> int:
    """Print ids, a table, or JSON (null where there are none, as runc's callers expect)."""
    form = arguments.text("format")
    if form not in ("table", "json"):
        raise UsageError(f"--format is table or json, not {form!r}")
    documents = _documents(context)
    if arguments.switch("quiet"):
        text = "".join(f"{document['id']}\n" for document in documents)
    elif form == "json":
        text = dump(documents or None) + "\n"
    else:
        text = _table(documents)
    sys.stdout.write(text)
    return 0


def _documents(context: Context) -> list[dict[str, object]]:
    documents = []
    for container_id in ids(context.root):
        try:
            with open_entry(context.root, container_id) as entry:
                documents.append(document_of(entry))
        except NotFoundError:
            continue  # deleted since, or never finished
        except StateError as err:
            context.log.warning(str(err))
    return documents


def _table(documents: list[dict[str, object]]) -> str:
    """Lay out columns as runc does, whose callers cut them: three spaces apart, and none narrower than twelve."""
    rows = [[title for title, _ in _COLUMNS]]
    rows += [[str(document[key]) for _, key in _COLUMNS] for document in documents]
    widths = [max(_NARROWEST, _APART + max(map(len, column))) for column in zip(*rows, strict=True)]
    lines = (
        "".join(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)) + row[-1] for row in rows
    )
    return "\n".join(lines) + "\n"
