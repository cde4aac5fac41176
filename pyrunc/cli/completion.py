"""pyrunc completion: what a shell needs to complete our command lines, made from the table."""

from __future__ import annotations

import sys

from pyrunc.cli import Context
from pyrunc.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cli.arguments import Arguments


def main(_: Context, arguments: Arguments) -> int:
    """Print the script of a shell, to be sourced, or put where the shell looks for it (pyrunc-completion(8))."""
    from pyrunc.cli import shells

    scripts = {"bash": shells.bash, "zsh": shells.zsh, "fish": shells.fish}
    shell = arguments.positional[0]
    if shell not in scripts:
        raise UsageError(f"there is completion for {', '.join(scripts)}, not for {shell!r}")
    sys.stdout.write(scripts[shell]())
    return 0
