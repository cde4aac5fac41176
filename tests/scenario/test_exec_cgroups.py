"""`exec`: the cgroups of the program, and what it costs to get there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scenario import cgroupfs, host

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle

MIB = 1 << 20


@pytest.mark.requires("cgroup-pids")
@pytest.mark.parametrize("private", [False, True])
def test_they_are_those_of_the_container(bundle: Bundle, private: bool) -> None:
    if private:
        bundle.namespace("cgroup")
    pid = bundle.resources(pids={"limit": 20}).sleeping().pid
    theirs = bundle.exec("cat", "/proc/1/cgroup").stdout
    assert bundle.exec("cat", "/proc/self/cgroup").stdout == theirs
    assert private or theirs == Path(f"/proc/{pid}/cgroup").read_text()


@pytest.mark.requires("cgroup-pids")
@pytest.mark.parametrize("limit", [2, 3])
@pytest.mark.differs_from_runc("needs threads of its own", strict=False)
def test_pids_limit_that_leaves_room_for_one(bundle: Bundle, limit: int) -> None:
    bundle.resources(pids={"limit": limit}).sleeping()
    assert bundle.exec("echo", "fits").stdout == "fits\n"


@pytest.mark.requires("cgroup-pids")
def test_program_counts_against_the_pids_limit(bundle: Bundle) -> None:
    limit = 5
    bundle.resources(pids={"limit": limit}).sleeping()
    assert bundle.exec("/bin/probe", "forks", "9").ok().json()["processes"] == limit - 1


@pytest.mark.requires("cgroup-memory")
@pytest.mark.differs_from_runc("needs more memory itself", strict=False)
def test_small_memory_limit(bundle: Bundle) -> None:
    bundle.resources(memory={"limit": 2 * MIB}).sleeping()
    assert bundle.exec("echo", "fits").stdout == "fits\n"


@pytest.mark.requires("cgroup-memory")
@pytest.mark.parametrize("limit", [3, 30])
def test_program_counts_against_the_memory_limit(bundle: Bundle, limit: int) -> None:
    bundle.resources(memory={"limit": limit * MIB, "swap": limit * MIB}).sleeping()
    assert bundle.exec("/bin/probe", "memory", str(limit * 2)).returncode == 137


def make_below(bundle: Bundle, *controllers: str) -> None:
    """Make a cgroup in the container's own; with no controllers in every hierarchy."""
    for folder in {cgroupfs.folder(bundle, each) for each in controllers or host.hierarchies()}:
        if folder.exists():
            (folder / "below").mkdir()
            for file in ("cpuset.cpus", "cpuset.mems"):
                if (folder / file).exists() and cgroupfs.is_v1("cpuset"):
                    (folder / "below" / file).write_text((folder / file).read_text())


@pytest.mark.requires("cgroup-pids")
def test_cgroup_below_the_containers(bundle: Bundle) -> None:
    make_below(bundle.sleeping())
    lines = bundle.exec("cat", "/proc/self/cgroup", flags=["--cgroup", "below"]).ok().stdout.splitlines()
    assert {line.rpartition(":")[2] for line in lines if bundle.token in line} == {f"/{bundle.token}/below"}


@pytest.mark.requires("cgroup1-pids")
@pytest.mark.parametrize("flags", [["--cgroup", "pids,cpu:below"], ["--cgroup", "cpu:below", "--cgroup", "pids:below"]])
def test_cgroup_below_the_containers_of_some_controllers(bundle: Bundle, flags: list[str]) -> None:
    make_below(bundle.sleeping(), "pids", "cpu")
    said = bundle.exec("cat", "/proc/self/cgroup", flags=flags).ok().stdout
    for controller, path in (("pids", "/below"), ("cpu", "/below"), ("memory", "")):
        assert f":{controller}:/{bundle.token}{path}\n" in said


@pytest.mark.parametrize(
    "words", ["nosuch", "pids:nosuch", pytest.param("pids:../..", marks=pytest.mark.vm), "..", "nosuch:x", ":x"]
)
def test_cgroup_that_is_not_there(bundle: Bundle, words: str) -> None:
    assert bundle.sleeping().exec("true", flags=["--cgroup", words]).returncode != 0


# Its init goes down into a cgroup of its own, so that it may hand controllers on to others: what systemd does.
HANDS_DOWN = """
mkdir /sys/fs/cgroup/init && echo 1 > /sys/fs/cgroup/init/cgroup.procs &&
echo +pids > /sys/fs/cgroup/cgroup.subtree_control && echo done; exec sleep 999
"""


@pytest.mark.requires("cgroup2-pids")
def test_container_that_has_handed_its_controllers_down(bundle: Bundle) -> None:
    """cgroup-v2.rst, "No Internal Process Constraint": then the init's own cgroup is the place."""
    bundle.namespace("cgroup").mount("/sys", "sysfs", "sysfs").mount("/sys/fs/cgroup", "cgroup2", "cgroup", ["rw"])
    bundle.process(args=["sh", "-c", HANDS_DOWN]).create().start()
    assert host.eventually(lambda: "done" in bundle.output())
    assert bundle.exec("cat", "/proc/self/cgroup").ok().stdout == "0::/init\n"
    assert bundle.exec("true", flags=["--cgroup", "init"]).returncode == 0
    assert bundle.exec("true", flags=["--cgroup", "nosuch"]).returncode != 0
