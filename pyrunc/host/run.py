"""Foreground run: create, start, relay, wait, destroy; the container's exit code is ours."""

from __future__ import annotations

from pyrunc.errors import NotFoundError
from pyrunc.host.create import Created, Order, create
from pyrunc.host.delete import destroy
from pyrunc.host.start import start_created
from pyrunc.kernel.processes import exit_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_KILLED = 137


def run(order: Order, keep: bool, subreaper: bool, say: Callable[[str], None], warn: Callable[[str], None]) -> int:
    """Run a container in the foreground and return its exit code, 128 + n if signal n ended it.

    With `keep` its state and cgroups stay for a later delete.
    """
    from pyrunc.host.foreground import Foreground

    with Foreground(order, subreaper) as foreground:
        created = create(order, say)
        try:
            foreground.attach(created)
            _start(created, warn)
            status = exit_status(foreground.wait(created.state.pid))
            _explain_kill(created, status, warn)
        finally:
            if not keep:
                _finish(created, warn)
    return status


def _start(created: Created, warn: Callable[[str], None]) -> None:
    """Start what create has just made, under the lock that it holds; then let other commands at it."""
    start_created(created.entry, created.state, warn)
    created.entry.unlock()


def _explain_kill(created: Created, status: int, warn: Callable[[str], None]) -> None:
    """Say it when it was the memory limit that ended the container; the exit code alone does not."""
    if status != _KILLED or not created.state.cgroup_leaves:
        return
    from pyrunc.cgroups.control import Cgroup

    if Cgroup(created.state.cgroup_leaves, created.state.cgroup_made).oom_kills():
        warn(f"container {created.state.id} was killed by the kernel: it exceeded its memory limit (OOM)")


def _finish(created: Created, warn: Callable[[str], None]) -> None:
    """Destroy what is left; somebody else may have deleted it already."""
    try:
        created.entry.lock()
        destroy(created.entry, created.state, poststop=True, warn=warn)
    except NotFoundError:
        return


def detach(order: Order, say: Callable[[str], None], warn: Callable[[str], None]) -> None:
    """create and start in one command (`run --detach`); a start that fails leaves nothing."""
    created = create(order, say)
    try:
        _start(created, warn)
    except BaseException:
        _finish(created, warn)
        raise
