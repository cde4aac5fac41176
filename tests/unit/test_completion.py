"""Completion as shells do it: each is run, with our script loaded, and asked to complete a line."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyrunc.cli import main, shells
from pyrunc.cli.table import HELP, all_commands
from pyrunc.state import store
from tests.conftest import REPOSITORY
from tests.unit.states import state

COMMANDS = all_commands()
SHELLS = [
    pytest.param("bash", marks=pytest.mark.requires("bash")),
    pytest.param("zsh", marks=pytest.mark.requires("zsh")),
    pytest.param("fish", marks=pytest.mark.requires("fish")),
]
SCRIPTS = {"bash": shells.bash, "zsh": shells.zsh, "fish": shells.fish}
_ASK_BASH = """
source completion
compopt() { :; } # it works only where readline asks
read -ra COMP_WORDS <<<"${1//=/ = }"
[[ $1 == *' ' || $1 == *= ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_pyrunc
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A directory with the scripts, a `pyrunc` to call, a bundle, and a state root with two containers."""
    for shell, script in SCRIPTS.items():
        (tmp_path / f"completion.{shell}").write_text(script())
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin/pyrunc"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -m pyrunc "$@"\n')
    command.chmod(0o755)
    (tmp_path / "bundle").mkdir()
    for name in ("alpha", "beta"):
        store.reserve(str(tmp_path / "root"), state(name)).close()
    return tmp_path


def environment(desk: Path) -> dict[str, str]:
    return {"PATH": f"{desk}/bin:{os.environ['PATH']}", "HOME": str(desk), "TERM": "dumb", "LC_ALL": "C.UTF-8"}


def ask(shell: str, line: str, desk: Path) -> list[str]:
    """What a shell offers for the last word of a line."""
    if shell == "bash":
        script, words = _ASK_BASH.replace("completion", f"{desk}/completion.bash"), ["bash", "-c", "", "bash", line]
        words[2] = script
    else:
        words = ["fish", "--no-config", "-c", f"source {desk}/completion.fish; complete -C $argv[1]", line]
    done = subprocess.run(
        words, env=environment(desk), cwd=desk, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return sorted(offer.partition("\t")[0] for offer in done.stdout.splitlines() if offer)


class Typist:
    """A shell on a terminal of its own, in which keys are pressed."""

    def __init__(self, words: list[str], desk: Path) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(desk)
            os.execvpe(words[0], words, environment(desk))

    def __enter__(self) -> Typist:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)  # hangs up
        os.waitpid(self.pid, 0)

    def press(self, keys: str, until: str) -> str:
        """Press keys and return what appears, up to and with a text that shows that all has appeared."""
        os.write(self.fd, keys.encode())
        seen, deadline = "", time.monotonic() + 60
        while until not in seen:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], f"no {until!r} in {seen!r}"
            seen += os.read(self.fd, 65536).decode(errors="replace")
        return seen


INTERACTIVE = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "bind 'set bell-style none'; PS1=; set +o history"),
    "zsh": (["zsh", "-f", "-i"], "autoload -U compinit; compinit -uD; PS1= PROMPT_EOL_MARK=; unsetopt beep prompt_sp"),
}


def typed(shell: str, line: str, desk: Path) -> str:
    """What a line becomes when TAB is pressed at its end: printed by putting an echo before it."""
    words, setup = INTERACTIVE[shell]
    with Typist(words, desk) as typist:
        typist.press(f"{setup}; source {desk}/completion.{shell}; echo rea''dy\n", "ready")
        typist.press(f"{line}\t\x01echo \x05 E''ND\n", "END\r\n")
        seen = typist.press(f"{line}\t\x01echo BEGI''N \x05 E''ND\n", "END\r\n")
    return seen.rpartition("BEGIN ")[2].partition(" END")[0].strip()


# A line with a last word that can only be one thing, and that thing.
LINES = [
    ("pyrunc feat", "features"),
    ("pyrunc --debug spe", "spec"),
    ("pyrunc --log-fo", "--log-format"),
    ("pyrunc --log-format j", "json"),
    ("pyrunc --root DESK/root start al", "alpha"),
    ("pyrunc --root=DESK/root kill be", "beta"),
    ("pyrunc --root DESK/root kill --all be", "beta"),
    ("pyrunc --root DESK/root kill beta WIN", "WINCH"),
    ("pyrunc create --no-p", "--no-pivot"),
    ("pyrunc create --bundle DESK/bun", "DESK/bundle"),
    ("pyrunc run --pid-file x -b DESK/bun", "DESK/bundle"),
    ("pyrunc delete --fo", "--force"),
    ("pyrunc list --format js", "json"),
    ("pyrunc completion z", "zsh"),
]
NOTHING = [
    *("pyrunc create al", "pyrunc --root DESK/root start alpha be", "pyrunc features x", "pyrunc run --preserve-fds 1"),
]
ROOTS = ["--root DESK/root", "-root DESK/root", "--root=DESK/root", "--log f --root DESK/root"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("line", "word"), LINES)
def test_a_word_is_completed(shell: str, line: str, word: str, desk: Path) -> None:
    line, word = (text.replace("DESK", str(desk)) for text in (line, word))
    if shell == "zsh":
        assert typed(shell, line, desk).rstrip("/ ").endswith(f" {word}")
    else:
        assert [offer.rstrip("/") for offer in ask(shell, line, desk)] == [word]


@pytest.mark.requires("bash")
@pytest.mark.parametrize(("line", "word"), LINES)
def test_bash_completes_what_is_typed(line: str, word: str, desk: Path) -> None:
    line, word = (text.replace("DESK", str(desk)) for text in (line, word))
    assert typed("bash", line, desk).rstrip("/ ").endswith(f" {word}")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("line", NOTHING)
def test_where_nothing_is_known_nothing_is_offered(shell: str, line: str, desk: Path) -> None:
    line = line.replace("DESK", str(desk))
    if shell == "zsh":
        assert typed(shell, line, desk) == line
    else:
        assert ask(shell, line, desk) == []


@pytest.mark.parametrize("shell", [SHELLS[0], SHELLS[2]])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_is_offered(shell: str, name: str, desk: Path) -> None:
    offered = [word for word in ask(shell, f"pyrunc {name} -", desk) if word.startswith("--")]
    assert offered == sorted(f"--{flag.name}" for flag in (*COMMANDS[name].flags, HELP))


@pytest.mark.parametrize("shell", [SHELLS[0], SHELLS[2]])
def test_every_command_is_offered(shell: str, desk: Path) -> None:
    assert ask(shell, "pyrunc ", desk) == sorted(COMMANDS)


@pytest.mark.parametrize("shell", [SHELLS[0], SHELLS[2]])
@pytest.mark.parametrize("root", ROOTS)
def test_ids_are_those_of_the_root_on_the_line(shell: str, root: str, desk: Path) -> None:
    assert ask(shell, f"pyrunc {root} state ".replace("DESK", str(desk)), desk) == ["alpha", "beta"]


@pytest.mark.parametrize("shell", ["tcsh", "", "BASH"])
def test_other_shells_are_named_as_such(shell: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 1
    assert "there is completion for bash, zsh, fish" in capfd.readouterr().err


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_command_prints_the_script(shell: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert capfd.readouterr().out == SCRIPTS[shell]()
