"""Where a container's cgroups are, and which hierarchies it joins."""

from __future__ import annotations

import pytest

from pyrunc.errors import ConfigError
from pyrunc.plan.cgroups import plan_cgroup, plan_update
from pyrunc.plan.facts import CgroupLayout, Hierarchy
from pyrunc.spec.hooks import Hook, Hooks
from pyrunc.spec.linux import Linux, Namespace
from pyrunc.spec.mounts import IDMapping, Mount
from pyrunc.spec.resources import CPU, DeviceCgroup, HugepageLimit, Memory, Pids, Resources
from tests.unit.cgroups.layouts import devices, hybrid, limits, plan, problems, process_of, spec_of, v1, v2

CGROUP_NAMESPACE = (Namespace("cgroup"),)


def places(layout: CgroupLayout, path: str | None) -> set[str]:
    return {each.path for each in plan(layout, path).directories}


def test_absolute_path_is_below_every_mount() -> None:
    planned = plan(v1(own="/me"), "/a//b/./c/")
    assert [each.path for each in planned.directories] == [f"{each.mount}/a/b/c" for each in v1().hierarchies]
    assert {each.where for each in planned.directories} == {".linux.cgroupsPath"}


def test_relative_path_is_below_our_own_cgroup() -> None:
    assert "/c/memory/me/a/b" in places(v1(own="/me"), "a/b")


@pytest.mark.parametrize("path", [None, ""])
def test_absent_path_is_the_id_below_our_own_cgroup(path: str | None) -> None:
    assert "/c/memory/me/id" in places(v1(own="/me"), path)
    assert "/c/memory/id" in places(v1(), path)


def test_v2_goes_beside_our_own_cgroup_because_that_has_processes() -> None:
    assert places(v2(own="/user.slice/me.scope"), None) == {"/c/user.slice/id"}
    assert places(v2(own="/me"), "a") == {"/c/a"}
    assert places(v2(), "a") == {"/c/a"}


def test_joint_controllers_are_one_directory() -> None:
    layout = CgroupLayout((Hierarchy("/c/cpu,cpuacct", 1, ("cpu", "cpuacct")),))
    planned = plan_cgroup(
        spec_of(resources=Resources(cpu=CPU(shares=2))), "id", layout, in_user_namespace=True
    )
    assert [each.path for each in planned.directories] == ["/c/cpu,cpuacct/box"]
    assert limits(planned) == [("cpu,cpuacct/box/cpu.shares", "2", "cpu.shares")]


@pytest.mark.parametrize("path", ["/a/../b", "..", "/a/..", "a\0b", "/a\nb", "/", "//", "/./", "."])
def test_paths_that_mean_or_reach_the_hosts_own_are_refused(path: str) -> None:
    for layout in (v1(own="/me"), v2(own="/me/sub"), hybrid()):
        assert ".linux.cgroupsPath" in problems(layout, path)


@pytest.mark.parametrize("path", ["/me", "/me/sub"])
def test_our_own_cgroup_and_those_above_it_are_refused(path: str) -> None:
    for layout in (v1(own="/me/sub"), v2(own="/me/sub")):
        assert "holds the runtime itself" in problems(layout, path)[".linux.cgroupsPath"]


def test_all_problems_are_told_at_once() -> None:
    found = problems(v2(), "/a/../b", memory=Memory(swappiness=101, swap=5), cpu=CPU(idle=2))
    assert set(found) == {
        ".linux.cgroupsPath",
        ".linux.resources.memory.swappiness",
        ".linux.resources.memory.swap",
        ".linux.resources.cpu.idle",
    }


def test_hybrid_joins_v2_only_for_what_v2_has() -> None:
    assert plan(hybrid(), pids=Pids(5)).unified is None
    assert plan(hybrid()).unified is None
    joined = plan(hybrid(), hugepage_limits=(HugepageLimit("2MB", 4 << 20),)).unified
    assert joined is not None
    assert (joined.path, joined.controllers) == ("/c/unified/box", ("hugetlb",))


def test_hybrid_joins_v2_for_unified_settings_of_the_core() -> None:
    joined = plan(hybrid(), unified={"cgroup.max.depth": "3"}).unified
    assert joined is not None
    assert joined.controllers == ()


def test_hybrid_without_v1_devices_joins_v2_for_the_device_program() -> None:
    layout = CgroupLayout((Hierarchy("/c/pids", 1, ("pids",)), Hierarchy("/c/unified", 2, ())))
    planned = plan(layout)
    assert planned.unified is not None
    assert planned.device_rules


