"""linux.resources -> the files of cgroup v2 (Documentation/admin-guide/cgroup-v2.rst in the kernel).

The spec speaks in v1 terms; what v2 says differently is converted, and what it cannot say is a SpecError
that names the v2 setting to use instead (requirement 109). One function per controller, as in cgroups_v1.
"""

from __future__ import annotations

from pyrunc.errors import SpecError
from pyrunc.plan.cgroups_checks import UNSET_SWAPPINESS, WHERE
from pyrunc.plan.cgroups_v1 import cpuset, pids, rdma, shares_and_idle
from pyrunc.plan.cgroups_v1 import hugetlb as _hugetlb
from pyrunc.plan.namespaces import has_new, has_own
from pyrunc.plan.steps_cgroups import Write
from pyrunc.spec.read import member_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.spec.config import Spec
    from pyrunc.spec.mounts import Mount
    from pyrunc.spec.resources import CPU, BlockIO, HugepageLimit, Memory, NetworkResources, ThrottleDevice

__all__ = ["block_io", "cpu", "cpuset", "hugetlb", "memory", "net_cls", "net_prio", "pids", "rdma"]


def memory(leaf: str, memory: Memory) -> Iterator[Write | SpecError]:
    """config-linux.md#memory: memory.max for limit, .low for reservation, .swap.max for swap less limit."""
    where = f"{WHERE}.memory"
    yield from _unsaid_memory(memory)
    swap = _swap(memory)
    if swap is not None:
        # Without swap accounting there is no file, and neither is there swap to limit, or a limit to lift.
        place = f"{where}.swap" if memory.swap else f"{where}.limit"
        yield Write(f"{leaf}/memory.swap.max", swap, place, optional=swap in ("0", "max"))
    if memory.limit:
        usage = f"{leaf}/memory.current" if memory.check_before_update and memory.limit > 0 else ""
        yield Write(f"{leaf}/memory.max", _or_max(memory.limit), f"{where}.limit", usage=usage)
    if memory.reservation:
        yield Write(f"{leaf}/memory.low", _or_max(memory.reservation), f"{where}.reservation")


def _or_max(value: int) -> str:
    return "max" if value < 0 else str(value)


def _swap(memory: Memory) -> str | None:
    """v1 counts memory and swap together, v2 swap alone; cgroups_checks has seen that swap >= limit."""
    swap, limit = memory.swap or 0, memory.limit or 0
    if swap < 0 or (limit < 0 and not swap):
        return "max"
    return str(swap - limit) if swap else None


def _unsaid_memory(memory: Memory) -> Iterator[SpecError]:
    where = f"{WHERE}.memory"
    if memory.swappiness not in (None, UNSET_SWAPPINESS):
        yield SpecError(f"{where}.swappiness", "cgroup v2 has none", hint="limit swap instead")
    if memory.disable_oom_killer:
        problem = "cgroup v2 cannot disable the OOM killer"
        yield SpecError(f"{where}.disableOOMKiller", problem, hint="use memory.high in unified")
    if memory.use_hierarchy is False:
        yield SpecError(f"{where}.useHierarchy", "cgroup v2 is always hierarchical")
    for name, value in (("kernel", memory.kernel), ("kernelTCP", memory.kernel_tcp)):
        if (value or 0) > 0:
            problem = "cgroup v2 counts kernel memory into the limit"
            yield SpecError(f"{where}.{name}", problem, hint="use limit")


def block_io(leaf: str, block_io: BlockIO) -> Iterator[Write | SpecError]:
    """config-linux.md#block-io: weights to bfq or else io.weight, throttles to io.max, where 0 is max."""
    where = f"{WHERE}.blockIO"
    yield from _leaf_weights(block_io)
    if block_io.weight:
        yield _weight(leaf, "", block_io.weight, f"{where}.weight")
    for index, device in enumerate(block_io.weight_device):
        if device.weight:
            number, here = f"{device.major}:{device.minor} ", f"{where}.weightDevice[{index}].weight"
            yield _weight(leaf, number, device.weight, here)
    for key, name, devices in (
        ("rbps", "throttleReadBpsDevice", block_io.throttle_read_bps_device),
        ("wbps", "throttleWriteBpsDevice", block_io.throttle_write_bps_device),
        ("riops", "throttleReadIOPSDevice", block_io.throttle_read_iops_device),
        ("wiops", "throttleWriteIOPSDevice", block_io.throttle_write_iops_device),
    ):
        yield from _throttle(leaf, key, devices, f"{where}.{name}")


def _leaf_weights(block_io: BlockIO) -> Iterator[SpecError]:
    where = f"{WHERE}.blockIO"
    found = [f"{where}.leafWeight"] if block_io.leaf_weight else []
    for index, device in enumerate(block_io.weight_device):
        if device.leaf_weight:
            found.append(f"{where}.weightDevice[{index}].leafWeight")
    for path in found:
        yield SpecError(path, "cgroup v2 has no weight for leaves", hint="use weight")


