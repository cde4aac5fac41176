"""What a container sees of cgroups and may do in them, on either version; and its end, whatever it did there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scenario import cgroupfs, host

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scenario.bundle import Bundle

pytestmark = [pytest.mark.vm, pytest.mark.requires("cgroup-memory", "cgroup-pids")]

MIB = 1 << 20
TIGHT = pytest.mark.differs_from_runc("its own init does not fit in, on v2", strict=False)
SMALL = pytest.param(5 * MIB, marks=TIGHT)


@pytest.fixture
def manager(bundle: Bundle) -> Bundle:
    """A container with a cgroup namespace that may write to its cgroups."""
    bundle.mount("/sys", "sysfs", "sysfs")
    return bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["rw", "nosuid"]).namespace("cgroup")


def inside(controller: str) -> str:
    """Where the container finds its cgroup of a controller."""
    return f"/sys/fs/cgroup/{controller}" if cgroupfs.is_v1(controller) else "/sys/fs/cgroup"


def roots(said: str) -> set[str]:
    """The paths in /proc/self/cgroup."""
    return {line.split(":", 2)[2] for line in said.splitlines()}


# namespaces


@pytest.mark.parametrize("limit", [64 * MIB, SMALL])
def test_its_cgroups_are_the_roots_of_its_namespace(manager: Bundle, limit: int) -> None:
    """Also of the memory cgroup, which is entered last where the limit is small."""
    said = manager.resources(memory={"limit": limit, "swap": limit}).run("cat", "/proc/self/cgroup").ok().stdout
    assert roots(said) == {"/"}


@pytest.mark.parametrize("limit", [64 * MIB, SMALL])
def test_its_mount_shows_its_own_memory_cgroup(manager: Bundle, limit: int) -> None:
    file = "memory.limit_in_bytes" if cgroupfs.is_v1("memory") else "memory.max"
    manager.resources(memory={"limit": limit, "swap": limit})
    assert manager.run("cat", f"{inside('memory')}/{file}").ok().stdout == f"{limit}\n"


def test_its_mount_shows_nobody_elses_cgroup(manager: Bundle) -> None:
    """Where the container had none of its own, the mount would show the runtime's, with all who are in it."""
    script = "for each in $(find /sys/fs/cgroup -name cgroup.procs); do [ $(wc -l < $each) -le 4 ] || echo $each; done"
    assert manager.run("sh", "-c", script).ok().stdout == ""


@pytest.mark.differs_from_runc("--cgroup-manager is a flag of crun")
def test_without_a_cgroup_of_its_own_its_mount_is_read_only(manager: Bundle) -> None:
    manager.options = ["--cgroup-manager", "disabled"]
    script = f"mkdir {inside('memory')}/{manager.token} {inside('pids')}/{manager.token}; true"
    said = manager.run("sh", "-c", script).ok().stderr.splitlines()
    assert said
    assert not [line for line in said if "Read-only file system" not in line]


# hooks and the pids limit

HOOK = "(true; true) | (true; true)"


@pytest.mark.parametrize(
    ("kinds", "limit"),
    [(("createContainer",), 1), (("startContainer",), 0), (("createContainer", "startContainer"), 3)],
)
@pytest.mark.differs_from_runc("its own threads do not fit into such a limit along with hooks")
def test_hooks_run_beside_a_limit_that_is_the_programs(bundle: Bundle, kinds: tuple[str, ...], limit: int) -> None:
    for kind in kinds:
        # createContainer hooks are found on the host, startContainer hooks in the container.
        bundle.hook(kind, "/bin/sh", "-c", f"{HOOK} && echo {kind} > {'/' if kind[0] == 's' else bundle.dir}/{kind}")
    bundle.resources(pids={"limit": limit}).process(args=["/bin/probe", "forks", "10"])
    most = max(limit, 1)
    assert bundle.attempt("run").ok().json() == {"processes": most, "error": "EAGAIN"}
    for kind in kinds:
        assert ((bundle.rootfs if kind[0] == "s" else bundle.dir) / kind).read_text() == f"{kind}\n"


