"""Parts of containerd's shim by themselves: options, mounts, streams, the loop."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from pyrunc.shim import rootfs, stdio
from pyrunc.shim.codec import encode
from pyrunc.shim.loop import Loop
from pyrunc.shim.options import options_of
from pyrunc.shim.protos.options import CreateOptions, Options, RuntimeOptions
from pyrunc.shim.protos.types import Any
from pyrunc.shim.stdio import Places, Relay, Stdio
from pyrunc.shim.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MUCH = 1 << 20


@pytest.fixture
def loop() -> Iterator[Loop]:
    errors: list[Exception] = []
    made = Loop(errors.append)
    yield made
    made.close()
    assert errors == []


def turn(loop: Loop, rounds: int = 50) -> None:
    for _ in range(rounds):
        loop.turn(0)


# options


def test_options_of_runcs_shim_are_taken() -> None:
    options = Options(systemd_cgroup=True, root="/r", io_uid=7, criu_work_path="/w")
    assert options_of(Any("containerd.runc.v1.Options", encode(options))) == options


def test_options_of_older_clients_mean_the_same() -> None:
    older = CreateOptions(no_pivot_root=True, io_uid=1, io_gid=2)
    assert options_of(Any("x/containerd.linux.runc.CreateOptions", encode(older))) == Options(
        no_pivot_root=True, io_uid=1, io_gid=2
    )


def test_options_of_the_cri_plugin_are_a_document(tmp_path: Path) -> None:
    document = 'TypeUrl = "x"\nSystemdCgroup = true\nRoot = "/run/r"\nBinaryName = "/bin/x"\n'
    wanted = Options(systemd_cgroup=True, root="/run/r", binary_name="/bin/x")
    url = "runtimeoptions.v1.Options"
    assert options_of(Any(url, encode(RuntimeOptions(config_body=document.encode())))) == wanted
    (tmp_path / "options.toml").write_text(document)
    assert options_of(Any(url, encode(RuntimeOptions(config_path=f"{tmp_path}/options.toml")))) == wanted


def test_without_options_there_are_none() -> None:
    assert options_of(None) == options_of(Any()) == Options()


@pytest.mark.parametrize("body", [b"SystemdCgroup = 1", b"SystemdCgroup", b"\xff", b"SystemdCgroups = true"])
def test_options_that_cannot_be_read_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        options_of(Any("runtimeoptions.v1.Options", encode(RuntimeOptions(config_body=body))))
    with pytest.raises(ValueError, match="unknown kind"):
        options_of(Any("somebody.else.Options", b""))


# mounts


def test_many_layers_are_named_by_their_common_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[str] = []
    monkeypatch.setattr("posix.chdir", entered.append)
    layers = ":".join(f"/var/lib/snapshots/{number}/fs" for number in range(200))
    short = rootfs._shortened(["index=off", f"lowerdir={layers}", "workdir=/w"])
    assert entered == ["/var/lib/snapshots"]
    assert short == "index=off,lowerdir=" + ":".join(f"{number}/fs" for number in range(200)) + ",workdir=/w"
    assert len(short) < 4096 < len(layers)


# streams


def test_uris_are_cut_as_rfc_3986_says() -> None:
    assert stdio._parse("binary:///a%20b/c?k=v%3D1&flag&x=") == ("/a b/c", [("k", "v=1"), ("flag", ""), ("x", "")])
    assert stdio._parse("file:///var/log/100%.log") == ("/var/log/100%.log", [])


def test_a_relay_waits_for_a_reader_and_loses_nothing(loop: Loop) -> None:
    source, feed = os.pipe()
    sink, target = os.pipe()
    ended: list[bool] = []
    Relay(loop, source, target, lambda: ended.append(True))
    os.set_blocking(feed, False)
    os.set_blocking(sink, False)
    sent = received = 0
    while received < MUCH:
        try:
            sent += os.write(feed, bytes(65536)) if sent < MUCH else 0
        except BlockingIOError:
            received += len(os.read(sink, 70000))
        turn(loop, 3)
        if sent >= MUCH:
            try:
                received += len(os.read(sink, 70000))
            except BlockingIOError:
                continue
    os.close(feed)
    turn(loop)
    assert received == sent
    assert ended == [True]
    assert os.read(sink, 10) == b""
    os.close(sink)


def test_a_relay_that_finishes_carries_what_is_there(loop: Loop) -> None:
    source, feed = os.pipe()
    sink, target = os.pipe()
    relay = Relay(loop, source, target, lambda: None)
    os.write(feed, b"the last words")
    relay.finish()
    assert os.read(sink, 100) == b"the last words"
    assert os.read(sink, 100) == b""
    for fd in (feed, sink):
        os.close(fd)


def test_a_relay_that_has_ended_is_not_finished_again(loop: Loop) -> None:
    """Its descriptors may be somebody else's by now."""
    source, feed = os.pipe()
    sink, target = os.pipe()
    relay = Relay(loop, source, target, lambda: None)
    os.close(feed)
    turn(loop)
    assert not relay.open
    relay.finish()
    relay.close()
    os.close(sink)


