"""What resctrl says about a container's class of service (Documentation/filesystems/resctrl): limits and monitoring."""

from __future__ import annotations

import posix

from pyrunc.cgroups.layout import read_file
from pyrunc.errors import StateError, reason
from pyrunc.record import Record


class L3CacheInfo(Record):
    """info/L3: what may be written to schemata about the cache."""

    cbm_mask: str
    min_cbm_bits: int
    num_closids: int


class MemBwInfo(Record):
    """info/MB: what may be written to schemata about memory bandwidth."""

    bandwidth_gran: int
    delay_linear: int
    min_bandwidth: int
    num_closids: int


class Domain(Record):
    """What is monitored in one domain, usually a socket: bytes in the cache, and bytes since the group was made."""

    llc_occupancy: int
    mbm_total_bytes: int
    mbm_local_bytes: int


class ResctrlStats(Record):
    """The schemata of the root and of the container's class, and the monitoring data of its group."""

    root_schemata: tuple[str, ...] = ()
    schemata: tuple[str, ...] = ()
    l3: L3CacheInfo | None = None
    mb: MemBwInfo | None = None
    domains: tuple[Domain, ...] | None = None
    """None where the processor or the kernel does not monitor."""


def read_resctrl(made: tuple[str, ...]) -> ResctrlStats | None:
    """Return what is known of the groups that were made for a container, None without any. Raises StateError."""
    if not made:
        return None
    clos = made[0].partition("/mon_groups/")[0]
    root = clos if posix.access(f"{clos}/info", posix.F_OK) else clos.rpartition("/")[0]
    try:
        return ResctrlStats(
            _lines(f"{root}/schemata"),
            _lines(f"{clos}/schemata"),
            _l3(f"{root}/info/L3"),
            _mb(f"{root}/info/MB"),
            _domains(f"{made[0]}/mon_data"),
        )
    except (OSError, ValueError) as err:
        why = reason(err) if isinstance(err, OSError) else str(err)
        raise StateError(f"cannot read the resctrl group {made[0]}: {why}") from err


def _lines(file: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in read_file(file).splitlines())


def _l3(folder: str) -> L3CacheInfo | None:
    if not posix.access(folder, posix.F_OK):
        return None
    mask = read_file(f"{folder}/cbm_mask").strip()
    return L3CacheInfo(mask, *(int(read_file(f"{folder}/{name}")) for name in L3CacheInfo._fields[1:]))


def _mb(folder: str) -> MemBwInfo | None:
    if not posix.access(folder, posix.F_OK):
        return None
    return MemBwInfo(*(int(read_file(f"{folder}/{name}")) for name in MemBwInfo._fields))


def _domains(folder: str) -> tuple[Domain, ...] | None:
    if not posix.access(folder, posix.F_OK):
        return None
    names = sorted(name for name in posix.listdir(folder) if name.startswith("mon_L3_"))
    return tuple(Domain(*(_count(f"{folder}/{name}/{file}") for file in Domain._fields)) for name in names)


def _count(file: str) -> int:
    """Return a number; 0 for "Unavailable", which hardware says now and then, and for what is not monitored."""
    try:
        said = read_file(file).strip()
    except FileNotFoundError:
        return 0
    return int(said) if said.isdigit() else 0
