"""ttrpc by itself: a server and a client in one loop, and what is no ttrpc."""

from __future__ import annotations

import _socket
import os
import socket as sockets
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrunc.shim import ttrpc
from pyrunc.shim.codec import decode, encode
from pyrunc.shim.loop import Loop
from pyrunc.shim.protos.ttrpc import KeyValue, Request, Response
from pyrunc.shim.ttrpc import Client, Frame, Frames, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyrunc.shim.ttrpc import Call

SECONDS = 5.0

frames = st.builds(
    Frame,
    st.integers(1, 2**32 - 1),
    st.sampled_from((ttrpc.REQUEST, ttrpc.RESPONSE, ttrpc.DATA)),
    st.integers(0, 255),
    st.binary(max_size=200),
)


@given(st.lists(frames, max_size=5), st.lists(st.integers(1, 40), min_size=1))
def test_frames_come_out_as_they_went_in_however_they_are_cut(sent: list[Frame], cuts: list[int]) -> None:
    data = b"".join(frame.encode() for frame in sent)
    reader = Frames()
    found: list[Frame] = []
    while data:
        size = cuts[len(found) % len(cuts)]
        found += reader.feed(data[:size])
        data = data[size:]
    assert found == sent


@given(st.binary(max_size=400))
def test_garbage_is_refused_or_is_a_frame(data: bytes) -> None:
    try:
        found = Frames().feed(data)
    except ValueError:
        return
    assert b"".join(frame.encode() for frame in found) == data[: sum(10 + len(frame.payload) for frame in found)]


def test_a_frame_may_not_be_longer_than_four_mebibytes() -> None:
    with pytest.raises(ValueError, match="no frame"):
        Frames().feed(struct.pack(">IIBB", (4 << 20) + 1, 1, 1, 0))
    with pytest.raises(ValueError, match="longer"):
        Frame(1, 1, 0, bytes((4 << 20) + 1)).encode()


class World:
    """A server with a few methods, and its loop."""

    def __init__(self, path: Path, admit: Callable[[int], bool] = lambda uid: uid == os.geteuid()) -> None:
        self.path = str(path)
        self.errors: list[Exception] = []
        self.calls: list[Call] = []
        self._open: list[Any] = []
        self.loop = Loop(self.errors.append)
        socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        socket.bind(self.path)
        socket.listen(16)
        methods = {
            "Echo": lambda call: call.reply(call.payload),
            "Big": lambda call: call.reply(bytes(1 << 20)),
            "TooBig": lambda call: call.reply(bytes(5 << 20)),
            "Later": self.calls.append,
            "Refuse": lambda call: call.fail(ttrpc.NOT_FOUND, "no such thing"),
        }
        self.server = Server(self.loop, socket, {"test.Service": methods}, admit)

    def raw(self) -> sockets.socket:
        """A connection of somebody who writes bytes."""
        peer = sockets.socket(sockets.AF_UNIX)
        peer.connect(self.path)
        peer.setblocking(False)
        self._open.append(peer)
        return peer

    def client(self) -> Client:
        """A connection of a client in the same loop."""
        socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        socket.connect(self.path)
        client = Client(self.loop, socket)
        self._open.append(client.connection)
        return client

    def close(self) -> None:
        """Close all of it; nothing may have gone wrong in the loop."""
        for each in self._open:
            each.close()
        self.server.close()
        self.loop.close()
        assert self.errors == []

    def until(self, done: Callable[[], object]) -> None:
        """Turn the loop until something is so."""
        for _ in range(1000):
            if done():
                return
            self.loop.turn(0.01)
        raise AssertionError("it does not come")

    def ask(self, method: str, payload: bytes = b"", client: Client | None = None, timeout: float = 0.0) -> Any:
        """Call a method and return the code, the message and the answer."""
        answers: list[Any] = []
        (client or self.client()).call(
            "test.Service", method, payload, lambda status, data: answers.append((status, data)), timeout
        )
        self.until(lambda: answers)
        return answers[0][0].code, answers[0][0].message, answers[0][1]

    def answer_to(self, peer: sockets.socket) -> bytes:
        """What comes back on a raw connection; empty for its end."""
        found: list[bytes] = []

        def receive() -> bool:
            try:
                found.append(peer.recv(1 << 16))
            except BlockingIOError:
                return False
            except ConnectionResetError:
                found.append(b"")
            return True

        self.until(receive)
        return found[0]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "socket")
    yield made
    made.close()


def test_a_call_is_answered(world: World) -> None:
    assert world.ask("Echo", b"hello") == (ttrpc.OK, "", b"hello")


