"""process.terminal and --console-socket."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario.console import read_terminal

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle

pytestmark = pytest.mark.requires("tty")


def on_console(bundle: Bundle, *args: str, **more: Any) -> tuple[str, str]:
    """Create and start with --console-socket; returns the pty's name from the message and what came out of
    it.
    """
    bundle.process(terminal=True, args=list(args))
    with bundle.console() as console:
        pid = bundle.create("--console-socket", console.path, **more).pid
        master = console.master()
        bundle.start()
        said = read_terminal(master)
        bundle.wait(pid)
        return console.name, said


def test_all_three_streams_are_the_terminal(bundle: Bundle) -> None:
    said = json.loads(on_console(bundle, "/bin/probe", "tty")[1])
    assert said["isatty"] == [1, 1, 1]
    assert said["controlling"]
    assert said["console"]


def test_message_names_the_pty(bundle: Bundle) -> None:
    name, said = on_console(bundle, "/bin/probe", "tty")
    assert name.endswith(("/pts/0", "/ptmx"))
    assert json.loads(said)["name"] == "/dev/pts/0"


def test_console_size(bundle: Bundle) -> None:
    bundle.process(consoleSize={"height": 21, "width": 43})
    said = json.loads(on_console(bundle, "/bin/probe", "tty")[1])
    assert (said["rows"], said["cols"]) == (21, 43)


def test_console_size_is_ignored_without_a_terminal(bundle: Bundle) -> None:
    bundle.process(consoleSize={"height": 21, "width": 43}).run("true").ok()


def test_terminal_of_a_plain_user(bundle: Bundle) -> None:
    """Who runs in it must own it, or cannot open /dev/pts/0 again."""
    bundle.process(user={"uid": 1000, "gid": 1000}, capabilities={})
    said = on_console(bundle, "sh", "-c", "stat -c %u /dev/pts/0; echo again > /dev/pts/0")[1]
    assert said.split() == ["1000", "again"]


@pytest.mark.requires("userns")
def test_terminal_in_a_user_namespace(bundle: Bundle) -> None:
    whole = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    bundle.namespace("user").linux(uidMappings=whole, gidMappings=whole)
    assert json.loads(on_console(bundle, "/bin/probe", "tty")[1])["isatty"] == [1, 1, 1]


def test_no_descriptor_of_the_console_stays_open(bundle: Bundle) -> None:
    assert sorted(json.loads(on_console(bundle, "/bin/probe", "fds")[1])) == ["0", "1", "2"]


def test_console_is_a_device_that_can_be_written(bundle: Bundle) -> None:
    assert "hello" in on_console(bundle, "sh", "-c", "echo hello > /dev/console")[1]


def test_no_console_device_without_a_terminal(bundle: Bundle) -> None:
    assert bundle.run("test", "-e", "/dev/console").returncode == 1


def test_dead_console_socket_is_an_error(bundle: Bundle) -> None:
    with bundle.console() as console:
        path = console.path
    os.unlink(path)
    bundle.process(terminal=True, args=["true"])
    assert bundle.attempt("create", "--console-socket", path).returncode == 1
