"""What of a container's sd_notify(3) messages reaches the service manager."""

from __future__ import annotations

import pytest

from pyrunc.host.notify import PASSED_ON, filtered


def test_ready_says_whose_pid_it_is() -> None:
    assert filtered(b"READY=1\nSTATUS=up\nMAINPID=1", 4711) == b"READY=1\nSTATUS=up\nMAINPID=4711"


@pytest.mark.parametrize("word", sorted(PASSED_ON - {"READY"}))
def test_words_of_a_service(word: str) -> None:
    assert filtered(f"{word}=1".encode(), 4711) == f"{word}=1".encode()


MANAGERS = ("MAINPID", "MAINPIDFDID", "FDSTORE", "FDNAME", "FDSTOREREMOVE", "BARRIER", "NOTIFYACCESS", "")


@pytest.mark.parametrize("word", MANAGERS)
def test_words_of_the_manager(word: str) -> None:
    assert filtered(f"{word}=1".encode(), 4711) == b""


def test_anything_may_be_in_a_message() -> None:
    assert filtered(b"\xff\x00=\n\nREADY\n=READY=1\nready=1", 1) == b"READY"
