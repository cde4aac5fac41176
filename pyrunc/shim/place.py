"""The option ShimCgroup: the shim itself in a cgroup, which then accounts for its memory and its copying."""

from __future__ import annotations

import posix

from pyrunc.cgroups.layout import read_layout, write_file
from pyrunc.errors import StateError, reason


def enter(path: str) -> None:
    """Put this process into the cgroup, in all hierarchies that have one of this name. Raises StateError."""
    what = f"cannot put the shim into the cgroup {path} (option ShimCgroup)"
    if not path.startswith("/") or not {"", ".", ".."}.isdisjoint(path.split("/")[1:]):
        raise StateError(f"{what}: not a plain absolute path")
    entries = [
        # A single thread enters a v1 cgroup without waiting for the kernel's grace period.
        f"{each.mount}{path}/{'tasks' if each.version == 1 else 'cgroup.procs'}"
        for each in read_layout().hierarchies
        if posix.access(f"{each.mount}{path}", posix.F_OK)
    ]
    if not entries:
        raise StateError(f"{what}: no hierarchy has it", "it has to be there before the container")
    for entry in entries:
        try:
            write_file(entry, "0")
        except OSError as err:
            raise StateError(f"{what}: {entry}: {reason(err)}") from err
