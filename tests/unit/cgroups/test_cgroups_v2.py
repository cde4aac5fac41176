"""Each field of linux.resources -> exact v2 file and value, or the error that says what to use instead."""

from __future__ import annotations

from typing import Any

import pytest

from pyrunc.plan.cgroups_v2 import weight_of_shares
from pyrunc.spec.resources import (
    CPU,
    BlockIO,
    HugepageLimit,
    InterfacePriority,
    Memory,
    NetworkResources,
    Pids,
    Rdma,
    ThrottleDevice,
    WeightDevice,
)
from tests.unit.cgroups.layouts import limits, plan, problems, v2

FIELDS: list[tuple[dict[str, Any], list[tuple[str, str, str]]]] = [
    ({"pids": Pids(0)}, [("box/pids.max", "0", "pids.limit")]),
    ({"pids": Pids(-1)}, [("box/pids.max", "max", "pids.limit")]),
    ({"memory": Memory(limit=5)}, [("box/memory.max", "5", "memory.limit")]),
    ({"memory": Memory(limit=5, swap=0)}, [("box/memory.max", "5", "memory.limit")]),
    (
        {"memory": Memory(limit=5, swap=9)},
        [("box/memory.swap.max", "4", "memory.swap"), ("box/memory.max", "5", "memory.limit")],
    ),
    (
        {"memory": Memory(limit=5, swap=5)},
        [("box/memory.swap.max", "0", "memory.swap"), ("box/memory.max", "5", "memory.limit")],
    ),
    (
        {"memory": Memory(limit=5, swap=-1)},
        [("box/memory.swap.max", "max", "memory.swap"), ("box/memory.max", "5", "memory.limit")],
    ),
    (
        {"memory": Memory(limit=-1)},
        [("box/memory.swap.max", "max", "memory.limit"), ("box/memory.max", "max", "memory.limit")],
    ),
    ({"memory": Memory(swap=-1)}, [("box/memory.swap.max", "max", "memory.swap")]),
    ({"memory": Memory(reservation=7)}, [("box/memory.low", "7", "memory.reservation")]),
    ({"memory": Memory(reservation=-1)}, [("box/memory.low", "max", "memory.reservation")]),
    (
        {"memory": Memory(kernel=-1, kernel_tcp=-1, use_hierarchy=True, disable_oom_killer=False)},
        [],
    ),
    ({"cpu": CPU(shares=512)}, [("box/cpu.weight", "59", "cpu.shares")]),
    ({"cpu": CPU(shares=0, realtime_runtime=0, realtime_period=0)}, []),
    ({"cpu": CPU(quota=50000)}, [("box/cpu.max", "50000 100000", "cpu.quota")]),
    ({"cpu": CPU(period=50000)}, [("box/cpu.max", "max 50000", "cpu.period")]),
    ({"cpu": CPU(quota=-1, period=50000)}, [("box/cpu.max", "max 50000", "cpu.quota")]),
    (
        {"cpu": CPU(quota=5000, period=9000, burst=7, idle=1, shares=2)},
        [
            ("box/cpu.weight", "1", "cpu.shares"),
            ("box/cpu.idle", "1", "cpu.idle"),
            ("box/cpu.max", "5000 9000", "cpu.quota"),
            ("box/cpu.max.burst", "7", "cpu.burst"),
        ],
    ),
    (
        {"cpu": CPU(cpus="1", mems="0")},
        [("box/cpuset.cpus", "1", "cpu.cpus"), ("box/cpuset.mems", "0", "cpu.mems")],
    ),
    ({"block_io": BlockIO(weight=500)}, [("box/io.bfq.weight", "500", "blockIO.weight")]),
    (
        {"block_io": BlockIO(weight_device=(WeightDevice(8, 0, 1000),))},
        [("box/io.bfq.weight", "8:0 1000", "blockIO.weightDevice[0].weight")],
    ),
    (
        {
            "block_io": BlockIO(
                throttle_read_bps_device=(ThrottleDevice(8, 0, 600), ThrottleDevice(8, 1, 0)),
                throttle_write_bps_device=(ThrottleDevice(8, 2, 9),),
                throttle_read_iops_device=(ThrottleDevice(8, 3, 4),),
                throttle_write_iops_device=(ThrottleDevice(8, 4, 5),),
            )
        },
        [
            ("box/io.max", "8:0 rbps=600", "blockIO.throttleReadBpsDevice[0].rate"),
            ("box/io.max", "8:1 rbps=max", "blockIO.throttleReadBpsDevice[1].rate"),
            ("box/io.max", "8:2 wbps=9", "blockIO.throttleWriteBpsDevice[0].rate"),
            ("box/io.max", "8:3 riops=4", "blockIO.throttleReadIOPSDevice[0].rate"),
            ("box/io.max", "8:4 wiops=5", "blockIO.throttleWriteIOPSDevice[0].rate"),
        ],
    ),
    (
        {"hugepage_limits": (HugepageLimit("64KB", 9),)},
        [
            ("box/hugetlb.64KB.max", "9", "hugepageLimits[0].limit"),
            ("box/hugetlb.64KB.rsvd.max", "9", "hugepageLimits[0].limit"),
        ],
    ),
    ({"rdma": {"mlx4_0": Rdma(2)}}, [("box/rdma.max", "mlx4_0 hca_handle=2", "rdma.mlx4_0")]),
    ({"network": NetworkResources()}, []),
    (
        {
            "pids": Pids(5),
            "unified": {"pids.max": "7", "memory.high": "9", "io.max": "8:0 rbps=1\n8:1 rbps=2\n"},
        },
        [
            ("box/pids.max", "5", "pids.limit"),
            ("box/pids.max", "7", 'unified["pids.max"]'),
            ("box/memory.high", "9", 'unified["memory.high"]'),
            ("box/io.max", "8:0 rbps=1", 'unified["io.max"]'),
            ("box/io.max", "8:1 rbps=2", 'unified["io.max"]'),
        ],
    ),
    ({"unified": {"memory.zswap.new": ""}}, [("box/memory.zswap.new", "", 'unified["memory.zswap.new"]')]),
]


