"""What happens to a container, as it happens: memory that ran out, and statistics at intervals."""

from __future__ import annotations

import posix
import select
import time

from pyrunc.cgroups.oom import watch_oom
from pyrunc.errors import PyruncError, StateError, StatusError, reason
from pyrunc.host.stats import ContainerStats, running_state, stats
from pyrunc.kernel.pidfd import alive, open_process
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.cgroups.oom import OomWatch
    from pyrunc.state.store import Entry, State

OOM, STATS = "oom", "stats"
_LONGEST_POLL = 86400.0  # poll(2) takes an int of milliseconds


class Event(Record):
    """One event: `type` is oom, or stats, and then these are there."""

    type: str
    stats: ContainerStats | None = None


def watch(entry: Entry, interval: float) -> Iterator[Event]:
    """Yield events until the container ends; statistics every `interval` seconds, the first after one of them.

    Raises StatusError for a container that does not run, CgroupError, StateError.
    """
    state = running_state(entry)
    try:
        pidfd = open_process(state.pid, state.start_time)
    except ProcessLookupError as err:
        raise StatusError("container not running", f"{state.id} has ended just now") from err
    except OSError as err:
        raise StateError(f"cannot watch container {state.id}: {reason(err)}") from err
    try:
        oom = watch_oom(state.cgroup_leaves) if state.cgroup_leaves else None
        try:
            yield from _events(state, pidfd, oom, interval)
        finally:
            if oom is not None:
                oom.close()
    finally:
        posix.close(pidfd)


def _events(state: State, pidfd: int, oom: OomWatch | None, interval: float) -> Iterator[Event]:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    if oom is not None:
        poll.register(oom.fd, oom.events)
    next_time, ended = time.monotonic() + interval, False
    while not ended:
        wait = min(max(0.0, next_time - time.monotonic()), _LONGEST_POLL)
        ready = {fd for fd, _ in poll.poll(wait * 1000)}
        ended = pidfd in ready
        # Asked at the end as well: the process that was killed may have been the init.
        for _ in range(oom.news() if oom is not None and ready else 0):
            yield Event(OOM)
        late = time.monotonic() - next_time
        if not ended and late >= 0:
            next_time += interval * (1 + late // interval)  # what was missed is not made up for
            yield from _stats_event(state)


def _stats_event(state: State) -> Iterator[Event]:
    try:
        counted = stats(state)
    except PyruncError:
        if not alive(state.pid, state.start_time):
            return  # it ended while we were reading: the next look sees that
        raise
    yield Event(STATS, counted)
