"""Hosts to plan for, and a short way to a plan and to what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pyrunc.errors import ConfigError
from pyrunc.plan.cgroups import plan_cgroup
from pyrunc.plan.facts import CgroupLayout, Hierarchy
from pyrunc.spec.config import Root, Spec
from pyrunc.spec.linux import Linux
from pyrunc.spec.process import Process, User
from pyrunc.spec.resources import Resources

if TYPE_CHECKING:
    from pyrunc.plan.steps_cgroups import CgroupPlan

MEMBERS = (
    "cpu cpuacct cpuset memory devices freezer blkio pids hugetlb rdma net_cls net_prio name=systemd".split()
)


def v1(own: str = "/", without: tuple[str, ...] = ()) -> CgroupLayout:
    """Every v1 controller by itself, mounted at /c/NAME."""
    return CgroupLayout(
        tuple(Hierarchy(f"/c/{each}", 1, (each,), own) for each in MEMBERS if each not in without)
    )


def v2(own: str = "/") -> CgroupLayout:
    """Only the unified hierarchy, mounted at /c."""
    controllers = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma")
    return CgroupLayout((Hierarchy("/c", 2, controllers, own),))


def hybrid(own: str = "/", unified: tuple[str, ...] = ("hugetlb",)) -> CgroupLayout:
    """v1 for all but hugetlb, which v2 at /c/unified has."""
    return CgroupLayout((*v1(own, unified).hierarchies, Hierarchy("/c/unified", 2, unified, own)))


def spec_of(path: str | None = "/box", resources: Resources | None = None, **more: Any) -> Spec:
    """A configuration with nothing but cgroups in it."""
    linux = Linux(cgroups_path=path, resources=resources, **more.pop("linux", {}))
    return Spec("1.2.0", Root("rootfs"), linux=linux, **more)


def process_of(uid: int) -> Process:
    """A program that runs as a user of the container."""
    return Process(False, None, User(uid=uid, gid=0), ("true",), (), "/")


def plan(layout: CgroupLayout, path: str | None = "/box", **resources: Any) -> CgroupPlan:
    """The plan for some resources; without any, for a configuration that has no resources member."""
    wanted = Resources(**resources) if resources else None
    return plan_cgroup(spec_of(path, wanted), "id", layout)


def limits(planned: CgroupPlan) -> list[tuple[str, str, str]]:
    """What is written, without the device list: file below /c, value, and JSON path below resources."""
    return [
        (write.path.removeprefix("/c/"), write.value, write.where.removeprefix(".linux.resources."))
        for write in planned.writes
        if "/devices." not in write.path
    ]


def devices(planned: CgroupPlan) -> list[tuple[str, str]]:
    """What is written to the device list: deny or allow, and the value."""
    return [
        (write.path.rpartition(".")[2], write.value) for write in planned.writes if "/devices." in write.path
    ]


def problems(layout: CgroupLayout, path: str | None = "/box", **resources: Any) -> dict[str, str]:
    """What is wrong with a configuration, by JSON path."""
    with pytest.raises(ConfigError) as caught:
        plan(layout, path, **resources)
    return {problem.path: problem.problem for problem in caught.value.problems}