def _weight(leaf: str, prefix: str, weight: int, where: str) -> Write:
    """bfq takes the spec's 1..1000 as it is; io.weight is 1..10000, of which 10..1000 are spread over all."""
    spread = max(1, 1 + (weight - 10) * 9999 // 990)
    otherwise = Write(f"{leaf}/io.weight", f"{prefix}{spread}", where)
    return Write(f"{leaf}/io.bfq.weight", f"{prefix}{weight}", where, otherwise=otherwise)


def _throttle(leaf: str, key: str, devices: tuple[ThrottleDevice, ...], where: str) -> Iterator[Write]:
    for index, device in enumerate(devices):
        value = f"{device.major}:{device.minor} {key}={device.rate or 'max'}"
        yield Write(f"{leaf}/io.max", value, f"{where}[{index}].rate")


def cpu(leaf: str, cpu: CPU) -> Iterator[Write | SpecError]:
    """config-linux.md#cpu, without its cpuset half. Times are microseconds."""
    where = f"{WHERE}.cpu"
    for name, value in (("realtimeRuntime", cpu.realtime_runtime), ("realtimePeriod", cpu.realtime_period)):
        if value:
            yield SpecError(f"{where}.{name}", "cgroup v2 does not divide realtime cpu time")
    yield from shares_and_idle(leaf, cpu, "cpu.weight", str(weight_of_shares(cpu.shares or 0)))
    if cpu.quota or cpu.period:
        # One file has both; 100 ms is the kernel's own period.
        quota = str(cpu.quota) if (cpu.quota or 0) > 0 else "max"
        named = f"{where}.quota" if cpu.quota else f"{where}.period"
        yield Write(f"{leaf}/cpu.max", f"{quota} {cpu.period or 100000}", named)
    if cpu.burst is not None:
        yield Write(f"{leaf}/cpu.max.burst", str(cpu.burst), f"{where}.burst", optional=not cpu.burst)


def weight_of_shares(shares: int) -> int:
    """Convert v1's 2..262144 to v2's 1..10000 so that the defaults, 1024 and 100, correspond as well.

    The quadratic in log2(shares) through these three points, as runc 1.3.2 and crun 1.23 have it, so that
    a container weighs the same whichever runtime started it. 0 is unset.
    """
    if shares == 0:
        return 0
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    from math import ceil, log2

    log = log2(shares)
    return ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))


def hugetlb(leaf: str, limits: tuple[HugepageLimit, ...]) -> Iterator[Write]:
    """config-linux.md#huge-page-limits."""
    return _hugetlb(leaf, limits, "max")


def net_cls(_leaf: str, network: NetworkResources) -> Iterator[SpecError]:
    """cgroup v2 has no network controllers: a firewall matches the cgroup's path instead."""
    if network.class_id is not None:
        hint = "match the cgroup with nftables' socket cgroupv2"
        yield SpecError(f"{WHERE}.network.classID", "cgroup v2 has no net_cls controller", hint)


def net_prio(_leaf: str, network: NetworkResources) -> Iterator[SpecError]:
    """See net_cls."""
    if network.priorities:
        hint = "set priorities with nftables' socket cgroupv2"
        yield SpecError(f"{WHERE}.network.priorities", "cgroup v2 has no net_prio controller", hint)


def unified(
    leaf: str, values: dict[str, str], controllers: tuple[str, ...]
) -> Iterator[tuple[str, Iterator[Write | SpecError]]]:
    """config-linux.md#unified: every key is a file, known to us or not; yields controller and what to write.

    The controller is what precedes the first dot, "" for the cgroup.* files of the core.
    """
    for key, value in values.items():
        controller = key.partition(".")[0]
        if controller == "cgroup":
            controller = ""
        yield controller, _unified_file(leaf, key, value, controller in ("", *controllers))


def _unified_file(leaf: str, key: str, value: str, available: bool) -> Iterator[Write | SpecError]:
    where = member_path(f"{WHERE}.unified", key)
    if key in ("cgroup.procs", "cgroup.threads", "cgroup.kill"):
        # With these a config would move the host's processes into the container, or kill what is there.
        yield SpecError(where, "is not a setting")
    elif not available:
        controller = key.partition(".")[0]
        yield SpecError(where, f"needs the cgroup v2 controller {controller}, which this host does not have")
    else:
        # Files such as io.max take one line a write.
        for line in value.split("\n"):
            if line or "\n" not in value:
                yield Write(f"{leaf}/{key}", line, where)


def owner_of(spec: Spec) -> int | None:
    """Return the host uid that may manage the container's cgroup, if it is to be delegated.

    config-linux.md#cgroup-ownership: only with a new cgroup namespace and a writable cgroup mount. The user is
    process.user.uid; one that the mappings do not speak of is nobody's on the host, and gets nothing.
    """
    linux, process = spec.linux, spec.process
    if linux is None or process is None or not has_new(linux.namespaces, "cgroup"):
        return None
    if not any(map(_is_writable_cgroup, spec.mounts)):
        return None
    uid = process.user.uid
    for mapping in linux.uid_mappings:
        if mapping.container_id <= uid < mapping.container_id + mapping.size:
            return mapping.host_id + uid - mapping.container_id
    return None if has_own(linux.namespaces, "user") else uid


def _is_writable_cgroup(mount: Mount) -> bool:
    readonly = {"ro", "rro"} & set(mount.options)
    return mount.type in ("cgroup", "cgroup2") and mount.destination.rstrip("/") == "/sys/fs/cgroup" and not readonly
