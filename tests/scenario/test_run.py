"""`run`: the container's code becomes ours; streams, terminal and signals are relayed."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
from typing import TYPE_CHECKING

import pytest

from tests.scenario import host
from tests.scenario.bundle import TIMEOUT
from tests.scenario.console import read_terminal

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle


@pytest.mark.parametrize("code", [0, 1, 3, 127, 255])
def test_exit_code_of_the_program(bundle: Bundle, code: int) -> None:
    assert bundle.run("/bin/probe", "exit", str(code)).returncode == code


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_program_that_dies_of_a_signal(bundle: Bundle, number: int) -> None:
    """Without a pid namespace: as pid 1 of one it would be immune to its own signals."""
    bundle.without_namespace("pid")
    assert bundle.run("/bin/probe", "die", str(number)).returncode == 128 + number


def test_output_of_the_program(bundle: Bundle) -> None:
    result = bundle.run("sh", "-c", "echo out; echo err >&2")
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


def test_input_of_the_program(bundle: Bundle) -> None:
    assert bundle.run("cat", stdin="hello").stdout == "hello"


def test_nothing_is_left_after_run(bundle: Bundle) -> None:
    bundle.run("true").ok()
    assert host.leftovers(bundle.token, bundle.root) == []


def test_keep_leaves_a_stopped_container(bundle: Bundle) -> None:
    assert bundle.process(args=["/bin/probe", "exit", "3"]).attempt("run", "--keep").returncode == 3
    assert bundle.status == "stopped"
    bundle.delete()


def test_detach_returns_while_the_program_runs(bundle: Bundle) -> None:
    bundle.process(args=["/bin/probe", "sleep"]).attempt("run", "--detach", "--pid-file", f"{bundle.dir}/pid").ok()
    assert bundle.status == "running"
    assert (bundle.dir / "pid").read_text() == str(bundle.pid)


def test_detached_program_that_ends_is_stopped(bundle: Bundle) -> None:
    bundle.process(args=["true"]).attempt("run", "-d").ok()
    assert host.eventually(lambda: bundle.status == "stopped")
    bundle.delete()


def test_pid_file_of_a_foreground_run(bundle: Bundle) -> None:
    bundle.process(args=["true"]).attempt("run", "--pid-file", f"{bundle.dir}/pid").ok()
    assert (bundle.dir / "pid").read_text().isdigit()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT])
def test_signals_are_relayed(bundle: Bundle, number: signal.Signals) -> None:
    bundle.process(args=["/bin/probe", "trap"]).save()
    with subprocess.Popen(
        bundle.command("run"), stdout=subprocess.PIPE, env=bundle.environment(), text=True
    ) as running:
        assert running.stdout
        assert running.stdout.readline() == "ready\n"
        running.send_signal(number)
        assert running.stdout.readline() == f"{number}\n"
        bundle.kill("KILL")
        assert running.wait(TIMEOUT) == 137


def test_zombies_of_the_container_do_not_end_the_run(bundle: Bundle) -> None:
    """The runtime adopts orphans of a container without a pid namespace, and only init's end counts."""
    bundle.without_namespace("pid")
    script = "(sleep 0.1; exit 7) & (sh -c 'sleep 0.1; exit 9' &) ; sleep 0.4; exit 5"
    assert bundle.run("sh", "-c", script).returncode == 5


def foreground_on_a_pty(bundle: Bundle, rows: int = 33, cols: int = 77) -> tuple[int, subprocess.Popen[bytes]]:
    """Start `run` as a shell would: on a terminal of its own session; returns the terminal's master."""
    bundle.process(terminal=True).save()
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
    running = subprocess.Popen(
        bundle.command("run"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=bundle.environment(),
        start_new_session=True,
    )
    os.close(slave)
    return master, running


@pytest.mark.requires("tty")
def test_foreground_terminal(bundle: Bundle) -> None:
    """The size may be set just after the start: the program asks a moment later."""
    bundle.process(args=["sh", "-c", "sleep 0.2; exec probe tty"])
    master, running = foreground_on_a_pty(bundle)
    said = json.loads(read_terminal(master))
    os.close(master)
    assert running.wait(TIMEOUT) == 0
    assert said["isatty"] == [1, 1, 1]
    assert said["controlling"]
    assert (said["rows"], said["cols"]) == (33, 77)


@pytest.mark.requires("tty")
def test_foreground_terminal_is_relayed_in_raw_mode(bundle: Bundle) -> None:
    bundle.process(args=["sh", "-c", "stty -echo; echo ready; read line; echo got $line; exit 4"])
    master, running = foreground_on_a_pty(bundle)
    heard = b""
    while b"ready" not in heard:
        heard += os.read(master, 1024)
    os.write(master, b"hello\r")
    rest = read_terminal(master)
    os.close(master)
    assert running.wait(TIMEOUT) == 4
    assert rest.split("\r\n")[-2] == "got hello"


@pytest.mark.requires("tty")
def test_terminal_follows_the_window(bundle: Bundle) -> None:
    bundle.process(args=["sh", "-c", "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done"])
    master, running = foreground_on_a_pty(bundle)
    heard = b""
    while b"ready" not in heard:
        heard += os.read(master, 1024)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 11, 22, 0, 0))
    running.send_signal(signal.SIGWINCH)
    assert "11 22" in read_terminal(master)
    os.close(master)
    assert running.wait(TIMEOUT) == 0


@pytest.mark.requires("tty")
def test_callers_terminal_is_restored(bundle: Bundle) -> None:
    bundle.process(args=["true"], terminal=True).save()
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    done = subprocess.run(
        bundle.command("run"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=bundle.environment(),
        timeout=TIMEOUT,
    )
    assert done.returncode == 0
    assert termios.tcgetattr(slave) == before
    os.close(slave)
    os.close(master)


def test_terminal_without_a_console_socket_cannot_be_detached(bundle: Bundle) -> None:
    result = bundle.process(args=["true"], terminal=True).attempt("run", "--detach")
    assert result.returncode == 1
    assert "console" in result.stderr


def test_console_socket_without_a_terminal_is_refused(bundle: Bundle) -> None:
    with bundle.console() as console:
        result = bundle.process(args=["true"]).attempt("create", "--console-socket", console.path)
    assert result.returncode == 1
