"""linux.cgroupsPath and linux.resources on plain cgroup v2: files, devices, delegation, and where the tree says no."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario import cgroupfs, host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenario.bundle import Bundle

pytestmark = pytest.mark.requires(*(f"cgroup2-{name}" for name in ("memory", "cpu", "cpuset", "io", "pids", "hugetlb")))

MIB = 1 << 20
TOP = Path("/sys/fs/cgroup")


def value(bundle: Bundle, file: str) -> str:
    return (cgroupfs.folder(bundle) / file).read_text().strip()


def disk() -> str:
    """major:minor of the whole disk that the root file system is on: only those are throttled."""
    number = Path("/sys/dev/block", f"{os.major(os.stat('/').st_dev)}:{os.minor(os.stat('/').st_dev)}")
    return (number / "dev").read_text().strip() if not (number / "partition").exists() else ""


# files


def test_every_field_lands_in_its_file(bundle: Bundle) -> None:
    major, minor = map(int, disk().split(":"))
    number = {"major": major, "minor": minor}
    bundle.resources(
        memory={"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB},
        cpu={"shares": 1024, "quota": 20000, "period": 50000, "cpus": "0", "mems": "0"},
        pids={"limit": 17},
        hugepageLimits=[{"pageSize": "2MB", "limit": 4 * MIB}],
        blockIO={
            "throttleReadBpsDevice": [{**number, "rate": MIB}],
            "throttleWriteIOPSDevice": [{**number, "rate": 40}],
        },
        unified={"memory.high": str(48 * MIB), "memory.low": str(16 * MIB), "cgroup.max.depth": "5"},
    ).create()
    expected = {
        "memory.max": str(64 * MIB),
        "memory.swap.max": str(32 * MIB),
        "memory.low": str(16 * MIB),  # unified is written last
        "memory.high": str(48 * MIB),
        "cpu.max": "20000 50000",
        "cpuset.cpus": "0",
        "cpuset.mems": "0",
        "pids.max": "17",
        "hugetlb.2MB.max": str(4 * MIB),
        "hugetlb.2MB.rsvd.max": str(4 * MIB),
        "io.max": f"{disk()} rbps={MIB} wbps=max riops=max wiops=40",
        "cgroup.max.depth": "5",
    }
    assert {file: value(bundle, file) for file in expected} == expected


@pytest.mark.differs_from_runc("of 1.1 converts shares otherwise and has no burst")
def test_shares_and_burst(bundle: Bundle) -> None:
    bundle.resources(cpu={"shares": 512, "quota": 20000, "burst": 10000}).create()
    found = [value(bundle, file) for file in ("cpu.weight", "cpu.max", "cpu.max.burst")]
    assert found == ["59", "20000 100000", "10000"]


def test_unlimited_is_max(bundle: Bundle) -> None:
    bundle.resources(memory={"limit": -1}, pids={"limit": -1}, cpu={"quota": -1, "period": 50000}).create()
    found = [value(bundle, file) for file in ("memory.max", "memory.swap.max", "pids.max", "cpu.max")]
    assert found == ["max", "max", "max", "max 50000"]


@pytest.mark.differs_from_runc("of 1.1 has no idle")
def test_idle_goes_before_shares(bundle: Bundle) -> None:
    """An idle cgroup has the least weight there is, and takes no other."""
    bundle.resources(cpu={"idle": 1, "shares": 512}).create()
    assert value(bundle, "cpu.idle") == "1"
    assert int(value(bundle, "cpu.weight")) <= 1


def test_block_weight_is_in_the_file_that_the_kernel_has(bundle: Bundle) -> None:
    """bfq's, or that of io.cost, where 10 to 1000 become 1 to 10000."""
    bundle.resources(blockIO={"weight": 500}).create()
    bfq = (cgroupfs.folder(bundle) / "io.bfq.weight").exists()
    assert value(bundle, "io.bfq.weight" if bfq else "io.weight").splitlines()[0] == f"default {500 if bfq else 4950}"


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"memory": {"disableOOMKiller": True}}, "memory.disableOOMKiller"),
        ({"unified": {"nosuch.max": "1"}}, 'unified["nosuch.max"]'),
    ],
)
@pytest.mark.differs_from_runc("silently passes over most of what v2 cannot say", strict=False)
def test_what_v2_cannot_say_is_an_error(bundle: Bundle, members: dict[str, Any], path: str) -> None:
    """All of it: tests/unit/cgroups/test_cgroups_v2.py."""
    result = bundle.resources(**members).run("true")
    assert result.returncode == 1
    assert f".linux.resources.{path}" in result.stderr


# places


def controllers(path: Path, file: str) -> set[str]:
    return set((path / file).read_text().split())


