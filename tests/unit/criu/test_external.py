"""What is outside of a container: named for criu by the plan, and by what a process has open."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pyrunc.errors import CgroupError, StateError, StepError
from pyrunc.host import external
from pyrunc.host.images import Images, Options, cgroup_options
from pyrunc.host.restore import with_room_for_criu
from pyrunc.plan.facts import Facts
from pyrunc.plan.steps import Plan
from tests.unit.cgroups.layouts import plan as cgroup_plan
from tests.unit.cgroups.layouts import v1, v2
from tests.unit.plan.hosts import V1, document, plan


def planned(root: Path, *mounts: dict[str, Any], facts: Facts | None = None, **linux: Any) -> Plan:
    config = document(mounts=list(mounts), root={"path": str(root)})
    config["linux"] |= linux
    return plan(config, facts)


def bind(destination: str, source: str) -> dict[str, Any]:
    return {"destination": destination, "source": source, "options": ["rbind"]}


def test_bind_mounts_and_masks_come_from_outside(tmp_path: Path) -> None:
    proc = {"destination": "/proc", "type": "proc"}
    made = planned(tmp_path, bind("/data", "/srv/data"), proc, maskedPaths=["/proc/kcore"])
    assert list(external.external_mounts(made)) == [("/data", "/srv/data"), ("/proc/kcore", "/dev/null")]


def test_cgroups_of_version_1_come_from_outside(tmp_path: Path) -> None:
    cgroup = {"destination": "/sys/fs/cgroup", "type": "cgroup"}
    made = planned(tmp_path, cgroup, facts=Facts(layout=V1), cgroupsPath="/box")
    found = dict(external.external_mounts(made))
    assert found["/sys/fs/cgroup/memory"] == "/c/memory/box"
    assert found["/sys/fs/cgroup/systemd"] == "/c/systemd/box"


def test_a_destination_behind_a_link_has_two_names(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "var").mkdir()
    (tmp_path / "var/run").symlink_to("/run")
    source = str(tmp_path / "run")
    made = planned(tmp_path, bind("/var/run/secrets/token/", source))
    assert dict(external.restored_mounts(made)) == {"/var/run/secrets/token": source, "/run/secrets/token": source}


def test_a_link_out_of_the_root_stays_inside(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "data").symlink_to("../../../../outside")
    source = str(tmp_path)
    made = planned(root, bind("/data/here", source))
    external.make_mount_points(made)
    assert dict(external.restored_mounts(made)) == {"/data/here": source, "/outside/here": source}
    assert (root / "outside/here").is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {"root"}


def test_mount_points_are_made_unless_another_mount_brings_them(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    root = tmp_path / "root"
    root.mkdir()
    dev = {"destination": "/dev", "type": "tmpfs"}
    shm = {"destination": "/dev/shm", "type": "tmpfs"}
    external.make_mount_points(planned(root, dev, shm, bind("/etc/hosts", str(file)), bind("/srv", str(root))))
    found = {str(path.relative_to(root)): path.is_dir() for path in root.rglob("*")}
    assert found == {"dev": True, "etc": True, "etc/hosts": False, "srv": True}


def test_a_bind_source_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"\.mounts\[0\]: cannot bind .*not found"):
        external.make_mount_points(planned(tmp_path, bind("/data", "/nowhere/at/all")))


def namespaces(**paths: str) -> list[dict[str, str]]:
    return [{"type": kind, "path": path} for kind, path in paths.items()]


def test_joined_namespaces() -> None:
    spaces = [{"type": "mount"}, *namespaces(network="/run/net", pid="/run/pid", ipc="/run/ipc", uts="/run/uts")]
    made = plan(document(linux={"namespaces": spaces}))
    external.check(made)
    net, pid = (os.stat(f"/proc/self/ns/{kind}").st_ino for kind in ("net", "pid"))
    named = external.dumped_namespaces(made.namespaces.join, os.getpid())
    assert sorted(named) == [f"net[{net}]:extRootNetNS", f"pid[{pid}]:extRootPidNS"]
    assert external.joined_namespaces(made.namespaces.join) == [("ipc", "/run/ipc"), ("uts", "/run/uts")]
    assert external.handed_namespaces({"network": 5, "ipc": 6}) == [("extRootNetNS", 5)]


def test_what_criu_cannot_put_back_is_refused() -> None:
    joined = [{"type": "mount"}, *namespaces(user="/run/user")]
    with pytest.raises(StepError, match="joined user namespace cannot be checkpointed"):
        external.check(plan(document(linux={"namespaces": joined})))
    with pytest.raises(StepError, match="without a mount namespace"):
        external.check(plan(document(linux={"namespaces": [{"type": "pid"}]})))


@pytest.mark.parametrize(
    "annotations",
    [{"org.pyrunc.core-sched": "new"}, {"org.pyrunc.landlock": '{"handled": 4, "rules": []}'}],
)
def test_confinement_that_would_be_lost_is_refused(annotations: dict[str, str]) -> None:
    with pytest.raises(StepError, match="cannot be checkpointed"):
        external.check(plan(document(annotations=annotations)))


def test_a_seccomp_agent_cannot_be_given_its_listener_again() -> None:
    config = document()
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": "/run/agent",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
    }
    with pytest.raises(StepError, match=r"\.linux\.seccomp\.listenerPath: .* cannot be checkpointed"):
        external.check(plan(config))


def test_what_is_lost_without_harm_is_said() -> None:
    process = {"user": {"uid": 0, "gid": 0}, "args": ["sh"], "cwd": "/"}
    process["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE", "priority": 0}
    made = plan(document(process=process))
    external.check(made)
    (said,) = external.lost(made)
    assert said.startswith(".process.ioPriority: is not restored")


def test_streams_that_are_taken_over() -> None:
    names = ("pipe:[11]", "file[4e:20c]", "file[4e:20c]")
    assert external.inherited_streams(names) == [("pipe:[11]", 0), ("file[4e:20c]", 1)]
    assert external.inherited_streams(("/dev/null", "", "socket:[7]")) == []


def test_streams_of_a_process(tmp_path: Path) -> None:
    """On mounts of its own a file has a path; a pipe has its number."""
    reader, writer = os.pipe()
    file = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    code = "import time; print(flush=True); time.sleep(60)"
    pid = os.posix_spawnp(
        "python3",
        ["python3", "-c", code],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, reader, 0), (os.POSIX_SPAWN_DUP2, file, 2)],
    )
    try:
        names, outside = external.streams(pid)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        for fd in (reader, writer, file):
            os.close(fd)
    assert names[0].startswith("pipe:[")
    assert names[2] == f"{tmp_path}/file"
    assert f"{tmp_path}/file" not in outside


# The directories


def test_image_directories_are_for_their_owner(tmp_path: Path) -> None:
    with Images(Options(f"{tmp_path}/a/images", f"{tmp_path}/b/work"), "dump.log", make=True) as images:
        assert images.log == f"{tmp_path}/b/work/dump.log"
        images.write_descriptors(("/dev/null", "pipe:[1]", ""))
        assert images.descriptors() == ("/dev/null", "pipe:[1]", "")
    assert (tmp_path / "a/images").stat().st_mode & 0o777 == 0o700


def test_an_old_log_does_not_explain_a_new_failure(tmp_path: Path) -> None:
    (tmp_path / "dump.log").write_text("old")
    Images(Options(str(tmp_path)), "dump.log", make=True).close()
    assert not (tmp_path / "dump.log").exists()


@pytest.mark.parametrize("text", ["", "{", '{"a": 1}', "[1, 2, 3]"])
def test_descriptors_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "descriptors.json").write_text(text)
    where = Options(str(tmp_path))
    with Images(where, "x", make=False) as images, pytest.raises(StateError, match=r"descriptors\.json"):
        images.descriptors()


# cgroups


def test_cgroups_that_are_not_all_the_container_s_are_left_to_us(tmp_path: Path) -> None:
    """This process is in no cgroup of the container's, whatever that may be: criu is told nothing of cgroups."""
    assert cgroup_options(Options(str(tmp_path)), (), os.getpid()) == {"manage_cgroups_mode": 0}
    with pytest.raises(StepError, match="--manage-cgroups-mode full: the container does not have"):
        cgroup_options(Options(str(tmp_path), cgroups_mode="full"), (), os.getpid())


