"""containerd-shim-pyrunc-v1: what containerd starts for `io.containerd.pyrunc.v1` (docs/containerd.md)."""

from __future__ import annotations

import posix
import sys

from pyrunc import __version__
from pyrunc.cli import Context, absolute
from pyrunc.errors import UsageError
from pyrunc.jsontext import dump
from pyrunc.shim import daemon

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cli.arguments import Arguments

_STDOUT = 1


def main(context: Context, arguments: Arguments) -> int:
    """Do what containerd asks for: start, delete, -info or -v."""
    if arguments.switch("version"):
        sys.stdout.write(f"containerd-shim-pyrunc-v1:\n  Version: {__version__}\n")
        return 0
    if arguments.switch("info"):
        from pyrunc.cli.features import document

        posix.write(_STDOUT, daemon.information(__version__, dump(document())))
        return 0
    caller = daemon.Caller(
        arguments.text("namespace"), arguments.text("address"), arguments.text("id"), arguments.switch("debug")
    )
    daemon.check(caller)
    action = arguments.positional[0] if arguments.positional else ""
    if action == "start":
        answer = daemon.start(caller).encode()
    elif action == "delete":
        bundle = arguments.text("bundle")
        answer = daemon.delete(caller, absolute(bundle) if bundle else posix.getcwd(), context.log.warning)
    else:
        raise UsageError(f"containerd-shim-pyrunc-v1 knows start and delete, not {action!r}")
    posix.write(_STDOUT, answer)
    return 0
