"""NOTIFY_SOCKET: what the container says with sd_notify(3) reaches the service manager that started the runtime."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests.scenario.test_user_namespaces import in_user_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.scenario.bundle import Bundle


class Manager:
    """systemd's end of the socket."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def messages(self, wanted: int, seconds: float = 10.0) -> list[list[str]]:
        """The lines of so many messages; descriptors that come with them are closed, which ends a barrier."""
        found: list[list[str]] = []
        end = time.monotonic() + seconds
        while len(found) < wanted and time.monotonic() < end:
            if select.select([self._socket], [], [], 0.1)[0]:
                data, fds, _, _ = socket.recv_fds(self._socket, 65536, 8)
                for fd in fds:
                    os.close(fd)
                found.append(data.decode().split("\n"))
        return found


@pytest.fixture
def manager(bundle: Bundle) -> Iterator[Manager]:
    with Manager(bundle.dir / "manager.sock") as manager:
        yield manager


def background(bundle: Bundle, manager: Manager, name: str, *flags: str, **more: Any) -> subprocess.Popen[bytes]:
    """Run a command without waiting for it: it waits for us. `more` is for Popen, such as the user."""
    bundle.save()
    with open(bundle.dir / "said", "w") as out:
        return subprocess.Popen(
            bundle.command(name, *flags),
            env=bundle.environment(NOTIFY_SOCKET=manager.path),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            **more,
        )


def saying(bundle: Bundle, *messages: str, then: str = "exec sleep 60") -> Bundle:
    """A container that says so and sleeps; busybox cannot speak to datagram sockets, the probe can."""
    said = " && ".join(f"probe notify '{message}'" for message in messages)
    return bundle.process(args=["sh", "-c", f"{said} && {then}"])


def test_socket_of_the_container(bundle: Bundle, manager: Manager) -> None:
    look = "echo $NOTIFY_SOCKET; test -S $NOTIFY_SOCKET && touch /run/notify/new; probe notify READY=1"
    running = background(bundle.process(args=["sh", "-c", look]), manager, "run")
    assert "READY=1" in manager.messages(2)[0]
    running.wait(10)
    said = (bundle.dir / "said").read_text()
    assert "/run/notify/notify.sock\n" in said
    assert "Read-only file system" in said


def test_no_socket_without_a_manager(bundle: Bundle) -> None:
    assert bundle.run("sh", "-c", "echo $NOTIFY_SOCKET; ls /run").ok().stdout == "\n"


@pytest.mark.differs_from_runc("runc 1.1.5 sends no barrier")
def test_start_returns_when_the_container_is_ready(bundle: Bundle, manager: Manager) -> None:
    saying(bundle, "READY=1").create(env=bundle.environment(NOTIFY_SOCKET=manager.path))
    starting = background(bundle, manager, "start")
    ready = manager.messages(2)
    starting.wait(10)
    assert "READY=1" in ready[0]
    assert f"MAINPID={bundle.pid}" in [line for message in ready for line in message]
    assert ["BARRIER=1"] in ready


def test_start_waits_until_the_container_is_ready(bundle: Bundle, manager: Manager) -> None:
    bundle.write("/wait", "")
    bundle.process(args=["sh", "-c", "while test -e /wait; do sleep 0.05; done; probe notify READY=1; exec sleep 60"])
    bundle.create(env=bundle.environment(NOTIFY_SOCKET=manager.path))
    starting = background(bundle, manager, "start")
    with pytest.raises(subprocess.TimeoutExpired):
        starting.wait(0.5)
    bundle.path("/wait").unlink()
    assert manager.messages(2)
    assert starting.wait(10) == 0


@pytest.mark.differs_from_runc("runc waits on")
def test_start_returns_when_the_container_ends_without_a_word(bundle: Bundle, manager: Manager) -> None:
    bundle.process(args=["true"]).create(env=bundle.environment(NOTIFY_SOCKET=manager.path))
    pid = bundle.pid
    assert background(bundle, manager, "start").wait(10) == 0
    bundle.wait(pid)
    assert manager.messages(1, 0.3) == []


@pytest.mark.differs_from_runc("passes on nothing but READY")
def test_what_a_service_says_of_itself_is_passed_on(bundle: Bundle, manager: Manager) -> None:
    messages = ("STATUS=begins", "READY=1", "WATCHDOG=1", "RELOADING=1\nMONOTONIC_USEC=7", "STOPPING=1", "ERRNO=2")
    running = background(saying(bundle, *messages, then="true"), manager, "run")
    found = manager.messages(7)
    running.wait(10)
    assert found[0] == ["STATUS=begins"]
    assert found[1][0] == "READY=1"
    assert found[2] == ["BARRIER=1"]
    assert found[3:] == [["WATCHDOG=1"], ["RELOADING=1", "MONOTONIC_USEC=7"], ["STOPPING=1"], ["ERRNO=2"]]


@pytest.mark.differs_from_runc("passes on nothing but READY")
def test_what_is_not_the_containers_to_say_is_left_out(bundle: Bundle, manager: Manager) -> None:
    messages = ("MAINPID=1", "FDSTORE=1", "NOTIFYACCESS=all\nSTATUS=mine")
    running = background(saying(bundle, *messages, then="true"), manager, "run")
    assert manager.messages(1) == [["STATUS=mine"]]
    running.wait(10)
    assert manager.messages(1, 0.2) == []


@pytest.mark.parametrize("who", ["user", "user-namespace"])
def test_anybody_in_the_container_may_speak(bundle: Bundle, manager: Manager, who: str) -> None:
    if who == "user":
        bundle.process(user={"uid": 1000, "gid": 1000})
    else:
        bundle.mkdir("/run/notify")
        in_user_namespace(bundle)
    running = background(saying(bundle, "READY=1", then="true"), manager, "run")
    assert "READY=1" in manager.messages(2)[0]
    running.wait(10)


def test_dead_manager_stops_nobody(bundle: Bundle) -> None:
    saying(bundle, "READY=1", then="echo done")
    result = bundle.attempt("run", env=bundle.environment(NOTIFY_SOCKET=str(bundle.dir / "nobody")))
    assert result.stdout == "done\n"


def test_detached_run(bundle: Bundle, manager: Manager) -> None:
    running = background(saying(bundle, "READY=1"), manager, "run", "--detach")
    assert "READY=1" in manager.messages(2)[0]
    assert running.wait(10) == 0
    assert bundle.status == "running"
