"""What a container is doing is asked of the kernel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.state import store
from pyrunc.state.status import status_of
from pyrunc.state.store import Entry
from tests.unit.states import NEVER, state


@pytest.fixture
def entry(tmp_path: Path) -> Iterator[Entry]:
    with store.reserve(str(tmp_path), state()) as entry:
        yield entry


@pytest.fixture
def waiting(entry: Entry) -> Iterator[Entry]:
    """A container whose init waits: somebody holds the fifo of start open for reading."""
    fds = entry.make_fifos()
    yield entry
    for fd in fds:
        os.close(fd)


@pytest.fixture
def dead() -> int:
    """The pid of a process that is no more."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def test_without_a_state_it_is_stopped(entry: Entry) -> None:
    assert status_of(entry, None) == "stopped"


def test_a_create_at_work_is_creating(waiting: Entry) -> None:
    assert status_of(waiting, state(status="creating")) == "creating"
    assert status_of(waiting, state(status="creating", pid=0, start_time=0)) == "creating"


def test_a_create_that_died_left_something_stopped(waiting: Entry, dead: int) -> None:
    assert status_of(waiting, state(status="creating", creator=dead)) == "stopped"


def test_a_create_whose_pid_is_somebody_elses_died(waiting: Entry) -> None:
    assert status_of(waiting, state(status="creating", creator_start=NEVER)) == "stopped"


def test_an_init_that_waits_is_created(waiting: Entry) -> None:
    assert status_of(waiting, state()) == "created"


def test_asking_does_not_start_it(entry: Entry) -> None:
    start, result = entry.make_fifos()
    os.set_blocking(start, False)
    assert status_of(entry, state()) == "created"
    with pytest.raises(BlockingIOError):
        os.read(start, 1)
    os.close(start)
    os.close(result)


def test_one_that_waits_no_more_is_running(entry: Entry) -> None:
    for fd in entry.make_fifos():
        os.close(fd)
    assert status_of(entry, state()) == "running"


def test_without_a_fifo_it_is_running_too(entry: Entry) -> None:
    assert status_of(entry, state()) == "running"


def test_an_init_that_died_is_stopped(waiting: Entry, dead: int) -> None:
    assert status_of(waiting, state(pid=dead)) == "stopped"


def test_an_init_whose_pid_is_somebody_elses_is_stopped(waiting: Entry) -> None:
    assert status_of(waiting, state(start_time=NEVER)) == "stopped"


@pytest.mark.parametrize("pid", [0, -1])
def test_no_pid_is_no_process(waiting: Entry, pid: int) -> None:
    assert status_of(waiting, state(pid=pid, start_time=0)) == "stopped"


def test_a_zombie_is_stopped(waiting: Entry) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    assert status_of(waiting, state(pid=pid, start_time=int(fields[19]))) == "stopped"
    os.waitpid(pid, 0)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ("FROZEN\n", "paused"),
        ("FREEZING\n", "paused"),
        ("THAWED\n", "running"),
        ("1\n", "paused"),
        ("0\n", "running"),
        ("", "running"),
    ],
)
def test_a_frozen_container_is_paused(entry: Entry, tmp_path: Path, content: str, status: str) -> None:
    (tmp_path / "freezer").write_text(content)
    assert status_of(entry, state(freezer=f"{tmp_path}/freezer")) == status


def test_a_freezer_that_is_gone_freezes_nobody(entry: Entry, tmp_path: Path) -> None:
    assert status_of(entry, state(freezer=f"{tmp_path}/gone")) == "running"


@pytest.mark.parametrize("gone", [{"start_time": NEVER}, {"status": "creating", "creator_start": NEVER}])
def test_who_is_gone_is_not_paused(entry: Entry, tmp_path: Path, gone: dict[str, Any]) -> None:
    (tmp_path / "freezer").write_text("FROZEN\n")
    assert status_of(entry, state(freezer=f"{tmp_path}/freezer", **gone)) == "stopped"
