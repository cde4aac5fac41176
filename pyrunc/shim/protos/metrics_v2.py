"""Made of metrics_v2.proto by `make protos`: do not edit."""

from __future__ import annotations

from pyrunc.shim.codec import Message


class PidsStat(Message):
    """io.containerd.cgroups.v2.PidsStat."""

    current: int = 0
    limit: int = 0

    _wire = (
        (1, "current", "uint", ""),
        (2, "limit", "uint", ""),
    )


class CPUStat(Message):
    """io.containerd.cgroups.v2.CPUStat."""

    usage_usec: int = 0
    user_usec: int = 0
    system_usec: int = 0
    nr_periods: int = 0
    nr_throttled: int = 0
    throttled_usec: int = 0

    _wire = (
        (1, "usage_usec", "uint", ""),
        (2, "user_usec", "uint", ""),
        (3, "system_usec", "uint", ""),
        (4, "nr_periods", "uint", ""),
        (5, "nr_throttled", "uint", ""),
        (6, "throttled_usec", "uint", ""),
    )


class MemoryStat(Message):
    """io.containerd.cgroups.v2.MemoryStat."""

    anon: int = 0
    file: int = 0
    kernel_stack: int = 0
    slab: int = 0
    sock: int = 0
    shmem: int = 0
    file_mapped: int = 0
    file_dirty: int = 0
    file_writeback: int = 0
    anon_thp: int = 0
    inactive_anon: int = 0
    active_anon: int = 0
    inactive_file: int = 0
    active_file: int = 0
    unevictable: int = 0
    slab_reclaimable: int = 0
    slab_unreclaimable: int = 0
    pgfault: int = 0
    pgmajfault: int = 0
    workingset_refault: int = 0
    workingset_activate: int = 0
    workingset_nodereclaim: int = 0
    pgrefill: int = 0
    pgscan: int = 0
    pgsteal: int = 0
    pgactivate: int = 0
    pgdeactivate: int = 0
    pglazyfree: int = 0
    pglazyfreed: int = 0
    thp_fault_alloc: int = 0
    thp_collapse_alloc: int = 0
    usage: int = 0
    usage_limit: int = 0
    swap_usage: int = 0
    swap_limit: int = 0
    max_usage: int = 0
    swap_max_usage: int = 0

    _wire = (
        (1, "anon", "uint", ""),
        (2, "file", "uint", ""),
        (3, "kernel_stack", "uint", ""),
        (4, "slab", "uint", ""),
        (5, "sock", "uint", ""),
        (6, "shmem", "uint", ""),
        (7, "file_mapped", "uint", ""),
        (8, "file_dirty", "uint", ""),
        (9, "file_writeback", "uint", ""),
        (10, "anon_thp", "uint", ""),
        (11, "inactive_anon", "uint", ""),
        (12, "active_anon", "uint", ""),
        (13, "inactive_file", "uint", ""),
        (14, "active_file", "uint", ""),
        (15, "unevictable", "uint", ""),
        (16, "slab_reclaimable", "uint", ""),
        (17, "slab_unreclaimable", "uint", ""),
        (18, "pgfault", "uint", ""),
        (19, "pgmajfault", "uint", ""),
        (20, "workingset_refault", "uint", ""),
        (21, "workingset_activate", "uint", ""),
        (22, "workingset_nodereclaim", "uint", ""),
        (23, "pgrefill", "uint", ""),
        (24, "pgscan", "uint", ""),
        (25, "pgsteal", "uint", ""),
        (26, "pgactivate", "uint", ""),
        (27, "pgdeactivate", "uint", ""),
        (28, "pglazyfree", "uint", ""),
        (29, "pglazyfreed", "uint", ""),
        (30, "thp_fault_alloc", "uint", ""),
        (31, "thp_collapse_alloc", "uint", ""),
        (32, "usage", "uint", ""),
        (33, "usage_limit", "uint", ""),
        (34, "swap_usage", "uint", ""),
        (35, "swap_limit", "uint", ""),
        (36, "max_usage", "uint", ""),
        (37, "swap_max_usage", "uint", ""),
    )


class MemoryEvents(Message):
    """io.containerd.cgroups.v2.MemoryEvents."""

    low: int = 0
    high: int = 0
    max: int = 0
    oom: int = 0
    oom_kill: int = 0

    _wire = (
        (1, "low", "uint", ""),
        (2, "high", "uint", ""),
        (3, "max", "uint", ""),
        (4, "oom", "uint", ""),
        (5, "oom_kill", "uint", ""),
    )


class IOEntry(Message):
    """io.containerd.cgroups.v2.IOEntry."""

    major: int = 0
    minor: int = 0
    rbytes: int = 0
    wbytes: int = 0
    rios: int = 0
    wios: int = 0

    _wire = (
        (1, "major", "uint", ""),
        (2, "minor", "uint", ""),
        (3, "rbytes", "uint", ""),
        (4, "wbytes", "uint", ""),
        (5, "rios", "uint", ""),
        (6, "wios", "uint", ""),
    )


class IOStat(Message):
    """io.containerd.cgroups.v2.IOStat."""

    usage: tuple[IOEntry, ...] = ()

    _wire = (
        (1, "usage", IOEntry, "list"),
    )


class HugeTlbStat(Message):
    """io.containerd.cgroups.v2.HugeTlbStat."""

    current: int = 0
    max: int = 0
    pagesize: str = ""

    _wire = (
        (1, "current", "uint", ""),
        (2, "max", "uint", ""),
        (3, "pagesize", "str", ""),
    )


class Metrics(Message):
    """io.containerd.cgroups.v2.Metrics."""

    pids: PidsStat | None = None
    cpu: CPUStat | None = None
    memory: MemoryStat | None = None
    io: IOStat | None = None
    hugetlb: tuple[HugeTlbStat, ...] = ()
    memory_events: MemoryEvents | None = None

    _wire = (
        (1, "pids", PidsStat, ""),
        (2, "cpu", CPUStat, ""),
        (4, "memory", MemoryStat, ""),
        (6, "io", IOStat, ""),
        (7, "hugetlb", HugeTlbStat, "list"),
        (8, "memory_events", MemoryEvents, ""),
    )
