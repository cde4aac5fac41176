"""Send a signal to a container (runtime.md, "Kill")."""

from __future__ import annotations

import posix

from pyrunc.errors import StateError, StatusError, UsageError, reason
from pyrunc.kernel.pidfd import open_process, send_signal
from pyrunc.state.status import CREATED, PAUSED, RUNNING, STOPPED, status_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.state.store import Entry, State

_SIGKILL = 9
_HIGHEST = 64  # SIGRTMAX


def signal_number(text: str) -> int:
    """Return the number of a signal given as engines give it: a number, or a name in any case, SIG or not.

    Raises UsageError.
    """
    if text.isascii() and text.isdigit():
        number = int(text)
        if 0 < number <= _HIGHEST:
            return number
    else:
        from pyrunc.kernel.flags import SIGNALS  # engines give numbers

        name = text.upper()
        number = SIGNALS.get(name if name.startswith("SIG") else f"SIG{name}", 0)
        if number:
            return number
    raise UsageError(f"unknown signal {text!r}", "a number from 1 to 64, or a name such as TERM")


def kill(entry: Entry, signal: int, every: bool = False) -> None:
    """Signal the container's init, or with `every` all its processes.

    Raises StatusError for one that does not run, in the words that engines look for.
    """
    state = entry.load()
    status = status_of(entry, state)
    if state is None or status not in (CREATED, RUNNING, PAUSED):
        if every and status == STOPPED:
            return  # engines kill all of a container that may have ended by itself
        raise StatusError("container not running", f"{entry.id} is {status}")
    if every or (signal == _SIGKILL and not state.private_pids):
        _kill_every(state, signal)
    else:
        _kill_init(entry, state, signal)
    if status == PAUSED and signal == _SIGKILL:
        # On cgroup v1 a frozen process dies only once it is thawed.
        _cgroup(state).thaw()


def _kill_init(entry: Entry, state: State, signal: int) -> None:
    try:
        pidfd = open_process(state.pid, state.start_time)
        try:
            send_signal(pidfd, signal)
        finally:
            posix.close(pidfd)
    except ProcessLookupError as err:
        raise StatusError("container not running", f"{entry.id} has ended just now") from err
    except OSError as err:
        raise StateError(f"cannot signal container {entry.id}: {reason(err)}") from err


def _kill_every(state: State, signal: int) -> None:
    cgroup = _cgroup(state)
    if signal == _SIGKILL:
        cgroup.kill_all()
    else:
        cgroup.signal_all(signal)


def _cgroup(state: State) -> Cgroup:
    from pyrunc.cgroups.control import Cgroup

    if not state.cgroup_leaves:
        raise StateError(f"container {state.id} has no cgroup: its processes cannot be found")
    return Cgroup(state.cgroup_leaves, state.cgroup_made)


if TYPE_CHECKING:
    from pyrunc.cgroups.control import Cgroup
