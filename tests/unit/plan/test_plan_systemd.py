"""cgroupsPath, resources and annotations as a scope of systemd."""

from __future__ import annotations

from typing import Any

import pytest

from pyrunc.errors import ConfigError
from pyrunc.plan.cgroups_properties import INFINITY, device_properties, resource_properties
from pyrunc.plan.cgroups_systemd import plan_scope, read_annotations, slice_path
from pyrunc.plan.facts import CgroupLayout, Facts, Systemd
from pyrunc.plan.steps_cgroups import CgroupPlan, DeviceRule, Scope, Write
from pyrunc.spec.resources import CPU, BlockIO, DeviceCgroup, Memory, Pids, Resources
from tests.unit.cgroups import layouts

MIB = 1 << 20
ALL = Resources(memory=Memory(limit=64 * MIB), cpu=CPU(quota=1, period=1000), pids=Pids(5))


def planned(
    path: str | None = "",
    resources: Resources | None = None,
    layout: CgroupLayout | None = None,
    systemd: Systemd | None = None,
    id: str = "web",
    **annotations: str,
) -> CgroupPlan:
    """The plan for a container of root, or of a user where the manager is one's."""
    systemd = systemd or Systemd()
    user = systemd.user
    facts = Facts(layout=layout or layouts.v2(), systemd=systemd, privileged=not user, euid=int(user))
    wanted = {f"org.systemd.property.{name}": text for name, text in annotations.items()}
    return plan_scope(layouts.spec_of(path, resources, annotations=wanted), id, facts)


def scope(*args: Any, **more: Any) -> Scope:
    found = planned(*args, **more).scope
    assert found is not None
    return found


def properties(*args: Any, **more: Any) -> dict[str, Any]:
    return {name: value for name, _, value in scope(*args, **more).properties}


def refusal(*args: Any, **more: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        planned(*args, **more)
    return str(caught.value)


# where


def test_default_place_of_root() -> None:
    assert (scope().unit, scope().place) == ("pyrunc-web.scope", "/system.slice/pyrunc-web.scope")


def test_default_place_of_a_user_is_below_the_manager() -> None:
    own = "/user.slice/user-1000.slice/user@1000.service"
    assert scope(systemd=Systemd(257, own, True)).place == f"{own}/user.slice/pyrunc-web.scope"


def test_directories_are_where_the_scope_is() -> None:
    assert [each.path for each in planned(":a:b").directories] == ["/c/system.slice/a-b.scope"]


def test_on_v1_and_hybrid_every_hierarchy_has_the_place() -> None:
    for layout in (layouts.v1(), layouts.hybrid()):
        found = planned(layout=layout)
        assert {each.path for each in found.directories} == {
            f"{each.mount}/system.slice/pyrunc-web.scope" for each in layout.hierarchies
        }


def test_child_is_not_born_there() -> None:
    """systemd wants a process to make the scope around."""
    assert not planned().born_inside


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("my.slice:docker:1", "/my.slice/docker-1.scope"),
        ("a-b-c.slice:p:n", "/a.slice/a-b.slice/a-b-c.slice/p-n.scope"),
        ("-.slice:p:n", "/p-n.scope"),
        (":p:n", "/system.slice/p-n.scope"),
        ("::n", "/system.slice/n.scope"),
        ("::_n", "/system.slice/__n.scope"),
        ("::.n", "/system.slice/_.n.scope"),
        ("::cgroup.n", "/system.slice/_cgroup.n.scope"),
        ("::memory.n", "/system.slice/_memory.n.scope"),
    ],
)
def test_place(path: str, place: str) -> None:
    assert scope(path).place == place


@pytest.mark.parametrize(
    "path",
    [
        *("/a/b", "a:b", "a:b:c:d", "a.slice:b:", "a.slice:b:c.slice", "a:b:c", "a--b.slice:b:c", "-a.slice:b:c"),
        *(".slice:b:c", "a/b.slice:b:c", ":b:c/d", ":b:c d", ":b:c\n", ":b:../c", f"::{'x' * 256}"),
    ],
)
def test_path_that_is_none(path: str) -> None:
    assert refusal(path).startswith("config.json: .linux.cgroupsPath: ")