def test_directories_know_what_they_need_enabled() -> None:
    (directory,) = plan(v2(), pids=Pids(5), memory=Memory(limit=1 << 30), cpu=CPU(cpus="0")).directories
    assert directory.controllers == ("cpuset", "memory", "pids")


def test_a_host_without_cgroups_is_no_problem_until_something_is_asked() -> None:
    assert plan(CgroupLayout()).directories == ()
    found = problems(CgroupLayout(), pids=Pids(5), memory=Memory(limit=5, kernel_tcp=5))
    assert set(found) == {
        ".linux.resources.pids.limit",
        ".linux.resources.memory.limit",
        ".linux.resources.devices",
    }
    assert "does not have" in found[".linux.resources.pids.limit"]


@pytest.mark.parametrize(
    ("limit", "small"), [(None, False), (-1, False), (0, False), (8 << 20, True), (16 << 20, False)]
)
def test_small_memory_is_joined_last(limit: int | None, small: bool) -> None:
    for layout, born_inside in ((v1(), True), (v2(), not small), (hybrid(), True)):
        planned = plan(layout, memory=Memory(limit=limit))
        assert (planned.small_memory, planned.born_inside) == (small, born_inside)


def test_small_memory_is_seen_in_unified_too() -> None:
    assert plan(v2(), unified={"memory.max": "1000000"}).small_memory


def test_nobody_can_be_born_where_no_fork_is_allowed() -> None:
    """Nor with a limit of 1, where the one that joins other namespaces for the init is the first."""
    assert not plan(v2(), pids=Pids(0)).born_inside
    assert not plan(v2(), pids=Pids(1)).born_inside
    assert plan(v2(), pids=Pids(2)).born_inside
    assert plan(hybrid(), pids=Pids(0)).born_inside


HOOKED = (Hooks(create_container=(Hook("/h"),)), Hooks(start_container=(Hook("/h"),)))


@pytest.mark.parametrize("hooks", HOOKED)
@pytest.mark.parametrize("layout", [v1(), v2()])
def test_small_pids_limit_waits_for_the_hooks_in_the_container(hooks: Hooks, layout: CgroupLayout) -> None:
    planned = plan_cgroup(spec_of(resources=Resources(pids=Pids(1)), hooks=hooks), "id", layout)
    assert planned.late_pids is not None
    assert (planned.late_pids.path.rpartition("/")[2], planned.late_pids.value) == ("pids.max", "1")
    assert [write.value for write in planned.writes if write.path == planned.late_pids.path] == ["64"]
    assert planned.born_inside


@pytest.mark.parametrize("limit", [64, 1000, -1])
def test_larger_pids_limits_hold_from_the_first(limit: int) -> None:
    planned = plan_cgroup(spec_of(resources=Resources(pids=Pids(limit)), hooks=HOOKED[1]), "id", v2())
    assert planned.late_pids is None


def test_the_last_word_about_pids_is_the_one_that_waits() -> None:
    resources = Resources(pids=Pids(1), unified={"pids.max": "3"})
    planned = plan_cgroup(spec_of(resources=resources, hooks=HOOKED[0]), "id", v2())
    assert planned.late_pids is not None
    assert planned.late_pids.value == "3"
    assert [write.value for write in planned.writes] == ["64", "64"]


def test_hooks_on_the_host_need_no_room() -> None:
    hooks = Hooks(prestart=(Hook("/h"),), create_runtime=(Hook("/h"),), poststart=(Hook("/h"),))
    planned = plan_cgroup(spec_of(resources=Resources(pids=Pids(1)), hooks=hooks), "id", v1())
    assert planned.late_pids is None
    assert limits(planned) == [("pids/box/pids.max", "1", "pids.limit")]


def test_a_cgroup_namespace_has_a_cgroup_of_the_containers_in_every_hierarchy() -> None:
    """Or its root in that hierarchy would be the runtime's own."""
    spec = spec_of(linux={"namespaces": CGROUP_NAMESPACE})
    for layout in (v1(), v2(), hybrid()):
        assert len(plan_cgroup(spec, "id", layout).directories) == len(layout.hierarchies)


@pytest.mark.parametrize(("limit", "private", "visits"), [(1, True, True), (1, False, False), (1 << 30, True, False)])
def test_a_cgroup_entered_last_is_visited_for_the_namespace(limit: int, private: bool, visits: bool) -> None:
    namespaces = CGROUP_NAMESPACE if private else ()
    for layout in (v1(), v2()):
        spec = spec_of(resources=Resources(memory=Memory(limit=limit)), linux={"namespaces": namespaces})
        assert plan_cgroup(spec, "id", layout).visits is visits


