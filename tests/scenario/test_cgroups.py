"""linux.cgroupsPath and linux.resources on cgroup v1: the files say what the config says, and the limits
hold.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario import host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenario.bundle import Bundle

pytestmark = pytest.mark.requires(
    *(f"cgroup1-{name}" for name in ("memory", "cpu", "cpuset", "pids", "devices", "freezer"))
)

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
    (
        "memory",
        {"disableOOMKiller": True},
        "memory.oom_control",
        "oom_kill_disable 1\nunder_oom 0\noom_kill 0",
    ),
    ("cpu", {"shares": 512}, "cpu.shares", "512"),
    ("cpu", {"quota": 20000, "period": 50000}, "cpu.cfs_quota_us", "20000"),
    ("cpu", {"quota": 20000, "period": 50000}, "cpu.cfs_period_us", "50000"),
    ("cpu", {"quota": -1}, "cpu.cfs_quota_us", "-1"),
    ("cpuset", {"cpus": "0", "mems": "0"}, "cpuset.cpus", "0"),
    ("cpuset", {"cpus": "0", "mems": "0"}, "cpuset.mems", "0"),
    ("pids", {"limit": 17}, "pids.max", "17"),
    ("pids", {"limit": -1}, "pids.max", "max"),
    ("cpu", {"realtimeRuntime": 1000, "realtimePeriod": 500000}, "cpu.rt_runtime_us", "1000"),
    ("cpu", {"realtimeRuntime": 1000, "realtimePeriod": 500000}, "cpu.rt_period_us", "500000"),
    ("blkio", {"weight": 500}, "blkio.bfq.weight", "500"),
]
MEMBERS = {"cpuset": "cpu", "blkio": "blockIO"}


@pytest.mark.parametrize(
    ("controller", "members", "file", "expected"),
    FILES,
    ids=[f"{row[0]}-{row[2]}-{row[3][:9]}" for row in FILES],
)
def test_file_holds_the_value(
    bundle: Bundle, controller: str, members: dict[str, Any], file: str, expected: str
) -> None:
    bundle.resources(**{MEMBERS.get(controller, controller): members}).create()
    assert value(bundle, controller, file).startswith(expected)


@pytest.mark.differs_from_runc("cpu.burst is newer than runc 1.1.5")
def test_cpu_burst(bundle: Bundle) -> None:
    bundle.resources(cpu={"quota": 20000, "period": 100000, "burst": 10000}).create()
    assert value(bundle, "cpu", "cpu.cfs_burst_us") == "10000"


@pytest.mark.differs_from_runc("cpu.burst is newer than runc 1.1.5")
def test_burst_above_the_quota_is_refused(bundle: Bundle) -> None:
    assert bundle.resources(cpu={"quota": 20000, "period": 100000, "burst": 30000}).run("true").returncode == 1


@pytest.mark.differs_from_runc("cpu.idle is newer than runc 1.1.5")
def test_idle(bundle: Bundle) -> None:
    bundle.resources(cpu={"idle": 1, "shares": 512}).create()
    assert value(bundle, "cpu", "cpu.idle") == "1"


@pytest.mark.differs_from_runc("passes over kernelTCP")
def test_kernel_tcp(bundle: Bundle) -> None:
    bundle.resources(memory={"kernelTCP": 32 * MIB}).create()
    assert value(bundle, "memory", "memory.kmem.tcp.limit_in_bytes") == str(32 * MIB)


FLAT = pytest.param(False, marks=pytest.mark.differs_from_runc("passes over useHierarchy"))


@pytest.mark.parametrize("hierarchical", [True, FLAT])
def test_hierarchy_that_the_kernel_does_not_have_is_refused(bundle: Bundle, hierarchical: bool) -> None:
    """Since 5.11 all memory cgroups are hierarchical."""
    result = bundle.resources(memory={"useHierarchy": hierarchical}).run("true")
    assert result.returncode == (0 if hierarchical else 1)
    assert (".linux.resources.memory.useHierarchy" in result.stderr) is not hierarchical


THROTTLES = {
    "throttleReadBpsDevice": "read_bps",
    "throttleWriteBpsDevice": "write_bps",
    "throttleReadIOPSDevice": "read_iops",
    "throttleWriteIOPSDevice": "write_iops",
}


def test_throttle(bundle: Bundle) -> None:
    number = os.stat("/").st_dev
    major, minor = os.major(number), os.minor(number)
    rates = {name: 1000000 + index for index, name in enumerate(THROTTLES)}
    bundle.resources(blockIO={name: [{"major": major, "minor": minor, "rate": rates[name]}] for name in THROTTLES})
    bundle.create()
    for name, file in THROTTLES.items():
        assert value(bundle, "blkio", f"blkio.throttle.{file}_device") == f"{major}:{minor} {rates[name]}"


@pytest.mark.differs_from_runc("writes nothing where the kernel has no such file, or names no path", strict=False)
@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"blockIO": {"leafWeight": 100}}, "blockIO.leafWeight"),
        (
            {"blockIO": {"weightDevice": [{"major": 1, "minor": 0, "leafWeight": 100}]}},
            "blockIO.weightDevice[0].leafWeight",
        ),
        ({"rdma": {"mlx0": {"hcaHandles": 1}}}, "rdma.mlx0"),
        ({"network": {"classID": 5}}, "network.classID"),
        ({"unified": {"pids.max": "5"}}, 'unified["pids.max"]'),
    ],
)
def test_what_this_kernel_cannot_limit_is_an_error(bundle: Bundle, members: dict[str, Any], path: str) -> None:
    result = bundle.resources(**members).run("true")
    assert result.returncode == 1
    assert f".linux.resources.{path}" in result.stderr


def test_process_is_in_all_its_cgroups(bundle: Bundle) -> None:
    pid = bundle.create().pid
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    v1 = {line.split(":")[1]: line.split(":")[2] for line in lines if not line.startswith("0::")}
    assert set(v1.values()) == {f"/{bundle.token}"}
    assert {"memory", "cpu", "cpuset", "pids", "devices", "freezer"} <= {
        name for names in v1 for name in names.split(",")
    }


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


@pytest.mark.differs_from_runc("its own init does not fit into a limit that is enough for the program")
def test_one_mebibyte_is_enough_to_start(bundle: Bundle) -> None:
    bundle.resources(memory={"limit": MIB}).run("true").ok()


def test_cpu_quota_of_ten_percent(bundle: Bundle) -> None:
    """Two seconds are twenty periods, so that one period more or less is half a percent."""
    said = bundle.resources(cpu={"quota": 10000, "period": 100000}).probe("burn", "2")
    assert abs(said["percent"] - 10) <= 3


def test_cpuset_is_the_affinity(bundle: Bundle) -> None:
    bundle.resources(cpu={"cpus": "0"})
    assert bundle.run("grep", "Cpus_allowed_list", "/proc/self/status").ok().stdout.split()[1] == "0"


@pytest.mark.differs_from_runc("keeps the affinity of its caller (mended in 1.3.1)")
def test_affinity_of_the_caller_is_not_inherited(bundle: Bundle) -> None:
    """A cpuset wider than what the caller was bound to really is that wide."""
    cpus = Path(host.hierarchies()["cpuset"], "cpuset.effective_cpus").read_text().strip()
    bundle.resources(cpu={"cpus": cpus})
    said = bundle.run("grep", "Cpus_allowed_list", "/proc/self/status", wrap=["taskset", "-c", "0"]).ok().stdout
    assert said.split()[1] == cpus


def test_pids_limit(bundle: Bundle) -> None:
    assert bundle.resources(pids={"limit": 8}).probe("forks", "50") == {"processes": 8, "error": "EAGAIN"}


# where


def test_same_absolute_path_is_the_same_place(bundle: Bundle) -> None:
    for _ in range(2):
        said = bundle.linux(cgroupsPath=f"/{bundle.token}-x").run("cat", "/proc/self/cgroup").ok().stdout
        assert f":pids:/{bundle.token}-x\n" in said


@pytest.mark.differs_from_runc("removes the container's own cgroup only, not the parents that it made")
def test_parents_that_create_made_are_removed(bundle: Bundle) -> None:
    bundle.linux(cgroupsPath=f"/{bundle.token}/deep/er").run("true").ok()
    assert host.cgroups_of(bundle.token) == []


@contextmanager
def made_before(*folders: Path) -> Iterator[None]:
    """Cgroups that are the test's own: there before the runtime comes, and gone at the end."""
    for folder in folders:
        folder.mkdir()
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (folder / file).exists():
                (folder / file).write_text((folder.parent / file).read_text())
    try:
        yield
    finally:
        for folder in folders:
            assert not folder.exists() or host.eventually(lambda: _removed(folder), 2)  # noqa: B023


