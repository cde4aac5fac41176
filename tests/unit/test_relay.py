"""Relay: bytes from one descriptor to another, for a foreground run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from pyrunc.host.foreground import Relay

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Callable[[], Pipe]]:
    opened: list[int] = []

    def make() -> Pipe:
        ends = os.pipe()
        opened.extend(ends)
        return ends

    yield make
    for fd in opened:
        try:
            os.close(fd)
        except OSError:
            continue  # a relay or a test closed it


def test_bytes_are_carried(pipe: Callable[[], Pipe]) -> None:
    (source, into), (out, target) = pipe(), pipe()
    relay = Relay(source, target, False)
    for block in (b"one\0\xff", b"two"):
        os.write(into, block)
        relay.carry()
        assert os.read(out, 99) == block
    assert relay.open


def test_the_end_towards_the_container_is_passed_on(pipe: Callable[[], Pipe]) -> None:
    (source, into), (out, target) = pipe(), pipe()
    relay = Relay(source, target, True)
    os.close(into)
    relay.carry()
    assert not relay.open
    assert os.read(out, 99) == b""


def test_the_callers_stream_is_not_closed_at_the_end(pipe: Callable[[], Pipe]) -> None:
    (source, into), (_, target) = pipe(), pipe()
    relay = Relay(source, target, False)
    os.close(into)
    relay.carry()
    assert not relay.open
    assert os.write(target, b"x") == 1


@pytest.mark.parametrize("towards_container", [False, True])
def test_nobody_reads_any_more(pipe: Callable[[], Pipe], towards_container: bool) -> None:
    (source, into), (out, target) = pipe(), pipe()
    relay = Relay(source, target, towards_container)
    os.close(out)
    os.write(into, b"lost")
    relay.carry()
    assert not relay.open


@pytest.mark.requires("tty")
def test_a_pty_whose_program_has_ended_is_at_its_end(pipe: Callable[[], Pipe]) -> None:
    """Reading it gives EIO once the last slave is closed, after all that was written."""
    master, slave = os.openpty()
    out, target = pipe()
    relay = Relay(master, target, False)
    os.write(slave, b"last words")
    os.close(slave)
    relay.carry()
    assert (os.read(out, 99), relay.open) == (b"last words", True)
    relay.carry()
    assert not relay.open
    os.close(master)


def test_other_errors_are_not_an_end(pipe: Callable[[], Pipe]) -> None:
    _, target = pipe()
    directory = os.open("/", os.O_RDONLY)
    with pytest.raises(IsADirectoryError):
        Relay(directory, target, False).carry()
    os.close(directory)
