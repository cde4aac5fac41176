"""All there is to count about a running container: its cgroups, its network interfaces, its resctrl group.

One typed value for the events command, the Python API and whoever else embeds this.
"""

from __future__ import annotations

import posix

from pyrunc.cgroups.layout import read_file
from pyrunc.cgroups.stats import Stats, read_stats
from pyrunc.errors import StateError, StatusError, reason
from pyrunc.host.resctrl_stats import ResctrlStats, read_resctrl
from pyrunc.kernel.pidfd import alive
from pyrunc.record import Record
from pyrunc.state.status import CREATED, PAUSED, RUNNING, status_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.state.store import Entry, State


class Interface(Record):
    """One network interface of the container, counted since it was made (proc_pid_net(5), dev)."""

    name: str
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


class ContainerStats(Record):
    """`interfaces` is None where the container uses the network namespace that we are in."""

    cgroup: Stats
    interfaces: tuple[Interface, ...] | None
    resctrl: ResctrlStats | None


def running_state(entry: Entry) -> State:
    """Return the state of a container that has processes. Raises StatusError for one that does not run."""
    state = entry.load()
    status = status_of(entry, state)
    if state is None or status not in (CREATED, RUNNING, PAUSED):
        raise StatusError("container not running", f"{entry.id} is {status}")
    return state


def stats(state: State) -> ContainerStats:
    """Return what is counted now. Raises CgroupError, StateError, StatusError for one that has just ended."""
    if not state.cgroup_leaves:
        raise StateError(f"container {state.id} has no cgroup: nothing is counted")
    cgroup = read_stats(state.cgroup_leaves)
    interfaces = _interfaces(state)
    if not alive(state.pid, state.start_time):
        # Its pid may have been given to another process before the last file was opened.
        raise StatusError("container not running", f"{state.id} has ended just now")
    return ContainerStats(cgroup, interfaces, read_resctrl(state.resctrl_made))


def _interfaces(state: State) -> tuple[Interface, ...] | None:
    """Read them from the host's procfs: no need to enter the namespace, or to load a netlink library for 150 ms."""
    try:
        if posix.readlink(f"/proc/{state.pid}/ns/net") == posix.readlink("/proc/self/ns/net"):
            return None  # what passes there is the host's
        return parse_net_dev(read_file(f"/proc/{state.pid}/net/dev"))
    except (FileNotFoundError, ProcessLookupError):
        return ()
    except (OSError, ValueError) as err:
        why = reason(err) if isinstance(err, OSError) else str(err)
        raise StateError(f"cannot read the network interfaces of {state.id}: {why}") from err


def parse_net_dev(text: str) -> tuple[Interface, ...]:
    """Read /proc/PID/net/dev: two lines of headings, then "name: " and eight numbers for each direction.

    Raises ValueError.
    """
    interfaces = []
    for line in text.split("\n")[2:]:
        # Old kernels let a name hold a colon, as aliases did.
        name, colon, counts = line.rpartition(":")
        if colon:
            numbers = [int(word) for word in counts.split()]
            interfaces.append(Interface(name.strip(), *numbers[:4], *numbers[8:12]))
    return tuple(interfaces)
