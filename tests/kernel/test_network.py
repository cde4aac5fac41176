"""The loopback device."""

from __future__ import annotations

import os
import socket

import pytest

from pyrunc.kernel import network
from pyrunc.kernel.flags import CLONE_NEWNET
from tests.kernel.apart import apart

pytestmark = pytest.mark.requires("root")


def speak_to_ourselves() -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind(("127.0.0.1", 0))
        here.sendto(b"hello", here.getsockname())
        return here.recv(10)


def test_the_loopback_device_carries_packets_once_it_is_up() -> None:
    def body() -> bytes:
        with pytest.raises(OSError, match=r"unreachable|assign"):
            speak_to_ourselves()
        network.loopback_up()
        network.loopback_up()  # again does no harm
        return speak_to_ourselves()

    assert apart(body, CLONE_NEWNET) == b"hello"


def test_without_the_right_it_fails_and_closes_its_socket() -> None:
    def body() -> bool:
        os.setresuid(1000, 1000, 1000)
        before = os.listdir("/proc/self/fd")
        with pytest.raises(PermissionError):
            network.loopback_up()
        return os.listdir("/proc/self/fd") == before

    assert apart(body, CLONE_NEWNET)
