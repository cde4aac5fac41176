"""linux.cgroupsPath and linux.resources on cgroup v1: the files say what the config says, and the limits hold."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario import host

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle

pytestmark = pytest.mark.requires(*(f"cgroup1-{name}" for name in ("memory", "cpu", "cpuset", "pids", "devices", "freezer")))

MIB = 1 << 20


def directory(bundle: Bundle, controller: str, path: str = "") -> Path:
    return Path(host.hierarchies()[controller], (path or bundle.token).lstrip("/"))


def value(bundle: Bundle, controller: str, file: str) -> str:
    return (directory(bundle, controller) / file).read_text().strip()


FILES: list[tuple[str, dict[str, Any], str, str]] = [
    ("memory", {"limit": 64 * MIB}, "memory.limit_in_bytes", str(64 * MIB)),
    ("memory", {"limit": 64 * MIB, "swap": 128 * MIB}, "memory.memsw.limit_in_bytes", str(128 * MIB)),
    ("memory", {"limit": -1}, "memory.limit_in_bytes", "9223372036854771712"),
    ("memory", {"reservation": 32 * MIB}, "memory.soft_limit_in_bytes", str(32 * MIB)),
    ("memory", {"swappiness": 10}, "memory.swappiness", "10"),
    ("memory", {"disableOOMKiller": True}, "memory.oom_control", "oom_kill_disable 1\nunder_oom 0\noom_kill 0"),
    ("cpu", {"shares": 512}, "cpu.shares", "512"),
    ("cpu", {"quota": 20000, "period": 50000}, "cpu.cfs_quota_us", "20000"),
    ("cpu", {"quota": 20000, "period": 50000}, "cpu.cfs_period_us", "50000"),
    ("cpu", {"quota": -1}, "cpu.cfs_quota_us", "-1"),
    ("cpuset", {"cpus": "0", "mems": "0"}, "cpuset.cpus", "0"),
    ("cpuset", {"cpus": "0", "mems": "0"}, "cpuset.mems", "0"),
    ("pids", {"limit": 17}, "pids.max", "17"),
    ("pids", {"limit": -1}, "pids.max", "max"),
]


@pytest.mark.parametrize(("controller", "members", "file", "expected"), FILES, ids=[f"{row[0]}-{row[2]}-{row[3][:9]}" for row in FILES])
def test_file_holds_the_value(bundle: Bundle, controller: str, members: dict[str, Any], file: str, expected: str) -> None:
    bundle.resources(**{"cpu" if controller == "cpuset" else controller: members}).create()
    assert value(bundle, controller, file).startswith(expected)


def test_cpu_burst(bundle: Bundle) -> None:
    if not Path(host.hierarchies()["cpu"], "cpu.cfs_burst_us").exists():
        (probe := directory(bundle, "cpu")).mkdir()
        known = (probe / "cpu.cfs_burst_us").exists()
        probe.rmdir()
        if not known:
            pytest.skip("the kernel has no cpu.cfs_burst_us")
    bundle.resources(cpu={"quota": 20000, "period": 100000, "burst": 10000}).create()
    assert value(bundle, "cpu", "cpu.cfs_burst_us") == "10000"


def test_burst_above_the_quota_is_refused(bundle: Bundle) -> None:
    assert bundle.resources(cpu={"quota": 20000, "period": 100000, "burst": 30000}).run("true").returncode == 1


def test_throttle(bundle: Bundle) -> None:
    number = os.stat("/").st_dev
    major, minor = os.major(number), os.minor(number)
    limits = [{"major": major, "minor": minor, "rate": 1048576}]
    bundle.resources(blockIO={"throttleReadBpsDevice": limits, "throttleWriteIOPSDevice": limits}).create()
    assert value(bundle, "blkio", "blkio.throttle.read_bps_device") == f"{major}:{minor} 1048576"
    assert value(bundle, "blkio", "blkio.throttle.write_iops_device") == f"{major}:{minor} 1048576"


def test_process_is_in_all_its_cgroups(bundle: Bundle) -> None:
    pid = bundle.create().pid
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    v1 = {line.split(":")[1]: line.split(":")[2] for line in lines if not line.startswith("0::")}
    assert set(v1.values()) == {f"/{bundle.token}"}
    assert {"memory", "cpu", "cpuset", "pids", "devices", "freezer"} <= {name for names in v1 for name in names.split(",")}


# limits hold


def test_memory_limit_kills(bundle: Bundle) -> None:
    result = bundle.resources(memory={"limit": 16 * MIB}).run("/bin/probe", "memory", "64")
    assert result.returncode == 137
    assert result.stdout == ""


@pytest.mark.differs_from_runc("says nothing of the OOM killer once the program has started")
def test_exit_by_the_oom_killer_is_told(bundle: Bundle) -> None:
    result = bundle.resources(memory={"limit": 16 * MIB}).run("/bin/probe", "memory", "64")
    assert "oom" in result.stderr.lower()
    assert len(result.stderr.splitlines()) == 1


def test_memory_below_the_limit_is_there(bundle: Bundle) -> None:
    assert bundle.resources(memory={"limit": 64 * MIB}).probe("memory", "32") == {"error": None, "value": 32}


@pytest.mark.differs_from_runc("needs about 6 MiB for its own init")
@pytest.mark.parametrize("limit", [MIB, 2 * MIB])
def test_small_memory_limit_is_enough_to_start(bundle: Bundle, limit: int) -> None:
    bundle.resources(memory={"limit": limit}).run("true").ok()


def test_cpu_quota_of_ten_percent(bundle: Bundle) -> None:
    """Two seconds are twenty periods, so that one period more or less is half a percent."""
    said = bundle.resources(cpu={"quota": 10000, "period": 100000}).probe("burn", "2")
    assert abs(said["percent"] - 10) <= 3


def test_cpuset_is_the_affinity(bundle: Bundle) -> None:
    bundle.resources(cpu={"cpus": "0"})
    assert bundle.run("grep", "Cpus_allowed_list", "/proc/self/status").ok().stdout.split()[1] == "0"


def test_affinity_of_the_caller_is_not_inherited(bundle: Bundle) -> None:
    """A cpuset wider than what the caller was bound to really is that wide."""
    cpus = f"0-{(os.cpu_count() or 1) - 1}" if (os.cpu_count() or 1) > 1 else "0"
    bundle.resources(cpu={"cpus": cpus})
    said = bundle.run("grep", "Cpus_allowed_list", "/proc/self/status", wrap=["taskset", "-c", "0"]).ok().stdout
    assert said.split()[1] == cpus


def test_pids_limit(bundle: Bundle) -> None:
    assert bundle.resources(pids={"limit": 8}).probe("forks", "50") == {"processes": 8, "error": "EAGAIN"}


# devices

DENY_ALL = {"allow": False, "access": "rwm"}


def may(bundle: Bundle, *calls: str) -> list[bool]:
    """Tell which of these questions to the probe are answered without EPERM."""
    said = bundle.run("sh", "-c", "; ".join(f"probe {call}" for call in calls)).ok().stdout.splitlines()
    return ["EPERM" not in line for line in said]


def test_devices_are_denied_by_default(bundle: Bundle) -> None:
    """Making any node is allowed, as engines expect; opening it is not. 1:11 is /dev/kmsg, 7:0 the first loop device."""
    bundle.resources(devices=[DENY_ALL])
    calls = ("mknod /kmsg c 1 11", "mknod /loop b 7 0", "open /kmsg r", "open /loop r", "open /dev/null rw", "open /dev/zero r")
    assert may(bundle, *calls) == [True, True, False, False, True, True]


@pytest.mark.parametrize("rules", [None, []], ids=["no-rules", "empty-rules"])
def test_devices_are_denied_without_rules_too(bundle: Bundle, rules: list[Any] | None) -> None:
    if rules is not None:
        bundle.resources(devices=rules)
    assert may(bundle, "mknod /kmsg c 1 11", "open /kmsg r", "open /dev/urandom r") == [True, False, True]


def test_list_without_a_leading_deny_is_no_allow_all(bundle: Bundle) -> None:
    """GHSA-g54h-m393-cpwq."""
    bundle.resources(devices=[{"allow": True, "type": "c", "major": 7, "minor": 1, "access": "rw"}])
    assert may(bundle, "mknod /kmsg c 1 11", "open /kmsg r") == [True, False]


def test_access_of_a_rule(bundle: Bundle) -> None:
    bundle.resources(devices=[DENY_ALL, {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "w"}])
    assert may(bundle, "mknod /kmsg c 1 11", "open /kmsg r", "open /kmsg w") == [True, False, True]


def test_later_rules_win(bundle: Bundle) -> None:
    kmsg = {"type": "c", "major": 1, "minor": 11, "access": "r"}
    bundle.resources(devices=[DENY_ALL, {"allow": True, **kmsg}, {"allow": False, **kmsg}])
    assert may(bundle, "mknod /kmsg c 1 11", "open /kmsg r") == [True, False]


def test_rule_without_a_minor_is_for_all_of_them(bundle: Bundle) -> None:
    bundle.resources(devices=[DENY_ALL, {"allow": True, "type": "c", "major": 1, "access": "r"}])
    assert may(bundle, "mknod /kmsg c 1 11", "open /kmsg r") == [True, True]


def test_configured_device_still_needs_its_rule(bundle: Bundle) -> None:
    bundle.linux(devices=[{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11}])
    assert may(bundle, "open /dev/kmsg r") == [False]


# where


def test_same_absolute_path_is_the_same_place(bundle: Bundle) -> None:
    for _ in range(2):
        said = bundle.linux(cgroupsPath=f"/{bundle.token}/deep/er").run("cat", "/proc/self/cgroup").ok().stdout
        assert f":pids:/{bundle.token}/deep/er\n" in said


class OwnCgroup:
    """A cgroup for the runtime itself, in every v1 hierarchy, so that relative paths lead to a place of the test's."""

    def __init__(self, bundle: Bundle) -> None:
        self.name = f"{bundle.token}-runtime"
        tops = sorted({top for name, top in host.hierarchies().items() if name != "cgroup2"})
        self.folders = [Path(top, self.name) for top in tops]
        for folder in self.folders:
            folder.mkdir()
            for file in ("cpuset.cpus", "cpuset.mems"):
                if (folder / file).exists():
                    (folder / file).write_text((folder.parent / file).read_text())
        joins = "; ".join(f"echo 0 > {folder}/tasks" for folder in self.folders)
        self.wrap = ["sh", "-c", f'{joins}; exec "$@"', "sh"]


