"""Signals as engines write them, and whom they reach."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.errors import StateError, StatusError, UsageError
from pyrunc.host.kill import kill, signal_number
from pyrunc.kernel.flags import SIGNALS
from pyrunc.kernel.pidfd import start_time
from pyrunc.state import store
from pyrunc.state.store import Entry
from tests.unit.states import NEVER, state


@pytest.mark.parametrize("name", [each.name for each in signal.Signals])
def test_names_are_the_kernels_in_any_case_with_and_without_sig(name: str) -> None:
    number = getattr(signal, name)
    short = name.removeprefix("SIG")
    for written in (name, name.lower(), name.title(), short, short.lower()):
        assert signal_number(written) == number


@pytest.mark.parametrize("name", SIGNALS)
def test_every_name_we_know_is_a_signal(name: str) -> None:
    assert signal_number(name) == SIGNALS[name]
    assert SIGNALS[name] in signal.valid_signals()


@pytest.mark.parametrize(
    ("name", "number"),
    [("RTMIN+3", 37), ("SIGRTMIN+3", 37), ("sigrtmin+15", 49), ("rtmin", 34), ("RTMAX", 64), ("RTMAX-14", 50)],
)
def test_realtime_signals_count_from_where_the_c_library_does(name: str, number: int) -> None:
    assert signal_number(name) == number


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("9", 9), ("015", 15), ("64", 64), ("33", 33)])
def test_numbers(text: str, number: int) -> None:
    assert signal_number(text) == number


@pytest.mark.parametrize(
    "text",
    [
        *("0", "65", "-1", "-9", "+9", "999999999999", "9.0", "0x9", " 9", "\u0669"),
        *("", "SIG", "sig9", "SIGSIGTERM", "TERMINATE", "TERM ", "SIGNULL", "\udcff"),
        *("RTMIN+16", "RTMIN+", "RTMIN-1", "RTMAX+1", "RTMAX-15"),
    ],
)
def test_no_signals(text: str) -> None:
    with pytest.raises(UsageError, match=r"^unknown signal ") as caught:
        signal_number(text)
    assert "1 to 64" in caught.value.hint


# Whom it reaches


@pytest.fixture
def entry(tmp_path: Path) -> Iterator[Entry]:
    with store.reserve(str(tmp_path), state()) as entry:
        yield entry


@pytest.fixture
def child() -> Iterator[int]:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_the_init_gets_the_signal(entry: Entry, child: int) -> None:
    entry.save(state(pid=child, start_time=start_time(child)))
    kill(entry, signal.SIGTERM)
    found = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert found is not None
    assert found.si_status == signal.SIGTERM


def test_a_process_that_only_has_its_pid_does_not(entry: Entry, child: int) -> None:
    entry.save(state(pid=child, start_time=NEVER))
    with pytest.raises(StatusError, match="container not running"):
        kill(entry, signal.SIGKILL)
    assert os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


@pytest.mark.parametrize("gone", [{"start_time": NEVER}, {"status": "creating"}])
def test_what_does_not_run_cannot_be_signalled(entry: Entry, gone: dict[str, Any]) -> None:
    entry.save(state(**gone))
    with pytest.raises(StatusError, match=r"^container not running"):
        kill(entry, signal.SIGTERM)


def test_all_of_a_container_that_has_ended_is_nobody(entry: Entry) -> None:
    entry.save(state(start_time=NEVER))
    kill(entry, signal.SIGKILL, every=True)


def test_all_of_a_container_being_created_is_refused(entry: Entry) -> None:
    entry.save(state(status="creating"))
    with pytest.raises(StatusError, match="box is creating"):
        kill(entry, signal.SIGKILL, every=True)


@pytest.mark.parametrize(("number", "every"), [(signal.SIGTERM, True), (signal.SIGKILL, False)])
def test_without_a_cgroup_the_others_cannot_be_found(entry: Entry, number: int, every: bool) -> None:
    entry.save(state(private_pids=False))
    with pytest.raises(StateError, match="container box has no cgroup"):
        kill(entry, number, every)
