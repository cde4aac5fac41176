"""Pause and resume: freeze a container's cgroup, and thaw it (cgroup v1: freezer, v2: cgroup.freeze)."""

from __future__ import annotations

from pyrunc.cgroups.control import Cgroup
from pyrunc.errors import StateError, StatusError
from pyrunc.state.status import CREATED, PAUSED, RUNNING, status_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.state.store import Entry


def pause(entry: Entry) -> None:
    """Stop all processes of a container where they are; returns once the last one stands still.

    Raises StatusError for one that does not run, or is paused already; CgroupError, with everything running on,
    when the processes do not stop.
    """
    _cgroup(entry, (RUNNING, CREATED), "container not running").freeze()


def resume(entry: Entry) -> None:
    """Let the processes of a paused container go on. Raises StatusError for one that is not paused, CgroupError."""
    _cgroup(entry, (PAUSED,), "container not paused").thaw()


def _cgroup(entry: Entry, wanted: tuple[str, ...], problem: str) -> Cgroup:
    """Lock the container and return its cgroup, if its status is a wanted one."""
    entry.lock()
    state = entry.load()
    status = status_of(entry, state)
    if state is None or status not in wanted:
        raise StatusError(problem, f"{entry.id} is {status}")
    if not state.cgroup_leaves:
        raise StateError(f"container {entry.id} has no cgroup: it cannot be paused")
    return Cgroup(state.cgroup_leaves, state.cgroup_made)