@pytest.mark.parametrize(("given", "expected"), [("rel/path", "{own}/rel/path"), (None, "{own}/{id}")])
def test_relative_or_missing_path_is_below_the_runtimes_own(bundle: Bundle, given: str | None, expected: str) -> None:
    own = OwnCgroup(bundle)
    del bundle.config["linux"]["cgroupsPath"]
    if given:
        bundle.linux(cgroupsPath=given)
    said = bundle.run("cat", "/proc/self/cgroup", wrap=own.wrap).ok().stdout
    path = expected.format(own=f"/{own.name}", id=bundle.id)
    assert f":pids:{path}\n" in said
    assert f":memory:{path}\n" in said


@pytest.mark.parametrize("path", ["/a/../../b", "../x", "/.."])
def test_path_cannot_lead_out_of_the_hierarchy(bundle: Bundle, path: str) -> None:
    own = OwnCgroup(bundle)
    before = set(os.listdir(host.hierarchies()["pids"]))
    result = bundle.linux(cgroupsPath=f"{path}{bundle.token}").run("cat", "/proc/self/cgroup", wrap=own.wrap)
    assert ".." not in result.stdout
    assert {name for name in set(os.listdir(host.hierarchies()["pids"])) - before if bundle.token in name} == set()


@pytest.mark.differs_from_runc("moves in with whoever is there (mended in 1.2)")
def test_cgroup_with_processes_in_it_is_refused(bundle: Bundle) -> None:
    folder = directory(bundle, "pids")
    folder.mkdir()
    with subprocess.Popen(["sh", "-c", f"echo 0 > {folder}/tasks; exec sleep 30"], env=bundle.environment()) as squatter:
        try:
            assert host.eventually(lambda: (folder / "tasks").read_text())
            assert bundle.run("true").returncode == 1
            assert squatter.poll() is None
        finally:
            squatter.kill()


