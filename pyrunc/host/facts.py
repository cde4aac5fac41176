"""Look at the host: what plans depend on, read once per command."""

from __future__ import annotations

import posix

from pyrunc.cgroups.layout import read_layout
from pyrunc.kernel.capabilities import last_capability
from pyrunc.plan.facts import Facts

_WHOLE_MAP = ["0", "0", "4294967295"]


def look() -> Facts:
    """Return the facts of the host as this process sees it."""
    return Facts(
        euid=posix.geteuid(),
        egid=posix.getegid(),
        in_user_namespace=_in_user_namespace(),
        last_capability=last_capability(),
        layout=read_layout(),
    )


def _in_user_namespace() -> bool:
    """user_namespaces(7): only the initial namespace maps all ids to themselves."""
    fd = posix.open("/proc/self/uid_map", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return posix.read(fd, 4096).decode().split() != _WHOLE_MAP
    finally:
        posix.close(fd)
