"""What the probe's report says of mounts."""

from __future__ import annotations

from typing import Any, NamedTuple

from conformance.case import check


class Mount(NamedTuple):
    """One line of mountinfo, proc_pid_mountinfo(5)."""

    point: str
    options: frozenset[str]
    propagation: tuple[str, ...]
    kind: str
    source: str
    superblock: frozenset[str]


def mounts_in(report: dict[str, Any]) -> list[Mount]:
    """The mounts that the program sees."""
    found = []
    for line in str(report["mountinfo"]).splitlines():
        first, _, second = line.partition(" - ")
        fields, (kind, source, superblock) = first.split(), second.split()
        options = frozenset(fields[5].split(","))
        found.append(Mount(fields[4], options, tuple(fields[6:]), kind, source, frozenset(superblock.split(","))))
    return found


def mount_at(report: dict[str, Any], point: str) -> Mount:
    """The uppermost mount on a path. Raises Failure if there is none."""
    found = [mount for mount in mounts_in(report) if mount.point == point]
    check(found, f"nothing is mounted on {point}")
    return found[-1]