def test_id_with_a_letter_that_units_do_not_have() -> None:
    assert scope(id="a+b").unit == "pyrunc-a\\x2bb.scope"


def test_slice_path_of_kernel_names() -> None:
    assert slice_path("io.slice") == "/_io.slice"


# what every scope has


def test_basic_properties() -> None:
    found = properties()
    assert found["Slice"] == "system.slice"
    assert found["Delegate"] is True
    assert found["DefaultDependencies"] is False
    assert found["CollectMode"] == "inactive-or-failed"
    for name in ("CPUAccounting", "MemoryAccounting", "IOAccounting", "TasksAccounting"):
        assert found[name] is True


def test_block_io_of_v1_has_another_name() -> None:
    found = properties(layout=layouts.v1())
    assert "BlockIOAccounting" in found
    assert "IOAccounting" not in found


def test_old_systemd_knows_no_collect_mode() -> None:
    assert "CollectMode" not in properties(systemd=Systemd(234))


# limits


def of(*writes: tuple[str, str], version: int = 257) -> dict[str, Any]:
    found = resource_properties([Write(f"/c/box/{file}", value, "") for file, value in writes], version)
    assert all(kind in ("t", "s", "ay") for _, kind, _ in found)
    return {name: value for name, _, value in found}


@pytest.mark.parametrize(
    ("file", "value", "expected"),
    [
        ("memory.max", "1048576", {"MemoryMax": MIB}),
        ("memory.max", "max", {"MemoryMax": INFINITY}),
        ("memory.max", "0", {}),
        ("memory.max", "5M", {}),
        ("memory.high", "7", {"MemoryHigh": 7}),
        ("memory.low", "0", {"MemoryLow": 0}),
        ("memory.min", "1", {"MemoryMin": 1}),
        ("memory.swap.max", "0", {"MemorySwapMax": 0}),
        ("memory.oom.group", "1", {"OOMPolicy": "kill"}),
        ("memory.oom.group", "0", {"OOMPolicy": "continue"}),
        ("cpu.weight", "59", {"CPUWeight": 59}),
        ("cpu.weight", "20000", {}),
        ("cpu.idle", "1", {"CPUWeight": 0}),
        ("cpu.idle", "0", {}),
        ("cpu.max", "50000 100000", {"CPUQuotaPerSecUSec": 500_000, "CPUQuotaPeriodUSec": 100_000}),
        ("cpu.max", "50001 100000", {"CPUQuotaPerSecUSec": 510_000, "CPUQuotaPeriodUSec": 100_000}),
        ("cpu.max", "max 5000", {"CPUQuotaPerSecUSec": INFINITY, "CPUQuotaPeriodUSec": 5000}),
        ("cpu.max", "20000", {"CPUQuotaPerSecUSec": 200_000}),
        ("cpu.max", "1 1000000", {"CPUQuotaPerSecUSec": 10_000, "CPUQuotaPeriodUSec": 1_000_000}),
        ("cpuset.cpus", "0-3,8", {"AllowedCPUs": b"\x0f\x01"}),
        ("cpuset.cpus", "nonsense", {}),
        ("cpuset.mems", "1", {"AllowedMemoryNodes": b"\x02"}),
        ("io.weight", "default 910", {"IOWeight": 910}),
        ("io.weight", "8:0 50", {}),
        ("pids.max", "5", {"TasksMax": 5}),
        ("pids.max", "0", {"TasksMax": 1}),
        ("pids.max", "max", {"TasksMax": INFINITY}),
        ("memory.limit_in_bytes", "-1", {"MemoryLimit": INFINITY}),
        ("cpu.shares", "512", {"CPUShares": 512}),
        ("blkio.weight", "100", {"BlockIOWeight": 100}),
        ("hugetlb.2MB.max", "0", {}),
        ("rdma.max", "x hca_handle=1", {}),
    ],
)
def test_file_as_property(file: str, value: str, expected: dict[str, Any]) -> None:
    assert of((file, value)) == expected


