"""The statistics of cgroup v2 (Documentation/admin-guide/cgroup-v2.rst), told in the words of v1."""

from __future__ import annotations

from pyrunc.cgroups.stats import (
    UNLIMITED,
    Blkio,
    BlkioEntry,
    Cpu,
    CpuUsage,
    Hugetlb,
    Memory,
    MemoryEntry,
    Pressure,
    Stall,
    Throttling,
    number,
    page_sizes,
    pairs,
    pids,
    text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cgroups.stats import Stats

_MICROSECOND = 1000  # in nanoseconds

# What io.stat says of a device: the member of Blkio that v1 has it in, and v1's word for the operation.
_IO = {
    "rbytes": ("service_bytes", "Read"),
    "wbytes": ("service_bytes", "Write"),
    "dbytes": ("service_bytes", "Discard"),
    "rios": ("serviced", "Read"),
    "wios": ("serviced", "Write"),
    "dios": ("serviced", "Discard"),
}


def read(path: str, controllers: tuple[str, ...], found: Stats) -> dict[str, object]:
    """Return the members of Stats that this cgroup knows; pressure it knows of every resource.

    Raises OSError, ValueError.
    """
    members: dict[str, object] = {}
    for controller, member in (("cpu", "cpu"), ("memory", "memory"), ("io", "blkio")):
        known = _READERS[controller](path) if controller in controllers else getattr(found, member)
        members[member] = known.but(psi=_pressure(f"{path}/{controller}.pressure"))
    if "pids" in controllers:
        members["pids"] = pids(path)
    if "hugetlb" in controllers:
        members["hugetlb"] = _hugetlb(path)
    return members


def _pressure(file: str) -> Pressure | None:
    """Read lines such as "some avg10=0.00 avg60=0.00 avg300=0.00 total=0"."""
    lines = {}
    for line in text(file).splitlines():
        kind, *words = line.split()
        values = dict(word.split("=", 1) for word in words)
        avg10, avg60, avg300 = (float(values.get(name, 0)) for name in ("avg10", "avg60", "avg300"))
        lines[kind] = Stall(avg10, avg60, avg300, int(values.get("total", 0)))
    return Pressure(lines.get("some", Stall()), lines.get("full", Stall())) if lines else None


def _cpu(path: str) -> Cpu:
    found = pairs(f"{path}/cpu.stat")
    total, user, kernel, throttled = (
        found.get(name, 0) * _MICROSECOND for name in ("usage_usec", "user_usec", "system_usec", "throttled_usec")
    )
    throttling = Throttling(found.get("nr_periods", 0), found.get("nr_throttled", 0), throttled)
    return Cpu(CpuUsage(total, user, kernel), throttling)


def _memory(path: str) -> Memory:
    raw, events = pairs(f"{path}/memory.stat"), pairs(f"{path}/memory.events")
    usage = _memory_entry(f"{path}/memory", events.get("max", 0))
    swap = _memory_entry(f"{path}/memory.swap", pairs(f"{path}/memory.swap.events").get("max", 0))
    limit = UNLIMITED if UNLIMITED in (usage.limit, swap.limit) else usage.limit + swap.limit
    return Memory(
        cache=raw.get("file", 0),
        usage=usage,
        # The most of both together is not the sum of the most of each, and nobody counts it.
        swap=MemoryEntry(limit, usage.usage + swap.usage, 0, 0),
        swap_only=swap,
        raw=raw,
        events=events,
    )


def _memory_entry(prefix: str, failcnt: int) -> MemoryEntry:
    limit, usage, most = (number(f"{prefix}.{file}") for file in ("max", "current", "peak"))
    return MemoryEntry(limit, usage, most, failcnt)


def _blkio(path: str) -> Blkio:
    """Read lines such as "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0"."""
    found: dict[str, list[BlkioEntry]] = {"service_bytes": [], "serviced": []}
    for line in text(f"{path}/io.stat").splitlines():
        place, *words = line.split()
        major, colon, minor = place.partition(":")
        for word in words if colon else ():
            key, _, value = word.partition("=")
            if key in _IO:
                member, op = _IO[key]
                found[member].append(BlkioEntry(int(major), int(minor), op, int(value)))
    return Blkio(tuple(found["service_bytes"]), tuple(found["serviced"]))


def _hugetlb(path: str) -> dict[str, Hugetlb]:
    found = {}
    for size in page_sizes(path, "current"):
        prefix = f"{path}/hugetlb.{size}"
        reserved = text(f"{prefix}.rsvd.current").strip()
        usage = int(reserved) if reserved else number(f"{prefix}.current")
        found[size] = Hugetlb(usage, failcnt=pairs(f"{prefix}.events").get("max", 0))
    return found


_READERS = {"cpu": _cpu, "memory": _memory, "io": _blkio}
