"""The flags of exec."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyrunc.cli import Context
from pyrunc.cli.arguments import parse, parse_command
from pyrunc.cli.exec import cgroups_of, order_of, user_of
from pyrunc.cli.log import Log
from pyrunc.cli.table import COMMANDS, GLOBAL_FLAGS
from pyrunc.errors import ConfigError, UsageError
from pyrunc.host.exec import Order


def order(*words: str) -> Order:
    context = Context("/root", Log(), parse([], GLOBAL_FLAGS, stop_at_word=True)[0])
    return order_of(context, parse_command(list(words), COMMANDS["exec"]))


def test_what_follows_the_id_is_the_programs() -> None:
    found = order("--user", "1", "box", "ls", "--user", "2", "-h")
    assert (found.id, found.request.args, found.request.uid) == ("box", ("ls", "--user", "2", "-h"), 1)


def test_every_flag_arrives() -> None:
    words = (
        "-t -d -u 1:2 -g 3 -g 4 -e A=1 --env B=2 -c kill --cap CAP_CHOWN --cwd /c --no-new-privs --apparmor p"
        " --process-label l --cgroup sub --ignore-paused --pid-file /p --console-socket /s --pidfd-socket /f box sh"
    )
    found = order(*words.split())
    request = found.request
    assert (request.terminal, request.uid, request.gid, request.additional_gids) == (True, 1, 2, (3, 4))
    assert (request.env, request.capabilities) == (("A=1", "B=2"), ("CAP_KILL", "CAP_CHOWN"))
    assert (request.cwd, request.no_new_privileges) == ("/c", True)
    assert (request.apparmor_profile, request.selinux_label) == ("p", "l")
    assert (found.cgroups, found.ignore_paused, found.pid_file) == ({"": "sub"}, True, "/p")
    assert (found.console_socket, found.pidfd_socket) == ("/s", "/f")


def test_what_is_not_said_stays_open() -> None:
    request = order("box", "sh").request
    assert (request.uid, request.gid, request.no_new_privileges, request.process) == (None, None, None, None)


def test_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = order("--pid-file", "pid", "box", "sh")
    assert found.pid_file == f"{tmp_path}/pid"


@pytest.mark.parametrize("flag", ["--process", "-p"])
def test_a_whole_process_comes_from_a_file(tmp_path: Path, flag: str) -> None:
    (tmp_path / "process.json").write_text(json.dumps({"args": ["ls"], "cwd": "/"}))
    process = order(flag, str(tmp_path / "process.json"), "box").request.process
    assert process is not None
    assert process.args == ("ls",)


def test_errors_in_the_file_have_their_places(tmp_path: Path) -> None:
    (tmp_path / "process.json").write_text(json.dumps({"args": [], "cwd": 5}))
    with pytest.raises(ConfigError, match=r"process\.json: .*\.process\.cwd.*\.process\.args"):
        order("--process", str(tmp_path / "process.json"), "box")


def test_a_program_is_needed() -> None:
    with pytest.raises(UsageError, match="PROGRAM"):
        order("box")


@pytest.mark.parametrize(
    ("text", "found"), [("", (None, None)), ("0", (0, None)), ("1000:7", (1000, 7)), ("4294967294", (4294967294, None))]
)
def test_user(text: str, found: tuple[int | None, int | None]) -> None:
    assert user_of(text) == found


@pytest.mark.parametrize("text", ": :5 1: -1 1:-1 4294967295 1:4294967295 1x x 1:2:3 \u0661 1e3 +1".split())
def test_what_is_no_user(text: str) -> None:
    with pytest.raises(UsageError, match="--user"):
        user_of(text)


@pytest.mark.parametrize("words", [["-u", "x"], ["-g", "x"], ["-g", "4294967295"], ["--preserve-fds", "x"]])
def test_what_is_no_number(words: list[str]) -> None:
    with pytest.raises(UsageError):
        order(*words, "box", "sh")


def test_cgroups() -> None:
    assert cgroups_of(()) == {}
    assert cgroups_of(("sub/path",)) == {"": "sub/path"}
    assert cgroups_of(("cpu,pids:a", "memory:b", "name=systemd:c")) == {
        "cpu": "a", "pids": "a", "memory": "b", "name=systemd": "c"
    }  # fmt: skip


@pytest.mark.parametrize("words", [(":a",), ("cpu,:a",), ("cpu:a", "cpu:b"), ("a", "b")])
def test_what_is_no_cgroup(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="--cgroup"):
        cgroups_of(words)
