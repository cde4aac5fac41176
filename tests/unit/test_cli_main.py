"""The command line: what is printed, where, and with which exit code."""

from __future__ import annotations

import json
import os
import posix
from pathlib import Path

import pytest

from pyrunc import __version__
from pyrunc.cli import Context, absolute, main
from pyrunc.cli.arguments import Arguments, parse, parse_command
from pyrunc.cli.create import order_of
from pyrunc.cli.log import Log
from pyrunc.cli.table import GLOBAL_FLAGS, HELP, all_commands
from pyrunc.errors import StateError, UsageError
from pyrunc.host.create import Order
from pyrunc.plan.make import Request

COMMANDS = all_commands()

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize("word", ["--version", "-v", "-version"])
def test_the_version_is_what_engines_parse(word: str, capfd: Captured) -> None:
    assert main([word]) == 0
    first, commit, spec, image = capfd.readouterr().out.splitlines()
    assert first == f"pyrunc version {__version__}"
    assert "runc version " in first, "what some callers look for in it"
    assert commit.startswith("commit: ")
    assert spec == "spec: 1.3.0"
    assert image.startswith(("image: yes", "image: none: "))


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"], ["--debug"]])
def test_the_help_names_every_command_and_global_flag(words: list[str], capfd: Captured) -> None:
    assert main(words) == 0
    out = capfd.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)
    assert all(f" --{flag.name} " in out or f" --{flag.name}\n" in out for flag in GLOBAL_FLAGS)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("words", [("NAME", "-h"), ("NAME", "--help"), ("NAME", "-help", "id"), ("help", "NAME")])
def test_each_command_has_its_help(name: str, words: tuple[str, ...], capfd: Captured) -> None:
    assert main([name if word == "NAME" else word for word in words]) == 0
    out = capfd.readouterr().out
    assert out.startswith(f"usage: pyrunc {name} ")
    for flag in (*COMMANDS[name].flags, HELP):
        begin = f"  -{flag.short}, --{flag.name} " if flag.short else f"  --{flag.name} "
        (line,) = (line for line in out.replace("\n   ", "   ").splitlines() if line.startswith(begin))
        assert flag.help in line
        assert not flag.value or f" {flag.value} " in line


