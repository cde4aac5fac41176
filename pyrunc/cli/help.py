"""What --help prints, from the table."""

from __future__ import annotations

from pyrunc.cli.table import GLOBAL_FLAGS, HELP, Flag, all_commands
from pyrunc.errors import UsageError

_VALUES = {"switch": "", "text": "VALUE", "list": "VALUE", "number": "N", "size": "SIZE", "duration": "DURATION"}
_WIDEST = 32  # of the flags' column; after a longer one the help begins a line


def overview() -> str:
    """Return the help of pyrunc as a whole: the commands and the global flags."""
    lines = ["pyrunc: an OCI runtime (runtime-spec 1.3)", "", "usage: pyrunc [global flags] COMMAND [flags] ...", ""]
    lines += [f"  {name:10} {command.summary}" for name, command in all_commands().items()]
    lines += ["", "global flags:", *map(_line, GLOBAL_FLAGS), "", "pyrunc help COMMAND tells more of one command"]
    return "\n".join(lines) + "\n"


def command_help(name: str) -> str:
    """Return the help of one command. Raises UsageError where there is none of that name."""
    command = all_commands().get(name)
    if command is None:
        raise UsageError(f"unknown command {name!r}")
    usage = f"usage: pyrunc {name} [flags] {command.arguments}".rstrip()
    return "\n".join([usage, "", command.summary, "", *map(_line, (*command.flags, HELP))]) + "\n"


def value_of(flag: Flag) -> str:
    """Return what a flag's value is called, "" for a switch."""
    return flag.value or _VALUES[flag.kind]


def _line(flag: Flag) -> str:
    short = f"-{flag.short}, " if flag.short else ""
    shown = f"  {short}--{flag.name} {value_of(flag)}".rstrip()
    notes = [f"default {flag.default}"] * bool(flag.default) + ["may be repeated"] * (flag.kind == "list")
    text = f"{flag.help} ({', '.join(notes)})" if notes else flag.help
    return f"{shown:{_WIDEST}} {text}" if len(shown) <= _WIDEST else f"{shown}\n{'':{_WIDEST}} {text}"
