"""docs/tutorial.md as its test reads it: steps with commands, what they print, and which system calls did it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from bundles.folder import HERE

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = HERE.parent / "docs/tutorial.md"
PROMPT = "# "
ANYTHING = "..."
HEADINGS = ["config.json", "`--debug` says", "system calls"]


class Command(NamedTuple):
    """One command and the output that is given for it, lines; none: it is not looked at."""

    words: str
    printed: tuple[str, ...]


class Act(NamedTuple):
    """One line of a step's table: the field, the step that --debug prints, the system calls that do it."""

    field: str
    step: str
    calls: tuple[str, ...]


class Step(NamedTuple):
    """A heading with what is below it."""

    title: str
    requires: tuple[str, ...]
    commands: tuple[Command, ...]
    acts: tuple[Act, ...]

    @property
    def bundles(self) -> set[str]:
        """The bundles that its commands name."""
        named = r"bundles/([a-z-]+)|-m bundles.* ([a-z-]+)$"
        return {one or two for each in self.commands for one, two in re.findall(named, each.words)}


def steps() -> list[Step]:
    """All steps, in the order of the file."""
    sections = FILE.read_text().split("\n## ")[1:]
    return [step_of(*section.split("\n", 1)) for section in sections]


def step_of(title: str, text: str) -> Step:
    requires = re.search(r"<!-- requires: (.*) -->", text)
    commands = [each for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) for each in commands_in(block)]
    return Step(title, tuple(requires[1].split()) if requires else (), tuple(commands), tuple(acts_in(text)))


def commands_in(block: str) -> Iterator[Command]:
    """The commands of one block; a backslash goes on with the next line."""
    for part in f"\n{block}".split(f"\n{PROMPT}")[1:]:
        words, *printed = part.replace("\\\n", "").splitlines()
        yield Command(words, tuple(printed))


def acts_in(text: str) -> Iterator[Act]:
    """The lines of the tables that have our headings."""
    ours = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("|") else []
        if cells == HEADINGS:
            ours = True
        elif not cells:
            ours = False
        elif ours and not cells[0].startswith("--"):
            field, step, calls = cells
            yield Act(field.strip("`"), step.strip("`"), tuple(re.findall(r"(\w+)\(2\)", calls)))


def pattern(printed: tuple[str, ...]) -> str:
    """A regular expression for what is given: `...` is anything in a line, and alone any lines."""
    lines = [
        "(?:.*\n)*" if line == ANYTHING else ".*".join(map(re.escape, line.rstrip().split(ANYTHING))) + "\n"
        for line in printed
    ]
    return "".join(lines)


def same(printed: tuple[str, ...], said: str) -> bool:
    """Tell whether a command said what is given for it; spaces at the ends of lines do not count."""
    lines = "".join(f"{line.rstrip()}\n" for line in said.splitlines())
    return bool(re.fullmatch(pattern(printed), lines))


