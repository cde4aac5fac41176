"""Look at the host: what plans depend on, read once per command."""

from __future__ import annotations

import posix

from pyrunc.cgroups.layout import read_layout
from pyrunc.kernel.capabilities import get_sets, last_capability
from pyrunc.plan.facts import CgroupLayout, Facts, Hierarchy

_WHOLE_MAP = ["0", "0", "4294967295"]


def look() -> Facts:
    """Return the facts of the host as this process sees it."""
    inside = _in_user_namespace()
    privileged = posix.geteuid() == 0 and not inside
    layout = read_layout()
    return Facts(
        euid=posix.geteuid(),
        egid=posix.getegid(),
        in_user_namespace=inside,
        last_capability=last_capability(),
        layout=layout if privileged else _with_rights(layout),
        privileged=privileged,
        held=get_sets().permitted,
    )


def _with_rights(layout: CgroupLayout) -> CgroupLayout:
    """Note in which hierarchies an ordinary user may make cgroups (delegation)."""
    return CgroupLayout(tuple(map(_with_right, layout.hierarchies)))


def _with_right(hierarchy: Hierarchy) -> Hierarchy:
    own = f"{hierarchy.mount}{hierarchy.own}".rstrip("/")
    # On v2 containers go beside the runtime's own cgroup: see plan/cgroups.py.
    if hierarchy.version == 2 and own != hierarchy.mount and _may_make(own.rpartition("/")[0]):
        return hierarchy
    inside = _may_make(own)
    return hierarchy.but(writable=inside, nested=inside)


def _may_make(place: str) -> bool:
    """Tell whether we may make cgroups there, and move our processes to them (cgroup-v2.rst, "Delegation")."""
    return posix.access(f"{place}/cgroup.procs", posix.W_OK) and posix.access(place, posix.W_OK)


def _in_user_namespace() -> bool:
    """user_namespaces(7): only the initial namespace maps all ids to themselves."""
    fd = posix.open("/proc/self/uid_map", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return posix.read(fd, 4096).decode().split() != _WHOLE_MAP
    finally:
        posix.close(fd)
