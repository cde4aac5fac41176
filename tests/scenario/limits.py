"""The limits of a container as a test asks for them, in either version of cgroups."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.scenario.cgroupfs import folder, is_v1

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenario.bundle import Bundle, Result

MIB = 1 << 20
# What a test asks for, by its name in v1; the file of v2, and how v2 says the number.
V2 = {
    "memory.limit_in_bytes": "memory.max",
    "memory.soft_limit_in_bytes": "memory.low",
    "pids.max": "pids.max",
    "cpuset.cpus": "cpuset.cpus",
}
ALL_LIMITS = (
    *("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes", "pids.max", "cpuset.cpus"),
    *("cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us", "cpu.idle"),
    *("memory.max", "memory.low", "memory.swap.max", "cpu.weight", "cpu.max", "cpu.max.burst"),
)


def sleeping(bundle: Bundle, **limits: Any) -> Bundle:
    bundle.resources(**limits)
    return bundle.process(args=["sleep", "100"]).create().start()


def file(bundle: Bundle, name: str) -> Path:
    """A cgroup file of the container, in the hierarchy that has its controller."""
    return folder(bundle, name.partition(".")[0]) / name


def value(bundle: Bundle, name: str) -> str:
    """What a limit is now, asked for by its name in v1."""
    name = name if is_v1(name.partition(".")[0]) else V2.get(name, name)
    return file(bundle, name).read_text().strip()


def cpu_limit(bundle: Bundle) -> tuple[str, str]:
    """Quota and period in microseconds."""
    if is_v1("cpu"):
        return value(bundle, "cpu.cfs_quota_us"), value(bundle, "cpu.cfs_period_us")
    quota, period = value(bundle, "cpu.max").split()
    return quota.replace("max", "-1"), period


def swap_limit(bundle: Bundle) -> int:
    """Memory and swap together, as v1 counts."""
    if is_v1("memory"):
        return int(value(bundle, "memory.memsw.limit_in_bytes"))
    parts = [value(bundle, name) for name in ("memory.max", "memory.swap.max")]
    return 1 << 62 if "max" in parts else sum(map(int, parts))


def everything(bundle: Bundle) -> dict[str, str]:
    """All limits that there are, to be compared with those of another time."""
    return {name: file(bundle, name).read_text() for name in ALL_LIMITS if file(bundle, name).exists()}


def change(bundle: Bundle, *flags: str) -> Result:
    return bundle.attempt("update", *flags)


def change_by_json(bundle: Bundle, **resources: Any) -> Result:
    return bundle.attempt("update", "--resources", "-", stdin=json.dumps(resources))
