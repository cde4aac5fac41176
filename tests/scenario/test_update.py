"""update: new limits hold at once, however they have to be ordered, and a change that fails changes nothing."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario import host
from tests.scenario.cgroupfs import is_v1
from tests.scenario.limits import (
    MIB,
    change,
    change_by_json,
    cpu_limit,
    everything,
    sleeping,
    swap_limit,
    value,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenario.bundle import Bundle

# flags


@pytest.mark.parametrize(
    ("flags", "name", "expected"),
    [
        (["--memory", "67108864"], "memory.limit_in_bytes", str(64 * MIB)),
        (["--memory", "64M"], "memory.limit_in_bytes", str(64 * MIB)),
        (["--memory=64mb"], "memory.limit_in_bytes", str(64 * MIB)),
        (["--memory", "0.0625g"], "memory.limit_in_bytes", str(64 * MIB)),
        (["--memory-reservation", "32M"], "memory.soft_limit_in_bytes", str(32 * MIB)),
        (["--pids-limit", "23"], "pids.max", "23"),
        (["--pids-limit", "-1"], "pids.max", "max"),
        (["--cpuset-cpus", "0"], "cpuset.cpus", "0"),
    ],
    ids=lambda each: "".join(each) if isinstance(each, list) else "",
)
def test_flag(bundle: Bundle, flags: list[str], name: str, expected: str) -> None:
    sleeping(bundle, pids={"limit": 50}, memory={"limit": 128 * MIB})
    change(bundle, *flags).ok()
    assert value(bundle, name) == expected


def test_shares(bundle: Bundle) -> None:
    sleeping(bundle)
    change(bundle, "--cpu-share", "512").ok()
    assert value(bundle, "cpu.shares" if is_v1("cpu") else "cpu.weight") == ("512" if is_v1("cpu") else "59")


def test_unlimited_memory_is_unlimited_swap_as_well(bundle: Bundle) -> None:
    sleeping(bundle, memory={"limit": 64 * MIB, "swap": 96 * MIB})
    change(bundle, "--memory", "-1").ok()
    assert swap_limit(bundle) >= 1 << 60


@pytest.mark.differs_from_runc("knows neither flag before 1.2")
def test_idle_and_burst(bundle: Bundle) -> None:
    sleeping(bundle, cpu={"quota": 50000, "period": 100000})
    change(bundle, "--cpu-idle", "1", "--cpu-burst", "20000").ok()
    assert value(bundle, "cpu.idle") == "1"
    assert value(bundle, "cpu.cfs_burst_us" if is_v1("cpu") else "cpu.max.burst") == "20000"


def test_no_flag_changes_nothing(bundle: Bundle) -> None:
    sleeping(bundle, memory={"limit": 64 * MIB}, cpu={"quota": 20000})
    before = everything(bundle)
    change(bundle).ok()
    assert everything(bundle) == before


def test_flags_of_old_are_taken(bundle: Bundle) -> None:
    sleeping(bundle)
    before = everything(bundle)
    change(bundle, "--kernel-memory", "16M", "--kernel-memory-tcp", "16M").ok()
    assert everything(bundle) == before


@pytest.mark.parametrize(
    "flags",
    [["--memory", "much"], ["--cpu-quota", "half"], ["--cpu-share", "-5"], ["--memory", "-2"], ["--no-such", "1"]],
    ids="".join,
)
def test_values_that_are_none(bundle: Bundle, flags: list[str]) -> None:
    sleeping(bundle, memory={"limit": 64 * MIB})
    before = everything(bundle)
    refused = change(bundle, *flags)
    assert refused.returncode == 1
    assert everything(bundle) == before


# documents


@pytest.mark.parametrize("flags", [["--resources", "-"], ["--resources=-"], ["-r", "-"]], ids="".join)
def test_document_on_standard_input(bundle: Bundle, flags: list[str]) -> None:
    """The three ways in which engines write it."""
    sleeping(bundle)
    limits = {"memory": {"limit": 48 * MIB}, "cpu": {"quota": 30000, "period": 60000}, "pids": {"limit": 31}}
    bundle.attempt("update", *flags, stdin=json.dumps(limits)).ok()
    assert value(bundle, "memory.limit_in_bytes") == str(48 * MIB)
    assert cpu_limit(bundle) == ("30000", "60000")
    assert value(bundle, "pids.max") == "31"


def test_document_in_a_file(bundle: Bundle) -> None:
    sleeping(bundle)
    path = bundle.dir / "limits.json"
    path.write_text(json.dumps({"pids": {"limit": 12}}))
    change(bundle, f"--resources={path}").ok()
    assert value(bundle, "pids.max") == "12"


def test_flags_do_not_count_besides_a_document(bundle: Bundle) -> None:
    sleeping(bundle, memory={"limit": 64 * MIB})
    bundle.attempt("update", "-r", "-", "--memory", "32M", stdin='{"pids": {"limit": 12}}').ok()
    assert (value(bundle, "pids.max"), value(bundle, "memory.limit_in_bytes")) == ("12", str(64 * MIB))


def test_empty_document_changes_nothing(bundle: Bundle) -> None:
    sleeping(bundle, memory={"limit": 64 * MIB}, cpu={"quota": 20000}, pids={"limit": 9})
    before = everything(bundle)
    change_by_json(bundle, memory={}, cpu={}, blockIO={}).ok()
    assert everything(bundle) == before


def test_zeros_of_go_programs_are_no_limits(bundle: Bundle) -> None:
    sleeping(bundle, memory={"limit": 64 * MIB}, cpu={"quota": 20000, "shares": 600})
    before = everything(bundle)
    change_by_json(
        bundle, memory={"limit": 0, "swap": 0, "reservation": 0}, cpu={"shares": 0, "quota": 0, "period": 0}
    ).ok()
    assert everything(bundle) == before


@pytest.mark.differs_from_runc("names no place in the document")
def test_what_is_wrong_in_a_document_is_named(bundle: Bundle) -> None:
    sleeping(bundle)
    said = change_by_json(bundle, memory={"limit": "64M"}, pids={"limit": 1.5}).stderr
    assert ".linux.resources.memory.limit: must be an integer" in said
    assert ".linux.resources.pids.limit: must be an integer" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "nothing"])
def test_what_is_no_document(bundle: Bundle, text: str) -> None:
    sleeping(bundle)
    refused = bundle.attempt("update", "-r", "-", stdin=text)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)


# order: each step leads through a state that the kernel refuses, if it is written in the wrong order


STEPS = [
    {"memory": {"limit": 32 * MIB, "swap": 32 * MIB}},  # both lower
    {"memory": {"limit": 96 * MIB, "swap": 128 * MIB}},  # both higher
    {"memory": {"limit": 96 * MIB, "swap": 96 * MIB}},  # the one lower, the other as it was
    {"memory": {"limit": 64 * MIB}},  # memory alone
    {"memory": {"limit": 40 * MIB, "swap": 200 * MIB}},  # one lower, one higher
    {"memory": {"limit": -1, "swap": -1}},
    {"memory": {"limit": 64 * MIB, "swap": 64 * MIB}},
]


@pytest.mark.vm
def test_memory_and_swap_go_up_and_down_together(bundle: Bundle) -> None:
    sleeping(bundle, memory={"limit": 64 * MIB, "swap": 64 * MIB})
    for step in STEPS:
        change_by_json(bundle, **step).ok()
        limit, swap = step["memory"]["limit"], step["memory"].get("swap")
        said = value(bundle, "memory.limit_in_bytes")
        assert said == str(limit) or (limit == -1 and (said == "max" or int(said) >= 1 << 60))
        if swap is not None:
            assert swap_limit(bundle) == swap or (swap == -1 and swap_limit(bundle) >= 1 << 60)


def test_swap_alone_keeps_memory(bundle: Bundle) -> None:
    sleeping(bundle, memory={"limit": 64 * MIB, "swap": 64 * MIB})
    change(bundle, "--memory-swap", "96M").ok()
    assert (value(bundle, "memory.limit_in_bytes"), swap_limit(bundle)) == (str(64 * MIB), 96 * MIB)


@pytest.mark.vm
def test_memory_alone_keeps_what_both_may_be_together(bundle: Bundle) -> None:
    sleeping(bundle, memory={"limit": 64 * MIB, "swap": 96 * MIB})
    change(bundle, "--memory", "80M").ok()
    assert (value(bundle, "memory.limit_in_bytes"), swap_limit(bundle)) == (str(80 * MIB), 96 * MIB)


def test_memory_above_what_both_may_be_together_is_refused(bundle: Bundle) -> None:
    sleeping(bundle, memory={"limit": 64 * MIB, "swap": 96 * MIB})
    before = everything(bundle)
    refused = change(bundle, "--memory", "128M")
    assert refused.returncode == 1
    assert everything(bundle) == before


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param((20000, 100000), (40000, 50000), marks=pytest.mark.vm),
        ((40000, 50000), (20000, 100000)),
        ((1000, 1000), (1000000, 1000000)),
    ],
)
def test_quota_and_period_go_up_and_down_together(
    bundle: Bundle, first: tuple[int, int], second: tuple[int, int]
) -> None:
    """Below a parent with no more than the larger share, where half of a change would be too much."""
    share = max(quota / period for quota, period in (first, second))
    with parent(bundle, share):
        sleeping(bundle, cpu={"quota": first[0], "period": first[1]})
        for quota, period in (second, first, second):
            change_by_json(bundle, cpu={"quota": quota, "period": period}).ok()
            assert cpu_limit(bundle) == (str(quota), str(period))


@contextlib.contextmanager
def parent(bundle: Bundle, share: float) -> Iterator[None]:
    """A cgroup around the container's that may use no more than a share of a cpu."""
    outer = f"{bundle.token}-parent"
    places = host.hierarchies()
    folder = Path(places.get("cpu", places.get("cgroup2", "")), outer)
    if not is_v1("cpu"):
        (folder.parent / "cgroup.subtree_control").write_text("+cpu")
    folder.mkdir()
    quota, period = int(share * 100000), 100000
    name, limit = ("cpu.cfs_quota_us", f"{quota}") if is_v1("cpu") else ("cpu.max", f"{quota} {period}")
    (folder / name).write_text(limit)
    bundle.linux(cgroupsPath=f"/{outer}/{bundle.token}")
    yield
    bundle.delete("--force")
    for place in set(places.values()):
        with contextlib.suppress(FileNotFoundError):
            Path(place, outer).rmdir()