def test_v1_has_quota_and_period_apart() -> None:
    assert of(("cpu.cfs_period_us", "50000"), ("cpu.cfs_quota_us", "25000"))["CPUQuotaPerSecUSec"] == 500_000
    assert of(("cpu.cfs_quota_us", "-1"))["CPUQuotaPerSecUSec"] == INFINITY


def test_the_later_of_two_writes_counts() -> None:
    assert of(("memory.max", "1"), ("memory.max", "2")) == {"MemoryMax": 2}


def test_weight_goes_by_the_file_of_io_cost() -> None:
    otherwise = Write("/c/box/io.weight", "910", "")
    write = Write("/c/box/io.bfq.weight", "100", "", otherwise=otherwise)
    assert resource_properties([write], 257) == (("IOWeight", "t", 910),)


@pytest.mark.parametrize(
    ("file", "value", "last"),
    [
        ("cpuset.cpus", "0", 243),
        ("cpu.idle", "1", 251),
        ("memory.oom.group", "1", 252),
    ],
)
def test_older_systemd_is_not_told_what_it_does_not_know(file: str, value: str, last: int) -> None:
    assert of((file, value), version=last) == {}
    assert of((file, value), version=last + 1) != {}


def test_period_is_since_242() -> None:
    assert "CPUQuotaPeriodUSec" not in of(("cpu.max", "1 1000"), version=241)


def test_limits_reach_the_scope_and_are_written_too() -> None:
    found = properties(resources=ALL)
    assert (found["MemoryMax"], found["TasksMax"], found["CPUQuotaPerSecUSec"]) == (64 * MIB, 5, 10_000)
    files = {write.path.rpartition("/")[2] for write in planned(resources=ALL).writes}
    assert {"memory.max", "pids.max", "cpu.max"} <= files


def test_unified_overrides() -> None:
    assert properties(resources=ALL.but(unified={"memory.max": "max"}))["MemoryMax"] == INFINITY


def test_small_memory_limit_follows_once_the_container_waits() -> None:
    found = planned(resources=Resources(memory=Memory(limit=5 * MIB, check_before_update=True)))
    assert found.scope is not None
    assert [write.path for write in found.writes if "memory" in write.path] == []
    assert "MemoryMax" not in {name for name, _, _ in found.scope.properties}
    assert found.scope.late == (("MemoryMax", "t", 5 * MIB),)
    assert [(each.path, each.usage) for each in found.scope.late_writes] == [
        ("/c/system.slice/pyrunc-web.scope/memory.max", "")
    ]
    assert not found.small_memory


def test_weight_of_block_io() -> None:
    assert properties(resources=Resources(block_io=BlockIO(weight=100)))["IOWeight"] == 910
    found = properties(resources=Resources(block_io=BlockIO(weight=100)), layout=layouts.v1())
    assert found["BlockIOWeight"] == 100


def test_problems_of_limits_and_annotations_have_their_paths() -> None:
    said = refusal(resources=Resources(memory=Memory(swappiness=5)))
    assert ".linux.resources.memory.swappiness" in said
    assert '.annotations["org.systemd.property.Foo"]' in refusal(Foo="nonsense")


# devices


def devices(*rules: DeviceCgroup, layout: CgroupLayout | None = None, version: int = 257) -> dict[str, Any]:
    found = properties(resources=Resources(devices=rules), layout=layout, systemd=Systemd(version))
    return {name: found[name] for name in ("DevicePolicy", "DeviceAllow") if name in found}


NOTHING = DeviceCgroup(allow=False, access="rwm")
FUSE = DeviceCgroup(allow=True, type="c", major=10, minor=229, access="rw")
DISKS = DeviceCgroup(allow=True, type="b", major=8, access="r")
ALL_DEVICES = DeviceCgroup(allow=True, access="rwm")