@pytest.mark.parametrize("path", ["/", "/sys/fs/cgroup", "/tmp", "/sys/fs/cgroup/../.."])
def test_no_cgroup_that_can_be_nobody_s(tmp_path: Path, path: str) -> None:
    with pytest.raises(CgroupError, match="refusing"):
        cgroup_options(Options(str(tmp_path)), (path,), os.getpid())


@pytest.mark.parametrize("layout", [v1(), v2()])
def test_small_limits_wait_for_criu(layout: Any) -> None:
    from pyrunc.spec.resources import Memory, Pids

    small = cgroup_plan(layout, memory=Memory(limit=20 << 20), pids=Pids(limit=3))
    roomy, memory, pids = with_room_for_criu(small)
    assert not any("/memory." in write.path or "/pids." in write.path for write in roomy.writes)
    assert {write.value for write in pids} == {"3"}
    assert str(20 << 20) in {write.value for write in memory}
    assert roomy.born_inside
    assert not roomy.small_memory


def test_limits_with_room_are_set_at_once() -> None:
    from pyrunc.spec.resources import Memory, Pids

    wide = cgroup_plan(v2(), memory=Memory(limit=1 << 30), pids=Pids(limit=1000))
    roomy, memory, pids = with_room_for_criu(wide)
    assert roomy.writes == wide.writes
    assert memory == pids == ()