@pytest.mark.vm
def test_quota_alone_keeps_the_period(bundle: Bundle) -> None:
    sleeping(bundle, cpu={"quota": 20000, "period": 50000})
    change(bundle, "--cpu-quota", "10000").ok()
    assert cpu_limit(bundle) == ("10000", "50000")
    change(bundle, "--cpu-period", "40000").ok()
    assert cpu_limit(bundle) == ("10000", "40000")
    change(bundle, "--cpu-quota", "-1").ok()
    assert cpu_limit(bundle) == ("-1", "40000")


@pytest.mark.vm
@pytest.mark.differs_from_runc("knows no burst before 1.2")
def test_burst_goes_up_and_down_with_its_quota(bundle: Bundle) -> None:
    sleeping(bundle, cpu={"quota": 20000, "period": 100000, "burst": 20000})
    for quota in (10000, 40000, 5000):
        change_by_json(bundle, cpu={"quota": quota, "burst": quota}).ok()
        assert cpu_limit(bundle) == (str(quota), "100000")
        assert value(bundle, "cpu.cfs_burst_us" if is_v1("cpu") else "cpu.max.burst") == str(quota)


# nothing changes when something fails


@pytest.mark.differs_from_runc("leaves behind what it wrote before the failure")
@pytest.mark.parametrize(
    "limits",
    [
        pytest.param(
            {"memory": {"limit": 32 * MIB, "swap": 48 * MIB}, "pids": {"limit": 7}, "cpu": {"cpus": "4000"}},
            id="lower",
            marks=pytest.mark.vm,
        ),
        pytest.param({"memory": {"limit": 256 * MIB, "swap": -1}, "cpu": {"shares": 77, "cpus": "4000"}}, id="higher"),
        pytest.param({"cpu": {"quota": 5000, "period": 200000, "burst": 1000, "cpus": "4000"}}, id="cpu"),
        pytest.param(
            {"cpu": {"idle": 1, "cpus": "4000"}, "memory": {"reservation": 8 * MIB}}, id="idle", marks=pytest.mark.vm
        ),
        pytest.param({"pids": {"limit": 3}, "cpu": {"quota": 10}}, id="quota"),
    ],
)
def test_a_change_that_fails_leaves_the_old_values(bundle: Bundle, limits: dict[str, Any]) -> None:
    old = {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 16 * MIB}
    sleeping(bundle, memory=old, cpu={"shares": 600, "quota": 20000, "period": 100000}, pids={"limit": 50})
    before = everything(bundle)
    refused = change_by_json(bundle, **limits)
    assert refused.returncode == 1
    assert ".linux.resources.cpu." in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert everything(bundle) == before


