"""Write the man pages: pyrunc.8 and one per command, from the table that parses the flags and the words in docs/man.

    python tools/man.py DIRECTORY

docs/man/COMMAND.txt has sections under headings in capitals. Indented lines are shown as they are; `these` are literal.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE))

from pyrunc import __version__  # noqa: E402
from pyrunc.cli.help import value_of  # noqa: E402
from pyrunc.cli.table import GLOBAL_FLAGS, HELP, Command, Flag, all_commands  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

WORDS = HERE / "docs/man"
# man-pages(7): the order of sections. Options come after what the command is for.
BEFORE_OPTIONS = ("DESCRIPTION",)
SUMMARY = "an OCI container runtime"


def write_pages(directory: Path) -> list[Path]:
    """Write all pages and return their paths. Raises FileNotFoundError for a command that docs/man has no words for."""
    directory.mkdir(parents=True, exist_ok=True)
    pages = {"pyrunc": overview()} | {f"pyrunc-{name}": page(name, each) for name, each in all_commands().items()}
    for name, text in pages.items():
        (directory / f"{name}.8").write_text(text)
    return [directory / f"{name}.8" for name in pages]


def overview() -> str:
    """Return the page of pyrunc as a whole."""
    commands = [entry(bold(f"pyrunc-{name}") + "(8)", each.summary) for name, each in all_commands().items()]
    synopsis = f"{bold('pyrunc')} [{italic('global flags')}] {italic('COMMAND')} [{italic('flags')}] {italic('...')}"
    also = [f"pyrunc-{name}" for name in all_commands()]
    inserted = {"GLOBAL FLAGS": map(option, GLOBAL_FLAGS), "COMMANDS": commands}
    return assemble("pyrunc", SUMMARY, synopsis, "pyrunc", inserted, also)


def page(name: str, command: Command) -> str:
    """Return the page of one command."""
    words = " ".join(italic(word) for word in command.arguments.split())
    synopsis = f"{bold('pyrunc')} [{italic('global flags')}] {bold(name)} [{italic('flags')}] {words}".rstrip()
    inserted = {"OPTIONS": map(option, (*command.flags, HELP))}
    return assemble(f"pyrunc-{name}", command.summary, synopsis, name, inserted, ["pyrunc"])


def assemble(
    title: str, summary: str, synopsis: str, words: str, inserted: Mapping[str, Iterable[str]], also: list[str]
) -> str:
    """Put a page together; what is inserted comes behind the description."""
    lines = [
        f'.TH {title.upper()} 8 "" "pyrunc {__version__}" "System administration"',
        ".SH NAME",
        rf"{escaped(title)} \- {escaped(summary)}",
        ".SH SYNOPSIS",
        synopsis,
    ]
    sections = read(words)
    for heading in BEFORE_OPTIONS:
        lines += [f".SH {heading}", *body(sections.pop(heading))]
    for heading, entries in inserted.items():
        lines += [f".SH {heading}", *entries]
    for heading, text in sections.items():
        lines += [f".SH {heading}", *body(text)]
    references = ",\n".join(rf".BR {escaped(name)} (8)" for name in also).replace(",\n", " ,\n")
    return "\n".join([*lines, ".SH SEE ALSO", references]) + "\n"


def read(name: str) -> dict[str, str]:
    """Return the sections of a file in docs/man by their headings."""
    parts = re.split(r"^([A-Z][A-Z ]+)\n", (WORDS / f"{name}.txt").read_text(), flags=re.MULTILINE)
    return {heading: text.strip("\n") for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


def body(text: str) -> Iterator[str]:
    """Yield the lines of a section: paragraphs, and what is indented as it is (groff_man(7), EX)."""
    for number, block in enumerate(text.split("\n\n")):
        lines = block.split("\n")
        if block.startswith("    "):
            yield from ([".PP"] if number else [])
            yield from (".in +4n", ".EX", *(guarded(escaped(line[4:])) for line in lines), ".EE", ".in")
        else:
            yield from ([".PP"] if number else [])
            yield from (guarded(marked(line)) for line in lines)


def option(flag: Flag) -> str:
    """Return one flag with its help."""
    value = "|".join(map(bold if "|" in flag.value else italic, filter(None, value_of(flag).split("|"))))
    names = ", ".join(bold(word) for word in ([f"-{flag.short}"] if flag.short else []) + [f"--{flag.name}"])
    notes = ["May be repeated."] * (flag.kind == "list") + [f"Default: `{flag.default}`"] * bool(flag.default)
    text = f"{flag.help[0].upper()}{flag.help[1:]}."
    return entry(f"{names} {value}".rstrip(), " ".join([text, *notes]))


def entry(term: str, text: str) -> str:
    """Return a tagged paragraph: `term` is roff, `text` is not."""
    return f".TP\n{term}\n{guarded(marked(text))}"


def bold(text: str) -> str:
    """Return what is to be typed as it stands."""
    return rf"\fB{escaped(text)}\fR"


def italic(text: str) -> str:
    """Return what stands for something else."""
    return rf"\fI{escaped(text)}\fR"


def marked(text: str) -> str:
    """Return text with its `literal` parts in bold."""
    return "".join(bold(part) if number % 2 else escaped(part) for number, part in enumerate(text.split("`")))


def escaped(text: str) -> str:
    """Return text without anything that roff would take for its own; a minus is one, not a hyphen (man-pages(7))."""
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return text.replace("'", r"\(aq").replace("^", r"\(ha").replace("~", r"\(ti")


def guarded(line: str) -> str:
    """Return a line that is no request, whatever it begins with."""
    return rf"\&{line}" if line.startswith((".", "'")) else line


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
