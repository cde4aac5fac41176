"""Made of metrics_v1.proto by `make protos`: do not edit."""

from __future__ import annotations

from pyrunc.shim.codec import Message


class HugetlbStat(Message):
    """io.containerd.cgroups.v1.HugetlbStat."""

    usage: int = 0
    max: int = 0
    failcnt: int = 0
    pagesize: str = ""

    _wire = (
        (1, "usage", "uint", ""),
        (2, "max", "uint", ""),
        (3, "failcnt", "uint", ""),
        (4, "pagesize", "str", ""),
    )


class PidsStat(Message):
    """io.containerd.cgroups.v1.PidsStat."""

    current: int = 0
    limit: int = 0

    _wire = (
        (1, "current", "uint", ""),
        (2, "limit", "uint", ""),
    )


class CPUUsage(Message):
    """io.containerd.cgroups.v1.CPUUsage."""

    total: int = 0
    kernel: int = 0
    user: int = 0
    per_cpu: tuple[int, ...] = ()

    _wire = (
        (1, "total", "uint", ""),
        (2, "kernel", "uint", ""),
        (3, "user", "uint", ""),
        (4, "per_cpu", "uint", "list"),
    )


class Throttle(Message):
    """io.containerd.cgroups.v1.Throttle."""

    periods: int = 0
    throttled_periods: int = 0
    throttled_time: int = 0

    _wire = (
        (1, "periods", "uint", ""),
        (2, "throttled_periods", "uint", ""),
        (3, "throttled_time", "uint", ""),
    )


class CPUStat(Message):
    """io.containerd.cgroups.v1.CPUStat."""

    usage: CPUUsage | None = None
    throttling: Throttle | None = None

    _wire = (
        (1, "usage", CPUUsage, ""),
        (2, "throttling", Throttle, ""),
    )


class MemoryEntry(Message):
    """io.containerd.cgroups.v1.MemoryEntry."""

    limit: int = 0
    usage: int = 0
    max: int = 0
    failcnt: int = 0

    _wire = (
        (1, "limit", "uint", ""),
        (2, "usage", "uint", ""),
        (3, "max", "uint", ""),
        (4, "failcnt", "uint", ""),
    )


class MemoryStat(Message):
    """io.containerd.cgroups.v1.MemoryStat."""

    cache: int = 0
    rss: int = 0
    rss_huge: int = 0
    mapped_file: int = 0
    dirty: int = 0
    writeback: int = 0
    pg_pg_in: int = 0
    pg_pg_out: int = 0
    pg_fault: int = 0
    pg_maj_fault: int = 0
    inactive_anon: int = 0
    active_anon: int = 0
    inactive_file: int = 0
    active_file: int = 0
    unevictable: int = 0
    hierarchical_memory_limit: int = 0
    hierarchical_swap_limit: int = 0
    total_cache: int = 0
    total_rss: int = 0
    total_rss_huge: int = 0
    total_mapped_file: int = 0
    total_dirty: int = 0
    total_writeback: int = 0
    total_pg_pg_in: int = 0
    total_pg_pg_out: int = 0
    total_pg_fault: int = 0
    total_pg_maj_fault: int = 0
    total_inactive_anon: int = 0
    total_active_anon: int = 0
    total_inactive_file: int = 0
    total_active_file: int = 0
    total_unevictable: int = 0
    usage: MemoryEntry | None = None
    swap: MemoryEntry | None = None
    kernel: MemoryEntry | None = None
    kernel_tcp: MemoryEntry | None = None

    _wire = (
        (1, "cache", "uint", ""),
        (2, "rss", "uint", ""),
        (3, "rss_huge", "uint", ""),
        (4, "mapped_file", "uint", ""),
        (5, "dirty", "uint", ""),
        (6, "writeback", "uint", ""),
        (7, "pg_pg_in", "uint", ""),
        (8, "pg_pg_out", "uint", ""),
        (9, "pg_fault", "uint", ""),
        (10, "pg_maj_fault", "uint", ""),
        (11, "inactive_anon", "uint", ""),
        (12, "active_anon", "uint", ""),
        (13, "inactive_file", "uint", ""),
        (14, "active_file", "uint", ""),
        (15, "unevictable", "uint", ""),
        (16, "hierarchical_memory_limit", "uint", ""),
        (17, "hierarchical_swap_limit", "uint", ""),
        (18, "total_cache", "uint", ""),
        (19, "total_rss", "uint", ""),
        (20, "total_rss_huge", "uint", ""),
        (21, "total_mapped_file", "uint", ""),
        (22, "total_dirty", "uint", ""),
        (23, "total_writeback", "uint", ""),
        (24, "total_pg_pg_in", "uint", ""),
        (25, "total_pg_pg_out", "uint", ""),
        (26, "total_pg_fault", "uint", ""),
        (27, "total_pg_maj_fault", "uint", ""),
        (28, "total_inactive_anon", "uint", ""),
        (29, "total_active_anon", "uint", ""),
        (30, "total_inactive_file", "uint", ""),
        (31, "total_active_file", "uint", ""),
        (32, "total_unevictable", "uint", ""),
        (33, "usage", MemoryEntry, ""),
        (34, "swap", MemoryEntry, ""),
        (35, "kernel", MemoryEntry, ""),
        (36, "kernel_tcp", MemoryEntry, ""),
    )