@pytest.mark.differs_from_runc("leaves the parents that it made behind")
def test_controllers_are_passed_on_down_to_the_parent_and_no_further(bundle: Bundle) -> None:
    bundle.linux(cgroupsPath=f"/{bundle.token}/a/b").resources(memory={"limit": 64 * MIB}).create()
    top = TOP / bundle.token
    assert {"memory", "pids", "cpu"} <= controllers(top, "cgroup.subtree_control")
    assert {"memory", "pids", "cpu"} <= controllers(top / "a", "cgroup.subtree_control")
    assert {"memory", "pids", "cpu"} <= controllers(top / "a/b", "cgroup.controllers")
    assert controllers(top / "a/b", "cgroup.subtree_control") == set()
    bundle.delete()
    assert not top.exists()


@contextmanager
def folder(name: str, squatted: bool = False, **files: str) -> Iterator[Path]:
    """A cgroup of the test's own, with a process in it or without."""
    path = TOP / name
    path.mkdir()
    sleeper = None
    try:
        for file, text in files.items():
            (path / file.replace("_", ".", 1)).write_text(text)
        if squatted:
            sleeper = subprocess.Popen(["sh", "-c", f"echo 0 > {path}/cgroup.procs; exec sleep 60"])
            assert host.eventually((path / "cgroup.procs").read_text)
        yield path
    finally:
        if "cgroup_freeze" in files:
            (path / "cgroup.freeze").write_text("0")
        if sleeper is not None:
            sleeper.kill()
            sleeper.wait()
        for child in sorted(path.glob("*/")):
            child.rmdir()
        host.eventually(lambda: not path.exists() or _removed(path), 2)


def _removed(path: Path) -> bool:
    try:
        path.rmdir()
    except OSError:
        return False
    return True


@pytest.mark.differs_from_runc("says only 'device or resource busy'")
def test_parent_with_processes_cannot_pass_controllers_on(bundle: Bundle) -> None:
    """cgroup-v2.rst, "No Internal Process Constraint"."""
    with folder(f"{bundle.token}-busy", squatted=True) as parent:
        bundle.linux(cgroupsPath=f"/{parent.name}/{bundle.token}").resources(memory={"limit": 64 * MIB})
        result = bundle.run("true")
        assert controllers(parent, "cgroup.subtree_control") == set()
    assert result.returncode == 1
    assert f"move them from {parent}/cgroup.procs into a child" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_below_a_parent_with_processes_runs_what_needs_no_controller(bundle: Bundle) -> None:
    with folder(f"{bundle.token}-busy", squatted=True) as parent:
        bundle.linux(cgroupsPath=f"/{parent.name}/{bundle.token}").run("true").ok()


@pytest.mark.differs_from_runc("moves in with whoever is there (mended in 1.2)", strict=False)
def test_cgroup_with_processes_in_it_is_refused(bundle: Bundle) -> None:
    with folder(bundle.token, squatted=True):
        result = bundle.run("true")
    assert result.returncode == 1
    assert "already has processes in it" in result.stderr


def test_frozen_cgroup_is_refused(bundle: Bundle) -> None:
    with folder(bundle.token, cgroup_freeze="1"):
        result = bundle.execute(["timeout", "-s", "KILL", "20", *bundle.save().command("run")])
    assert result.returncode == 1


@pytest.mark.differs_from_runc("removes it")
def test_existing_cgroup_is_used_and_kept(bundle: Bundle) -> None:
    with folder(bundle.token) as path:
        assert bundle.run("cat", "/proc/self/cgroup").ok().stdout == f"0::/{path.name}\n"
        assert path.exists()


@pytest.mark.differs_from_runc("says nothing of the reason")
def test_cgroup_whose_children_have_controllers_is_refused_with_the_reason(bundle: Bundle) -> None:
    with folder(bundle.token) as path:
        (path / "child").mkdir()
        (TOP / "cgroup.subtree_control").write_text("+memory")
        (path / "cgroup.subtree_control").write_text("+memory")
        result = bundle.run("true")
    assert result.returncode == 1
    assert "cgroups below it have controllers" in result.stderr


@pytest.mark.differs_from_runc("says nothing of the reason")
def test_threaded_parent_is_refused_with_the_reason(bundle: Bundle) -> None:
    with folder(f"{bundle.token}-domain") as path:
        (path / "threaded").mkdir()
        (path / "threaded/cgroup.type").write_text("threaded")
        result = bundle.linux(cgroupsPath=f"/{path.name}/threaded/{bundle.token}").run("true")
    assert result.returncode == 1
    assert "threaded cgroup" in result.stderr


def test_relative_path_is_beside_the_runtimes_own(bundle: Bundle) -> None:
    """Not below it: that has processes, the runtime for one, and could not pass controllers on."""
    with folder(f"{bundle.token}-up") as path:
        (path / "runtime").mkdir()
        bundle.linux(cgroupsPath="box").process(args=["cat", "/proc/self/cgroup"]).save()
        wrap = ["sh", "-c", f'echo 0 > {path}/runtime/cgroup.procs; exec "$@"', "sh"]
        said = bundle.attempt("run", wrap=wrap).ok().stdout
    assert said == f"0::/{path.name}/box\n"


