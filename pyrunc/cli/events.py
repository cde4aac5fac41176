"""pyrunc events: statistics and out-of-memory notices as lines of JSON, in the shape that runc's callers read."""

from __future__ import annotations

import posix

from pyrunc.cli import Context
from pyrunc.errors import UsageError
from pyrunc.host.events import STATS, Event, watch
from pyrunc.host.stats import running_state, stats
from pyrunc.jsontext import dump
from pyrunc.state.store import open_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cgroups.stats import Blkio, BlkioEntry, Cpu, Cpuset, Hugetlb, Memory, MemoryEntry, Pressure, Stall
    from pyrunc.cli.arguments import Arguments
    from pyrunc.host.resctrl_stats import ResctrlStats
    from pyrunc.host.stats import ContainerStats, Interface
    from pyrunc.record import Record

_STDOUT = 1
# runc's names, which are Go's for the interfaces, and what we call it.
_BLKIO = {
    "ioServiceBytesRecursive": "service_bytes",
    "ioServicedRecursive": "serviced",
    "ioQueueRecursive": "queued",
    "ioServiceTimeRecursive": "service_time",
    "ioWaitTimeRecursive": "wait_time",
    "ioMergedRecursive": "merged",
    "ioTimeRecursive": "time",
    "sectorsRecursive": "sectors",
}
_INTERFACE = {
    "Name": "name",
    "RxBytes": "rx_bytes",
    "RxPackets": "rx_packets",
    "RxErrors": "rx_errors",
    "RxDropped": "rx_dropped",
    "TxBytes": "tx_bytes",
    "TxPackets": "tx_packets",
    "TxErrors": "tx_errors",
    "TxDropped": "tx_dropped",
}


def main(context: Context, arguments: Arguments) -> int:
    """Print events until the container ends, or with --stats the statistics of now."""
    interval = arguments.seconds("interval")
    if interval <= 0:
        raise UsageError("--interval needs to be more than nothing")
    with open_entry(context.root, arguments.positional[0]) as entry:
        if arguments.switch("stats"):
            _print(entry.id, Event(STATS, stats(running_state(entry))))
            return 0
        try:
            for event in watch(entry, interval):
                _print(entry.id, event)
        except BrokenPipeError:
            return 0  # whoever listened has heard enough
    return 0


def _print(container_id: str, event: Event) -> None:
    document: dict[str, object] = {"type": event.type, "id": container_id}
    if event.stats is not None:
        document["data"] = document_of(event.stats)
    line = f"{dump(document)}\n".encode()
    while line:
        # Not sys.stdout: it would try again at exit what could not be written, and complain.
        line = line[posix.write(_STDOUT, line) :]


def document_of(counted: ContainerStats) -> dict[str, object]:
    """Return statistics as the `data` of an event: as in runc zeros are left out, except where they are not."""
    cgroup = counted.cgroup
    interfaces = counted.interfaces
    return {
        "cpu": _cpu(cgroup.cpu),
        "cpuset": _cpuset(cgroup.cpuset),
        "memory": _memory(cgroup.memory),
        "pids": _without_zeros(current=cgroup.pids.current, limit=cgroup.pids.limit),
        "blkio": _blkio(cgroup.blkio),
        "hugetlb": {size: _hugetlb(each) for size, each in cgroup.hugetlb.items()},
        "intel_rdt": _resctrl(counted.resctrl) if counted.resctrl is not None else {},
        "network_interfaces": None if interfaces is None else [_interface(each) for each in interfaces],
    }


def _without_zeros(**members: object) -> dict[str, object]:
    """What Go calls omitempty; a record without anything in it stays, as {}."""
    return {name: value for name, value in members.items() if isinstance(value, dict) or value}


def _cpu(cpu: Cpu) -> dict[str, object]:
    usage, throttling = cpu.usage, cpu.throttling
    return {
        "usage": {
            **_without_zeros(
                total=usage.total,
                percpu=usage.percpu,
                percpu_kernel=usage.percpu_kernel,
                percpu_user=usage.percpu_user,
            ),
            "kernel": usage.kernel,
            "user": usage.user,
        },
        "throttling": _without_zeros(
            periods=throttling.periods,
            throttledPeriods=throttling.throttled_periods,
            throttledTime=throttling.throttled_time,
        ),
        **_psi(cpu.psi),
    }


def _psi(psi: Pressure | None) -> dict[str, object]:
    return {} if psi is None else {"psi": {"some": _plain(psi.some), "full": _plain(psi.full)}}


def _plain(record: Stall | Record) -> dict[str, object]:
    return {name: getattr(record, name) for name in record._fields}


def _cpuset(cpuset: Cpuset) -> dict[str, object]:
    members = _plain(cpuset)
    return {name: value for name, value in members.items() if value != ()}


def _memory(memory: Memory) -> dict[str, object]:
    return {
        **_without_zeros(cache=memory.cache),
        "usage": _memory_entry(memory.usage),
        "swap": _memory_entry(memory.swap),
        "kernel": _memory_entry(memory.kernel),
        "kernelTCP": _memory_entry(memory.kernel_tcp),
        **({"raw": memory.raw} if memory.raw else {}),
        **_psi(memory.psi),
    }


def _memory_entry(entry: MemoryEntry) -> dict[str, object]:
    return {"limit": entry.limit, **_without_zeros(usage=entry.usage, max=entry.max), "failcnt": entry.failcnt}


def _blkio(blkio: Blkio) -> dict[str, object]:
    tables = {name: tuple(map(_blkio_entry, getattr(blkio, member))) for name, member in _BLKIO.items()}
    return {**_without_zeros(**tables), **_psi(blkio.psi)}


def _blkio_entry(entry: BlkioEntry) -> dict[str, object]:
    return _without_zeros(major=entry.major, minor=entry.minor, op=entry.op, value=entry.value)


def _hugetlb(hugetlb: Hugetlb) -> dict[str, object]:
    return {**_without_zeros(usage=hugetlb.usage, max=hugetlb.max), "failcnt": hugetlb.failcnt}


def _interface(interface: Interface) -> dict[str, object]:
    return {name: getattr(interface, member) for name, member in _INTERFACE.items()}


def _resctrl(resctrl: ResctrlStats) -> dict[str, object]:
    def line(lines: tuple[str, ...], resource: str) -> str:
        return next((each for each in lines if each.startswith(f"{resource}:")), "")

    domains = resctrl.domains
    members = _without_zeros(
        l3_cache_info=_without_zeros(**_plain(resctrl.l3)) if resctrl.l3 else None,
        l3_cache_schema_root=line(resctrl.root_schemata, "L3") if resctrl.l3 else "",
        l3_cache_schema=line(resctrl.schemata, "L3") if resctrl.l3 else "",
        mem_bw_info=_without_zeros(**_plain(resctrl.mb)) if resctrl.mb else None,
        mem_bw_schema_root=line(resctrl.root_schemata, "MB") if resctrl.mb else "",
        mem_bw_schema=line(resctrl.schemata, "MB") if resctrl.mb else "",
    )
    if domains is not None:
        members["mbm_stats"] = [
            {"mbm_total_bytes": each.mbm_total_bytes, "mbm_local_bytes": each.mbm_local_bytes} for each in domains
        ]
        members["cmt_stats"] = [{"llc_occupancy": each.llc_occupancy} for each in domains]
    return members
