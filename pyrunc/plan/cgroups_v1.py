"""linux.resources -> the files of cgroup v1 (Documentation/admin-guide/cgroup-v1 in the kernel).

One function per controller, each given the container's directory in that controller's hierarchy. The order
of the writes is what a fresh cgroup accepts. Zeros: see cgroups_checks.
"""

from __future__ import annotations

from pyrunc.plan.cgroups_checks import UNSET_SWAPPINESS, WHERE
from pyrunc.plan.steps_cgroups import Write
from pyrunc.spec.read import member_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.spec.resources import (
        CPU,
        BlockIO,
        HugepageLimit,
        Memory,
        NetworkResources,
        Pids,
        Rdma,
        ThrottleDevice,
    )


def pids(leaf: str, pids: Pids) -> Iterator[Write]:
    """config-linux.md#pids: -1 is unlimited and 0 a real limit: nothing in the container can fork.

    runc writes 1 for 0, because systemd's TasksMax cannot say 0. The kernel can, and it means the same to a
    container of one process, which enters its cgroup by moving, not by forking.
    """
    yield Write(f"{leaf}/pids.max", str(pids.limit) if pids.limit >= 0 else "max", f"{WHERE}.pids.limit")


def memory(leaf: str, memory: Memory) -> Iterator[Write]:
    """config-linux.md#memory. Kernels since 5.16 take `kernel` without acting on it."""
    where = f"{WHERE}.memory"
    yield from _memory_limits(leaf, memory)
    if memory.kernel:
        file = f"{leaf}/memory.kmem.limit_in_bytes"
        yield Write(file, str(memory.kernel), f"{where}.kernel", optional=True)
    if memory.reservation:
        yield Write(f"{leaf}/memory.soft_limit_in_bytes", str(memory.reservation), f"{where}.reservation")
    if memory.kernel_tcp:
        # Being phased out: some kernels have the file no more, some answer EOPNOTSUPP.
        file = f"{leaf}/memory.kmem.tcp.limit_in_bytes"
        yield Write(file, str(memory.kernel_tcp), f"{where}.kernelTCP", optional=True)
    if memory.use_hierarchy is not None:
        yield Write(f"{leaf}/memory.use_hierarchy", str(int(memory.use_hierarchy)), f"{where}.useHierarchy")
    if memory.disable_oom_killer is not None:
        # Written when false, too: a new cgroup inherits it from its parent.
        disable = str(int(memory.disable_oom_killer))
        yield Write(f"{leaf}/memory.oom_control", disable, f"{where}.disableOOMKiller")
    if memory.swappiness not in (None, UNSET_SWAPPINESS):
        yield Write(f"{leaf}/memory.swappiness", str(memory.swappiness), f"{where}.swappiness")


def _memory_limits(leaf: str, memory: Memory) -> Iterator[Write]:
    """Write in an order that keeps memsw >= memory at every moment, or the kernel answers EINVAL.

    A new cgroup has both unlimited, so memory goes down first; only "unlimited" raises memsw first. A memory
    limit of -1 means that swap is unlimited as well, unless it is given.
    """
    limit, swap = memory.limit, memory.swap or (-1 if memory.limit == -1 else 0)
    where = f"{WHERE}.memory"
    writes = []
    if limit:
        usage = f"{leaf}/memory.usage_in_bytes" if memory.check_before_update and limit > 0 else ""
        writes.append(Write(f"{leaf}/memory.limit_in_bytes", str(limit), f"{where}.limit", usage=usage))
    if swap:
        # A kernel without swap accounting lacks the file: then nothing limits swap, which is what -1 asks.
        place = f"{where}.swap" if memory.swap else f"{where}.limit"
        writes.append(Write(f"{leaf}/memory.memsw.limit_in_bytes", str(swap), place, swap == -1))
    yield from reversed(writes) if limit == -1 else writes


def block_io(leaf: str, block_io: BlockIO) -> Iterator[Write]:
    """config-linux.md#block-io. Rates of 0 lift the limit."""
    where = f"{WHERE}.blockIO"
    if block_io.weight:
        yield _weight(leaf, "weight", str(block_io.weight), f"{where}.weight")
    if block_io.leaf_weight:
        yield Write(f"{leaf}/blkio.leaf_weight", str(block_io.leaf_weight), f"{where}.leafWeight")
    for index, device in enumerate(block_io.weight_device):
        here, number = f"{where}.weightDevice[{index}]", f"{device.major}:{device.minor}"
        if device.weight:
            yield _weight(leaf, "weight_device", f"{number} {device.weight}", f"{here}.weight")
        if device.leaf_weight:
            value = f"{number} {device.leaf_weight}"
            yield Write(f"{leaf}/blkio.leaf_weight_device", value, f"{here}.leafWeight")
    for file, name, devices in (
        ("read_bps", "throttleReadBpsDevice", block_io.throttle_read_bps_device),
        ("write_bps", "throttleWriteBpsDevice", block_io.throttle_write_bps_device),
        ("read_iops", "throttleReadIOPSDevice", block_io.throttle_read_iops_device),
        ("write_iops", "throttleWriteIOPSDevice", block_io.throttle_write_iops_device),
    ):
        yield from _throttle(f"{leaf}/blkio.throttle.{file}_device", devices, f"{where}.{name}")


