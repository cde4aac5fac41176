"""config.json + facts -> Plan."""

from __future__ import annotations

from typing import Any

import pytest

from pyrunc.errors import ConfigError
from pyrunc.plan.facts import CgroupLayout, Facts, Hierarchy
from pyrunc.plan.steps import (
    BindDevice,
    JoinCgroups,
    MakeDevice,
    MakeReadonly,
    MaskPath,
    MountBind,
    MountFs,
    Plan,
    ReadonlyPath,
    SetHostname,
    WriteSysctl,
)
from pyrunc.spec.config import Spec
from tests.unit.plan.hosts import BUNDLE, V2, document, plan

NAMESPACES = [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network", "cgroup")]
MAPPING = [{"containerID": 0, "hostID": 1000, "size": 1}]
USER = {
    "namespaces": [*NAMESPACES, {"type": "user"}],
    "uidMappings": MAPPING,
    "gidMappings": MAPPING,
}
TMPFS_DEV = {"destination": "/dev", "type": "tmpfs", "options": ["ro"]}


def linux(**members: Any) -> dict[str, Any]:
    return document(linux={"namespaces": NAMESPACES, **members})


def process(**members: Any) -> dict[str, Any]:
    return document(process={**document()["process"], **members})


def problems(config: dict[str, Any], facts: Facts | None = None) -> dict[str, str]:
    """What a config.json is refused for, by JSON path."""
    with pytest.raises(ConfigError) as caught:
        plan(config, facts)
    assert str(caught.value).startswith("config.json: ")
    return {problem.path: problem.problem for problem in caught.value.problems}


NEEDED_BY_FEW: dict[str, dict[str, Any]] = {
    ".linux.netDevices": linux(netDevices={"eth0": {}}),
    ".linux.intelRdt": linux(intelRdt={}),
    ".linux.memoryPolicy": linux(memoryPolicy={"mode": "MPOL_LOCAL"}),
    ".linux.mountLabel": linux(mountLabel="system_u:object_r:x:s0"),
    ".linux.personality": linux(personality={"domain": "LINUX32"}),
    ".process.scheduler": process(scheduler={"policy": "SCHED_IDLE"}),
    ".process.ioPriority": process(ioPriority={"class": "IOPRIO_CLASS_BE"}),
    ".process.apparmorProfile": process(apparmorProfile="strict"),
    ".process.selinuxLabel": process(selinuxLabel="system_u:system_r:x:s0"),
    ".process.oomScoreAdj": process(oomScoreAdj=0),
}


@pytest.mark.parametrize("path", NEEDED_BY_FEW)
def test_no_property_is_left_out_silently(path: str) -> None:
    """It changes the plan, or it is refused under its own name."""
    try:
        assert plan(NEEDED_BY_FEW[path]) != plan(document())
    except ConfigError as err:
        assert [problem.path for problem in err.problems] == [path]


def test_all_that_is_refused_is_refused_at_once() -> None:
    config = linux(
        resources={
            "hugepageLimits": [{"pageSize": "2MB", "limit": 1}],
            "rdma": {"mlx": {"hcaHandles": 1}},
        }
    )
    assert set(problems(config)) == {
        ".linux.resources.hugepageLimits[0].limit",
        ".linux.resources.rdma.mlx",
    }


def test_what_asks_for_nothing_is_not_refused() -> None:
    config = linux(netDevices={}, mountLabel="")
    config["process"] = {**config["process"], "apparmorProfile": "", "selinuxLabel": ""}
    assert plan(config).process == plan(document()).process


def test_a_mount_that_cannot_be_is_refused_with_its_place() -> None:
    config = document(mounts=[{"destination": "/a", "type": "proc"}, {"destination": "/b"}])
    assert list(problems(config)) == [".mounts[1].type"]


def test_a_spec_without_a_root_is_refused() -> None:
    from pyrunc.plan.make import Request, make_plan

    with pytest.raises(ConfigError) as caught:
        make_plan(Spec("1.3.0"), Request("box", BUNDLE), Facts(layout=V2))
    assert [problem.path for problem in caught.value.problems] == [".root"]


@pytest.mark.parametrize(("written", "path"), [("rootfs", "/b/rootfs"), ("/srv/root", "/srv/root"), ("./r", "/b/./r")])
def test_a_relative_root_is_the_bundles(written: str, path: str) -> None:
    assert plan(document(root={"path": written})).rootfs.path == path


@pytest.mark.parametrize("readonly", [False, True])
def test_the_root_may_be_read_only(readonly: bool) -> None:
    assert plan(document(root={"path": "r", "readonly": readonly})).rootfs.readonly is readonly


def test_how_the_root_is_entered() -> None:
    inherited = document(linux={"namespaces": [{"type": "pid"}]})
    joined = document(linux={"namespaces": [{"type": "mount", "path": "/proc/1/ns/mnt"}]})
    assert plan(document()).rootfs.entry == "pivot"
    assert plan(document(), pivot=False).rootfs.entry == "move"
    assert plan(joined).rootfs.entry == "pivot"
    assert plan(inherited).rootfs.entry == "chroot"


def test_the_callers_words_are_in_the_plan() -> None:
    planned = plan(document(annotations={"a": "b"}), id="other", session_keyring=False)
    assert (planned.id, planned.bundle, planned.session_keyring) == ("other", BUNDLE, False)
    assert (planned.annotations, planned.oci_version) == ({"a": "b"}, "1.3.0")


def kinds(planned: Plan) -> tuple[list[str], list[str]]:
    return (
        [type(step).__name__ for step in planned.before_pivot],
        [type(step).__name__ for step in planned.after_pivot],
    )


def test_mounts_come_before_devices_and_all_of_it_before_the_pivot() -> None:
    planned = plan(document(mounts=[{"destination": "/proc", "type": "proc"}, TMPFS_DEV]))
    before, after = kinds(planned)
    assert before[:4] == ["JoinCgroups", "MountFs", "MountFs", "MakeDevice"]
    assert set(before[4:]) == {"MakeDevice", "MakeLink"}
    assert after == ["MakeReadonly"]


def test_after_the_pivot_names_and_parameters_come_before_what_hides_them() -> None:
    config = linux(sysctl={"kernel.sem": "1"}, maskedPaths=["/m"], readonlyPaths=["/r"])
    planned = plan({**config, "hostname": "h", "mounts": [TMPFS_DEV]})
    types = [MakeReadonly, SetHostname, WriteSysctl, ReadonlyPath, MaskPath]
    assert [type(step) for step in planned.after_pivot] == types


def test_no_linux_at_all_is_the_hosts_namespaces() -> None:
    config = document()
    del config["linux"]
    planned = plan(config)
    assert planned.namespaces.names == ()
    assert planned.rootfs.entry == "chroot"
    assert JoinCgroups(".linux.cgroupsPath", False) in planned.before_pivot


def test_a_container_may_have_no_process() -> None:
    config = document()
    del config["process"]
    assert plan(config).process is None


def test_a_personality_is_the_kernels_number() -> None:
    lines = {None: None, "LINUX": 0, "LINUX32": 8}
    for domain, number in lines.items():
        planned = plan(linux(personality={"domain": domain}) if domain else document()).process
        assert planned is not None
        assert planned.personality == number


def test_sockets_are_announced_after_the_configs_own_environment() -> None:
    config = process(env=["A=1"])
    planned = plan(config, listen_fds=2, listen_fdnames="web:db", preserve_fds=3).process
    assert planned is not None
    assert planned.env == ("A=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=web:db")
    assert (planned.listen_fds, planned.preserve_fds) == (2, 3)


def test_without_sockets_nothing_is_announced() -> None:
    planned = plan(process(env=["A=1"]), listen_fdnames="web").process
    assert planned is not None
    assert planned.env == ("A=1",)


def test_warnings_of_the_process_are_the_plans() -> None:
    config = process(capabilities={"bounding": ["CAP_OF_TOMORROW"]})
    (warning,) = plan(config).warnings
    assert "CAP_OF_TOMORROW" in warning
    assert plan(process(capabilities={"bounding": ["CAP_KILL"]})).warnings == ()


# User namespaces, ours and the one we may be in


def test_a_new_user_namespace_has_maps_and_bound_devices() -> None:
    planned = plan(document(linux=USER))
    assert planned.id_maps is not None
    assert [(each.inside, each.outside, each.size) for each in planned.id_maps.uids] == [(0, 1000, 1)]
    assert any(isinstance(step, BindDevice) for step in planned.before_pivot)
    assert not any(isinstance(step, MakeDevice) for step in planned.before_pivot)


@pytest.mark.parametrize("inside", [False, True])
def test_inside_of_a_user_namespace_no_nodes_are_made(inside: bool) -> None:
    planned = plan(document(), Facts(in_user_namespace=inside, privileged=not inside, layout=V2))
    assert planned.id_maps is None
    assert any(isinstance(step, BindDevice) for step in planned.before_pivot) is inside
    assert any(isinstance(step, MakeDevice) for step in planned.before_pivot) is not inside


def test_idmap_alone_is_the_containers_maps() -> None:
    mount = {"destination": "/x", "source": "/y", "options": ["bind", "idmap"]}
    planned = plan(document(linux=USER, mounts=[mount]))
    (bind,) = (step for step in planned.before_pivot if isinstance(step, MountBind))
    assert bind.idmap == planned.id_maps is not None


# Cgroups

HALF = CgroupLayout(
    (
        Hierarchy("/c/memory", 1, ("memory",), "/me"),
        Hierarchy("/c/pids", 1, ("pids", "devices"), "/me", writable=False),
    )
)
CGROUP = {"destination": "/sys/fs/cgroup", "type": "cgroup"}


def directories(planned: Plan) -> list[str]:
    return [each.path for each in planned.cgroup.directories]


def test_cgroups_are_the_containers() -> None:
    assert directories(plan(linux(cgroupsPath="/x/box"))) == ["/c/x/box"]


def test_cgroups_may_be_left_alone() -> None:
    assert directories(plan(document(), cgroups=False)) == []


def test_an_ordinary_user_gets_those_that_were_delegated() -> None:
    user = Facts(euid=1000, egid=1000, privileged=False, layout=HALF)
    assert directories(plan(document(), user)) == ["/c/memory/me/box"]
    assert plan(document(), user).cgroup.writes == ()


def test_an_ordinary_user_who_asks_for_limits_is_not_given_less_silently() -> None:
    user = Facts(euid=1000, egid=1000, privileged=False, layout=HALF)
    with pytest.raises(ConfigError, match=r"\.linux\.resources\.pids\.limit: needs a cgroup"):
        plan(linux(resources={"pids": {"limit": 5}}), user)


def test_the_cgroup_mount_shows_the_planned_cgroup() -> None:
    config = document(linux={"namespaces": [{"type": "mount"}], "cgroupsPath": "/x/box"}, mounts=[CGROUP])
    (mount,) = (step for step in plan(config).before_pivot if isinstance(step, MountBind))
    assert mount.source == "/c/x/box"


def test_a_cgroup_namespace_that_is_joined_is_not_a_new_one() -> None:
    joined = [{"type": "mount"}, {"type": "cgroup", "path": "/proc/1/ns/cgroup"}]
    planned = plan(document(linux={"namespaces": joined}, mounts=[CGROUP]))
    assert JoinCgroups(".linux.cgroupsPath", False) in planned.before_pivot
    assert not any(isinstance(step, MountFs) for step in planned.before_pivot)
