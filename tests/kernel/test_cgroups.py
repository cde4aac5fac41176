"""Cgroups on the real host, v1, hybrid or v2: made, limited, entered, removed; see boxes.py for whose they are."""

from __future__ import annotations

import os
import posix
import time

import pytest

from pyrunc import cgroups
from pyrunc.cgroups import Cgroup
from pyrunc.cgroups.layout import read_layout
from pyrunc.errors import CgroupError, PyruncError, StepError
from pyrunc.spec.resources import CPU, BlockIO, Memory, Resources
from tests.kernel.boxes import LIKE_DOCKER, MEGA, Made, name, read, status_of, written

pytestmark = [pytest.mark.vm, pytest.mark.requires("root")]


def test_limits_are_in_the_files() -> None:
    made = Made(name(), LIKE_DOCKER).create()
    try:
        assert len(written(made.plan)) >= 7
        for write in written(made.plan):
            assert read(write.path) == write.value, write.describe()
    finally:
        made.cgroup.remove()
    assert not any(map(os.path.exists, made.paths))


def test_a_child_is_in_every_cgroup_and_nowhere_else(box: Made) -> None:
    reader, writer = os.pipe()
    pid = box.enter(lambda: os.read(reader, 1))
    own = read(f"/proc/{pid}/cgroup")
    os.write(writer, b".")
    assert status_of(pid) == 0
    mounted = {",".join(each.controllers) if each.version == 1 else "": each for each in read_layout().hierarchies}
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        hierarchy = mounted[controllers]
        assert (f"{hierarchy.mount}{path}" in box.paths) is (hierarchy.version == 1 or box.plan.unified is not None)


@pytest.mark.requires("cgroup1-memory")
def test_entering_by_tasks_does_not_wait_for_a_grace_period(box: Made) -> None:
    """A pid, or cgroup.procs, takes 5 to 15 ms here: whoever changes entry_fds must measure again."""
    times = []
    for _ in range(5):
        fds = cgroups.entry_fds(box.plan, late=False)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            begin = time.perf_counter()
            for fd in fds:
                posix.write(fd, b"0")
            os.write(writer, str(time.perf_counter() - begin).encode())
            os._exit(0)
        assert status_of(pid) == 0
        times.append(float(os.read(reader, 100)))
        for fd in (*fds, reader, writer):
            os.close(fd)
        time.sleep(0.1)
    assert min(times) < 0.003


def test_parents_are_made_and_removed_only_if_nobody_else_uses_them() -> None:
    parent = name()
    one, two = Made(f"{parent}/x/one", None).create(), Made(f"{parent}/x/two", None)
    two.create()
    above = [path.rpartition("/")[0] for path in one.paths]
    assert set(above) <= set(one.made)
    one.cgroup.remove()
    assert all(map(os.path.isdir, above))
    one.cgroup.remove()
    # The second found the parents there, so they are the first's to remove: its delete simply came too early.
    Cgroup(two.paths, (*two.paths, *one.made)).remove()
    assert not any(map(os.path.exists, (*above, *one.made)))


def test_cpuset_is_usable_at_every_depth() -> None:
    made = Made(f"{name()}/a/b", None).create()
    try:
        assert status_of(made.enter(lambda: None)) == 0
    finally:
        made.cgroup.remove()


def test_removing_takes_what_the_container_made_inside(box: Made) -> None:
    for path in box.paths:
        os.makedirs(f"{path}/inner/most")
        os.mkdir(f"{path}/other")
    box.cgroup.remove()
    assert not any(map(os.path.exists, box.paths))


def test_removing_waits_for_a_process_that_ends(box: Made) -> None:
    pid = box.enter(lambda: time.sleep(0.2))
    begin = time.monotonic()
    box.cgroup.remove()
    assert 0.05 < time.monotonic() - begin < 5
    assert status_of(pid) == 0


def test_removing_says_what_is_left(box: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrunc.cgroups.control._PATIENCE", 0.05)
    reader, writer = os.pipe()
    pid = box.enter(lambda: os.read(reader, 1))
    with pytest.raises(CgroupError, match=f"cannot remove the cgroups .*{box.paths[0]}.*: still in use"):
        box.cgroup.remove()
    os.write(writer, b".")
    assert status_of(pid) == 0


def test_a_cgroup_with_processes_is_refused(box: Made) -> None:
    reader, writer = os.pipe()
    pid = box.enter(lambda: os.read(reader, 1))
    with pytest.raises(CgroupError, match="already has processes in it"):
        cgroups.create(box.plan)
    os.write(writer, b".")
    assert status_of(pid) == 0
    cgroups.create(box.plan)


def test_a_frozen_cgroup_is_refused(box: Made) -> None:
    box.cgroup.freeze()
    with pytest.raises(CgroupError, match="is frozen"):
        cgroups.create(box.plan)
    box.cgroup.thaw()
    cgroups.create(box.plan)


def test_a_used_cgroup_takes_new_memory_limits() -> None:
    path = name()
    old = Made(path, Resources(memory=Memory(limit=32 * MEGA, swap=32 * MEGA))).create()
    new = Made(path, Resources(memory=Memory(limit=64 * MEGA, swap=64 * MEGA))).create()
    try:
        for write in written(new.plan):
            assert read(write.path) == write.value
    finally:
        old.cgroup.remove()


def test_a_setting_that_the_kernel_lacks_is_named_with_its_path() -> None:
    with pytest.raises(PyruncError, match=r"\.linux\.resources\.blockIO\.leafWeight: "):
        Made(name(), Resources(block_io=BlockIO(leaf_weight=100))).create()


def test_a_limit_that_the_kernel_refuses_is_named_with_its_file_and_path() -> None:
    with pytest.raises(StepError, match=r"^\.linux\.resources\.cpu\.cpus: cannot write '4000' to /.*/cpuset\.cpus: "):
        Made(name(), Resources(cpu=CPU(cpus="4000"))).create()
