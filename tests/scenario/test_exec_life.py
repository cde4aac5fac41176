"""`exec`: how a program ends, where it may be run, its descriptors and its terminal."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scenario import host
from tests.scenario.bundle import TIMEOUT
from tests.scenario.console import read_terminal
from tests.scenario.execs import background, detached
from tests.scenario.test_crash import finish, launch

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_exit_code_is_the_programs(bundle: Bundle, code: int) -> None:
    assert bundle.sleeping().exec("/bin/probe", "exit", str(code)).returncode == code


def test_signal_that_ends_it_is_told_as_shells_do(bundle: Bundle) -> None:
    assert bundle.sleeping().exec("/bin/probe", "die", "9").returncode == 128 + signal.SIGKILL


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("nosuch", "executable file not found in $PATH"),
        ("/nosuch", "no such file or directory"),
        ("/etc/passwd", "permission denied"),
    ],
)
def test_program_that_cannot_be_started(bundle: Bundle, program: str, words: str) -> None:
    """Engines make exit codes 127 and 126 of these words."""
    result = bundle.sleeping().exec(program)
    assert result.returncode == 255
    assert words in result.stderr
    result = bundle.exec(program, flags=["--detach", "--pid-file", str(bundle.dir / "pid")])
    assert (result.returncode, words in result.stderr) == (255, True)
    assert not (bundle.dir / "pid").exists()


@pytest.mark.vm
def test_detached_it_is_a_child_of_the_callers_subreaper(bundle: Bundle) -> None:
    pid = detached(bundle.sleeping(), "/bin/probe", "exit", "7")
    assert bundle.wait(pid) == 7


def test_detached_it_outlives_exec(bundle: Bundle) -> None:
    with background(bundle.sleeping(), "/bin/probe", "sleep") as pid:
        assert host.eventually(lambda: Path(f"/proc/{pid}/comm").read_text() == "probe\n")


def test_it_ends_with_the_container(bundle: Bundle) -> None:
    pid = detached(bundle.sleeping(), "/bin/probe", "sleep")
    bundle.kill("KILL")
    assert bundle.wait(pid) == 128 + signal.SIGKILL


def test_signals_are_passed_on_in_the_foreground(bundle: Bundle) -> None:
    command = bundle.sleeping().command("exec", operands=["/bin/probe", "trap"])
    caller = launch(bundle, command)
    said = bundle.dir / "launched"
    try:
        assert host.eventually(lambda: said.read_text() == "ready\n", TIMEOUT)
        caller.send_signal(signal.SIGUSR1)
        assert host.eventually(lambda: said.read_text() == f"ready\n{int(signal.SIGUSR1)}\n", TIMEOUT)
        bundle.kill("KILL")
        assert caller.wait(TIMEOUT) == 128 + signal.SIGKILL
    finally:
        finish(caller, 0)


# where it may be run


@pytest.mark.parametrize("status", ["stopped", "missing"])
def test_container_that_does_not_run(bundle: Bundle, status: str) -> None:
    if status == "stopped":
        pid = bundle.process(args=["true"]).create().pid
        bundle.start().wait(pid)
    result = bundle.exec("true")
    assert result.returncode == 255
    assert (status if status == "stopped" else "does not exist") in result.stderr


def test_created_container(bundle: Bundle) -> None:
    """It has all but its program."""
    bundle.process(args=["true"]).create()
    assert bundle.exec("echo", "early").stdout == "early\n"
    assert bundle.status == "created"


@pytest.mark.vm
def test_paused_container(bundle: Bundle) -> None:
    bundle.sleeping().attempt("pause").ok()
    result = bundle.exec("true")
    bundle.attempt("resume").ok()
    assert (result.returncode, "paused" in result.stderr) == (255, True)


@pytest.mark.vm
def test_paused_container_can_be_waited_for(bundle: Bundle) -> None:
    bundle.sleeping().attempt("pause").ok()
    command = bundle.command("exec", "--ignore-paused", operands=["echo", "resumed"])
    waiting = launch(bundle, command)
    time.sleep(0.5)
    waited = waiting.poll() is None
    bundle.attempt("resume").ok()
    assert (finish(waiting), waited, (bundle.dir / "launched").read_text()) == (0, True, "resumed\n")


@pytest.mark.vm
@pytest.mark.differs_from_runc("cannot be interrupted then")
def test_waiting_for_a_paused_container_can_be_given_up(bundle: Bundle) -> None:
    bundle.sleeping().attempt("pause").ok()
    waiting = launch(bundle, bundle.command("exec", "--ignore-paused", operands=["touch", "/never"]))
    time.sleep(0.5)
    gave_up = waiting.poll() is not None or _ends_by(signal.SIGTERM, waiting)
    bundle.attempt("resume").ok()
    finish(waiting)
    assert gave_up
    assert bundle.exec("ls", "/never").returncode == 1


def _ends_by(number: int, process: subprocess.Popen[bytes]) -> bool:
    process.send_signal(number)
    return host.eventually(lambda: process.poll() is not None)


# descriptors and terminals


def test_preserved_descriptors(bundle: Bundle) -> None:
    (bundle.dir / "kept").write_text("kept")
    bundle.sleeping()
    command = bundle.command("exec", "--preserve-fds", "1", operands=["/bin/probe", "fds"])
    said = bundle.execute([bundle.template.probe, "leak", "3", "9", str(bundle.dir / "kept"), *command]).ok().json()
    assert sorted(said) == ["0", "1", "2", "3"]


@pytest.mark.differs_from_runc("says LISTEN_PID=1, and the program's pid is another")
def test_sockets_of_systemd(bundle: Bundle) -> None:
    bundle.sleeping()
    as_activated = ["sh", "-c", 'export LISTEN_PID=$$; exec "$@"', "sh"]
    activated = [*as_activated, str(bundle.template.probe), "leak", "3", "3", "/dev/null"]
    command = bundle.command("exec", operands=["/bin/probe", "self"])
    said = bundle.execute([*activated, *command], env=bundle.environment(LISTEN_FDS="1")).ok().json()
    assert {"LISTEN_FDS=1", f"LISTEN_PID={said['pid']}"} <= set(said["env"])


@pytest.mark.vm
@pytest.mark.requires("tty")
def test_terminal_through_a_socket(bundle: Bundle) -> None:
    bundle.sleeping()
    with bundle.console() as console:
        flags = ("--console-socket", console.path)
        size = {"height": 21, "width": 43}
        user = {"uid": 1000, "gid": 1000}
        args = ["sh", "-c", "probe tty; stat -c %u /dev/pts/0"]
        pid = detached(bundle, *args, flags=flags, terminal=True, consoleSize=size, user=user)
        first, second = read_terminal(console.master()).splitlines()
    bundle.wait(pid)
    said = json.loads(first)
    assert (said["isatty"], said["controlling"], said["rows"], said["cols"]) == ([1, 1, 1], True, 21, 43)
    assert second == "1000"


@pytest.mark.requires("tty")
def test_terminal_in_the_foreground(bundle: Bundle) -> None:
    bundle.sleeping()
    master, slave = os.openpty()
    result = bundle.exec("/bin/probe", "tty", flags=["--tty"], stdin_fd=slave)
    os.close(slave)
    os.close(master)
    assert result.ok().json()["controlling"]


@pytest.mark.requires("tty")
def test_terminal_in_the_foreground_has_the_callers_size(bundle: Bundle) -> None:
    bundle.sleeping()
    master, slave = os.openpty()
    termios.tcsetwinsize(slave, (21, 43))
    command = bundle.command("exec", "--tty", operands=["sh", "-c", "stty size; read line; echo $line; stty size"])
    caller = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    try:
        said = _read_until(master, b"43")
        termios.tcsetwinsize(master, (5, 6))
        caller.send_signal(signal.SIGWINCH)
        os.write(master, b"typed\n")
        said += _read_until(master, b"5 6")
        assert caller.wait(TIMEOUT) == 0
    finally:
        finish(caller, 0)
        os.close(master)
    assert said.split() == [b"21", b"43", b"typed", b"typed", b"5", b"6"]


def _read_until(fd: int, end: bytes) -> bytes:
    said = b""
    while end not in said:
        assert select.select([fd], [], [], TIMEOUT)[0], said
        try:
            said += os.read(fd, 4096)
        except OSError:  # EIO: the last slave is closed
            pytest.fail(f"ended with {said!r}")
    return said


@pytest.mark.differs_from_runc("1.1 has no --pidfd-socket")
def test_pidfd_through_a_socket(bundle: Bundle) -> None:
    with bundle.sleeping().console() as socket:
        pid = detached(bundle, "/bin/probe", "sleep", flags=("--pidfd-socket", socket.path))
        pidfd = socket.master()
        assert f"Pid:\t{pid}\n" in Path(f"/proc/self/fdinfo/{pidfd}").read_text()
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        assert bundle.wait(pid) == 128 + signal.SIGKILL


@pytest.mark.parametrize("flags", [["--tty", "--detach"], ["--console-socket", "/nosuch"]])
def test_terminal_that_nobody_gets(bundle: Bundle, flags: list[str]) -> None:
    assert bundle.sleeping().exec("true", flags=flags).returncode != 0
