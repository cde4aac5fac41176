"""Hosts to plan for, and short ways from JSON to a plan."""

from __future__ import annotations

import json
from typing import Any

from pyrunc.plan.facts import CgroupLayout, Facts, Hierarchy
from pyrunc.plan.make import Request, make_plan
from pyrunc.plan.mounts import Place, plan_mounts
from pyrunc.plan.steps import IdMap, IdMaps, Plan, Step
from pyrunc.spec.load import parse
from pyrunc.spec.mounts import Mount

BUNDLE = "/b"
V2 = CgroupLayout((Hierarchy("/c", 2, ("cpu", "memory", "pids"), "/user/me"),))
V1 = CgroupLayout(
    (
        Hierarchy("/c/memory", 1, ("memory",), "/own"),
        Hierarchy("/c/cpu,cpuacct", 1, ("cpu", "cpuacct")),
        Hierarchy("/c/systemd", 1, ("name=systemd",)),
    )
)
HYBRID = CgroupLayout((Hierarchy("/c/memory", 1, ("memory",)), Hierarchy("/c/unified", 2, ("hugetlb",), "/own")))
ID_MAPS = IdMaps((IdMap(0, 100000, 65536),), (IdMap(0, 200000, 65536),))


def place(layout: CgroupLayout = V2, **more: Any) -> Place:
    """Where mounts go: a container that has the cgroup /box in every hierarchy, unless told otherwise."""
    boxes = {each.mount: f"{each.mount}/box" for each in layout.hierarchies}
    known = {"cgroups": boxes, "cgroup_namespace": True, "user_namespace": False}
    return Place(**{"bundle": BUNDLE, "layout": layout, **known, **more})


def mounts(*entries: Mount, at: Place | None = None) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """The steps of some mounts, now and late, without the joining of cgroups that stands before them."""
    now, late = plan_mounts(entries, at or place())
    return tuple(step for step in now if type(step).__name__ != "JoinCgroups"), late


def one(entry: Mount, at: Place | None = None) -> Step:
    """The only step of one mount."""
    (step,), late = mounts(entry, at=at)
    assert late == ()
    return step


def document(**members: Any) -> dict[str, Any]:
    """A small config.json, with some members in place of, or besides, its own."""
    process = {"user": {"uid": 0, "gid": 0}, "args": ["sh"], "cwd": "/"}
    linux = {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network", "cgroup")]}
    return {"ociVersion": "1.3.0", "root": {"path": "rootfs"}, "process": process, "linux": linux, **members}


def plan(config: dict[str, Any], facts: Facts | None = None, **request: Any) -> Plan:
    """The plan for a config.json, on a v2 host with all rights if not told otherwise."""
    wanted = Request(**{"id": "box", "bundle": BUNDLE, **request})
    return make_plan(parse(json.dumps(config), "config.json"), wanted, facts or Facts(layout=V2))
