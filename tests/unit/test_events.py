"""What `events` prints: runc's members, present or absent as Go's omitempty has it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pyrunc.cgroups.stats import (
    Blkio,
    BlkioEntry,
    Cpu,
    Cpuset,
    CpuUsage,
    Hugetlb,
    Memory,
    MemoryEntry,
    Pids,
    Pressure,
    Stall,
    Stats,
    Throttling,
)
from pyrunc.cli.events import document_of
from pyrunc.host.resctrl_stats import Domain, L3CacheInfo, MemBwInfo, ResctrlStats
from pyrunc.host.stats import ContainerStats, Interface, parse_net_dev
from pyrunc.jsontext import dump

EMPTY_ENTRY = {"limit": 0, "failcnt": 0}
NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo:    36       1    0    0    0     0          0         0       36       1    0    0    0     0       0          0
  eth0: 1000000 20 3 4 0 0 0 0 2000 21 5 6 0 0 0 0
"""


def printed(cgroup: Stats, **more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"interfaces": None, "resctrl": None, **more}
    found: dict[str, Any] = json.loads(dump(document_of(ContainerStats(cgroup, **fields))))
    return found


def test_nothing_counted_leaves_what_runc_always_prints() -> None:
    assert printed(Stats()) == {
        "cpu": {"usage": {"kernel": 0, "user": 0}, "throttling": {}},
        "cpuset": {
            "cpu_exclusive": 0,
            "mem_hardwall": 0,
            "mem_exclusive": 0,
            "memory_migrate": 0,
            "memory_spread_page": 0,
            "memory_spread_slab": 0,
            "memory_pressure": 0,
            "sched_load_balance": 0,
            "sched_relax_domain_level": 0,
        },
        "memory": dict.fromkeys(("usage", "swap", "kernel", "kernelTCP"), EMPTY_ENTRY),
        "pids": {},
        "blkio": {},
        "hugetlb": {},
        "intel_rdt": {},
        "network_interfaces": None,
    }


def test_cpu() -> None:
    psi = Pressure(Stall(1.5, 0.0, 0.0, 9))
    cpu = Cpu(CpuUsage(7, 3, 4, (3, 4), (1, 2), (2, 2)), Throttling(9, 2, 5), psi)
    assert printed(Stats(cpu=cpu))["cpu"] == {
        "usage": {
            "total": 7,
            "percpu": [3, 4],
            "percpu_kernel": [2, 2],
            "percpu_user": [1, 2],
            "kernel": 4,
            "user": 3,
        },
        "throttling": {"periods": 9, "throttledPeriods": 2, "throttledTime": 5},
        "psi": {
            "some": {"avg10": 1.5, "avg60": 0.0, "avg300": 0.0, "total": 9},
            "full": {"avg10": 0.0, "avg60": 0.0, "avg300": 0.0, "total": 0},
        },
    }


def test_memory() -> None:
    memory = Memory(8, MemoryEntry(100, 30, 40, 5), MemoryEntry(200, 36), raw={"file": 8}, events={"oom_kill": 1})
    found = printed(Stats(memory=memory))["memory"]
    assert found["usage"] == {"limit": 100, "usage": 30, "max": 40, "failcnt": 5}
    assert found["swap"] == {"limit": 200, "usage": 36, "failcnt": 0}
    assert (found["cache"], found["raw"]) == (8, {"file": 8})
    assert set(found) == {"cache", "usage", "swap", "kernel", "kernelTCP", "raw"}


def test_the_rest() -> None:
    blkio = Blkio(service_bytes=(BlkioEntry(8, 0, "Read", 9),), sectors=(BlkioEntry(8, 0, "", 7),))
    stats = Stats(blkio=blkio, pids=Pids(2, 17), hugetlb={"2MB": Hugetlb(4, 0, 1)}, cpuset=Cpuset((0, 1), (0,)))
    found = printed(stats)
    assert found["blkio"] == {
        "ioServiceBytesRecursive": [{"major": 8, "op": "Read", "value": 9}],
        "sectorsRecursive": [{"major": 8, "value": 7}],
    }
    assert found["pids"] == {"current": 2, "limit": 17}
    assert found["hugetlb"] == {"2MB": {"usage": 4, "failcnt": 1}}
    assert (found["cpuset"]["cpus"], found["cpuset"]["mems"]) == ([0, 1], [0])


def test_interfaces_have_gos_names() -> None:
    found = printed(Stats(), interfaces=parse_net_dev(NET_DEV))["network_interfaces"]
    assert found[1] == {
        "Name": "eth0",
        "RxBytes": 1000000,
        "RxPackets": 20,
        "RxErrors": 3,
        "RxDropped": 4,
        "TxBytes": 2000,
        "TxPackets": 21,
        "TxErrors": 5,
        "TxDropped": 6,
    }
    assert printed(Stats(), interfaces=())["network_interfaces"] == []


def test_net_dev_with_a_colon_in_a_name() -> None:
    text = NET_DEV.replace("eth0:", "eth0:1:")
    assert parse_net_dev(text)[1] == Interface("eth0:1", 1000000, 20, 3, 4, 2000, 21, 5, 6)


def test_net_dev_that_is_none() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        parse_net_dev(NET_DEV.replace("1000000", "many"))


def test_resctrl() -> None:
    resctrl = ResctrlStats(
        ("L3:0=fff", "MB:0=100"),
        ("MB:0=50", "L3:0=f"),
        L3CacheInfo("fff", 2, 16),
        MemBwInfo(10, 1, 10, 8),
        (Domain(1, 2, 3), Domain(4, 5, 6)),
    )
    assert printed(Stats(), resctrl=resctrl)["intel_rdt"] == {
        "l3_cache_info": {"cbm_mask": "fff", "min_cbm_bits": 2, "num_closids": 16},
        "l3_cache_schema_root": "L3:0=fff",
        "l3_cache_schema": "L3:0=f",
        "mem_bw_info": {"bandwidth_gran": 10, "delay_linear": 1, "min_bandwidth": 10, "num_closids": 8},
        "mem_bw_schema_root": "MB:0=100",
        "mem_bw_schema": "MB:0=50",
        "mbm_stats": [{"mbm_total_bytes": 2, "mbm_local_bytes": 3}, {"mbm_total_bytes": 5, "mbm_local_bytes": 6}],
        "cmt_stats": [{"llc_occupancy": 1}, {"llc_occupancy": 4}],
    }
