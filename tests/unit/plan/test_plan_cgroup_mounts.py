"""A mount of type cgroup is whatever the host has (config-linux.md, "Control groups")."""

from __future__ import annotations

import pytest

from pyrunc.kernel import flags
from pyrunc.plan.facts import CgroupLayout, Hierarchy
from pyrunc.plan.steps import Attributes, MakeLink, MakeReadonly, MountBind, MountFs
from pyrunc.spec.mounts import Mount
from tests.unit.plan.hosts import HYBRID, V1, V2, mounts, one, place

RDONLY, NOSUID = flags.MOUNT_ATTR_RDONLY, flags.MOUNT_ATTR_NOSUID
PRIVATE = (flags.MS_PRIVATE | flags.MS_REC,)
WHERE = ".mounts[0]"
OWN = Attributes(set=NOSUID)
BOUND = Attributes(set=NOSUID, propagation=PRIVATE)
GUARDED = Attributes(set=NOSUID | RDONLY, propagation=PRIVATE)
CGROUP = Mount("/cg", "cgroup", "cgroup", ("nosuid",))


def test_v2_in_its_own_namespace_is_a_new_mount() -> None:
    assert one(CGROUP, at=place(V2)) == MountFs(WHERE, "cgroup2", "cgroup", "/cg", (), OWN)


def test_v2_takes_options_of_the_filesystem() -> None:
    step = one(Mount("/cg", "cgroup", None, ("nsdelegate", "ro")), at=place(V2))
    assert step == MountFs(WHERE, "cgroup2", "cgroup", "/cg", ("nsdelegate",), Attributes(set=RDONLY))


def test_v2_without_a_namespace_is_the_containers_own_directory() -> None:
    step = one(CGROUP, at=place(V2, cgroup_namespace=False))
    assert step == MountBind(WHERE, "/c/box", "/cg", False, BOUND)


def test_with_a_user_namespace_it_is_read_only() -> None:
    """CVE-2023-25809."""
    step = one(CGROUP, at=place(V2, cgroup_namespace=False, user_namespace=True))
    assert step == MountBind(WHERE, "/c/box", "/cg", False, GUARDED)


def test_who_has_no_cgroup_is_shown_the_runtimes_own_read_only() -> None:
    step = one(CGROUP, at=place(V2, cgroups={}, cgroup_namespace=False))
    assert step == MountBind(WHERE, "/c/user/me", "/cg", False, GUARDED)


def test_v1_is_a_tmpfs_of_hierarchies_with_links_for_joint_controllers() -> None:
    now, late = mounts(CGROUP, at=place(V1))
    assert now == (
        MountFs(WHERE, "tmpfs", "tmpfs", "/cg", ("mode=755",), OWN),
        MountFs(WHERE, "cgroup", "cgroup", "/cg/memory", ("memory",), OWN),
        MountFs(WHERE, "cgroup", "cgroup", "/cg/cpu,cpuacct", ("cpu", "cpuacct"), OWN),
        MakeLink(WHERE, "/cg/cpu", "cpu,cpuacct"),
        MakeLink(WHERE, "/cg/cpuacct", "cpu,cpuacct"),
        MountFs(WHERE, "cgroup", "cgroup", "/cg/systemd", ("none", "name=systemd"), OWN),
    )
    assert late == ()


def test_v1_without_a_namespace_binds_each_directory() -> None:
    now, _ = mounts(CGROUP, at=place(V1, cgroup_namespace=False))
    assert [step for step in now if isinstance(step, MountBind)] == [
        MountBind(WHERE, "/c/memory/box", "/cg/memory", False, BOUND),
        MountBind(WHERE, "/c/cpu,cpuacct/box", "/cg/cpu,cpuacct", False, BOUND),
        MountBind(WHERE, "/c/systemd/box", "/cg/systemd", False, BOUND),
    ]
    assert [step.path for step in now if isinstance(step, MakeLink)] == ["/cg/cpu", "/cg/cpuacct"]


def test_v1_read_only_hierarchies_but_a_tmpfs_that_is_filled_first() -> None:
    now, late = mounts(Mount("/cg", "cgroup", None, ("ro",)), at=place(V1))
    tmpfs, *rest = (step for step in now if isinstance(step, MountFs))
    assert tmpfs == MountFs(WHERE, "tmpfs", "tmpfs", "/cg", ("mode=755",))
    assert {step.attributes for step in rest} == {Attributes(set=RDONLY)}
    assert late == (MakeReadonly(WHERE, "/cg"),)


def test_hybrid_has_v2_as_one_of_the_hierarchies() -> None:
    now, _ = mounts(CGROUP, at=place(HYBRID))
    assert now == (
        MountFs(WHERE, "tmpfs", "tmpfs", "/cg", ("mode=755",), OWN),
        MountFs(WHERE, "cgroup", "cgroup", "/cg/memory", ("memory",), OWN),
        MountFs(WHERE, "cgroup2", "cgroup", "/cg/unified", (), OWN),
    )


def test_hybrid_where_the_container_is_not_in_v2_shows_it_read_only() -> None:
    now, _ = mounts(CGROUP, at=place(HYBRID, cgroup_namespace=False, cgroups={"/c/memory": "/c/memory/box"}))
    assert now[1:] == (
        MountBind(WHERE, "/c/memory/box", "/cg/memory", False, BOUND),
        MountBind(WHERE, "/c/unified/own", "/cg/unified", False, GUARDED),
    )


def test_a_joint_hierarchy_named_after_one_controller_is_not_linked_to_itself() -> None:
    layout = CgroupLayout((Hierarchy("/c/cpu", 1, ("cpu", "cpuacct")),))
    now, _ = mounts(CGROUP, at=place(layout))
    assert [step for step in now if isinstance(step, MakeLink)] == [MakeLink(WHERE, "/cg/cpuacct", "cpu")]


@pytest.mark.parametrize("layout", [V1, V2, HYBRID])
def test_nothing_of_the_hosts_hierarchies_is_writable_without_a_cgroup_of_its_own(layout: CgroupLayout) -> None:
    now, _ = mounts(CGROUP, at=place(layout, cgroup_namespace=False, cgroups={}))
    shown = [step.attributes for step in now if isinstance(step, MountBind)]
    assert len(shown) == len(layout.hierarchies)
    assert all(each.set & RDONLY for each in shown)


@pytest.mark.parametrize("layout", [V1, V2, HYBRID])
def test_nor_through_a_namespace_whose_root_is_the_runtimes_cgroup(layout: CgroupLayout) -> None:
    now, _ = mounts(CGROUP, at=place(layout, cgroups={}))
    shown = [step for step in now if isinstance(step, MountFs) and step.fstype != "tmpfs"]
    assert len(shown) == len(layout.hierarchies)
    assert all(step.attributes.set & RDONLY for step in shown)