def test_an_update_is_planned_for_the_directories_that_are_there() -> None:
    resources = Resources(pids=Pids(5), memory=Memory(limit=7), unified={})
    planned = plan_update(resources, ("/c/pids/x/y", "/c/memory/z"), v1())
    assert limits(planned) == [
        ("pids/x/y/pids.max", "5", "pids.limit"),
        ("memory/z/memory.limit_in_bytes", "7", "memory.limit"),
    ]
    assert (devices(planned), planned.device_rules) == ([], None)


def test_an_update_finds_the_mount_that_lies_below_another() -> None:
    layout = CgroupLayout((Hierarchy("/c", 1, ("pids",)), Hierarchy("/c/unified", 2, ("hugetlb",))))
    limit = Resources(hugepage_limits=(HugepageLimit("2MB", 5),), pids=Pids(3))
    planned = plan_update(limit, ("/c/unified/box", "/c/box"), layout)
    assert [write.path for write in planned.writes][:2] == ["/c/box/pids.max", "/c/unified/box/hugetlb.2MB.max"]


def test_an_update_of_what_the_container_has_no_cgroup_for_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"\.linux\.resources\.pids\.limit: needs the cgroup controller pids"):
        plan_update(Resources(pids=Pids(5)), ("/c/memory/box",), v1())


def test_an_update_of_devices_has_the_rules_of_any_container() -> None:
    rules = Resources(devices=(DeviceCgroup(True, "c", 10, 229, "rw"),))
    assert ("allow", "c 10:229 rw") in devices(plan_update(rules, ("/c/devices/box",), v1()))
    planned = plan_update(rules, ("/c/box",), v2())
    assert planned.device_rules is not None
    assert planned.device_rules[0].match == "c 10:229 rw"


def test_devices_are_left_alone_in_a_user_namespace() -> None:
    rules = Resources(devices=(DeviceCgroup(True, "c", 1, 3, "r"),))
    for layout in (v1(), v2()):
        planned = plan_cgroup(spec_of(resources=rules), "id", layout, in_user_namespace=True)
        assert (planned.writes, planned.device_rules) == ((), None)


WRITABLE = (Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("nosuid",)),)


def owner(namespaces: tuple[Namespace, ...], mounts: tuple[Mount, ...], uid: int) -> int | None:
    linux = {"namespaces": namespaces, "uid_mappings": (IDMapping(0, 1000, 1), IDMapping(1, 100000, 10))}
    spec = spec_of(mounts=mounts, process=process_of(uid), linux=linux)
    return plan_cgroup(spec, "id", v2()).owner


def test_a_cgroup_is_given_to_the_containers_user_if_it_can_write_there() -> None:
    assert owner(CGROUP_NAMESPACE, WRITABLE, 0) == 1000
    assert owner(CGROUP_NAMESPACE, WRITABLE, 3) == 100002


def test_a_cgroup_stays_ours_without_own_namespace_or_writable_mount() -> None:
    read_only = (Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("ro",)),)
    assert owner((), WRITABLE, 0) is None
    assert owner((Namespace("cgroup", "/proc/1/ns/cgroup"),), WRITABLE, 0) is None
    assert owner(CGROUP_NAMESPACE, read_only, 0) is None
    assert owner(CGROUP_NAMESPACE, (), 0) is None


def test_a_cgroup_stays_ours_where_the_user_is_nobody_on_the_host() -> None:
    assert owner(CGROUP_NAMESPACE, WRITABLE, 500) is not None
    assert owner((*CGROUP_NAMESPACE, Namespace("user")), WRITABLE, 500) is None
    assert owner((*CGROUP_NAMESPACE, Namespace("user")), WRITABLE, 3) == 100002


def test_a_v1_cgroup_is_never_given_away() -> None:
    spec = spec_of(mounts=WRITABLE, process=process_of(5), linux={"namespaces": CGROUP_NAMESPACE})
    assert plan_cgroup(spec, "id", v1()).owner is None


def test_a_configuration_without_linux_gets_its_cgroups() -> None:
    spec = spec_of().but(linux=None)
    assert "/c/pids/id" in {each.path for each in plan_cgroup(spec, "id", v1()).directories}
    assert Linux().resources is None


def test_a_plan_can_say_what_it_will_do() -> None:
    said = plan(v2(), pids=Pids(5)).describe().splitlines()
    assert said[:2] == ["make the cgroup /c/box", "write '5' to /c/box/pids.max"]
    assert "allow c 1:3 rwm" in said
