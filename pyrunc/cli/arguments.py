"""Parse a command line by the table. argparse takes 9 ms to load; this is what is needed of it."""

from __future__ import annotations

from pyrunc.cli.table import HELP
from pyrunc.errors import UsageError
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cli.table import Command, Flag

# What Go's strconv.ParseBool takes, which is what callers of runc write.
_TRUE = ("true", "True", "TRUE", "1", "t", "T")
_FALSE = ("false", "False", "FALSE", "0", "f", "F")


class Arguments(Record):
    """What was given: flags by their long names, and the arguments that are none."""

    flags: dict[str, tuple[str, ...]]
    defaults: dict[str, str]
    positional: tuple[str, ...]

    def text(self, name: str) -> str:
        """Return a flag's value or default; of several the last."""
        return self.flags[name][-1] if name in self.flags else self.defaults[name]

    def texts(self, name: str) -> tuple[str, ...]:
        """Return every value of a flag that may be repeated; a comma separates nothing, as with runc."""
        return self.flags.get(name, ())

    def switch(self, name: str) -> bool:
        """Return whether a switch was given."""
        return name in self.flags and self.flags[name][-1] == "true"

    def number(self, name: str) -> int:
        """Return a flag's value as a number. Raises UsageError for anything but digits."""
        text = self.text(name)
        if not (text.isascii() and text.isdigit()):
            raise UsageError(f"--{name} needs a number, not {text!r}")
        return int(text)

    def size(self, name: str) -> int:
        """Return a flag's value in bytes; -1 for no limit. Raises UsageError."""
        from pyrunc.cli.quantities import size

        return size(self.text(name), name)

    def seconds(self, name: str) -> float:
        """Return a flag's value in seconds. Raises UsageError."""
        from pyrunc.cli.quantities import seconds

        return seconds(self.text(name), name)


def parse(words: list[str], flags: tuple[Flag, ...], stop_at_word: bool) -> tuple[Arguments, list[str]]:
    """Read flags from the left.

    With `stop_at_word` the first word that is no flag ends it, and it and the rest are returned; else all others
    become positional. runc's callers write long flags with one dash as well (-no-subreaper).
    Raises UsageError.
    """
    known = {flag.name: flag for flag in flags} | {flag.short: flag for flag in flags if flag.short}
    given: dict[str, tuple[str, ...]] = {}
    others: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            others += rest
            rest = []
        elif not word.startswith("-") or word == "-":
            if stop_at_word:
                rest.insert(0, word)
                break
            others.append(word)
        else:
            _take(word, rest, known, given)
    defaults = {flag.name: flag.default for flag in flags}
    return Arguments(given, defaults, tuple(others)), rest


def _take(word: str, rest: list[str], known: dict[str, Flag], given: dict[str, tuple[str, ...]]) -> None:
    name, equals, value = word.lstrip("-").partition("=")
    flag = known.get(name)
    if flag is None:
        raise UsageError(f"unknown flag {word}")
    if flag.kind == "switch":
        if equals and value not in _TRUE + _FALSE:
            raise UsageError(f"--{flag.name} is true or false, not {value!r}")
        value = "false" if value in _FALSE else "true"
    elif not equals:
        if not rest:
            raise UsageError(f"--{flag.name} needs a value")
        value = rest.pop(0)
    given[flag.name] = (*given.get(flag.name, ()), value)


def parse_command(words: list[str], command: Command) -> Arguments:
    """Parse what follows the command's name, and count its arguments unless --help is one. Raises UsageError."""
    flags = (*command.flags, HELP)
    if command.flags_anywhere:
        arguments, _ = parse(words, flags, stop_at_word=False)
    else:
        arguments, rest = parse(words, flags, stop_at_word=True)
        arguments = arguments.but(positional=(*arguments.positional, *rest))
    if arguments.switch(HELP.name):
        return arguments
    if not command.at_least <= len(arguments.positional) <= command.at_most:
        wanted = command.arguments or "no arguments"
        raise UsageError(f"{command.module} takes {wanted}, {len(arguments.positional)} were given")
    return arguments