@pytest.mark.parametrize("limit", [pytest.param(0, marks=pytest.mark.differs_from_runc("takes 0 for unlimited")), 1])
def test_smallest_pids_limits_let_the_program_run_alone(bundle: Bundle, limit: int) -> None:
    assert bundle.resources(pids={"limit": limit}).probe("forks", "10") == {"processes": 1, "error": "EAGAIN"}


@pytest.mark.differs_from_runc("its own threads do not fit into such a limit along with hooks")
def test_limit_is_in_the_file_once_the_program_runs(bundle: Bundle) -> None:
    bundle.hook("startContainer", "/bin/true").resources(pids={"limit": 2})
    bundle.process(args=["/bin/probe", "sleep"]).create()
    before = cgroupfs.text(bundle, "pids", "pids.max", "pids.max")
    bundle.start()
    assert host.eventually(lambda: cgroupfs.text(bundle, "pids", "pids.max", "pids.max") == "2")
    assert int(before) > 2


def test_an_update_before_start_is_not_undone_by_start(bundle: Bundle) -> None:
    bundle.hook("startContainer", "/bin/true").resources(pids={"limit": 2})
    bundle.process(args=["/bin/probe", "sleep"]).create()
    (cgroupfs.folder(bundle, "pids") / "pids.max").write_text("33")
    bundle.start()
    assert host.eventually(lambda: bundle.status == "running")
    assert cgroupfs.text(bundle, "pids", "pids.max", "pids.max") == "33"


# joined namespaces


def test_container_in_anothers_pid_namespace_is_in_its_own_cgroup(new_bundle: Callable[[], Bundle]) -> None:
    first = new_bundle().process(args=["/bin/probe", "sleep"]).create()
    second = new_bundle().namespace("pid", f"/proc/{first.pid}/ns/pid").resources(pids={"limit": 7})
    second.process(args=["/bin/probe", "sleep"]).create()
    assert f":/{second.token}\n" in Path(f"/proc/{second.pid}/cgroup").read_text()
    procs = (cgroupfs.folder(second, "pids") / "cgroup.procs").read_text().split()
    assert procs == [str(second.pid)]


# the end


@pytest.mark.differs_from_runc("fails, and leaves the cgroups")
def test_delete_removes_a_tree_deeper_than_any_path(manager: Bundle) -> None:
    """Names of 200 characters and then 40 levels: the whole path is longer than PATH_MAX, and no call takes it."""
    name = "d" * 200
    script = f"cd {inside('pids')} && for i in $(seq 40); do mkdir {name} && cd -P {name} || exit 1; done; echo done"
    assert manager.run("sh", "-c", script).ok().stdout == "done\n"
    assert host.cgroups_of(manager.token) == []


def test_delete_removes_many_cgroups_inside(manager: Bundle) -> None:
    script = f"cd {inside('pids')} && for i in $(seq 150); do mkdir -p $i/a/b; done; echo done"
    assert manager.run("sh", "-c", script).ok().stdout == "done\n"
    assert host.cgroups_of(manager.token) == []


def freeze_inside() -> str:
    """A script that freezes a part of its own container, with a process in it."""
    if cgroupfs.is_v1("freezer"):
        own = "/sys/fs/cgroup/freezer/part"
        return f"mkdir {own}; sleep 100 & echo $! > {own}/cgroup.procs; echo FROZEN > {own}/freezer.state"
    own = "/sys/fs/cgroup/part"
    return f"mkdir {own}; sleep 100 & echo $! > {own}/cgroup.procs; echo 1 > {own}/cgroup.freeze"


@pytest.mark.differs_from_runc("waits for ever for what is frozen below, on v1", strict=False)
@pytest.mark.parametrize("private", [True, False], ids=["own-pids", "host-pids"])
def test_delete_kills_what_the_container_froze_itself(manager: Bundle, private: bool) -> None:
    if not private:
        manager.without_namespace("pid")
    manager.process(args=["sh", "-c", f"{freeze_inside()}; echo done; sleep 100"]).create().start()
    assert host.eventually(lambda: manager.output() == "done\n")
    manager.delete("--force")
    assert host.cgroups_of(manager.token) == []
    assert host.processes_of(manager.token) == []
