"""Cgroups on the real host: frozen, killed, signalled, entered late, and out of memory.

Whatever freezes or kills runs as process 1 of a pid namespace of its own, from which no process of the host can be
named, let alone signalled.
"""

from __future__ import annotations

import os
import posix
import time

import pytest

from pyrunc import cgroups
from pyrunc.cgroups import entering
from pyrunc.cgroups.layout import open_tasks, read_layout
from pyrunc.kernel.namespaces import clone3
from pyrunc.spec.resources import Memory, Pids, Resources
from tests.kernel.boxes import MEGA, Made, alone, forever, name, status_of

pytestmark = [pytest.mark.vm, pytest.mark.requires("root")]


def test_freezing_stops_the_container_and_thawing_lets_it_go_on() -> None:
    def body() -> tuple[int, bool, int]:
        made = Made(name(), None).create()
        try:
            reader, writer = os.pipe()
            os.set_blocking(reader, False)

            def tick() -> None:
                while True:
                    os.write(writer, b".")
                    time.sleep(0.001)

            made.enter(tick)
            while not drain(reader):
                time.sleep(0.01)
            made.cgroup.freeze()
            frozen = made.cgroup.frozen()
            drain(reader)
            time.sleep(0.1)
            still = drain(reader)
            made.cgroup.thaw()
            time.sleep(0.1)
            again = drain(reader)
            made.cgroup.kill_all()
        finally:
            made.cgroup.remove()
        return still, frozen, again

    still, frozen, again = alone(body)
    assert (still, frozen) == (0, True)
    assert again > 0


def drain(fd: int) -> int:
    try:
        return len(os.read(fd, 65536))
    except BlockingIOError:
        return 0


def test_killing_gets_everybody_also_those_that_keep_forking() -> None:
    def body() -> tuple[int, tuple[int, ...]]:
        made = Made(name(), Resources(pids=Pids(30))).create()
        try:

            def multiply() -> None:
                while True:
                    try:
                        os.fork()
                    except OSError:
                        time.sleep(0.001)

            made.enter(multiply)
            while len(made.cgroup.processes()) < 25:
                time.sleep(0.01)
            before = len(made.cgroup.processes())
            made.cgroup.kill_all()
            return before, made.cgroup.processes()
        finally:
            made.cgroup.remove()

    before, after = alone(body)
    assert before >= 25
    assert after == ()


def test_killing_works_on_a_frozen_container_and_below_it() -> None:
    def body() -> list[int]:
        made = Made(name(), None).create()
        try:
            direct = made.enter(forever)
            inner = made.enter(forever)
            for path in made.paths:
                os.mkdir(f"{path}/inner")
                if path.startswith(
                    tuple(each.mount for each in read_layout().hierarchies if "freezer" in each.controllers)
                ):
                    with open(f"{path}/inner/cgroup.procs", "w") as file:
                        file.write(str(inner))
            made.cgroup.freeze()
            assert made.cgroup.processes() == (direct, inner)
            made.cgroup.kill_all()
            return [status_of(direct), status_of(inner)]
        finally:
            made.cgroup.remove()

    assert alone(body) == [-9, -9]


def test_a_signal_reaches_all() -> None:
    def body() -> list[int]:
        made = Made(name(), None).create()
        try:
            pids = [made.enter(forever) for _ in range(3)]
            time.sleep(0.1)
            made.cgroup.signal_all(15)
            return [status_of(pid) for pid in pids]
        finally:
            made.cgroup.remove()

    assert alone(body) == [-15, -15, -15]


def test_a_process_enters_an_existing_container() -> None:
    def body() -> tuple[tuple[int, ...], int]:
        made = Made(name(), None).create()
        try:
            first = made.enter(forever)
            cgroup = made.cgroup
            chosen = entering.entrance(made.paths, {}, read_layout())
            fds = open_tasks(chosen.tasks)
            directory = entering.open_directory(chosen.unified) if chosen.unified else -1
            second, _ = clone3(0, directory)
            if second == 0:
                for fd in fds:
                    posix.write(fd, b"0")
                forever()
            while len(cgroup.processes()) < 2:
                time.sleep(0.01)
            found = cgroup.processes()
            cgroup.kill_all()
        finally:
            made.cgroup.remove()
        return found, first

    found, first = alone(body)
    assert len(found) == 2
    assert first in found


def test_out_of_memory_is_counted() -> None:
    def body() -> tuple[int, int, int]:
        limits = Memory(limit=32 * MEGA, swap=32 * MEGA)
        made = Made(name(), Resources(memory=limits)).create()
        try:
            before = made.cgroup.oom_kills()
            status = status_of(made.enter(lambda: bytearray(128 * MEGA)))
            return before, status, made.cgroup.oom_kills()
        finally:
            made.cgroup.remove()

    assert alone(body) == (0, -9, 1)


def test_small_memory_is_entered_after_the_rest() -> None:
    made = Made(name(), Resources(memory=Memory(limit=8 * MEGA))).create()
    try:
        assert made.plan.small_memory
        early, late = cgroups.entry_fds(made.plan, late=False), cgroups.entry_fds(made.plan, late=True)
        hierarchy = read_layout().of("memory")
        assert hierarchy is not None
        assert len(late) == (hierarchy.version == 1)
        assert all("/memory/" in os.readlink(f"/proc/self/fd/{fd}") for fd in late)
        for fd in (*early, *late):
            os.close(fd)
    finally:
        made.cgroup.remove()