@pytest.mark.differs_from_runc("waits for a frozen cgroup to thaw, for ever (mended in 1.2)")
def test_frozen_cgroup_is_refused(bundle: Bundle) -> None:
    folder = directory(bundle, "freezer")
    folder.mkdir()
    (folder / "freezer.state").write_text("FROZEN")
    result = bundle.execute(["timeout", "-s", "KILL", "3", *bundle.save().command("run")])
    (folder / "freezer.state").write_text("THAWED")
    assert result.returncode == 1


@pytest.mark.parametrize("members", [{"cpu": {"cpus": "4096"}}, {"memory": {"limit": 1, "swap": 0}}, {"pids": {"limit": "x"}}])
def test_value_that_cannot_be_set_is_refused_and_nothing_is_left(bundle: Bundle, members: dict[str, Any]) -> None:
    assert bundle.resources(**members).run("true").returncode == 1
    assert host.eventually(lambda: host.cgroups_of(bundle.token) == [])


def test_swap_below_the_limit_is_refused(bundle: Bundle) -> None:
    assert bundle.resources(memory={"limit": 64 * MIB, "swap": 32 * MIB}).run("true").returncode == 1


def test_cgroups_that_the_container_made_are_removed_too(bundle: Bundle) -> None:
    bundle.mount("/sys", "sysfs", "sysfs").mount("/sys/fs/cgroup", "cgroup", "cgroup", ["rw"]).namespace("cgroup")
    made = bundle.run("sh", "-c", "mkdir -p /sys/fs/cgroup/pids/mine/deep && ls -d /sys/fs/cgroup/pids/mine/deep").ok().stdout
    assert made == "/sys/fs/cgroup/pids/mine/deep\n"
    assert host.cgroups_of(bundle.token) == []


@pytest.mark.requires("cgroup2-hugetlb")
@pytest.mark.differs_from_runc("looks for hugetlb among the v1 hierarchies only, though this host's v2 one has it")
def test_controller_of_the_unified_hierarchy_on_a_hybrid_host(bundle: Bundle) -> None:
    bundle.resources(hugepageLimits=[{"pageSize": "2MB", "limit": 4 * MIB}]).create()
    assert value(bundle, "cgroup2", "hugetlb.2MB.max") == str(4 * MIB)
    assert json.dumps(bundle.state())