def _weight(leaf: str, name: str, value: str, where: str) -> Write:
    """CFQ's file, which went with CFQ in 5.0, or else bfq's."""
    bfq = Write(f"{leaf}/blkio.bfq.{name}", value, where)
    return Write(f"{leaf}/blkio.{name}", value, where, otherwise=bfq)


def _throttle(file: str, devices: tuple[ThrottleDevice, ...], where: str) -> Iterator[Write]:
    for index, device in enumerate(devices):
        yield Write(file, f"{device.major}:{device.minor} {device.rate}", f"{where}[{index}].rate")


def cpu(leaf: str, cpu: CPU) -> Iterator[Write]:
    """config-linux.md#cpu, without its cpuset half. Times are microseconds.

    The period precedes its quota or runtime, because the kernel checks their ratio against the parent's;
    the burst follows the quota that it must not exceed.
    """
    where = f"{WHERE}.cpu"
    if cpu.realtime_period:
        yield Write(f"{leaf}/cpu.rt_period_us", str(cpu.realtime_period), f"{where}.realtimePeriod")
    if cpu.realtime_runtime:
        yield Write(f"{leaf}/cpu.rt_runtime_us", str(cpu.realtime_runtime), f"{where}.realtimeRuntime")
    yield from shares_and_idle(leaf, cpu, "cpu.shares", str(cpu.shares))
    if cpu.period:
        yield Write(f"{leaf}/cpu.cfs_period_us", str(cpu.period), f"{where}.period")
    if cpu.quota:
        yield Write(f"{leaf}/cpu.cfs_quota_us", str(max(cpu.quota, -1)), f"{where}.quota")
    if cpu.burst is not None:
        yield Write(f"{leaf}/cpu.cfs_burst_us", str(cpu.burst), f"{where}.burst", optional=not cpu.burst)


def shares_and_idle(leaf: str, cpu: CPU, file: str, value: str) -> Iterator[Write]:
    """An idle group refuses shares, and one that stops being idle forgets them: hence two orders."""
    where = f"{WHERE}.cpu"
    idle = Write(f"{leaf}/cpu.idle", str(cpu.idle), f"{where}.idle", optional=cpu.idle == 0)
    if cpu.idle == 0:
        yield idle
    if cpu.shares:
        yield Write(f"{leaf}/{file}", value, f"{where}.shares")
    if cpu.idle == 1:
        yield idle


def cpuset(leaf: str, cpu: CPU) -> Iterator[Write]:
    """The cpuset half of config-linux.md#cpu."""
    if cpu.cpus:
        yield Write(f"{leaf}/cpuset.cpus", cpu.cpus, f"{WHERE}.cpu.cpus")
    if cpu.mems:
        yield Write(f"{leaf}/cpuset.mems", cpu.mems, f"{WHERE}.cpu.mems")


def hugetlb(leaf: str, limits: tuple[HugepageLimit, ...], file: str = "limit_in_bytes") -> Iterator[Write]:
    """config-linux.md#huge-page-limits: limit reservations where the kernel counts them (5.7), and faults.

    Both are set: the second never stops what the first lets pass, and is what tools look at.
    """
    for index, each in enumerate(limits):
        where, name = f"{WHERE}.hugepageLimits[{index}].limit", f"{leaf}/hugetlb.{each.page_size}"
        yield Write(f"{name}.{file}", str(each.limit), where)
        yield Write(f"{name}.rsvd.{file}", str(each.limit), where, optional=True)


def rdma(leaf: str, devices: dict[str, Rdma]) -> Iterator[Write]:
    """config-linux.md#rdma; the file is the same in v1 and v2."""
    for name, limits in devices.items():
        value = name
        if limits.hca_handles is not None:
            value += f" hca_handle={limits.hca_handles}"
        if limits.hca_objects is not None:
            value += f" hca_object={limits.hca_objects}"
        yield Write(f"{leaf}/rdma.max", value, member_path(f"{WHERE}.rdma", name))


def net_cls(leaf: str, network: NetworkResources) -> Iterator[Write]:
    """config-linux.md#network: the class of the container's packets for tc and netfilter."""
    if network.class_id is not None:
        yield Write(f"{leaf}/net_cls.classid", str(network.class_id), f"{WHERE}.network.classID")


def net_prio(leaf: str, network: NetworkResources) -> Iterator[Write]:
    """config-linux.md#network: a priority per outgoing interface of the runtime's network namespace."""
    for index, each in enumerate(network.priorities):
        where = f"{WHERE}.network.priorities[{index}]"
        yield Write(f"{leaf}/net_prio.ifpriomap", f"{each.name} {each.priority}", where)