@pytest.mark.vm
def test_a_limit_below_what_is_used_is_refused_if_that_is_asked_for(bundle: Bundle) -> None:
    script = "dd if=/dev/zero of=/dev/shm/held bs=1048576 count=24 2>/dev/null; echo done; exec sleep 100"
    bundle.mount("/dev/shm", "tmpfs", "shm", ["mode=1777"]).resources(memory={"limit": 64 * MIB})
    bundle.process(args=["sh", "-c", script]).create().start()
    assert host.eventually(lambda: "done" in bundle.output())
    before = everything(bundle)
    refused = change_by_json(bundle, memory={"limit": 12 * MIB, "checkBeforeUpdate": True}, pids={"limit": 12})
    assert refused.returncode == 1
    assert {**everything(bundle), "pids.max": ""} == {**before, "pids.max": ""}
    assert bundle.status == "running"


# status


def test_created_and_paused_containers_can_be_changed(bundle: Bundle) -> None:
    bundle.process(args=["sleep", "100"]).create()
    change(bundle, "--pids-limit", "11").ok()
    bundle.start().attempt("pause").ok()
    change(bundle, "--pids-limit", "12", "--memory", "64M").ok()
    assert value(bundle, "pids.max") == "12"
    assert bundle.status == "paused"


def test_a_stopped_container_cannot_be_changed(bundle: Bundle) -> None:
    pid = sleeping(bundle).pid
    bundle.kill("KILL")
    bundle.wait(pid)
    refused = change(bundle, "--pids-limit", "11")
    assert refused.returncode == 1
    assert "container not running" in refused.stderr


def test_a_container_that_is_not_there_cannot_be_changed(bundle: Bundle) -> None:
    assert "does not exist" in change(bundle, "--pids-limit", "11").stderr


def test_limits_hold(bundle: Bundle) -> None:
    """Not only the files: a program that had room has none afterwards."""
    script = "while ! [ -e /tmp/go ]; do sleep 0.05; done; exec /bin/probe memory 32"
    bundle.resources(memory={"limit": 128 * MIB, "swap": 128 * MIB}).process(args=["sh", "-c", script])
    pid = bundle.create().start().pid
    change(bundle, "--memory", "16M", "--memory-swap", "16M").ok()
    (bundle.rootfs / "tmp/go").touch()
    assert bundle.wait(pid) == 137