def test_calls_of_one_connection_are_answered_in_any_order(world: World) -> None:
    client = world.client()
    answers: list[bytes] = []
    client.call("test.Service", "Later", b"first", lambda _, data: answers.append(data))
    client.call("test.Service", "Echo", b"second", lambda _, data: answers.append(data))
    world.until(lambda: answers)
    world.calls[0].reply(b"first")
    world.until(lambda: len(answers) > 1)
    assert answers == [b"second", b"first"]


def test_what_is_refused_has_a_code(world: World) -> None:
    assert world.ask("Refuse") == (ttrpc.NOT_FOUND, "no such thing", b"")
    assert world.ask("Nothing")[0] == ttrpc.UNIMPLEMENTED


def test_an_answer_that_does_not_fit_is_an_error_of_that_call_only(world: World) -> None:
    client = world.client()
    assert world.ask("TooBig", client=client)[0] == ttrpc.RESOURCE_EXHAUSTED
    assert world.ask("Echo", b"x", client=client)[2] == b"x"


def test_a_deadline_is_kept_by_the_server(world: World) -> None:
    peer = world.raw()
    peer.send(Frame(1, ttrpc.REQUEST, 0, encode(Request("test.Service", "Later", b"", 20_000_000))).encode())
    answer = decode(Response, Frames().feed(world.answer_to(peer))[0].payload)
    assert answer.status is not None
    assert answer.status.code == ttrpc.DEADLINE_EXCEEDED
    world.calls[0].reply(b"too late")
    assert world.ask("Echo", b"x")[2] == b"x"


def test_a_deadline_is_kept_by_the_client(world: World) -> None:
    assert world.ask("Later", timeout=0.02)[0] == ttrpc.DEADLINE_EXCEEDED


def test_metadata_arrives(world: World) -> None:
    peer = world.raw()
    pairs = (KeyValue("containerd-namespace-ttrpc", "k8s.io"), KeyValue("a", "1"))
    peer.send(Frame(1, ttrpc.REQUEST, 0, encode(Request("test.Service", "Later", b"", 0, pairs))).encode())
    world.until(lambda: world.calls)
    assert world.calls[0].metadata == (("containerd-namespace-ttrpc", "k8s.io"), ("a", "1"))


@settings(deadline=None, max_examples=50)
@given(st.binary(min_size=10, max_size=100).filter(lambda data: data[8] not in (1, 2, 3)))
def test_garbage_closes_that_connection_only(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder, "socket"))
        client, peer = world.client(), world.raw()
        peer.send(data)
        assert world.answer_to(peer) == b""
        assert world.ask("Echo", b"still here", client=client)[2] == b"still here"
        world.close()


@pytest.mark.parametrize("frame", [Frame(1, ttrpc.REQUEST, 0, b"\x0f\xff"), Frame(1, ttrpc.RESPONSE, 0, b"")])
def test_a_frame_that_no_client_sends_closes_the_connection(world: World, frame: Frame) -> None:
    peer = world.raw()
    peer.send(frame.encode())
    assert world.answer_to(peer) == b""


@pytest.mark.parametrize("frame", [Frame(2, ttrpc.REQUEST, 0, b""), Frame(1, ttrpc.DATA, 0, b"x")])
def test_a_stream_that_cannot_be_is_refused(world: World, frame: Frame) -> None:
    peer = world.raw()
    peer.send(frame.encode())
    answer = decode(Response, Frames().feed(world.answer_to(peer))[0].payload)
    assert answer.status is not None
    assert answer.status.code == ttrpc.INVALID_ARGUMENT


def test_of_a_peer_that_does_not_read_no_more_is_read(world: World) -> None:
    peer = world.raw()
    for number in range(1, 41, 2):
        peer.send(Frame(number, ttrpc.REQUEST, 0, encode(Request("test.Service", "Big"))).encode())
        world.loop.turn(0)
    for _ in range(20):
        world.loop.turn(0)
    assert world.server.unread < 4 << 20
    assert world.ask("Echo", b"others go on")[2] == b"others go on"
    read = 0

    def drain() -> bool:
        nonlocal read
        try:
            read += len(peer.recv(1 << 20))
        except BlockingIOError:
            pass
        return read > 20 << 20

    world.until(drain)


def test_calls_without_an_answer_fail_when_the_connection_ends(world: World) -> None:
    client = world.client()
    answers: list[int] = []
    client.call("test.Service", "Later", b"", lambda status, _: answers.append(status.code))
    world.until(lambda: world.calls)
    world.server.close()
    world.until(lambda: answers)
    assert answers == [ttrpc.UNAVAILABLE]
    assert world.calls[0].answered
    # For the fixture to close.
    again = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    again.bind(world.path + "2")
    again.listen()
    world.server = Server(world.loop, again, {}, lambda _: True)


def test_strangers_are_not_listened_to(tmp_path: Path) -> None:
    world = World(tmp_path / "socket", lambda _: False)
    peer = world.raw()
    assert world.answer_to(peer) == b""
    world.close()
