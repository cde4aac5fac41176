"""Each field of linux.resources -> exact v1 file and value."""

from __future__ import annotations

from typing import Any

import pytest

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
from tests.unit.cgroups.layouts import hybrid, limits, plan, problems, v1

FIELDS: list[tuple[dict[str, Any], list[tuple[str, str, str]]]] = [
    ({"pids": Pids(100)}, [("pids/box/pids.max", "100", "pids.limit")]),
    ({"pids": Pids(0)}, [("pids/box/pids.max", "0", "pids.limit")]),
    ({"pids": Pids(-1)}, [("pids/box/pids.max", "max", "pids.limit")]),
    ({"memory": Memory(limit=5)}, [("memory/box/memory.limit_in_bytes", "5", "memory.limit")]),
    ({"memory": Memory(limit=0, swap=0, reservation=0)}, []),
    (
        {"memory": Memory(kernel=5, check_before_update=True)},
        [("memory/box/memory.kmem.limit_in_bytes", "5", "memory.kernel")],
    ),
    (
        {"memory": Memory(limit=5, swap=9)},
        [
            ("memory/box/memory.limit_in_bytes", "5", "memory.limit"),
            ("memory/box/memory.memsw.limit_in_bytes", "9", "memory.swap"),
        ],
    ),
    (
        {"memory": Memory(limit=5, swap=-1)},
        [
            ("memory/box/memory.limit_in_bytes", "5", "memory.limit"),
            ("memory/box/memory.memsw.limit_in_bytes", "-1", "memory.swap"),
        ],
    ),
    (
        {"memory": Memory(limit=-1)},
        [
            ("memory/box/memory.memsw.limit_in_bytes", "-1", "memory.limit"),
            ("memory/box/memory.limit_in_bytes", "-1", "memory.limit"),
        ],
    ),
    ({"memory": Memory(swap=-1)}, [("memory/box/memory.memsw.limit_in_bytes", "-1", "memory.swap")]),
    (
        {"memory": Memory(reservation=7)},
        [("memory/box/memory.soft_limit_in_bytes", "7", "memory.reservation")],
    ),
    (
        {"memory": Memory(kernel_tcp=7)},
        [("memory/box/memory.kmem.tcp.limit_in_bytes", "7", "memory.kernelTCP")],
    ),
    ({"memory": Memory(swappiness=0)}, [("memory/box/memory.swappiness", "0", "memory.swappiness")]),
    ({"memory": Memory(swappiness=2**64 - 1)}, []),
    (
        {"memory": Memory(disable_oom_killer=True)},
        [("memory/box/memory.oom_control", "1", "memory.disableOOMKiller")],
    ),
    (
        {"memory": Memory(disable_oom_killer=False)},
        [("memory/box/memory.oom_control", "0", "memory.disableOOMKiller")],
    ),
    (
        {"memory": Memory(use_hierarchy=True)},
        [("memory/box/memory.use_hierarchy", "1", "memory.useHierarchy")],
    ),
    ({"cpu": CPU(shares=0, quota=0, period=0, cpus="", mems="")}, []),
    (
        {"cpu": CPU(shares=512, quota=20000, burst=1000, period=50000)},
        [
            ("cpu/box/cpu.shares", "512", "cpu.shares"),
            ("cpu/box/cpu.cfs_period_us", "50000", "cpu.period"),
            ("cpu/box/cpu.cfs_quota_us", "20000", "cpu.quota"),
            ("cpu/box/cpu.cfs_burst_us", "1000", "cpu.burst"),
        ],
    ),
    ({"cpu": CPU(quota=-7)}, [("cpu/box/cpu.cfs_quota_us", "-1", "cpu.quota")]),
    (
        {"cpu": CPU(realtime_runtime=950000, realtime_period=1000000)},
        [
            ("cpu/box/cpu.rt_period_us", "1000000", "cpu.realtimePeriod"),
            ("cpu/box/cpu.rt_runtime_us", "950000", "cpu.realtimeRuntime"),
        ],
    ),
    (
        {"cpu": CPU(idle=1, shares=5)},
        [("cpu/box/cpu.shares", "5", "cpu.shares"), ("cpu/box/cpu.idle", "1", "cpu.idle")],
    ),
    (
        {"cpu": CPU(idle=0, shares=5)},
        [("cpu/box/cpu.idle", "0", "cpu.idle"), ("cpu/box/cpu.shares", "5", "cpu.shares")],
    ),
    (
        {"cpu": CPU(cpus="0-3,7", mems="0")},
        [
            ("cpuset/box/cpuset.cpus", "0-3,7", "cpu.cpus"),
            ("cpuset/box/cpuset.mems", "0", "cpu.mems"),
        ],
    ),
    ({"block_io": BlockIO(weight=0)}, []),
    ({"block_io": BlockIO(weight=500)}, [("blkio/box/blkio.weight", "500", "blockIO.weight")]),
    ({"block_io": BlockIO(leaf_weight=50)}, [("blkio/box/blkio.leaf_weight", "50", "blockIO.leafWeight")]),
    (
        {"block_io": BlockIO(weight_device=(WeightDevice(8, 0, 500, 300), WeightDevice(8, 16, 20)))},
        [
            ("blkio/box/blkio.weight_device", "8:0 500", "blockIO.weightDevice[0].weight"),
            ("blkio/box/blkio.leaf_weight_device", "8:0 300", "blockIO.weightDevice[0].leafWeight"),
            ("blkio/box/blkio.weight_device", "8:16 20", "blockIO.weightDevice[1].weight"),
        ],
    ),
    (
        {
            "block_io": BlockIO(
                throttle_read_bps_device=(ThrottleDevice(8, 0, 600), ThrottleDevice(8, 1, 0)),
                throttle_write_bps_device=(ThrottleDevice(8, 2, 2**64 - 1),),
                throttle_read_iops_device=(ThrottleDevice(8, 3, 4),),
                throttle_write_iops_device=(ThrottleDevice(8, 4, 5),),
            )
        },
        [
            ("blkio/box/blkio.throttle.read_bps_device", "8:0 600", "blockIO.throttleReadBpsDevice[0].rate"),
            ("blkio/box/blkio.throttle.read_bps_device", "8:1 0", "blockIO.throttleReadBpsDevice[1].rate"),
            (
                "blkio/box/blkio.throttle.write_bps_device",
                "8:2 18446744073709551615",
                "blockIO.throttleWriteBpsDevice[0].rate",
            ),
            ("blkio/box/blkio.throttle.read_iops_device", "8:3 4", "blockIO.throttleReadIOPSDevice[0].rate"),
            (
                "blkio/box/blkio.throttle.write_iops_device",
                "8:4 5",
                "blockIO.throttleWriteIOPSDevice[0].rate",
            ),
        ],
    ),
    (
        {"hugepage_limits": (HugepageLimit("2MB", 9), HugepageLimit("1GB", 0))},
        [
            ("hugetlb/box/hugetlb.2MB.limit_in_bytes", "9", "hugepageLimits[0].limit"),
            ("hugetlb/box/hugetlb.2MB.rsvd.limit_in_bytes", "9", "hugepageLimits[0].limit"),
            ("hugetlb/box/hugetlb.1GB.limit_in_bytes", "0", "hugepageLimits[1].limit"),
            ("hugetlb/box/hugetlb.1GB.rsvd.limit_in_bytes", "0", "hugepageLimits[1].limit"),
        ],
    ),
    (
        {"rdma": {"mlx4_0": Rdma(2, 2000), "mlx5.1": Rdma(hca_objects=3)}},
        [
            ("rdma/box/rdma.max", "mlx4_0 hca_handle=2 hca_object=2000", "rdma.mlx4_0"),
            ("rdma/box/rdma.max", "mlx5.1 hca_object=3", 'rdma["mlx5.1"]'),
        ],
    ),
    (
        {"network": NetworkResources(1048577, (InterfacePriority("eth0", 5), InterfacePriority("eth1", 6)))},
        [
            ("net_cls/box/net_cls.classid", "1048577", "network.classID"),
            ("net_prio/box/net_prio.ifpriomap", "eth0 5", "network.priorities[0]"),
            ("net_prio/box/net_prio.ifpriomap", "eth1 6", "network.priorities[1]"),
        ],
    ),
]


