"""The statistics of cgroup v1 (Documentation/admin-guide/cgroup-v1): one function per controller."""

from __future__ import annotations

from pyrunc.cgroups.stats import (
    Blkio,
    BlkioEntry,
    Cpuset,
    CpuUsage,
    Hugetlb,
    Memory,
    MemoryEntry,
    Throttling,
    number,
    numbers,
    page_sizes,
    pairs,
    pids,
    text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.cgroups.stats import Stats

_TICK = 10**9 // 100  # USER_HZ is 100 for whoever asks, whatever the kernel counts in

_BLKIO = (
    # The member of Blkio, and the end of the file's name. Whoever has the last has all.
    ("serviced", "io_serviced_recursive"),
    ("service_bytes", "io_service_bytes_recursive"),
    ("queued", "io_queued_recursive"),
    ("service_time", "io_service_time_recursive"),
    ("wait_time", "io_wait_time_recursive"),
    ("merged", "io_merged_recursive"),
    ("time", "time_recursive"),
    ("sectors", "sectors_recursive"),
)
# Who may have counted: the schedulers bfq, and before 5.0 CFQ, else the throttling layer.
_COUNTERS = ("blkio.bfq.", "blkio.", "blkio.throttle.")


def read(path: str, controllers: tuple[str, ...], found: Stats) -> dict[str, object]:
    """Return the members of Stats that this hierarchy's controllers know. Raises OSError, ValueError."""
    members: dict[str, object] = {}
    cpu = found.cpu
    for controller in controllers:
        if controller == "cpuacct":
            members["cpu"] = cpu = cpu.but(usage=_cpu_usage(path))
        elif controller == "cpu":
            members["cpu"] = cpu = cpu.but(throttling=_throttling(path))
        elif controller in _READERS:
            members[controller] = _READERS[controller](path)
    return members


def _cpu_usage(path: str) -> CpuUsage:
    modes = pairs(f"{path}/cpuacct.stat")
    rows = [tuple(map(int, line.split())) for line in text(f"{path}/cpuacct.usage_all").splitlines()[1:]]
    return CpuUsage(
        number(f"{path}/cpuacct.usage"),
        modes.get("user", 0) * _TICK,
        modes.get("system", 0) * _TICK,
        tuple(map(int, text(f"{path}/cpuacct.usage_percpu").split())),
        tuple(user for _, user, _ in rows),
        tuple(kernel for _, _, kernel in rows),
    )


def _throttling(path: str) -> Throttling:
    found = pairs(f"{path}/cpu.stat")
    return Throttling(found.get("nr_periods", 0), found.get("nr_throttled", 0), found.get("throttled_time", 0))


def _cpuset(path: str) -> Cpuset:
    named = [name for name in Cpuset._fields if name not in ("cpus", "mems")]
    flags = {name: number(f"{path}/cpuset.{name}") for name in named}
    cpus, mems = (numbers(text(f"{path}/cpuset.{name}")) for name in ("cpus", "mems"))
    return Cpuset(cpus, mems).but(**flags)


def _memory(path: str) -> Memory:
    raw = pairs(f"{path}/memory.stat")
    return Memory(
        cache=raw.get("cache", 0),
        usage=_memory_entry(f"{path}/memory"),
        swap=_memory_entry(f"{path}/memory.memsw"),
        kernel=_memory_entry(f"{path}/memory.kmem"),
        kernel_tcp=_memory_entry(f"{path}/memory.kmem.tcp"),
        raw=raw,
        events=pairs(f"{path}/memory.oom_control"),
    )


def _memory_entry(prefix: str) -> MemoryEntry:
    files = ("limit_in_bytes", "usage_in_bytes", "max_usage_in_bytes", "failcnt")
    return MemoryEntry(*(number(f"{prefix}.{file}") for file in files))


def _blkio(path: str) -> Blkio:
    for counter in _COUNTERS:
        files = {member: f"{path}/{counter}{file}" for member, file in _BLKIO}
        found = {member: tuple(_blkio_entries(file)) for member, file in files.items()}
        if found["serviced"]:
            return Blkio().but(**found)
    return Blkio()


def _blkio_entries(file: str) -> Iterator[BlkioEntry]:
    for line in text(file).splitlines():
        # "8:0 Read 4096", or "8:0 4096"; a line of all devices, "Total 4096", ends the file.
        place, *words = line.split()
        major, colon, minor = place.partition(":")
        if colon:
            yield BlkioEntry(int(major), int(minor), words[0] if len(words) == 2 else "", int(words[-1]))


def _hugetlb(path: str) -> dict[str, Hugetlb]:
    found = {}
    for size in page_sizes(path, "usage_in_bytes"):
        reserved = f"{path}/hugetlb.{size}.rsvd"
        prefix = reserved if text(f"{reserved}.usage_in_bytes") else f"{path}/hugetlb.{size}"
        files = ("usage_in_bytes", "max_usage_in_bytes", "failcnt")
        found[size] = Hugetlb(*(number(f"{prefix}.{file}") for file in files))
    return found


_READERS = {"cpuset": _cpuset, "memory": _memory, "pids": pids, "blkio": _blkio, "hugetlb": _hugetlb}
