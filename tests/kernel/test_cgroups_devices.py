"""Cgroups on the real host: devices on v1 and v2, and the v2 half of a hybrid host."""

from __future__ import annotations

import os

import pytest

from pyrunc import cgroups
from pyrunc.cgroups import v2
from pyrunc.cgroups.devices import device_program
from pyrunc.cgroups.layout import read_layout
from pyrunc.kernel import bpf
from pyrunc.plan.cgroups import plan_cgroup
from pyrunc.plan.cgroups_devices import ALWAYS_ALLOWED
from pyrunc.plan.facts import CgroupLayout
from pyrunc.plan.steps_cgroups import DeviceRule, Directory, Write
from pyrunc.spec.config import Root, Spec
from pyrunc.spec.linux import Linux
from pyrunc.spec.resources import DeviceCgroup, Resources
from tests.kernel.boxes import KMSG, MEGA, RUN, Made, alone, forever, name, read, status_of

pytestmark = [pytest.mark.vm, pytest.mark.requires("root")]


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
def test_only_allowed_devices_can_be_opened(rules: tuple[DeviceCgroup, ...] | None, expected: list[int]) -> None:
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


KMSG_TOO = (DeviceRule(True, "c", *KMSG, "r"), *ALWAYS_ALLOWED)


def test_v2_device_rules_are_replaced_while_other_programs_stay() -> None:
    made = Unified(name()).create()
    (path,) = made.paths
    seen = []
    try:
        for rules in (KMSG_TOO, ALWAYS_ALLOWED, None, (), KMSG_TOO):
            v2.replace_device_program(path, rules)
            seen.append((opens(made), programs(path)))
        somebody = attach_as(b"sd_devices", path)
        v2.replace_device_program(path, None)
        seen.append((opens(made), programs(path)))
        os.close(somebody)
    finally:
        made.cgroup.remove()
    assert seen == [([1, 1], 1), ([1, 0], 1), ([1, 1], 0), ([0, 0], 1), ([1, 1], 1), ([0, 0], 1)]


def test_v2_rules_do_not_outlast_their_container_in_a_cgroup_that_stays() -> None:
    made = Unified(name()).create()
    seen = []
    try:
        for rules in ((), None, KMSG_TOO):
            made.plan = made.plan.but(device_rules=rules)
            cgroups.create(made.plan)
            seen.append((opens(made), programs(made.paths[0])))
    finally:
        made.cgroup.remove()
    assert seen == [([0, 0], 1), ([1, 1], 0), ([1, 1], 1)]


def programs(path: str) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        return len(bpf.query(fd))
    finally:
        os.close(fd)


def attach_as(title: bytes, path: str) -> int:
    """Attach a program that denies everything, under another name than ours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bpf, "_NAME", title)
        program = bpf.load_device_program(device_program(()))
    fd = os.open(path, os.O_RDONLY)
    bpf.attach(fd, program)
    os.close(fd)
    return program


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
        if entry.startswith(f"pyrunc-test-{RUN}-")
    ]
    assert left == []
