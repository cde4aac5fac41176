"""Look at the host: what plans depend on, read once per command."""

from __future__ import annotations

import posix

from pyrunc.cgroups.layout import read_layout
from pyrunc.kernel.capabilities import last_capability
from pyrunc.plan.facts import CgroupLayout, Facts

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
    )


def _with_rights(layout: CgroupLayout) -> CgroupLayout:
    """Note in which hierarchies an ordinary user may make cgroups (delegation)."""
    return CgroupLayout(
        tuple(
            each.but(writable=posix.access(f"{each.mount}{each.own}", posix.W_OK)) for each in layout.hierarchies
        )
    )


def _in_user_namespace() -> bool:
    """user_namespaces(7): only the initial namespace maps all ids to themselves."""
    fd = posix.open("/proc/self/uid_map", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return posix.read(fd, 4096).decode().split() != _WHOLE_MAP
    finally:
        posix.close(fd)
