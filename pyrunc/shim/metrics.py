"""Counters of a container in containerd's words, which are those of its cgroup's version."""

from __future__ import annotations

from pyrunc.shim.events import wrap
from pyrunc.shim.protos import metrics_v1 as v1
from pyrunc.shim.protos import metrics_v2 as v2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cgroups.stats import BlkioEntry, MemoryEntry, Stats
    from pyrunc.host.stats import ContainerStats
    from pyrunc.shim.protos.types import Any

_MICRO = 1000
_RENAMED = {"pg_pg_in": "pgpgin", "pg_pg_out": "pgpgout", "pg_fault": "pgfault", "pg_maj_fault": "pgmajfault"}
_HIERARCHICAL = {
    "hierarchical_memory_limit": "hierarchical_memory_limit",
    "hierarchical_swap_limit": "hierarchical_memsw_limit",
}


def metrics(counted: ContainerStats) -> Any:
    """Return the counters as the message that containerd expects of this version of cgroups."""
    if counted.cgroup.version == 1:
        return wrap(_v1(counted), "io.containerd.cgroups.v1.Metrics")
    return wrap(_v2(counted.cgroup), "io.containerd.cgroups.v2.Metrics")


def _v1(counted: ContainerStats) -> v1.Metrics:
    stats = counted.cgroup
    usage, held = stats.cpu.usage, stats.cpu.throttling
    events = stats.memory.events
    return v1.Metrics(
        hugetlb=tuple(v1.HugetlbStat(e.usage, e.max, e.failcnt, size) for size, e in stats.hugetlb.items()),
        pids=v1.PidsStat(stats.pids.current, stats.pids.limit),
        cpu=v1.CPUStat(
            v1.CPUUsage(usage.total, usage.kernel, usage.user, usage.percpu),
            v1.Throttle(held.periods, held.throttled_periods, held.throttled_time),
        ),
        memory=_memory_v1(stats),
        blkio=_blkio_v1(stats),
        network=tuple(
            v1.NetworkStat(
                *(each.name, each.rx_bytes, each.rx_packets, each.rx_errors, each.rx_dropped),
                *(each.tx_bytes, each.tx_packets, each.tx_errors, each.tx_dropped),
            )
            for each in counted.interfaces or ()
        ),
        memory_oom_control=v1.MemoryOomControl(
            events.get("oom_kill_disable", 0), events.get("under_oom", 0), events.get("oom_kill", 0)
        ),
    )


def _memory_v1(stats: Stats) -> v1.MemoryStat:
    raw = stats.memory.raw
    counts = {name: raw.get(_name_v1(name), 0) for name in v1.MemoryStat._fields[:32]}
    return v1.MemoryStat(
        **counts,
        usage=_entry_v1(stats.memory.usage),
        swap=_entry_v1(stats.memory.swap),
        kernel=_entry_v1(stats.memory.kernel),
        kernel_tcp=_entry_v1(stats.memory.kernel_tcp),
    )


def _name_v1(name: str) -> str:
    """Return how memory.stat spells a counter."""
    own = name.removeprefix("total_")
    return _HIERARCHICAL.get(name, name[: len(name) - len(own)] + _RENAMED.get(own, own))


def _entry_v1(entry: MemoryEntry) -> v1.MemoryEntry:
    return v1.MemoryEntry(entry.limit, entry.usage, entry.max, entry.failcnt)


def _blkio_v1(stats: Stats) -> v1.BlkIOStat:
    blkio = stats.blkio
    lists = (blkio.service_bytes, blkio.serviced, blkio.queued, blkio.service_time)
    more = (blkio.wait_time, blkio.merged, blkio.time, blkio.sectors)
    return v1.BlkIOStat(*(tuple(map(_device_v1, each)) for each in (*lists, *more)))


def _device_v1(entry: BlkioEntry) -> v1.BlkIOEntry:
    return v1.BlkIOEntry(entry.op, "", entry.major, entry.minor, entry.value)


def _v2(stats: Stats) -> v2.Metrics:
    usage, held, memory = stats.cpu.usage, stats.cpu.throttling, stats.memory
    kept = {name: memory.raw.get(name, 0) for name in v2.MemoryStat._fields[:31]}
    return v2.Metrics(
        pids=v2.PidsStat(stats.pids.current, stats.pids.limit),
        cpu=v2.CPUStat(
            *(usage.total // _MICRO, usage.user // _MICRO, usage.kernel // _MICRO),
            *(held.periods, held.throttled_periods, held.throttled_time // _MICRO),
        ),
        memory=v2.MemoryStat(
            **kept,
            usage=memory.usage.usage,
            usage_limit=memory.usage.limit,
            swap_usage=memory.swap_only.usage,
            swap_limit=memory.swap_only.limit,
            max_usage=memory.usage.max,
            swap_max_usage=memory.swap_only.max,
        ),
        io=v2.IOStat(_io_v2(stats)),
        hugetlb=tuple(v2.HugeTlbStat(each.usage, each.max, size) for size, each in stats.hugetlb.items()),
        memory_events=v2.MemoryEvents(*(memory.events.get(name, 0) for name in v2.MemoryEvents._fields)),
    )


def _io_v2(stats: Stats) -> tuple[v2.IOEntry, ...]:
    """Put the numbers of a device together that v1's words have in two tables, by what was done."""
    found: dict[tuple[int, int], dict[str, int]] = {}
    for table, ending in ((stats.blkio.service_bytes, "bytes"), (stats.blkio.serviced, "ios")):
        for entry in table:
            letter = {"Read": "r", "Write": "w"}.get(entry.op)
            if letter:
                found.setdefault((entry.major, entry.minor), {})[letter + ending] = entry.value
    return tuple(v2.IOEntry(*place, **counts) for place, counts in found.items())
