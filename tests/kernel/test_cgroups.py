"""Cgroups on the real host, v1, hybrid or v2: made, limited, entered, frozen, killed, removed.

Only cgroups that a test made itself are touched. Whatever freezes or kills runs as process 1 of a pid
namespace of its own, from which no process of the host can be named, let alone signalled.
"""

from __future__ import annotations

import itertools
import os
import posix
import time
from typing import TYPE_CHECKING, TypeVar

import pytest

from pyrunc import cgroups
from pyrunc.cgroups import Cgroup
from pyrunc.cgroups.layout import read_layout
from pyrunc.errors import CgroupError, PyruncError, StepError
from pyrunc.kernel import mounts
from pyrunc.kernel.flags import CLONE_NEWNS, CLONE_NEWPID
from pyrunc.kernel.namespaces import clone3
from pyrunc.plan.cgroups import plan_cgroup
from pyrunc.plan.cgroups_devices import ALWAYS_ALLOWED
from pyrunc.plan.facts import CgroupLayout
from pyrunc.plan.steps_cgroups import CgroupPlan, Directory, Write
from pyrunc.spec.config import Root, Spec
from pyrunc.spec.linux import Linux
from pyrunc.spec.resources import CPU, BlockIO, DeviceCgroup, Memory, Pids, Resources
from tests.kernel.apart import apart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.requires("root")

T = TypeVar("T")
MEGA = 1 << 20
KMSG = (1, 11)
NUMBERS = itertools.count()

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
    return f"/pyrunc-test-{os.getpid()}-{next(NUMBERS)}"


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
    mounted = {
        ",".join(each.controllers) if each.version == 1 else "": each for each in read_layout().hierarchies
    }
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        hierarchy = mounted[controllers]
        assert (f"{hierarchy.mount}{path}" in box.paths) is (
            hierarchy.version == 1 or box.plan.unified is not None
        )


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
    with pytest.raises(
        StepError, match=r"^\.linux\.resources\.cpu\.cpus: cannot write '4000' to /.*/cpuset\.cpus: "
    ):
        Made(name(), Resources(cpu=CPU(cpus="4000"))).create()


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
            fds, directory = cgroup.entry_fds(), cgroup.open_directory()
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


def can_open(path: str, flags: int) -> bool:
    try:
        os.close(os.open(path, flags | os.O_NONBLOCK))
    except PermissionError:
        return False
    return True


def opens(made: Made) -> list[int]:
    """What a process in the cgroup can open: /dev/null to read and write, /dev/kmsg to read."""
    tried = (("/dev/null", os.O_RDWR), ("/dev/kmsg", os.O_RDONLY))
    return [status_of(made.enter(lambda: os._exit(can_open(path, flags)))) for path, flags in tried]  # noqa: B023


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (None, [1, 0]),
        ((DeviceCgroup(True, "c", *KMSG, "r"),), [1, 1]),
        ((DeviceCgroup(True, "a", access="rwm"),), [1, 1]),
        ((DeviceCgroup(True, "a", access="rwm"), DeviceCgroup(False, "c", *KMSG, "r")), [1, 0]),
        ((DeviceCgroup(True, "c", *KMSG, "r"), DeviceCgroup(False, "c", *KMSG, "rwm")), [1, 0]),
        ((DeviceCgroup(True, "a", *KMSG, "w"),), [1, 0]),
    ],
)
def test_only_allowed_devices_can_be_opened(
    rules: tuple[DeviceCgroup, ...] | None, expected: list[int]
) -> None:
    made = Made(name(), None if rules is None else Resources(devices=rules)).create()
    try:
        assert opens(made) == expected
    finally:
        made.cgroup.remove()


class Unified(Made):
    """A cgroup in the v2 hierarchy only, even where v1 has all controllers."""

    def __init__(self, path: str) -> None:
        layout = read_layout()
        if layout.unified is None:
            pytest.skip("this host has no cgroup v2 mounted")
        spec = Spec("1.2.0", Root("rootfs"), linux=Linux(cgroups_path=path))
        self.plan = plan_cgroup(spec, "id", CgroupLayout((layout.unified,)))
        self.made = cgroups.missing_directories(self.plan)
        self.paths = tuple(each.path for each in self.plan.directories)


def test_v2_device_program_decides() -> None:
    made = Unified(name())
    assert made.plan.device_rules == ALWAYS_ALLOWED
    made.create()
    try:
        assert opens(made) == [1, 0]
    finally:
        made.cgroup.remove()


def test_v2_child_is_born_in_its_cgroup_or_added() -> None:
    made = Unified(f"{name()}/deep").create()
    try:
        for plan in (made.plan, made.plan.but(born_inside=False)):
            made.plan = plan
            reader, writer = os.pipe()
            pid = made.enter(lambda fd=reader: os.read(fd, 1))  # type: ignore[misc]
            assert made.cgroup.processes() == (pid,)
            os.write(writer, b".")
            assert status_of(pid) == 0
    finally:
        made.cgroup.remove()


def test_v2_freezes_and_kills() -> None:
    def body() -> tuple[bool, int]:
        made = Unified(name()).create()
        try:
            pid = made.enter(forever)
            made.cgroup.freeze()
            frozen = made.cgroup.frozen()
            made.cgroup.kill_all()
            return frozen, status_of(pid)
        finally:
            made.cgroup.remove()

    assert alone(body) == (True, -9)


def test_a_controller_of_the_v2_half_is_limited_there() -> None:
    hierarchy = read_layout().of("hugetlb")
    if hierarchy is None or hierarchy.version == 1:
        pytest.skip("this host's cgroup v2 does not have hugetlb")
    made = Unified(f"{name()}/deep")
    directory = made.plan.directories[0].but(controllers=("hugetlb",))
    file = f"{directory.path}/hugetlb.2MB.max"
    made.plan = made.plan.but(directories=(directory,), writes=(Write(file, str(4 * MEGA), ".x"),))
    made.create()
    try:
        assert read(file) == str(4 * MEGA)
    finally:
        made.cgroup.remove()
    assert isinstance(directory, Directory)


def test_nothing_is_left_behind() -> None:
    left = [
        f"{each.mount}/{entry}"
        for each in read_layout().hierarchies
        for entry in os.listdir(each.mount)
        if entry.startswith(f"pyrunc-test-{os.getpid()}-")
    ]
    assert left == []
