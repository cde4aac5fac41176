"""Cgroups of those who may not have all of them."""

from __future__ import annotations

from typing import Any

import pytest

from pyrunc.errors import ConfigError
from pyrunc.plan.facts import CgroupLayout, Facts, Hierarchy
from tests.unit.plan.hosts import document, plan

BARRED = CgroupLayout(tuple(Hierarchy(f"/c/{name}", 1, (name,), writable=False) for name in ("memory", "devices")))
DELEGATED = CgroupLayout((Hierarchy("/c", 2, ("memory", "pids"), "/user/app/me"),))
NESTED = CgroupLayout((Hierarchy("/c", 2, ("memory", "pids"), "/system/me", nested=True),))
LIMIT = {"memory": {"limit": 1 << 26}}
DEVICES = {"devices": [{"allow": False, "access": "rwm"}]}


def made(layout: CgroupLayout, **linux: Any) -> list[str]:
    """The cgroups of an ordinary user's container."""
    config = document()
    config["linux"].update(linux)
    facts = Facts(euid=1000, egid=1000, privileged=False, layout=layout)
    return [each.path for each in plan(config, facts).cgroup.directories]


def test_without_permission_and_without_limits_there_are_none() -> None:
    assert made(BARRED) == []
    assert made(BARRED, resources={}) == []


def test_without_permission_limits_are_refused_at_their_path() -> None:
    with pytest.raises(ConfigError) as caught:
        made(BARRED, resources=LIMIT)
    assert [problem.path for problem in caught.value.problems] == [".linux.resources.memory.limit"]


def test_device_rules_are_no_limits_there() -> None:
    """Engines send them always, and in a user namespace nobody can make a device node."""
    assert made(BARRED, resources=DEVICES) == []


def test_place_that_is_named_is_tried() -> None:
    assert made(BARRED, cgroupsPath="/mine") == ["/c/memory/mine", "/c/devices/mine"]


def test_delegated_cgroup_is_beside_our_own() -> None:
    """Our own has processes, and so could not pass controllers on."""
    assert made(DELEGATED, resources=LIMIT) == ["/c/user/app/box"]


def test_it_is_below_our_own_where_that_alone_is_ours() -> None:
    assert made(NESTED) == ["/c/system/me/box"]


def test_nothing_is_given_away() -> None:
    config = document(mounts=[{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}])
    facts = Facts(euid=1000, egid=1000, privileged=False, layout=DELEGATED)
    assert plan(config, facts).cgroup.owner is None


@pytest.mark.parametrize("resources", [{}, DEVICES])
def test_disabled(resources: dict[str, Any]) -> None:
    config = document()
    config["linux"]["resources"] = resources
    assert plan(config, cgroups=False).cgroup.directories == ()


def test_disabled_with_limits() -> None:
    config = document()
    config["linux"]["resources"] = {**LIMIT, "pids": {"limit": 5}}
    with pytest.raises(ConfigError) as caught:
        plan(config, cgroups=False)
    expected = {".linux.resources.memory.limit", ".linux.resources.pids.limit"}
    assert {problem.path for problem in caught.value.problems} == expected
