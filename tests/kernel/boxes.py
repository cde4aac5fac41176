"""Cgroups that a test makes itself on the real host, and what it does in them apart from everybody."""

from __future__ import annotations

import itertools
import os
import posix
import secrets
import time
from typing import TYPE_CHECKING, TypeVar

import pytest

from pyrunc import cgroups
from pyrunc.cgroups import Cgroup
from pyrunc.cgroups.layout import read_layout
from pyrunc.kernel import mounts
from pyrunc.kernel.flags import CLONE_NEWNS, CLONE_NEWPID
from pyrunc.kernel.namespaces import clone3
from pyrunc.plan.cgroups import plan_cgroup
from pyrunc.plan.steps_cgroups import CgroupPlan, Write
from pyrunc.spec.config import Root, Spec
from pyrunc.spec.linux import Linux
from pyrunc.spec.resources import CPU, DeviceCgroup, Memory, Pids, Resources
from tests.kernel.apart import apart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
MEGA = 1 << 20
KMSG = (1, 11)
NUMBERS = itertools.count()
# Others may run the same tests at the same time, in pid namespaces where everybody is process 1.
RUN = secrets.token_hex(4)

LIKE_DOCKER = Resources(
    devices=(DeviceCgroup(False, access="rwm"), DeviceCgroup(True, "c", 1, 3, "rwm")),
    memory=Memory(limit=256 * MEGA, swap=256 * MEGA, reservation=64 * MEGA),
    cpu=CPU(shares=512, quota=50000, period=100000, cpus="0", mems="0"),
    pids=Pids(40),
)


class Made:
    """A cgroup that a test made: its plan, what create made, and the object to control it."""

    def __init__(self, path: str, resources: Resources | None) -> None:
        spec = Spec("1.2.0", Root("rootfs"), linux=Linux(cgroups_path=path, resources=resources))
        self.plan = plan_cgroup(spec, "id", read_layout())
        self.made = cgroups.missing_directories(self.plan)
        self.paths = tuple(each.path for each in self.plan.directories)

    def create(self) -> Made:
        try:
            cgroups.create(self.plan)
        except BaseException:
            self.cgroup.remove()
            raise
        return self

    @property
    def cgroup(self) -> Cgroup:
        return Cgroup(self.paths, self.made)

    def enter(self, body: Callable[[], object]) -> int:
        """Start a process that enters like a container's init; return its pid once it has entered."""
        tasks = cgroups.entry_fds(self.plan, late=False) + cgroups.entry_fds(self.plan, late=True)
        directory = cgroups.open_directory(self.plan)
        reader, writer = os.pipe()
        pid, pidfd = clone3(0, directory)
        if pid == 0:
            status = 1
            try:
                for fd in tasks:
                    posix.write(fd, b"0")
                os.write(writer, b".")
                body()
                status = 0
            finally:
                os._exit(status)
        if directory < 0:
            cgroups.add(self.plan, pid)
        assert os.read(reader, 1) == b"."
        for fd in (*tasks, directory, reader, writer, pidfd):
            if fd >= 0:
                os.close(fd)
        return pid


def name() -> str:
    return f"/pyrunc-test-{RUN}-{next(NUMBERS)}"


@pytest.fixture
def box() -> Iterator[Made]:
    """An empty cgroup without limits."""
    made = Made(name(), None).create()
    yield made
    made.cgroup.remove()


def alone(body: Callable[[], T]) -> T:
    """Run the body as process 1 of a new pid namespace, with a /proc to match."""

    def first() -> T:
        mounts.mount("proc", "/proc", "proc")
        return body()

    return apart(lambda: apart(first, 0), CLONE_NEWPID | CLONE_NEWNS)


def read(path: str) -> str:
    with open(path) as file:
        return file.read().strip()


def status_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def forever() -> None:
    while True:
        time.sleep(60)


def written(plan: CgroupPlan) -> list[Write]:
    return [write for write in plan.writes if "/devices." not in write.path]