def _removed(folder: Path) -> bool:
    with suppress(OSError):
        folder.rmdir()
    return not folder.exists()


@contextmanager
def runtime_in_a_cgroup(bundle: Bundle) -> Iterator[list[str]]:
    """Wrap the runtime: it gets a cgroup of its own in every v1 hierarchy, so that relative paths lead to
    a place of ours.
    """
    tops = sorted({top for name, top in host.hierarchies().items() if name != "cgroup2"})
    folders = [Path(top, f"{bundle.token}-runtime") for top in tops]
    joins = "; ".join(f"echo 0 > {folder}/tasks" for folder in folders)
    with made_before(*folders):
        yield ["sh", "-c", f'{joins}; exec "$@"', "sh"]


@pytest.mark.parametrize(("given", "expected"), [("relative", "relative"), (None, "{id}")])
def test_relative_or_missing_path_is_below_the_runtimes_own(bundle: Bundle, given: str | None, expected: str) -> None:
    del bundle.config["linux"]["cgroupsPath"]
    if given:
        bundle.linux(cgroupsPath=given)
    with runtime_in_a_cgroup(bundle) as wrap:
        said = bundle.run("cat", "/proc/self/cgroup", wrap=wrap).ok().stdout
    path = f"/{bundle.token}-runtime/{expected.format(id=bundle.id)}"
    assert f":pids:{path}\n" in said
    assert f":memory:{path}\n" in said


