"""What a container's cgroups have counted, as one typed record, whichever cgroup version counted it.

Names and units are cgroup v1's where the versions differ, because that is what runc's callers know. Times are
nanoseconds and sizes bytes, pressure apart. What the kernel or the host does not count is 0, () or None.
"""

from __future__ import annotations

import posix
from errno import ENODEV, ENOENT, EOPNOTSUPP

from pyrunc.cgroups.control import guard
from pyrunc.cgroups.layout import read_file, read_layout
from pyrunc.errors import CgroupError, reason
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from pyrunc.plan.facts import CgroupLayout

UNLIMITED = (1 << 64) - 1
"""What stands for "max" among memory limits; cgroup v1 itself says a number of that size."""
_MISSING = (ENOENT, ENODEV, EOPNOTSUPP)


class Stall(Record):
    """One line of a pressure file: shares of time in percent, and all of it in microseconds."""

    avg10: float = 0.0
    avg60: float = 0.0
    avg300: float = 0.0
    total: int = 0


class Pressure(Record):
    """How long some, or all, of the processes waited for a resource (Documentation/accounting/psi.rst)."""

    some: Stall = Stall()
    full: Stall = Stall()


class CpuUsage(Record):
    """Time spent; what is counted per cpu is v1's alone."""

    total: int = 0
    user: int = 0
    kernel: int = 0
    percpu: tuple[int, ...] = ()
    percpu_user: tuple[int, ...] = ()
    percpu_kernel: tuple[int, ...] = ()


class Throttling(Record):
    """How often, and for how long, the quota held the container back."""

    periods: int = 0
    throttled_periods: int = 0
    throttled_time: int = 0


class Cpu(Record):
    """The controllers cpu and cpuacct."""

    usage: CpuUsage = CpuUsage()
    throttling: Throttling = Throttling()
    psi: Pressure | None = None


class Cpuset(Record):
    """The flags of a v1 cpuset (cpuset(7)); v2 has none of them."""

    cpus: tuple[int, ...] = ()
    mems: tuple[int, ...] = ()
    cpu_exclusive: int = 0
    mem_hardwall: int = 0
    mem_exclusive: int = 0
    memory_migrate: int = 0
    memory_spread_page: int = 0
    memory_spread_slab: int = 0
    memory_pressure: int = 0
    sched_load_balance: int = 0
    sched_relax_domain_level: int = 0


class MemoryEntry(Record):
    """One kind of memory: its limit, what is used, the most that ever was, how often the limit was hit."""

    limit: int = 0
    usage: int = 0
    max: int = 0
    failcnt: int = 0


class Memory(Record):
    """`swap` is memory and swap together, as v1 counts; `swap_only` is v2's; `raw` is memory.stat.

    `events` is memory.events, or memory.oom_control, of which "oom_kill" is in both.
    """

    cache: int = 0
    usage: MemoryEntry = MemoryEntry()
    swap: MemoryEntry = MemoryEntry()
    swap_only: MemoryEntry = MemoryEntry()
    kernel: MemoryEntry = MemoryEntry()
    kernel_tcp: MemoryEntry = MemoryEntry()
    raw: dict[str, int] = {}
    events: dict[str, int] = {}
    psi: Pressure | None = None


class Pids(Record):
    """Tasks now, and how many there may be: 0 is no limit."""

    current: int = 0
    limit: int = 0


class BlkioEntry(Record):
    """One number about one block device; `op` is Read, Write, Discard..., "" where it is about all of them."""

    major: int
    minor: int
    op: str
    value: int


class Blkio(Record):
    """Block devices; the names are those of v1's files, without io_ and _recursive."""

    service_bytes: tuple[BlkioEntry, ...] = ()
    serviced: tuple[BlkioEntry, ...] = ()
    queued: tuple[BlkioEntry, ...] = ()
    service_time: tuple[BlkioEntry, ...] = ()
    wait_time: tuple[BlkioEntry, ...] = ()
    merged: tuple[BlkioEntry, ...] = ()
    time: tuple[BlkioEntry, ...] = ()
    sectors: tuple[BlkioEntry, ...] = ()
    psi: Pressure | None = None


class Hugetlb(Record):
    """Huge pages of one size, reservations where the kernel counts them."""

    usage: int = 0
    max: int = 0
    failcnt: int = 0


class Stats(Record):
    """All of it; `version` is that of the cgroup that counts memory, or of the only one."""

    version: int = 1
    cpu: Cpu = Cpu()
    cpuset: Cpuset = Cpuset()
    memory: Memory = Memory()
    pids: Pids = Pids()
    blkio: Blkio = Blkio()
    hugetlb: dict[str, Hugetlb] = {}


def read_stats(paths: tuple[str, ...], layout: CgroupLayout | None = None) -> Stats:
    """Return what the cgroups at these paths, one a hierarchy, have counted.

    Raises CgroupError when they are gone, cannot be read, or are none of a container's (control.guard).
    """
    layout = layout or read_layout()
    places = {path: guard(path, layout) for path in paths}
    pure = all(each.version == 2 for each in places.values())
    found = Stats(version=2 if pure else 1)
    try:
        for path, hierarchy in places.items():
            controllers = (*hierarchy.controllers, "cpu") if pure else hierarchy.controllers
            found = found.but(**_reader_of(hierarchy.version).read(path, controllers, found))
            # What is missing counts for nothing in there, so look whether all of it is.
            posix.stat(path)
    except (OSError, ValueError) as err:
        why = reason(err) if isinstance(err, OSError) else str(err)
        raise CgroupError(f"cannot read the statistics of {path}: {why}") from err
    return found


def _reader_of(version: int) -> ModuleType:
    """Import only the version that is needed."""
    if version == 1:
        from pyrunc.cgroups import stats_v1

        return stats_v1
    from pyrunc.cgroups import stats_v2

    return stats_v2


def text(path: str) -> str:
    """Return a file's text, "" where this kernel has none or has it turned off. Raises OSError."""
    try:
        return read_file(path)
    except OSError as err:
        if err.errno in _MISSING:
            return ""
        raise


def number(path: str) -> int:
    """Return a file's number, 0 where there is no such file. Raises OSError, ValueError."""
    return value_of(text(path).strip() or "0")


def value_of(word: str) -> int:
    """Return a number that may be "max". Raises ValueError."""
    return UNLIMITED if word == "max" else int(word)


def pairs(path: str) -> dict[str, int]:
    """Return a file of lines "key number". Raises OSError, ValueError."""
    words = (line.split() for line in text(path).splitlines())
    return {word[0]: value_of(word[1]) for word in words if len(word) == 2}


def numbers(listed: str) -> tuple[int, ...]:
    """Return the numbers in a list such as 0-3,7 (cpuset(7)). Raises ValueError."""
    found: list[int] = []
    for part in filter(None, listed.strip().split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def pids(path: str) -> Pids:
    """Return what the controller pids counts: its files are the same in v1 and v2. Raises OSError, ValueError."""
    limit = text(f"{path}/pids.max").strip()
    return Pids(number(f"{path}/pids.current"), int(limit) if limit.isdigit() else 0)


def page_sizes(path: str, ending: str) -> tuple[str, ...]:
    """Return the sizes of huge pages that a cgroup counts, such as 2MB. Raises OSError."""
    names = (name.split(".") for name in posix.listdir(path) if name.startswith("hugetlb."))
    return tuple(sorted(name[1] for name in names if name[2:] == [ending]))
