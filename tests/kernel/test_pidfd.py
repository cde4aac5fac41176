"""Which process is which."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from pyrunc.kernel import pidfd

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def sleeper() -> Iterator[int]:
    child = subprocess.Popen(["sleep", "60"])
    yield child.pid
    child.kill()
    child.wait()


def ticks_since_boot() -> float:
    with open("/proc/uptime") as file:
        return float(file.read().split()[0]) * os.sysconf("SC_CLK_TCK")


def test_the_start_time_is_in_ticks_since_boot() -> None:
    before = ticks_since_boot()
    child = subprocess.Popen(["sleep", "60"])
    start = pidfd.start_time(child.pid)
    child.kill()
    child.wait()
    assert before - 2 <= start <= ticks_since_boot() + 1


@pytest.mark.parametrize("name", [") R 1 2 3", "a b", "))) (", "x) Z 1"])
def test_a_name_cannot_shift_the_fields(name: str) -> None:
    """Everybody may call his process anything (PR_SET_NAME)."""
    pid = os.fork()
    if pid == 0:
        with open("/proc/self/comm", "w") as comm:
            comm.write(name)
        signal.pause()
    try:
        before = pidfd.start_time(pid)
        with open(f"/proc/{pid}/comm") as comm:
            while comm.read() != f"{name}\n":
                comm.seek(0)
        assert pidfd.start_time(pid) == before
        assert pidfd.alive(pid, before)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_another_start_time_is_another_process(sleeper: int) -> None:
    start = pidfd.start_time(sleeper)
    assert pidfd.alive(sleeper, start)
    assert not pidfd.alive(sleeper, start + 1)
    with pytest.raises(ProcessLookupError):
        pidfd.open_process(sleeper, start - 1)


def test_a_zombie_is_not_alive() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    start = pidfd.start_time(pid)
    assert not pidfd.alive(pid, start)
    with pytest.raises(ProcessLookupError):
        pidfd.open_process(pid, start)
    os.waitpid(pid, 0)
    assert not pidfd.alive(pid, start)
    with pytest.raises((FileNotFoundError, ProcessLookupError)):
        pidfd.start_time(pid)
    with pytest.raises(ProcessLookupError):
        pidfd.open_process(pid, start)


@pytest.mark.vm
def test_a_number_that_only_a_session_has_is_no_process() -> None:
    reader, writer = os.pipe()
    leader = os.fork()
    if leader == 0:
        os.setsid()
        if os.fork() == 0:
            os.close(writer)
            os.read(reader, 1)
        os._exit(0)
    start = pidfd.start_time(leader)
    os.waitpid(leader, 0)
    try:
        with pytest.raises(ProcessLookupError):
            pidfd.open_number(leader)
        with pytest.raises(ProcessLookupError):
            pidfd.open_process(leader, start)
    finally:
        os.close(writer)
        os.close(reader)


@pytest.mark.parametrize("pid", [0, -1])
def test_no_process_has_such_a_pid(pid: int) -> None:
    assert not pidfd.alive(pid, 0)
    with pytest.raises(ProcessLookupError):
        pidfd.open_process(pid, 0)


def test_an_open_process_is_signalled_and_its_end_seen(sleeper: int) -> None:
    fd = pidfd.open_process(sleeper, pidfd.start_time(sleeper))
    assert not os.get_inheritable(fd)
    assert not pidfd.wait_for_end(fd, 0.05)
    pidfd.send_signal(fd, signal.SIGTERM)
    assert pidfd.wait_for_end(fd, 10)
    os.close(fd)


def test_no_descriptor_is_left_open(sleeper: int) -> None:
    before = os.listdir("/proc/self/fd")
    start = pidfd.start_time(sleeper)
    with pytest.raises(ProcessLookupError):
        pidfd.open_process(sleeper, start + 1)
    assert os.listdir("/proc/self/fd") == before
