"""Processor, disk and memory policies, looked at through other eyes than they were set with."""

from __future__ import annotations

import os
import subprocess

import pytest

from pyrunc.kernel import scheduling
from pyrunc.kernel.flags import IO_CLASSES, MEMORY_POLICIES, SCHEDULER_FLAGS, SCHEDULERS
from tests.kernel.apart import apart

pytestmark = pytest.mark.requires("root")


def said_by(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_batch_with_a_nice_value() -> None:
    def body() -> tuple[int, int]:
        scheduling.set_scheduler(SCHEDULERS["SCHED_BATCH"], nice=-7)
        return os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)

    assert apart(body, 0) == (os.SCHED_BATCH, -7)


@pytest.mark.vm  # v1 gives a cgroup no real time of its own accord
def test_realtime_with_a_priority_and_a_flag() -> None:
    def body() -> tuple[int, int]:
        reset = SCHEDULER_FLAGS["SCHED_FLAG_RESET_ON_FORK"]
        scheduling.set_scheduler(SCHEDULERS["SCHED_FIFO"], priority=3, flags=reset)
        return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority

    assert apart(body, 0) == (os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, 3)


def test_scheduler_of_another_process() -> None:
    with subprocess.Popen(["sleep", "10"]) as other:
        scheduling.set_scheduler_of(other.pid, SCHEDULERS["SCHED_BATCH"], 0, 4, 0, 0, 0, 0)
        found = os.sched_getscheduler(other.pid), os.getpriority(os.PRIO_PROCESS, other.pid)
        other.kill()
    assert found == (os.SCHED_BATCH, 4)


def test_deadlines_are_passed_in_nanoseconds() -> None:
    def body() -> str:
        scheduling.set_scheduler(
            SCHEDULERS["SCHED_DEADLINE"],
            flags=SCHEDULER_FLAGS["SCHED_FLAG_RESET_ON_FORK"],  # or we could start no chrt
            runtime=1_000_000,
            deadline=20_000_000,
            period=30_000_000,
        )
        text = said_by("chrt", "-p", str(os.getpid()))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        return text

    assert "runtime/deadline/period parameters: 1000000/20000000/30000000" in apart(body, 0)


def test_a_policy_that_makes_no_sense_is_refused() -> None:
    def body() -> None:
        with pytest.raises(OSError, match="Invalid argument"):
            scheduling.set_scheduler(SCHEDULERS["SCHED_DEADLINE"], runtime=2, deadline=1, period=1)

    apart(body, 0)


@pytest.mark.parametrize(
    ("name", "priority", "said"),
    [
        ("IOPRIO_CLASS_BE", 6, "best-effort: prio 6"),
        ("IOPRIO_CLASS_IDLE", 0, "idle"),
        ("IOPRIO_CLASS_RT", 1, "realtime: prio 1"),
    ],
)
def test_io_priority(name: str, priority: int, said: str) -> None:
    def body() -> str:
        scheduling.set_io_priority(IO_CLASSES[name], priority)
        return said_by("ionice", "-p", str(os.getpid()))

    assert apart(body, 0) == said


def policies() -> set[str]:
    """The policies of our mappings: those without one of their own have the process's."""
    with open("/proc/self/numa_maps") as lines:
        return {line.split()[1] for line in lines}


@pytest.mark.parametrize(
    ("name", "nodes", "shown"),
    [
        ("MPOL_BIND", (0,), "bind:0"),
        ("MPOL_PREFERRED", (0,), "prefer:0"),
        ("MPOL_INTERLEAVE", (0,), "interleave:0"),
        ("MPOL_LOCAL", (), "local"),
    ],
)
def test_memory_policy(name: str, nodes: tuple[int, ...], shown: str) -> None:
    def body() -> tuple[set[str], set[str]]:
        scheduling.set_memory_policy(MEMORY_POLICIES[name], nodes)
        now = policies()
        scheduling.set_memory_policy(MEMORY_POLICIES["MPOL_DEFAULT"], ())
        return now, policies()

    assert apart(body, 0) == ({shown}, {"default"})


@pytest.mark.parametrize(
    ("name", "nodes"), [("MPOL_BIND", ()), ("MPOL_BIND", (1000,)), ("MPOL_DEFAULT", (0,))]
)
def test_a_memory_policy_and_nodes_that_do_not_fit_are_refused(name: str, nodes: tuple[int, ...]) -> None:
    def body() -> None:
        with pytest.raises(OSError, match="Invalid argument"):
            scheduling.set_memory_policy(MEMORY_POLICIES[name], nodes)

    apart(body, 0)
