"""The man pages: every command and flag is in them, and roff has nothing to say against them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from pyrunc.cli.table import GLOBAL_FLAGS, HELP, Flag, all_commands
from tests.conftest import REPOSITORY

COMMANDS = all_commands()
PAGES = ["pyrunc", *(f"pyrunc-{name}" for name in COMMANDS)]


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with all pages, as the build writes them."""
    directory = tmp_path_factory.mktemp("man")
    subprocess.run(["python3", "tools/man.py", str(directory)], cwd=REPOSITORY, check=True)
    return directory


def plain(page: Path) -> str:
    """The text of a page without fonts, one space between words."""
    text = re.sub(r"\\f[BIR]", "", page.read_text()).replace(r"\-", "-").replace(r"\(aq", "'")
    return " ".join(text.split())


def documented(flag: Flag, text: str) -> bool:
    names = f"-{flag.short}, --{flag.name}" if flag.short else f"--{flag.name}"
    help_ = flag.help[0].upper() + flag.help[1:]
    return re.search(rf"\.TP {re.escape(names)} .{{0,60}}{re.escape(help_)}\.", text) is not None


def test_there_is_a_page_for_each_command_and_no_other(pages: Path) -> None:
    assert sorted(page.stem for page in pages.iterdir()) == sorted(PAGES)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_is_on_the_page_of_its_command(name: str, pages: Path) -> None:
    text = plain(pages / f"pyrunc-{name}.8")
    assert [flag.name for flag in (*COMMANDS[name].flags, HELP) if not documented(flag, text)] == []
    assert COMMANDS[name].summary in text
    assert f" {name} [flags] {COMMANDS[name].arguments}".rstrip() in text


def test_every_global_flag_and_command_is_on_the_first_page(pages: Path) -> None:
    text = plain(pages / "pyrunc.8")
    assert [flag.name for flag in GLOBAL_FLAGS if not documented(flag, text)] == []
    assert [name for name, each in COMMANDS.items() if f".TP pyrunc-{name}(8) {each.summary}" not in text] == []


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("heading", ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "SEE ALSO"])
def test_every_page_has_its_sections(name: str, heading: str, pages: Path) -> None:
    assert f".SH {heading}" in (pages / f"{name}.8").read_text().splitlines()


@pytest.mark.requires("groff")
@pytest.mark.parametrize("name", PAGES)
def test_groff_has_no_warnings(name: str, pages: Path) -> None:
    page = str(pages / f"{name}.8")
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", page], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.requires("mandoc")
@pytest.mark.parametrize("name", PAGES)
def test_mandoc_has_no_warnings(name: str, pages: Path) -> None:
    page = str(pages / f"{name}.8")
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True, check=False)
    # A page says of which version it is; a date would have to be kept.
    assert [line for line in done.stdout.splitlines() if "missing date" not in line] == []
    assert done.stderr == ""