@pytest.mark.parametrize(("resources", "expected"), FIELDS)
def test_field_is_converted(resources: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    assert limits(plan(v2(), **resources)) == expected


@pytest.mark.parametrize(
    ("shares", "weight"),
    [
        (0, 0),
        (1, 1),
        (2, 1),
        (3, 2),
        (512, 59),
        (1024, 100),
        (2048, 174),
        (262143, 10000),
        (2**64 - 1, 10000),
    ],
)
def test_shares_become_a_weight_as_other_runtimes_have_it(shares: int, weight: int) -> None:
    assert weight_of_shares(shares) == weight


def test_weight_never_falls_while_shares_rise() -> None:
    weights = [weight_of_shares(shares) for shares in range(2, 262145, 37)]
    assert weights == sorted(weights)
    assert all(1 <= weight <= 10000 for weight in weights)


@pytest.mark.parametrize(
    ("weight", "spread"), [(1, "1"), (10, "1"), (100, "910"), (500, "4950"), (1000, "10000")]
)
def test_block_weight_is_spread_where_bfq_is_not(weight: int, spread: str) -> None:
    (write,) = plan(v2(), block_io=BlockIO(weight=weight)).writes
    assert write.otherwise is not None
    assert (write.otherwise.path, write.otherwise.value) == ("/c/box/io.weight", spread)


UNSAID = [
    ({"memory": Memory(swappiness=0)}, "memory.swappiness"),
    ({"memory": Memory(disable_oom_killer=True)}, "memory.disableOOMKiller"),
    ({"memory": Memory(use_hierarchy=False)}, "memory.useHierarchy"),
    ({"memory": Memory(kernel=5)}, "memory.kernel"),
    ({"memory": Memory(kernel_tcp=5)}, "memory.kernelTCP"),
    ({"memory": Memory(limit=6, swap=5)}, "memory.swap"),
    ({"memory": Memory(swap=5)}, "memory.swap"),
    ({"cpu": CPU(realtime_runtime=5)}, "cpu.realtimeRuntime"),
    ({"cpu": CPU(realtime_period=5)}, "cpu.realtimePeriod"),
    ({"block_io": BlockIO(leaf_weight=10)}, "blockIO.leafWeight"),
    (
        {"block_io": BlockIO(weight_device=(WeightDevice(8, 0, 10, 10),))},
        "blockIO.weightDevice[0].leafWeight",
    ),
    ({"network": NetworkResources(class_id=0)}, "network.classID"),
    ({"network": NetworkResources(priorities=(InterfacePriority("eth0", 1),))}, "network.priorities"),
    ({"unified": {"foo.bar": "1"}}, 'unified["foo.bar"]'),
    ({"unified": {"misc.max": "1"}}, 'unified["misc.max"]'),
    ({"unified": {"cgroup.procs": "1"}}, 'unified["cgroup.procs"]'),
    ({"unified": {"cgroup.threads": "1"}}, 'unified["cgroup.threads"]'),
    ({"unified": {"cgroup.kill": "1"}}, 'unified["cgroup.kill"]'),
]


@pytest.mark.parametrize(("resources", "path"), UNSAID)
def test_what_v2_cannot_say_is_refused(resources: dict[str, Any], path: str) -> None:
    assert list(problems(v2(), **resources)) == [f".linux.resources.{path}"]


def test_swap_files_may_be_missing_only_where_that_changes_nothing() -> None:
    for swap, optional in ((9, False), (5, True), (-1, True)):
        write = plan(v2(), memory=Memory(limit=5, swap=swap)).writes[0]
        assert (write.path, write.optional) == ("/c/box/memory.swap.max", optional)
