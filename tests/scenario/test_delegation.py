"""Containers of an ordinary user in the cgroups that systemd has delegated to that user: limits hold without root."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scenario.test_rootless import unmapped_terminals

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle

pytestmark = pytest.mark.requires("delegation")

MIB = 1 << 20


@pytest.fixture
def mine(bundle: Bundle) -> Bundle:
    """A bundle whose root is the user who runs the tests, with no cgroupsPath: the runtime finds a place."""
    for kind, own in (("uidMappings", os.getuid()), ("gidMappings", os.getgid())):
        bundle.linux(**{kind: [{"containerID": 0, "hostID": own, "size": 1}]})
    del bundle.config["linux"]["cgroupsPath"]
    return unmapped_terminals(bundle.namespace("user"))


def cgroup_of(pid: int) -> Path:
    return Path("/sys/fs/cgroup" + Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::"))


def test_user_is_root_inside(mine: Bundle) -> None:
    assert mine.run("id", "-u").ok().stdout == "0\n"


def test_container_has_a_cgroup_of_its_own(mine: Bundle) -> None:
    pid = mine.process(args=["sleep", "1000"]).resources(pids={"limit": 20}).create().pid
    assert cgroup_of(pid) != cgroup_of(os.getpid())
    assert (cgroup_of(pid) / "pids.max").read_text() == "20\n"


def test_cgroup_is_gone_after_delete(mine: Bundle) -> None:
    cgroup = cgroup_of(mine.create().pid)
    mine.delete("--force")
    assert not cgroup.exists()


def test_values_are_written(mine: Bundle) -> None:
    mine.resources(memory={"limit": 64 * MIB}, cpu={"quota": 20000, "period": 50000})
    mine.resources(unified={"memory.high": f"{48 * MIB}"})
    cgroup = cgroup_of(mine.create().pid)
    assert (cgroup / "memory.max").read_text() == f"{64 * MIB}\n"
    assert (cgroup / "memory.high").read_text() == f"{48 * MIB}\n"
    assert (cgroup / "cpu.max").read_text() == "20000 50000\n"


def test_memory_limit_kills(mine: Bundle) -> None:
    assert mine.resources(memory={"limit": 16 * MIB}).run("/bin/probe", "memory", "64").returncode == 137


def test_pids_limit_holds(mine: Bundle) -> None:
    assert mine.resources(pids={"limit": 8}).probe("forks", "50") == {"processes": 8, "error": "EAGAIN"}


def test_kill_all_reaches_everybody(mine: Bundle) -> None:
    mine.process(args=["sh", "-c", "sleep 1000 & sleep 1000"]).create().start()
    pid = mine.pid
    mine.kill("--all", "KILL")
    assert mine.wait(pid) == 137


def test_own_cgroup_is_managed_from_inside(mine: Bundle) -> None:
    """config-linux.md#cgroup-ownership: a cgroup namespace and a writable mount are a delegation to the container."""
    mine.namespace("cgroup").mount("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev", "ro"])
    mine.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "rw"])
    move = "cd /sys/fs/cgroup && mkdir init && echo 0 >init/cgroup.procs"
    script = f"cat /proc/self/cgroup && {move} && cat /proc/self/cgroup"
    assert mine.run("sh", "-c", script).ok().stdout == "0::/\n0::/init\n"


def subordinate(file: str) -> int:
    """The first of the subordinate ids that a file gives to the user who runs the tests (subuid(5))."""
    name = pwd.getpwuid(os.getuid()).pw_name
    lines = (line.split(":") for line in Path(file).read_text().splitlines())
    return next(int(first) for owner, first, _ in lines if owner == name)


def test_all_subordinate_ids_and_limits_together(mine: Bundle) -> None:
    for kind, file in (("uidMappings", "/etc/subuid"), ("gidMappings", "/etc/subgid")):
        more = {"containerID": 1, "hostID": subordinate(file), "size": 65535}
        mine.linux(**{kind: [*mine.config["linux"][kind], more]})
    mine.process(user={"uid": 1000, "gid": 1000}).resources(pids={"limit": 8}, memory={"limit": 64 * MIB})
    assert mine.probe("forks", "50") == {"processes": 8, "error": "EAGAIN"}
    assert mine.run("id", "-u").ok().stdout == "1000\n"