@pytest.mark.parametrize(("resources", "expected"), FIELDS)
def test_field_is_written(resources: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    assert limits(plan(v1(), **resources)) == expected


def test_controllers_come_in_a_fixed_order_with_devices_after_them() -> None:
    planned = plan(
        v1(), cpu=CPU(shares=5, cpus="0"), pids=Pids(5), memory=Memory(limit=5), block_io=BlockIO(weight=10)
    )
    files = [write.path.split("/")[2] for write in planned.writes]
    assert list(dict.fromkeys(files)) == ["pids", "memory", "blkio", "cpu", "cpuset", "devices"]


def test_weight_goes_to_bfq_where_cfq_is_gone() -> None:
    (write,) = (each for each in plan(v1(), block_io=BlockIO(weight=500)).writes if "weight" in each.path)
    assert write.otherwise is not None
    assert (write.otherwise.path, write.otherwise.value) == ("/c/blkio/box/blkio.bfq.weight", "500")


def test_only_what_kernels_may_lack_without_harm_is_optional() -> None:
    planned = plan(
        v1(),
        memory=Memory(limit=5, swap=-1, kernel_tcp=-1),
        cpu=CPU(burst=0, idle=0),
        hugepage_limits=(HugepageLimit("2MB", 1),),
    )
    optional = {write.path.rpartition("/")[2] for write in planned.writes if write.optional}
    assert optional == {
        "memory.memsw.limit_in_bytes",
        "memory.kmem.tcp.limit_in_bytes",
        "cpu.cfs_burst_us",
        "cpu.idle",
        "hugetlb.2MB.rsvd.limit_in_bytes",
    }


@pytest.mark.parametrize(
    ("resources", "path"),
    [
        ({"memory": Memory(limit=-2)}, "memory.limit"),
        ({"memory": Memory(reservation=-2)}, "memory.reservation"),
        ({"memory": Memory(limit=5, swap=-2)}, "memory.swap"),
        ({"memory": Memory(kernel_tcp=-5)}, "memory.kernelTCP"),
        ({"memory": Memory(swap=5)}, "memory.swap"),
        ({"memory": Memory(limit=-1, swap=5)}, "memory.swap"),
        ({"memory": Memory(limit=6, swap=5)}, "memory.swap"),
        ({"memory": Memory(swappiness=101)}, "memory.swappiness"),
        ({"cpu": CPU(idle=2)}, "cpu.idle"),
        ({"cpu": CPU(cpus="0-3\n7")}, "cpu.cpus"),
        ({"cpu": CPU(mems="all")}, "cpu.mems"),
        ({"block_io": BlockIO(weight=1001)}, "blockIO.weight"),
        ({"block_io": BlockIO(leaf_weight=1001)}, "blockIO.leafWeight"),
        ({"block_io": BlockIO(weight_device=(WeightDevice(8, 0, 1001),))}, "blockIO.weightDevice[0].weight"),
        (
            {"network": NetworkResources(priorities=(InterfacePriority("a b", 1),))},
            "network.priorities[0].name",
        ),
        ({"unified": {"memory.high": "5"}}, "unified"),
    ],
)
def test_what_no_kernel_would_take_is_refused(resources: dict[str, Any], path: str) -> None:
    assert list(problems(v1(), **resources)) == [f".linux.resources.{path}"]


def test_a_missing_controller_is_named_at_each_field_that_needs_it() -> None:
    found = problems(
        v1(without=("hugetlb", "cpu")), hugepage_limits=(HugepageLimit("2MB", 1),), cpu=CPU(shares=5, quota=6)
    )
    cpu = "needs the cgroup controller cpu, which this host does not have"
    assert found == {
        ".linux.resources.cpu.shares": cpu,
        ".linux.resources.cpu.quota": cpu,
        ".linux.resources.hugepageLimits[0].limit": cpu.replace("cpu", "hugetlb"),
    }


def test_hybrid_sends_each_controller_to_the_hierarchy_that_has_it() -> None:
    planned = plan(
        hybrid(),
        pids=Pids(5),
        hugepage_limits=(HugepageLimit("2MB", 9),),
        unified={"hugetlb.1GB.max": "7", "cgroup.max.descendants": "5"},
    )
    assert limits(planned) == [
        ("pids/box/pids.max", "5", "pids.limit"),
        ("unified/box/hugetlb.2MB.max", "9", "hugepageLimits[0].limit"),
        ("unified/box/hugetlb.2MB.rsvd.max", "9", "hugepageLimits[0].limit"),
        ("unified/box/hugetlb.1GB.max", "7", 'unified["hugetlb.1GB.max"]'),
        ("unified/box/cgroup.max.descendants", "5", 'unified["cgroup.max.descendants"]'),
    ]


def test_hybrid_refuses_unified_settings_of_a_controller_that_v1_has() -> None:
    found = problems(hybrid(), unified={"memory.high": "5"})
    assert "needs the cgroup v2 controller memory" in found['.linux.resources.unified["memory.high"]']