@pytest.mark.parametrize("layout", [layouts.v1(), layouts.v2()])
def test_devices_are_allowed_by_name(layout: CgroupLayout) -> None:
    found = devices(NOTHING, FUSE, DISKS, layout=layout)
    assert found["DevicePolicy"] == "strict"
    expected = {("/dev/char/10:229", "rw"), ("block-8", "r"), ("/dev/char/1:3", "rwm"), ("char-136", "rwm")}
    assert expected <= set(found["DeviceAllow"])
    assert {("char-*", "m"), ("block-*", "m")} <= set(found["DeviceAllow"])


def test_all_devices() -> None:
    assert devices(ALL_DEVICES) == {}
    assert devices(ALL_DEVICES, layout=layouts.v1()) == {"DevicePolicy": "auto", "DeviceAllow": []}


def test_exception_from_all_devices_is_left_to_us() -> None:
    assert devices(ALL_DEVICES, FUSE.but(allow=False)) == {"DevicePolicy": "auto", "DeviceAllow": []}


def test_exception_from_an_exception_is_left_to_us_too() -> None:
    """systemd allows more than the rules, never less: its program and ours both have to agree."""
    found = devices(NOTHING, DISKS, DISKS.but(allow=False, minor=3))
    assert ("block-8", "r") in found["DeviceAllow"]


def test_old_systemd_cannot_be_told_numbers() -> None:
    assert devices(NOTHING, FUSE, version=239) == {}
    found = devices(NOTHING, DISKS, layout=layouts.v1(), version=239)["DeviceAllow"]
    assert ("char-pts", "rwm") in found
    assert not [device for device, _ in found if device.startswith("block-8")]


def test_no_devices_in_a_user_namespace() -> None:
    found = properties(resources=Resources(devices=(NOTHING,)), systemd=Systemd(257, "/u", True))
    assert "DevicePolicy" not in found


def test_device_rules_that_name_only_a_minor_number() -> None:
    cgroup = CgroupPlan((), device_rules=(DeviceRule(True, "c", None, 7, "r"),))
    assert device_properties(cgroup, 257)[1][2] == [("char-*", "r")]


# annotations


def test_annotation_is_a_property() -> None:
    assert ("TasksMax", "t", 7) in scope(TasksMax="uint64 7").properties


def test_annotation_comes_after_and_so_overrides() -> None:
    names = [name for name, _, _ in scope(resources=ALL, TasksMax="uint64 7").properties]
    assert names.count("TasksMax") == 2
    assert names[-1] == "TasksMax"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("TimeoutStopSec", "7", ("TimeoutStopUSec", "t", 7_000_000)),
        ("TimeoutStopSec", "uint32 7", ("TimeoutStopUSec", "t", 7_000_000)),
        ("TimeoutStopSec", "0.25", ("TimeoutStopUSec", "t", 250_000)),
        ("TimeoutStopUSec", "uint64 7", ("TimeoutStopUSec", "t", 7)),
        ("CollectMode", "'inactive'", ("CollectMode", "s", "inactive")),
        ("DefaultDependencies", "true", ("DefaultDependencies", "b", True)),
        ("After", "['a.service', 'b.service']", ("After", "as", ["a.service", "b.service"])),
    ],
)
def test_annotation(name: str, text: str, expected: tuple[str, str, Any]) -> None:
    assert read_annotations({f"org.systemd.property.{name}": text, "other": "x"}) == ((expected,), ())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("Foo", "bar"), ("", "1"), ("a-b", "1"), ("9a", "1"), ("Foo.Bar", "1"), ("Foo", "")),
        *(("TimeoutStopSec", "'7'"), ("TimeoutStopSec", "true"), ("TimeoutStopSec", "-1"), ("TimeoutStopSec", "inf")),
        *(("PIDs", "[uint32 1]"), ("Slice", "'a.slice'"), ("Delegate", "false")),
    ],
)
def test_annotation_that_is_refused(name: str, text: str) -> None:
    """PIDs of the host's processes would have them killed with the container."""
    found, problems = read_annotations({f"org.systemd.property.{name}": text})
    assert found == ()
    assert [problem.path for problem in problems] == [f'.annotations["org.systemd.property.{name}"]']


def test_description_says_whose_it_is() -> None:
    assert scope().description == "pyrunc container web"
    assert scope(Description="'my web'").description == "my web"