class MemoryOomControl(Message):
    """io.containerd.cgroups.v1.MemoryOomControl."""

    oom_kill_disable: int = 0
    under_oom: int = 0
    oom_kill: int = 0

    _wire = (
        (1, "oom_kill_disable", "uint", ""),
        (2, "under_oom", "uint", ""),
        (3, "oom_kill", "uint", ""),
    )


class BlkIOEntry(Message):
    """io.containerd.cgroups.v1.BlkIOEntry."""

    op: str = ""
    device: str = ""
    major: int = 0
    minor: int = 0
    value: int = 0

    _wire = (
        (1, "op", "str", ""),
        (2, "device", "str", ""),
        (3, "major", "uint", ""),
        (4, "minor", "uint", ""),
        (5, "value", "uint", ""),
    )


class BlkIOStat(Message):
    """io.containerd.cgroups.v1.BlkIOStat."""

    io_service_bytes_recursive: tuple[BlkIOEntry, ...] = ()
    io_serviced_recursive: tuple[BlkIOEntry, ...] = ()
    io_queued_recursive: tuple[BlkIOEntry, ...] = ()
    io_service_time_recursive: tuple[BlkIOEntry, ...] = ()
    io_wait_time_recursive: tuple[BlkIOEntry, ...] = ()
    io_merged_recursive: tuple[BlkIOEntry, ...] = ()
    io_time_recursive: tuple[BlkIOEntry, ...] = ()
    sectors_recursive: tuple[BlkIOEntry, ...] = ()

    _wire = (
        (1, "io_service_bytes_recursive", BlkIOEntry, "list"),
        (2, "io_serviced_recursive", BlkIOEntry, "list"),
        (3, "io_queued_recursive", BlkIOEntry, "list"),
        (4, "io_service_time_recursive", BlkIOEntry, "list"),
        (5, "io_wait_time_recursive", BlkIOEntry, "list"),
        (6, "io_merged_recursive", BlkIOEntry, "list"),
        (7, "io_time_recursive", BlkIOEntry, "list"),
        (8, "sectors_recursive", BlkIOEntry, "list"),
    )


class NetworkStat(Message):
    """io.containerd.cgroups.v1.NetworkStat."""

    name: str = ""
    rx_bytes: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_dropped: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0

    _wire = (
        (1, "name", "str", ""),
        (2, "rx_bytes", "uint", ""),
        (3, "rx_packets", "uint", ""),
        (4, "rx_errors", "uint", ""),
        (5, "rx_dropped", "uint", ""),
        (6, "tx_bytes", "uint", ""),
        (7, "tx_packets", "uint", ""),
        (8, "tx_errors", "uint", ""),
        (9, "tx_dropped", "uint", ""),
    )


class Metrics(Message):
    """io.containerd.cgroups.v1.Metrics."""

    hugetlb: tuple[HugetlbStat, ...] = ()
    pids: PidsStat | None = None
    cpu: CPUStat | None = None
    memory: MemoryStat | None = None
    blkio: BlkIOStat | None = None
    network: tuple[NetworkStat, ...] = ()
    memory_oom_control: MemoryOomControl | None = None

    _wire = (
        (1, "hugetlb", HugetlbStat, "list"),
        (2, "pids", PidsStat, ""),
        (3, "cpu", CPUStat, ""),
        (4, "memory", MemoryStat, ""),
        (5, "blkio", BlkIOStat, ""),
        (7, "network", NetworkStat, "list"),
        (9, "memory_oom_control", MemoryOomControl, ""),
    )