@pytest.mark.parametrize(("limit", "status"), [(10 * MIB, 1), (64 * MIB, 0)])
def test_limit_is_compared_with_what_is_used(bundle: Bundle, limit: int, status: int) -> None:
    """checkBeforeUpdate, in a cgroup that has memory charged to it and nobody in it."""
    shared = Path("/dev/shm", bundle.token)
    bundle.resources(memory={"limit": limit, "checkBeforeUpdate": True})
    with folder(bundle.token) as path:
        fill = f"echo 0 > {path}/cgroup.procs; exec dd if=/dev/zero of={shared} bs=1M count=20"
        subprocess.run(["sh", "-c", fill], check=True, capture_output=True)
        try:
            assert bundle.run("true").returncode == status
        finally:
            shared.unlink()


# delegation

HOST_ROOT = 100000


@pytest.fixture
def delegated(bundle: Bundle) -> Bundle:
    """A container with namespaces of users and cgroups, and its cgroup mounted writable."""
    bundle.namespace("user").namespace("cgroup")
    bundle.mkdir("/sys/fs/cgroup")
    mapping = [{"containerID": 0, "hostID": HOST_ROOT, "size": 65536}]
    bundle.linux(uidMappings=mapping, gidMappings=mapping)
    return bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["rw", "nosuid", "noexec", "nodev"])


def owners(path: Path) -> dict[str, int]:
    return {entry.name: entry.stat().st_uid for entry in path.iterdir() if entry.is_file()}


@pytest.mark.differs_from_runc("gives a cgroup away with the systemd driver only")
def test_cgroup_belongs_to_the_containers_root(delegated: Bundle) -> None:
    delegated.process(args=["/bin/probe", "sleep"]).create()
    path = cgroupfs.folder(delegated)
    listed = set(Path("/sys/kernel/cgroup/delegate").read_text().split())
    assert path.stat().st_uid == HOST_ROOT
    assert {name for name, uid in owners(path).items() if uid == HOST_ROOT} == listed & set(owners(path))
    assert owners(path)["memory.max"] == 0


@pytest.mark.parametrize("lacking", ["namespace", "rw"])
def test_cgroup_stays_roots_without_a_namespace_or_a_writable_mount(delegated: Bundle, lacking: str) -> None:
    if lacking == "namespace":
        delegated.without_namespace("cgroup")
    else:
        delegated.without_mount("/sys/fs/cgroup").mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro"])
    delegated.process(args=["/bin/probe", "sleep"]).create()
    path = cgroupfs.folder(delegated)
    assert path.stat().st_uid == 0
    assert set(owners(path).values()) == {0}


@pytest.mark.differs_from_runc("gives a cgroup away with the systemd driver only")
def test_container_manages_the_cgroups_below_its_own(delegated: Bundle) -> None:
    """It moves itself into a child, passes controllers on, and limits another one; its own limits it cannot lift."""
    script = """
        cd /sys/fs/cgroup && mkdir me box && echo 0 > me/cgroup.procs && echo +pids +memory > cgroup.subtree_control &&
        echo 5 > box/pids.max && cat box/pids.max /proc/self/cgroup; echo max > pids.max"""
    result = delegated.resources(pids={"limit": 50}).run("sh", "-c", script)
    assert result.stdout == "5\n0::/me\n"
    assert "Permission denied" in result.stderr or "nonexistent" in result.stderr
    assert host.cgroups_of(delegated.token) == []


# the end


def test_out_of_memory_is_told(bundle: Bundle) -> None:
    result = bundle.resources(memory={"limit": 16 * MIB}).run("/bin/probe", "memory", "64")
    assert result.returncode == 137


def test_everybody_is_killed_at_once(bundle: Bundle) -> None:
    """cgroup.kill: also those in threaded cgroups and cgroups below."""
    bundle.without_namespace("pid").mount("/sys", "sysfs", "sysfs").namespace("cgroup")
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["rw"])
    script = """
        cd /sys/fs/cgroup && mkdir -p a/b && for i in 1 2 3; do sleep 100 & echo $! > a/b/cgroup.procs; done
        (while :; do (sleep 0.1 &) ; done) & echo done; sleep 100"""
    bundle.resources(pids={"limit": 60}).process(args=["sh", "-c", script]).create().start()
    assert host.eventually(lambda: bundle.output() == "done\n")
    bundle.kill("KILL", "--all")
    assert host.eventually(lambda: (cgroupfs.folder(bundle) / "cgroup.events").read_text().startswith("populated 0"))
