"""The `linux.resources` object of config.json (config-linux.md, "Control groups").

Numbers keep the spec's units: bytes, microseconds for cpu times, -1 for "no limit" where the field is signed.
"""

from __future__ import annotations

from pyrunc.record import Record
from pyrunc.spec.read import INT64, UINT16, UINT32, UINT64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.spec.read import Reader

DEVICE_NUMBER = (-1, 2**32 - 1)
BYTES = (-1, 2**63 - 1)
SWAPPINESS = (0, 100)
IDLE = (0, 1)


class DeviceCgroup(Record):
    """A rule of the device allow list; `type` None means "a", `major` and `minor` None mean any."""

    allow: bool
    type: str | None = None
    major: int | None = None
    minor: int | None = None
    access: str | None = None


class Memory(Record):
    """Bytes, -1 for unlimited; `swap` is memory and swap together (config-linux.md#memory)."""

    limit: int | None = None
    reservation: int | None = None
    swap: int | None = None
    kernel: int | None = None
    kernel_tcp: int | None = None
    swappiness: int | None = None
    disable_oom_killer: bool | None = None
    use_hierarchy: bool | None = None
    check_before_update: bool | None = None


class CPU(Record):
    """Times are in microseconds; `cpus` and `mems` are lists such as "0-3,7" (config-linux.md#cpu)."""

    shares: int | None = None
    quota: int | None = None
    burst: int | None = None
    period: int | None = None
    realtime_runtime: int | None = None
    realtime_period: int | None = None
    cpus: str | None = None
    mems: str | None = None
    idle: int | None = None


class WeightDevice(Record):
    """Proportional weight of one block device, 10..1000 (config-linux.md#block-io)."""

    major: int
    minor: int
    weight: int | None = None
    leaf_weight: int | None = None


class ThrottleDevice(Record):
    """A ceiling for one block device, in bytes or operations a second (config-linux.md#block-io)."""

    major: int
    minor: int
    rate: int


class BlockIO(Record):
    """Block device limits (config-linux.md#block-io)."""

    weight: int | None = None
    leaf_weight: int | None = None
    weight_device: tuple[WeightDevice, ...] = ()
    throttle_read_bps_device: tuple[ThrottleDevice, ...] = ()
    throttle_write_bps_device: tuple[ThrottleDevice, ...] = ()
    throttle_read_iops_device: tuple[ThrottleDevice, ...] = ()
    throttle_write_iops_device: tuple[ThrottleDevice, ...] = ()


class HugepageLimit(Record):
    """Bytes of huge pages of one size, such as "2MB" (config-linux.md#huge-page-limits)."""

    page_size: str
    limit: int


class InterfacePriority(Record):
    """net_prio priority of traffic that leaves by the interface `name` (config-linux.md#network)."""

    name: str
    priority: int


class NetworkResources(Record):
    """net_cls and net_prio, which only cgroup v1 has (config-linux.md#network)."""

    class_id: int | None = None
    priorities: tuple[InterfacePriority, ...] = ()


class Pids(Record):
    """`limit` tasks; -1 is unlimited and 0 a real limit (config-linux.md#pids)."""

    limit: int


class Rdma(Record):
    """Limits of one RDMA device (config-linux.md#rdma)."""

    hca_handles: int | None = None
    hca_objects: int | None = None


class Resources(Record):
    """Everything a cgroup limits; `unified` are raw cgroup v2 files (config-linux.md#control-groups)."""

    devices: tuple[DeviceCgroup, ...] = ()
    memory: Memory | None = None
    cpu: CPU | None = None
    block_io: BlockIO | None = None
    hugepage_limits: tuple[HugepageLimit, ...] = ()
    network: NetworkResources | None = None
    pids: Pids | None = None
    rdma: dict[str, Rdma] = {}
    unified: dict[str, str] = {}


def _read_device_number(r: Reader, key: str) -> int | None:
    number = r.integer(key, DEVICE_NUMBER)
    # Configurations written for runc may say "any" by its own word for it, -1.
    return None if number == -1 else number


def _read_device_cgroup(r: Reader) -> DeviceCgroup:
    return DeviceCgroup(
        r.required_boolean("allow"),
        r.string("type"),
        _read_device_number(r, "major"),
        _read_device_number(r, "minor"),
        r.string("access"),
    )


def _read_memory(r: Reader) -> Memory:
    return Memory(
        r.integer("limit", BYTES),
        r.integer("reservation", BYTES),
        r.integer("swap", BYTES),
        r.integer("kernel", BYTES),
        r.integer("kernelTCP", BYTES),
        r.integer("swappiness", SWAPPINESS),
        r.boolean("disableOOMKiller"),
        r.boolean("useHierarchy"),
        r.boolean("checkBeforeUpdate"),
    )


def _read_cpu(r: Reader) -> CPU:
    return CPU(
        r.integer("shares", UINT64),
        r.integer("quota", INT64),
        r.integer("burst", UINT64),
        r.integer("period", UINT64),
        r.integer("realtimeRuntime", INT64),
        r.integer("realtimePeriod", UINT64),
        r.string("cpus"),
        r.string("mems"),
        r.integer("idle", IDLE),
    )


def _read_weight_device(r: Reader) -> WeightDevice:
    return WeightDevice(
        r.required_integer("major", UINT32),
        r.required_integer("minor", UINT32),
        r.integer("weight", UINT16),
        r.integer("leafWeight", UINT16),
    )


def _read_throttle_device(r: Reader) -> ThrottleDevice:
    return ThrottleDevice(
        r.required_integer("major", UINT32),
        r.required_integer("minor", UINT32),
        r.required_integer("rate", UINT64),
    )


def _read_block_io(r: Reader) -> BlockIO:
    return BlockIO(
        r.integer("weight", UINT16),
        r.integer("leafWeight", UINT16),
        r.objects("weightDevice", _read_weight_device),
        r.objects("throttleReadBpsDevice", _read_throttle_device),
        r.objects("throttleWriteBpsDevice", _read_throttle_device),
        r.objects("throttleReadIOPSDevice", _read_throttle_device),
        r.objects("throttleWriteIOPSDevice", _read_throttle_device),
    )


def _read_hugepage_limit(r: Reader) -> HugepageLimit:
    return HugepageLimit(r.required_string("pageSize"), r.required_integer("limit", UINT64))


def _read_interface_priority(r: Reader) -> InterfacePriority:
    return InterfacePriority(r.required_string("name"), r.required_integer("priority", UINT32))


def _read_network(r: Reader) -> NetworkResources:
    return NetworkResources(r.integer("classID", UINT32), r.objects("priorities", _read_interface_priority))


def _read_pids(r: Reader) -> Pids:
    return Pids(r.required_integer("limit", INT64))


def _read_rdma(r: Reader) -> Rdma:
    return Rdma(r.integer("hcaHandles", UINT32), r.integer("hcaObjects", UINT32))


def read_resources(r: Reader) -> Resources:
    """Read the `linux.resources` object (config-linux.md#control-groups)."""
    return Resources(
        r.objects("devices", _read_device_cgroup),
        r.object("memory", _read_memory),
        r.object("cpu", _read_cpu),
        r.object("blockIO", _read_block_io),
        r.objects("hugepageLimits", _read_hugepage_limit),
        r.object("network", _read_network),
        r.object("pids", _read_pids),
        r.object_map("rdma", _read_rdma),
        r.string_map("unified"),
    )