def test_a_full_disk_stops_nothing(loop: Loop) -> None:
    source, feed = os.pipe()
    relay = Relay(loop, source, os.open("/dev/full", os.O_WRONLY), lambda: None)
    for _ in range(10):
        os.write(feed, bytes(60000))
        turn(loop, 3)
    assert relay.open
    os.close(feed)
    turn(loop)
    assert not relay.open


def test_streams_that_lead_nowhere_are_null(loop: Loop) -> None:
    streams = Stdio(loop, Places())
    numbers = streams.streams()
    assert {os.readlink(f"/proc/self/fd/{fd}") for fd in numbers} == {"/dev/null"}
    streams.attach()
    streams.close()


def test_streams_leave_no_descriptor(loop: Loop, tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    for name in ("in", "out", "err"):
        os.mkfifo(tmp_path / name)
    for attach in (False, True):
        streams = Stdio(loop, Places(f"{tmp_path}/in", f"{tmp_path}/out", f"{tmp_path}/err"))
        if attach:
            streams.attach()
        streams.close()
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_terminal_can_be_shown_to_a_program(loop: Loop, tmp_path: Path) -> None:
    logger = tmp_path / "logger"
    logger.write_text(f"#!/bin/sh\nexec 5>&-\ncat <&3 >{tmp_path}/shown\n")
    logger.chmod(0o755)
    streams = Stdio(loop, Places("", f"binary://{logger}", "", True))
    streams.start_logger({b"PATH": b"/bin:/usr/bin"})
    master, slave = os.openpty()
    streams.attach(master)
    os.write(slave, b"hello")
    shown = tmp_path / "shown"
    deadline = time.monotonic() + 10
    while not (shown.exists() and shown.read_text()) and time.monotonic() < deadline:
        turn(loop)  # kernel and logger bring it over in their own time
    os.close(slave)
    streams.close()
    os.waitpid(-1, 0)
    assert shown.read_text() == "hello"


# turns


def test_only_so_many_have_a_turn_and_the_others_follow_in_order() -> None:
    turns = Turns(2)
    begun: list[int] = []
    for number in range(4):
        turns.take(lambda number=number: begun.append(number))  # type: ignore[misc]
    assert begun == [0, 1]
    turns.give()
    assert begun == [0, 1, 2]
    for _ in range(3):
        turns.give()
    turns.take(lambda: begun.append(4))
    assert begun == [0, 1, 2, 3, 4]


# the loop


def test_the_end_of_a_child_is_heard_of_before_or_after_it_is_asked_for(loop: Loop) -> None:
    loop.claim_children()
    seen: list[tuple[str, int]] = []
    for name, early in (("early", True), ("late", False)):
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 7"], {})
        status = os.waitpid(pid, 0)[1]
        if early:
            loop._unclaimed[pid] = status
        loop.on_end(pid, lambda status, name=name: seen.append((name, status)))  # type: ignore[misc]
        if not early:
            loop._children.pop(pid)(status)
        turn(loop, 2)
    loop.release_children()
    assert seen == [("early", 7 << 8), ("late", 7 << 8)]


def test_what_goes_wrong_in_a_callback_stops_no_other() -> None:
    errors: list[Exception] = []
    loop = Loop(errors.append)
    done: list[int] = []
    nothing: list[None] = []
    loop.soon(nothing.pop)
    loop.soon(lambda: done.append(1))
    loop.later(0.0, lambda: done.append(2))
    turn(loop, 3)
    loop.close()
    assert sorted(done) == [1, 2]
    assert [type(error) for error in errors] == [IndexError]