def test_what_belongs_to_the_program_is_no_question_for_help() -> None:
    assert not parse_command(["box", "--help"], COMMANDS["kill"]).switch("help")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_its_module(name: str) -> None:
    module = __import__(f"pyrunc.cli.{COMMANDS[name].module}", fromlist=["main"])
    assert callable(module.main)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fly"], "unknown command 'fly'"),
        (["help", "fly"], "unknown command 'fly'"),
        (["--criu=/criu", "fly"], "unknown command 'fly'"),
        (["--rootless=", "fly"], "unknown command 'fly'"),
        (["--fly"], "unknown flag --fly"),
        (["state"], "state takes ID, 0 were given"),
        (["state", "a", "b"], "state takes ID, 2 were given"),
        (["state", "--fly", "a"], "unknown flag --fly"),
        (["kill", "box", "NOPE"], "unknown signal 'NOPE'"),
        (["--log-format", "xml", "list"], "--log-format is text or json, not 'xml'"),
        (["--rootless", "maybe", "list"], "--rootless is true, false or auto, not 'maybe'"),
        (["list", "--format", "xml"], "--format is table or json, not 'xml'"),
        (["state", "a b"], "invalid container id 'a b'"),
        (["--root", "/nowhere", "state", "box"], "container box does not exist"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_code_1(words: list[str], said: str, capfd: Captured) -> None:
    assert main(words) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("pyrunc: ")
    assert said in err
    assert err.count("\n") == 1


def test_an_error_names_the_command_and_the_container(capfd: Captured) -> None:
    main(["--root", "/nowhere", "start", "box"])
    assert capfd.readouterr().err == "pyrunc: start box: container box does not exist\n"


def test_an_id_cannot_write_a_line_of_its_own(capfd: Captured) -> None:
    assert main(["state", "a\npyrunc: state b: all is well"]) == 1
    assert capfd.readouterr().err.count("\n") == 1


def test_an_error_is_in_the_log_too(tmp_path: Path, capfd: Captured) -> None:
    log = tmp_path / "log"
    assert main(["--root", str(tmp_path), "--log", str(log), "--log-format", "json", "state", "box"]) == 1
    document = json.loads(log.read_text())
    assert document["level"] == "error"
    assert document["msg"] == capfd.readouterr().err.strip() == "pyrunc: state box: container box does not exist"


def test_force_does_not_mind_what_does_not_exist(tmp_path: Path, capfd: Captured) -> None:
    assert main(["--root", str(tmp_path), "delete", "--force", "box"]) == 0
    assert main(["--root", str(tmp_path), "delete", "box"]) == 1
    assert "does not exist" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("path", "result"),
    [("/a/b", "/a/b"), ("/a/", "/a"), ("/", "/"), ("a", "/cwd/a"), (".", "/cwd/."), ("a/", "/cwd/a")],
)
def test_paths_are_made_absolute(path: str, result: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute(path) == result.replace("/cwd", str(tmp_path))


# What create is asked for


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle in the directory we are in, to which we come back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(posix, "environ", {})
    (tmp_path / "bundle").mkdir()
    return tmp_path / "bundle"


def order(*words: str, options: tuple[str, ...] = (), name: str = "create") -> Order:
    given, _ = parse(list(options), GLOBAL_FLAGS, stop_at_word=True)
    arguments: Arguments = parse_command([*words, "box"], COMMANDS[name])
    return order_of(Context("/root", Log(9), given), arguments, foreground=False)


def test_an_order_says_what_the_flags_say(bundle: Path) -> None:
    assert order("-b", "bundle") == Order("/root", Request("box", str(bundle)), log=9)
    assert os.getcwd() == str(bundle), "hooks of the runtime's namespaces run in the bundle"


def test_no_bundle_is_the_one_we_are_in(bundle: Path) -> None:
    os.chdir(bundle)
    assert order().request.bundle == str(bundle)


def test_other_paths_are_those_of_the_caller(bundle: Path) -> None:
    ordered = order("-b", "bundle", "--pid-file", "p", "--console-socket", "/s", "--pidfd-socket", "d/s")
    above = bundle.parent
    assert (ordered.pid_file, ordered.console_socket) == (f"{above}/p", "/s")
    assert ordered.pidfd_socket == f"{above}/d/s"


def test_switches_of_an_order(bundle: Path) -> None:
    request = order("-b", "bundle", "--no-pivot", "--no-new-keyring").request
    assert (request.pivot, request.session_keyring, request.cgroups) == (False, False, True)
    os.chdir(bundle.parent)
    assert not order("-b", "bundle", options=("--cgroup-manager", "disabled")).request.cgroups


@pytest.mark.parametrize("options", [("--cgroup-manager", "docker"), ("--cgroup-manager=",)])
def test_cgroup_managers_that_there_are_not(bundle: Path, options: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="cgroup"):
        order("-b", "bundle", options=options)


def test_sockets_of_systemd_are_announced(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posix, "environ", {b"LISTEN_FDS": b"1", b"LISTEN_FDNAMES": b"web"})
    opened: list[int] = []
    while not opened or opened[-1] < 3:
        opened.append(os.open("/", os.O_PATH))  # now 3 is open, whoever has it
    request = order("-b", "bundle").request
    for fd in opened:
        os.close(fd)
    assert (request.listen_fds, request.listen_fdnames) == (1, "web")


@pytest.mark.parametrize("text", [b"", b"-1", b"x", b"1x", b"\xd9\xa1"])
def test_a_number_of_sockets_that_is_none_is_none(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, text: bytes
) -> None:
    monkeypatch.setattr(posix, "environ", {b"LISTEN_FDS": text})
    assert order("-b", "bundle").request.listen_fds == 0


def test_what_is_not_open_cannot_be_passed_on(bundle: Path) -> None:
    with pytest.raises(UsageError, match=r"file descriptor \d+ is to be passed on but is not open"):
        order("-b", "bundle", "--preserve-fds", "5000")


def test_a_bundle_that_is_not_there_is_named(bundle: Path) -> None:
    with pytest.raises(StateError, match=f"cannot enter the bundle {bundle}/no: not found"):
        order("-b", "bundle/no")