@pytest.mark.parametrize("path", ["/a/../../", "../", "/../"])
def test_path_cannot_lead_out_of_where_it_starts(bundle: Bundle, path: str) -> None:
    """Refused, or taken for what is left of it below the start; never above it."""
    with runtime_in_a_cgroup(bundle) as wrap:
        result = bundle.linux(cgroupsPath=f"{path}{bundle.token}-out").run("cat", "/proc/self/cgroup", wrap=wrap)
    assert ".." not in result.stdout
    if result.returncode == 0:
        start = "" if path.startswith("/") else f"/{bundle.token}-runtime"
        assert f":pids:{start}/{bundle.token}-out\n" in result.stdout


@pytest.mark.differs_from_runc("moves in with whoever is there (mended in 1.2)")
def test_cgroup_with_processes_in_it_is_refused(bundle: Bundle) -> None:
    folder = directory(bundle, "pids")
    squat = ["sh", "-c", f"echo 0 > {folder}/tasks; exec sleep 30"]
    with made_before(folder), subprocess.Popen(squat, env=bundle.environment()) as squatter:
        try:
            assert host.eventually((folder / "tasks").read_text)
            assert bundle.run("true").returncode == 1
            assert squatter.poll() is None
        finally:
            squatter.kill()


def test_frozen_cgroup_is_refused(bundle: Bundle) -> None:
    folder = directory(bundle, "freezer")
    with made_before(folder):
        (folder / "freezer.state").write_text("FROZEN")
        result = bundle.execute(["timeout", "-s", "KILL", "3", *bundle.save().command("run")])
        (folder / "freezer.state").write_text("THAWED")
    assert result.returncode == 1


@pytest.mark.parametrize(
    "members", [{"cpu": {"cpus": "4096"}}, {"memory": {"swappiness": 1000}}, {"pids": {"limit": "x"}}]
)
def test_value_that_cannot_be_set_is_refused_and_nothing_is_left(bundle: Bundle, members: dict[str, Any]) -> None:
    assert bundle.resources(**members).run("true").returncode == 1
    assert host.eventually(lambda: host.cgroups_of(bundle.token) == [])


def test_swap_below_the_limit_is_refused(bundle: Bundle) -> None:
    assert bundle.resources(memory={"limit": 64 * MIB, "swap": 32 * MIB}).run("true").returncode == 1


def test_cgroups_that_the_container_made_are_removed_too(bundle: Bundle) -> None:
    bundle.mount("/sys", "sysfs", "sysfs").mount("/sys/fs/cgroup", "cgroup", "cgroup", ["rw"]).namespace("cgroup")
    made = (
        bundle.run("sh", "-c", "mkdir -p /sys/fs/cgroup/pids/mine/deep && ls -d /sys/fs/cgroup/pids/mine/deep")
        .ok()
        .stdout
    )
    assert made == "/sys/fs/cgroup/pids/mine/deep\n"
    assert host.cgroups_of(bundle.token) == []


@pytest.mark.requires("cgroup2-hugetlb")
@pytest.mark.differs_from_runc("looks for hugetlb among the v1 hierarchies only, though this host's v2 one has it")
def test_controller_of_the_unified_hierarchy_on_a_hybrid_host(bundle: Bundle) -> None:
    bundle.resources(hugepageLimits=[{"pageSize": "2MB", "limit": 4 * MIB}]).create()
    assert value(bundle, "cgroup2", "hugetlb.2MB.max") == str(4 * MIB)


# checkBeforeUpdate


def fill(bundle: Bundle, megabytes: int) -> None:
    """Leave a file in memory that is charged to the container's cgroup, which is made for it, with nobody in it."""
    folder = directory(bundle, "memory")
    folder.mkdir()
    script = f"echo 0 > {folder}/tasks; exec dd if=/dev/zero of=/dev/shm/{bundle.token} bs=1M count={megabytes}"
    subprocess.run(["sh", "-c", script], env=bundle.environment(), check=True, capture_output=True)
    assert int((folder / "memory.usage_in_bytes").read_text()) > megabytes << 20


@pytest.fixture
def filled(bundle: Bundle) -> Iterator[Bundle]:
    fill(bundle, 20)
    yield bundle
    Path("/dev/shm", bundle.token).unlink()
    with suppress(FileNotFoundError):  # runc removes what it did not make
        directory(bundle, "memory").rmdir()


@pytest.mark.differs_from_runc("looks at it for cgroup v2 only")
@pytest.mark.requires("cgroup1-memory")
def test_limit_below_the_usage_is_refused(filled: Bundle) -> None:
    result = filled.resources(memory={"limit": 16 << 20, "checkBeforeUpdate": True}).run("true")
    assert result.returncode == 1
    assert ".linux.resources.memory.limit" in result.stderr
    assert "checkBeforeUpdate" in result.stderr


@pytest.mark.requires("cgroup1-memory")
def test_limit_above_the_usage_is_set(filled: Bundle) -> None:
    filled.resources(memory={"limit": 64 << 20, "checkBeforeUpdate": True}).run("true").ok()
