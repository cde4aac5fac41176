"""pyrunc check: everything that is wrong with a config.json, at once."""

from __future__ import annotations

import posix
import sys

from pyrunc.cli import Context, absolute
from pyrunc.errors import StateError, reason
from pyrunc.host.check import Report, examine, working_request
from pyrunc.jsontext import dump

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cli.arguments import Arguments


def main(_: Context, arguments: Arguments) -> int:
    """Print one line a problem, or a JSON document; 0 unless create would refuse, whatever the warnings."""
    bundle = absolute(arguments.text("bundle")).removesuffix("/.")
    try:
        posix.chdir(bundle)
    except OSError as err:
        raise StateError(f"cannot enter the bundle {bundle}: {reason(err)}", "--bundle names another") from err
    report = examine(working_request(), arguments.switch("host"))
    sys.stdout.write(_document(report) if arguments.switch("json") else _lines(report))
    return 1 if report.errors else 0


def _lines(report: Report) -> str:
    lines = [f"error: {each.describe()}" for each in report.errors]
    lines += [f"warning: {each.describe()}" for each in report.warnings]
    return "".join(f"{_printable(line)}\n" for line in lines)


def _document(report: Report) -> str:
    """All of a finding is in it; `allowed` and `section` may be empty."""
    document = {
        "file": report.file,
        "errors": [dict(each.__dict__) for each in report.errors],
        "warnings": [dict(each.__dict__) for each in report.warnings],
    }
    return dump(document, indent=2) + "\n"


def _printable(line: str) -> str:
    """A config.json from anywhere must not write to the terminal what it likes."""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in line)
