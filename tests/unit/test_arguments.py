"""Command lines as engines and people write them."""

from __future__ import annotations

import pytest

from pyrunc.cli.arguments import Arguments, parse, parse_command
from pyrunc.cli.table import GLOBAL_FLAGS, Command, Flag, all_commands
from pyrunc.errors import UsageError

COMMANDS = all_commands()

FLAGS = (
    Flag("bundle", "text", "a directory", short="b", default="."),
    Flag("force", "switch", "a switch", short="f"),
    Flag("preserve-fds", "number", "a number", default="0"),
    Flag("env", "list", "may be repeated", short="e"),
)
COMMAND = Command("do", "does it", "ID [MORE]", 1, 2, FLAGS)


def read(*words: str) -> Arguments:
    return parse_command(list(words), COMMAND)


@pytest.mark.parametrize(
    "words", [("--bundle", "/x"), ("-bundle", "/x"), ("--bundle=/x",), ("-bundle=/x",), ("-b", "/x"), ("-b=/x",)]
)
@pytest.mark.parametrize("before", [True, False])
def test_a_value_may_be_written_in_many_ways(words: tuple[str, ...], before: bool) -> None:
    arguments = read(*words, "id") if before else read("id", *words)
    assert arguments.text("bundle") == "/x"
    assert arguments.positional == ("id",)


@pytest.mark.parametrize("value", ["", "a=b", "-", "--force", "ü"])
def test_what_stands_after_a_flag_is_its_value(value: str) -> None:
    assert read("--bundle", value, "id").text("bundle") == value
    assert read(f"--bundle={value}", "id").text("bundle") == value


def test_what_is_not_given_has_its_default() -> None:
    arguments = read("id")
    assert (arguments.text("bundle"), arguments.switch("force"), arguments.number("preserve-fds")) == (".", False, 0)


def test_the_last_of_two_counts() -> None:
    arguments = read("--bundle", "a", "id", "-b=b", "--force", "--force=false")
    assert (arguments.text("bundle"), arguments.switch("force")) == ("b", False)


def test_all_of_a_list_count_in_their_order() -> None:
    arguments = read("--env", "A=1", "id", "-e", "B=2,C", "-env=A=3", "--env=")
    assert arguments.texts("env") == ("A=1", "B=2,C", "A=3", "")
    assert read("id").texts("env") == ()


@pytest.mark.parametrize(
    ("word", "on"),
    [
        *((word, True) for word in ("--force", "-force", "-f", "--force=true", "-f=1", "--force=t", "--force=TRUE")),
        *((word, False) for word in ("--force=false", "-f=0", "--force=f", "--force=False")),
    ],
)
def test_a_switch_is_on_or_off(word: str, on: bool) -> None:
    assert read(word, "id").switch("force") is on
    assert read("--force", word, "id").switch("force") is on


def test_a_switch_takes_no_word_of_its_own() -> None:
    arguments = read("--force", "false")
    assert arguments.switch("force")
    assert arguments.positional == ("false",)


@pytest.mark.parametrize("word", ["--force=", "--force=maybe", "-f=2"])
def test_a_switch_has_no_other_values(word: str) -> None:
    with pytest.raises(UsageError, match="--force is true or false, not"):
        read(word, "id")


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), ("12345678901", 12345678901)])
def test_a_number(text: str, number: int) -> None:
    assert read(f"--preserve-fds={text}", "id").number("preserve-fds") == number


@pytest.mark.parametrize("text", ["", "-1", "1.0", "x", " 1", "\u0663", "1_0", "0x10"])
def test_no_number(text: str) -> None:
    with pytest.raises(UsageError, match="--preserve-fds needs a number, not"):
        read(f"--preserve-fds={text}", "id").number("preserve-fds")


@pytest.mark.parametrize("word", ["--unknown", "-x", "--bundel=/x", "---", "--=x", "-fb"])
def test_an_unknown_flag_is_named(word: str) -> None:
    with pytest.raises(UsageError, match=rf"unknown flag {word}$"):
        read("id", word)


@pytest.mark.parametrize("word", ["--bundle", "-b", "--preserve-fds"])
def test_a_flag_at_the_end_lacks_its_value(word: str) -> None:
    with pytest.raises(UsageError, match=r"needs a value$"):
        read("id", word)


def test_after_two_dashes_nothing_is_a_flag() -> None:
    assert read("--force", "--", "--bundle", "--").positional == ("--bundle", "--")
    assert read("id", "--", "-f").positional == ("id", "-f")
    assert not read("id", "--", "-f").switch("force")


def test_one_dash_is_an_argument() -> None:
    assert read("-").positional == ("-",)


@pytest.mark.parametrize(("words", "count"), [((), 0), (("a", "b", "c"), 3), (("--force",), 0)])
def test_arguments_are_counted(words: tuple[str, ...], count: int) -> None:
    with pytest.raises(UsageError, match=rf"^do takes ID \[MORE\], {count} were given$"):
        read(*words)


def test_a_command_without_arguments_says_so() -> None:
    with pytest.raises(UsageError, match=r"^features takes no arguments, 1 were given$"):
        parse_command(["x"], COMMANDS["features"])


# Flags before a word


def test_global_flags_end_at_the_command() -> None:
    arguments, rest = parse(["--root", "/r", "-debug", "run", "--debug", "-x"], GLOBAL_FLAGS, stop_at_word=True)
    assert (arguments.text("root"), arguments.switch("debug"), arguments.positional) == ("/r", True, ())
    assert rest == ["run", "--debug", "-x"]


@pytest.mark.parametrize(
    ("words", "everything", "positional"),
    [
        (("id",), False, ("id",)),
        (("id", "KILL"), False, ("id", "KILL")),
        (("--all", "id", "9"), True, ("id", "9")),
        (("-a", "id"), True, ("id",)),
        (("id", "-9"), False, ("id", "-9")),
        (("--", "id", "--all"), False, ("id", "--all")),
    ],
)
def test_after_the_id_kill_takes_what_is_there(
    words: tuple[str, ...], everything: bool, positional: tuple[str, ...]
) -> None:
    arguments = parse_command(list(words), COMMANDS["kill"])
    assert (arguments.switch("all"), arguments.positional) == (everything, positional)


# What engines really call


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("create", "--bundle /b --pid-file /p --console-socket /s --no-pivot --no-new-keyring --preserve-fds 2 id"),
        ("create", "-b /b -pid-file /p id"),
        ("run", "-d --keep -no-subreaper -b /b id"),
        ("delete", "--force id"),
        ("state", "id"),
        ("list", "-f json -q"),
        ("spec", "--rootless --bundle /b"),
    ],
)
def test_calls_of_engines_are_understood(command: str, words: str) -> None:
    arguments = parse_command(words.split(), COMMANDS[command])
    assert set(arguments.flags) <= {flag.name for flag in COMMANDS[command].flags}
    assert "id" not in words.split() or arguments.positional == ("id",)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_two_flags_of_a_command_have_one_name(name: str) -> None:
    names = [each for flag in COMMANDS[name].flags for each in (flag.name, flag.short) if each]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("flag", [flag for each in COMMANDS.values() for flag in each.flags] + [*GLOBAL_FLAGS])
def test_flags_are_of_a_known_kind_with_a_fitting_default(flag: Flag) -> None:
    assert flag.kind in ("switch", "text", "number", "list", "size", "duration")
    assert flag.kind != "number" or flag.default == "" or flag.default.isdigit()
    assert flag.kind not in ("switch", "list") or flag.default == ""
    assert flag.kind != "switch" or flag.value == ""
    assert "|" not in flag.value or flag.default in ("", *flag.value.split("|"))
