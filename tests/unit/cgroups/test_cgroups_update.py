"""New limits for a container that runs: what is filled in, in which order it is written, and what undoes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyrunc.cgroups.update import old_value, read_old, undoing
from pyrunc.errors import ConfigError
from pyrunc.plan.cgroups import plan_update
from pyrunc.plan.cgroups_devices import read_rules
from pyrunc.plan.cgroups_update import change_devices_v1, complete, ordered, rules_of_text, rules_text
from pyrunc.plan.steps_cgroups import DeviceRule, Write
from pyrunc.spec.resources import CPU, DeviceCgroup, Memory, Pids, Rdma, Resources
from tests.unit.cgroups.layouts import hybrid, v1, v2

UNLIMITED = "9223372036854771712\n"
MEMORY_V1 = {"memory.limit_in_bytes": "100\n", "memory.memsw.limit_in_bytes": "200\n"}
MEMORY_V2 = {"memory.max": "100\n", "memory.swap.max": "50\n"}
NONE = DeviceCgroup(False, access="rwm")
KMSG = DeviceCgroup(True, "c", 1, 11, "rw")


def names(present: dict[str, str], **resources: object) -> list[str]:
    """The files that are written, in order, on a host of the version whose files are present."""
    unified = any(name in ("cpu.max", "memory.max", "cpu.max.burst") for name in present)
    layout, leaves = (v2(), ("/c/box",)) if unified else (v1(), tuple(f"{each.mount}/box" for each in v1().hierarchies))
    wanted = complete(Resources(**resources), present)  # type: ignore[arg-type]
    writes = ordered(plan_update(wanted, leaves, layout).writes, present)
    return [f"{write.path.rpartition('/')[2]}={write.value}" for write in writes]


# what is filled in


def test_swap_alone_comes_with_the_limit_that_holds() -> None:
    assert complete(Resources(memory=Memory(swap=300)), MEMORY_V1).memory == Memory(limit=100, swap=300)
    assert complete(Resources(memory=Memory(swap=300)), MEMORY_V2).memory == Memory(limit=100, swap=300)


def test_swap_alone_without_a_limit_stays_alone_for_the_checks_to_refuse() -> None:
    present = {"memory.limit_in_bytes": UNLIMITED, "memory.memsw.limit_in_bytes": UNLIMITED}
    assert complete(Resources(memory=Memory(swap=300)), present).memory == Memory(swap=300)


def test_limit_alone_keeps_the_sum_on_v2() -> None:
    assert names(MEMORY_V2, memory=Memory(limit=120)) == ["memory.swap.max=30", "memory.max=120"]


def test_limit_alone_is_written_alone_on_v1() -> None:
    assert names(MEMORY_V1, memory=Memory(limit=120)) == ["memory.limit_in_bytes=120"]


@pytest.mark.parametrize("present", [MEMORY_V1, MEMORY_V2])
def test_limit_above_the_sum_is_a_problem_with_its_place(present: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"\.linux\.resources\.memory\.limit: is more than the present limit"):
        complete(Resources(memory=Memory(limit=201)), present)


@pytest.mark.parametrize("swap", ["max\n", ""])
def test_unlimited_swap_on_v2_stays_so(swap: str) -> None:
    present = {"memory.max": "100\n", "memory.swap.max": swap}
    assert names(present, memory=Memory(limit=5000)) == ["memory.max=5000"]


def test_quota_and_period_complete_each_other_on_v2() -> None:
    assert names({"cpu.max": "20000 50000\n"}, cpu=CPU(quota=10000)) == ["cpu.max=10000 50000"]
    assert names({"cpu.max": "20000 50000\n"}, cpu=CPU(period=40000)) == ["cpu.max=20000 40000"]
    assert names({"cpu.max": "max 50000\n"}, cpu=CPU(period=40000)) == ["cpu.max=max 40000"]
    assert names({"cpu.max": "20000 50000\n"}, cpu=CPU(quota=-1)) == ["cpu.max=max 50000"]


def test_what_is_not_spoken_of_is_not_written() -> None:
    assert names(MEMORY_V1) == []
    assert names(MEMORY_V1, pids=Pids(5)) == ["pids.max=5"]


# order


LIMIT, SWAP = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"


@pytest.mark.parametrize(
    ("limit", "swap", "expected"),
    [
        (50, 60, [f"{LIMIT}=50", f"{SWAP}=60"]),
        (50, 200, [f"{LIMIT}=50", f"{SWAP}=200"]),
        (150, 160, [f"{LIMIT}=150", f"{SWAP}=160"]),
        (300, 400, [f"{SWAP}=400", f"{LIMIT}=300"]),
        (50, 400, [f"{SWAP}=400", f"{LIMIT}=50"]),
        (300, -1, [f"{SWAP}=-1", f"{LIMIT}=300"]),
        (-1, -1, [f"{SWAP}=-1", f"{LIMIT}=-1"]),
        (-1, None, [f"{SWAP}=-1", f"{LIMIT}=-1"]),
    ],
)
def test_memory_is_never_more_than_both_together(limit: int, swap: int | None, expected: list[str]) -> None:
    assert names(MEMORY_V1, memory=Memory(limit=limit, swap=swap)) == expected


def test_a_longer_period_goes_before_its_quota_and_a_shorter_one_after() -> None:
    longer, shorter = {"cpu.cfs_period_us": "50000\n"}, {"cpu.cfs_period_us": "200000\n"}
    period, quota = "cpu.cfs_period_us=100000", "cpu.cfs_quota_us=1000"
    assert names(longer, cpu=CPU(quota=1000, period=100000)) == [period, quota]
    assert names(shorter, cpu=CPU(quota=1000, period=100000)) == [quota, period]


def test_realtime_has_the_same_order() -> None:
    present = {"cpu.rt_period_us": "1000000\n"}
    wanted = CPU(realtime_runtime=1000, realtime_period=5000)
    assert names(present, cpu=wanted) == ["cpu.rt_runtime_us=1000", "cpu.rt_period_us=5000"]
    assert names({"cpu.rt_period_us": "10"}, cpu=wanted) == ["cpu.rt_period_us=5000", "cpu.rt_runtime_us=1000"]


def test_a_lower_burst_goes_first_and_a_higher_one_last() -> None:
    wanted = CPU(quota=1000, period=100000, burst=500)
    lower = names({"cpu.cfs_burst_us": "900", "cpu.cfs_period_us": "100000"}, cpu=wanted)
    higher = names({"cpu.cfs_burst_us": "100", "cpu.cfs_period_us": "100000"}, cpu=wanted)
    assert lower == ["cpu.cfs_burst_us=500", "cpu.cfs_period_us=100000", "cpu.cfs_quota_us=1000"]
    assert higher == ["cpu.cfs_period_us=100000", "cpu.cfs_quota_us=1000", "cpu.cfs_burst_us=500"]
    unified = names({"cpu.max": "max 100000", "cpu.max.burst": "900"}, cpu=wanted)
    assert unified == ["cpu.max.burst=500", "cpu.max=1000 100000"]


def test_all_three_at_once() -> None:
    present = {"cpu.cfs_burst_us": "900", "cpu.cfs_period_us": "200000"}
    found = names(present, cpu=CPU(quota=1000, period=100000, burst=500))
    assert found == ["cpu.cfs_burst_us=500", "cpu.cfs_quota_us=1000", "cpu.cfs_period_us=100000"]


def test_a_controller_that_the_container_is_not_in_is_said_to_be_that() -> None:
    leaves = tuple(f"{each.mount}/box" for each in hybrid().hierarchies if each.version == 1)
    with pytest.raises(ConfigError, match="the container is in no cgroup that has it"):
        plan_update(Resources(rdma={"m": Rdma(1)}), tuple(leaf for leaf in leaves if "rdma" not in leaf), hybrid())


# what undoes a write


@pytest.mark.parametrize(
    ("name", "value", "text", "expected"),
    [
        ("pids.max", "5", "max\n", "max"),
        ("memory.limit_in_bytes", "5", UNLIMITED, UNLIMITED.strip()),
        ("cpu.max", "10000 50000", "max 100000\n", "max 100000"),
        ("memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n", "0"),
        ("cpuset.cpus", "0", "\n", "\n"),
        ("blkio.throttle.read_bps_device", "8:0 5", "8:16 7\n8:0 6\n", "8:0 6"),
        ("blkio.throttle.read_bps_device", "8:0 5", "", "8:0 0"),
        (
            "io.max",
            "8:0 rbps=5",
            "8:0 rbps=max wbps=9 riops=max wiops=max\n",
            "8:0 rbps=max wbps=9 riops=max wiops=max",
        ),
        ("io.max", "8:0 rbps=5", "", "8:0 rbps=max wbps=max riops=max wiops=max"),
        ("io.weight", "200", "default 100\n8:0 50\n", "default 100"),
        ("io.weight", "8:0 200", "default 100\n8:0 50\n", "8:0 50"),
        ("io.weight", "8:0 200", "default 100\n", "8:0 default"),
        ("io.bfq.weight", "200", "default 100\n", "default 100"),
        (
            "rdma.max",
            "mlx4_0 hca_handle=2",
            "mlx4_0 hca_handle=max hca_object=9\n",
            "mlx4_0 hca_handle=max hca_object=9",
        ),
        ("net_prio.ifpriomap", "eth0 5", "lo 0\neth0 2\n", "eth0 2"),
        ("hugetlb.2MB.max", "0", "max\n", "max"),
    ],
)
def test_old_value(name: str, value: str, text: str, expected: str) -> None:
    assert old_value(name, value, text) == expected


def test_a_table_that_does_not_speak_of_the_key_cannot_be_undone() -> None:
    assert old_value("some.file", "c 1", "a 1\nb 2\n") is None


def writes_of(folder: Path, **files: str) -> tuple[Write, ...]:
    return tuple(Write(f"{folder}/{name.replace('__', '.')}", value, ".x") for name, value in files.items())


def test_undoing_is_in_the_opposite_order(tmp_path: Path) -> None:
    (tmp_path / "a.max").write_text("1\n")
    (tmp_path / "b.max").write_text("2\n")
    undo = undoing(read_old(writes_of(tmp_path, a__max="5", b__max="6")))
    assert [(Path(write.path).name, write.value) for write in undo] == [("b.max", "2"), ("a.max", "1")]


def test_files_that_are_missing_are_not_undone_and_their_stand_in_is(tmp_path: Path) -> None:
    (tmp_path / "io.weight").write_text("default 100\n")
    stand_in = Write(f"{tmp_path}/io.weight", "5", ".x")
    gone = Write(f"{tmp_path}/io.bfq.weight", "5", ".x")
    assert read_old((gone, gone.but(otherwise=stand_in))) == ((), (stand_in.but(value="default 100"),))


def test_idle_is_undone_with_the_weight_that_it_makes_forgotten(tmp_path: Path) -> None:
    (tmp_path / "cpu.idle").write_text("0\n")
    (tmp_path / "cpu.shares").write_text("600\n")
    ((idle, shares),) = read_old(writes_of(tmp_path, cpu__idle="1"))
    assert (idle.value, shares.value) == ("0", "600")


def test_the_weight_of_an_idle_group_is_none(tmp_path: Path) -> None:
    (tmp_path / "cpu.idle").write_text("1\n")
    (tmp_path / "cpu.weight").write_text("0\n")
    (idle,), weight = read_old(writes_of(tmp_path, cpu__idle="0", cpu__weight="9"))
    assert (idle.value, weight) == ("1", ())


# devices


def rules(*entries: DeviceCgroup) -> tuple[DeviceRule, ...]:
    return read_rules(entries)[0]


def change(*, old: tuple[DeviceRule, ...], new: tuple[DeviceRule, ...]) -> tuple[list[str], list[str]]:
    forward, backward = change_devices_v1("/c/box", old, new)
    return [_said(write) for write in forward], [_said(write) for write in backward]


def _said(write: Write) -> str:
    return f"{write.path.rpartition('.')[2]} {write.value}"


def test_only_what_differs_is_written_and_what_is_allowed_comes_first() -> None:
    old, new = rules(NONE, KMSG), rules(NONE, DeviceCgroup(True, "b", 7, None, "r"))
    assert change(old=old, new=new) == (["allow b 7:* r", "deny c 1:11 rw"], ["allow c 1:11 rw", "deny b 7:* r"])


def test_accesses_are_compared_one_by_one() -> None:
    less = DeviceCgroup(True, "c", 1, 11, "r")
    assert change(old=rules(NONE, KMSG), new=rules(NONE, less)) == (["deny c 1:11 w"], ["allow c 1:11 w"])


def test_another_default_is_written_anew() -> None:
    forward, backward = change(old=rules(NONE), new=rules(DeviceCgroup(True, access="rwm")))
    assert forward == ["allow a"]
    assert backward[0] == "deny a"
    assert "allow c 1:3 rwm" in backward


def test_denials_in_a_list_that_allows_all_are_compared_too() -> None:
    everything = DeviceCgroup(True, access="rwm")
    old = rules(everything, DeviceCgroup(False, "c", 1, 11, "w"))
    new = rules(everything, DeviceCgroup(False, "c", 1, 11, "r"))
    forward, backward = change(old=old, new=new)
    assert set(forward) == {"allow c 1:11 w", "deny c 1:11 r"}
    assert set(backward) == {"deny c 1:11 w", "allow c 1:11 r"}


def test_what_v1_cannot_express_is_an_error() -> None:
    with pytest.raises(ConfigError, match="cgroup v1 cannot"):
        change_devices_v1(
            "/c/box",
            rules(NONE),
            rules(NONE, DeviceCgroup(True, "c", 10, None, "rw"), DeviceCgroup(False, "c", 10, 5, "rw")),
        )


def test_remembered_rules_are_read_back() -> None:
    there = rules(NONE, KMSG, DeviceCgroup(True, "b", 8, None, "m"))
    assert rules_of_text(rules_text(there)) == tuple(rule.but(where=DeviceRule.where) for rule in there)


@pytest.mark.parametrize("line", ["", "allow c 1:3", "allow c one:3 rwm"])
def test_what_is_no_rule_is_not_read_as_one(line: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        rules_of_text((line,))
