"""The `linux` object of config.json (config-linux.md)."""

from __future__ import annotations

from pyrunc.record import Record
from pyrunc.spec.mounts import read_id_mapping
from pyrunc.spec.read import INT64, UINT32
from pyrunc.spec.resources import read_resources
from pyrunc.spec.seccomp import read_seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.spec.mounts import IDMapping
    from pyrunc.spec.read import Reader
    from pyrunc.spec.resources import Resources
    from pyrunc.spec.seccomp import Seccomp

NAMESPACE_TYPES = ("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time")
DEVICE_TYPES = ("c", "b", "u", "p")
# The recursive forms are not in the spec, but containerd and docker write "rslave" and "rshared".
ROOTFS_PROPAGATIONS = (
    "shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable",
)  # fmt: skip
PERSONALITY_DOMAINS = ("LINUX", "LINUX32")
MEMORY_POLICY_MODES = (
    "MPOL_DEFAULT", "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE", "MPOL_PREFERRED",
    "MPOL_PREFERRED_MANY", "MPOL_LOCAL",
)  # fmt: skip
MEMORY_POLICY_FLAGS = ("MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES")

# mknod(2) would silently make another device of larger numbers: the kernel keeps 12 and 20 bits.
MAJOR = (0, 2**12 - 1)
MINOR = (0, 2**20 - 1)
FILE_MODE = (0, 0o177777)
NANOSECONDS = (0, 999_999_999)


class Namespace(Record):
    """A namespace to make, or with `path` one to join (config-linux.md#namespaces)."""

    type: str
    path: str | None = None


class TimeOffset(Record):
    """How far a clock is ahead of the host's (config-linux.md#offset-for-time-namespace)."""

    secs: int = 0
    nanosecs: int = 0


class Device(Record):
    """A device node to provide; `file_mode` has permission bits only (config-linux.md#devices)."""

    type: str
    path: str
    major: int | None = None
    minor: int | None = None
    file_mode: int | None = None
    uid: int | None = None
    gid: int | None = None


class NetDevice(Record):
    """A host interface to move in, renamed to `name` if given (config-linux.md#network-devices)."""

    name: str | None = None


class IntelRdt(Record):
    """Cache and memory bandwidth allocation by resctrl (config-linux.md#intelrdt)."""

    clos_id: str | None = None
    schemata: tuple[str, ...] = ()
    l3_cache_schema: str | None = None
    mem_bw_schema: str | None = None
    enable_monitoring: bool = False


class MemoryPolicy(Record):
    """Arguments of set_mempolicy(2); `nodes` is a list such as "0-1,3" (config-linux.md#memory-policy)."""

    mode: str
    nodes: str | None = None
    flags: tuple[str, ...] = ()


class Personality(Record):
    """Execution domain of personality(2) (config-linux.md#personality)."""

    domain: str
    flags: tuple[str, ...] = ()


class Linux(Record):
    """What only Linux has (config-linux.md)."""

    namespaces: tuple[Namespace, ...] = ()
    uid_mappings: tuple[IDMapping, ...] = ()
    gid_mappings: tuple[IDMapping, ...] = ()
    time_offsets: dict[str, TimeOffset] = {}
    devices: tuple[Device, ...] = ()
    net_devices: dict[str, NetDevice] = {}
    cgroups_path: str | None = None
    resources: Resources | None = None
    rootfs_propagation: str | None = None
    seccomp: Seccomp | None = None
    sysctl: dict[str, str] = {}
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    mount_label: str | None = None
    personality: Personality | None = None
    intel_rdt: IntelRdt | None = None
    memory_policy: MemoryPolicy | None = None

    def namespace(self, kind: str) -> Namespace | None:
        """Return the entry of a type such as "uts", or None: the runtime's own is inherited then."""
        for namespace in self.namespaces:
            if namespace.type == kind:
                return namespace
        return None


def sysctl_file(name: str) -> str:
    """Return the path below /proc/sys; where "." comes before "/" the two are swapped (sysctl(8))."""
    head, dot, _ = name.partition(".")
    if "/" in head or not dot:
        return name
    return name.translate({ord("."): "/", ord("/"): "."})


def _read_namespace(r: Reader) -> Namespace:
    return Namespace(r.required_one_of("type", NAMESPACE_TYPES), r.string("path"))


def _read_time_offset(r: Reader) -> TimeOffset:
    return TimeOffset(r.integer("secs", INT64) or 0, r.integer("nanosecs", NANOSECONDS) or 0)


def _read_device(r: Reader) -> Device:
    mode = r.integer("fileMode", FILE_MODE)
    return Device(
        r.required_one_of("type", DEVICE_TYPES),
        r.required_string("path"),
        r.integer("major", MAJOR),
        r.integer("minor", MINOR),
        # Engines copy the mode from stat(2), type bits included (8630 is 0o20666); the type is said above.
        None if mode is None else mode & 0o7777,
        r.integer("uid", UINT32),
        r.integer("gid", UINT32),
    )


def _read_net_device(r: Reader) -> NetDevice:
    return NetDevice(r.string("name"))


def _read_intel_rdt(r: Reader) -> IntelRdt:
    return IntelRdt(
        r.string("closID"),
        r.strings("schemata"),
        r.string("l3CacheSchema"),
        r.string("memBwSchema"),
        r.boolean("enableMonitoring") or False,
    )


def _read_memory_policy(r: Reader) -> MemoryPolicy:
    return MemoryPolicy(
        r.required_one_of("mode", MEMORY_POLICY_MODES),
        r.string("nodes"),
        r.each_one_of("flags", MEMORY_POLICY_FLAGS),
    )


def _read_personality(r: Reader) -> Personality:
    return Personality(r.required_one_of("domain", PERSONALITY_DOMAINS), r.strings("flags"))


def read_linux(r: Reader) -> Linux:
    """Read the `linux` object (config-linux.md)."""
    return Linux(
        r.objects("namespaces", _read_namespace),
        r.objects("uidMappings", read_id_mapping),
        r.objects("gidMappings", read_id_mapping),
        r.object_map("timeOffsets", _read_time_offset),
        r.objects("devices", _read_device),
        r.object_map("netDevices", _read_net_device),
        r.string("cgroupsPath"),
        r.object("resources", read_resources),
        r.one_of("rootfsPropagation", ROOTFS_PROPAGATIONS),
        r.object("seccomp", read_seccomp),
        r.string_map("sysctl"),
        r.strings("maskedPaths"),
        r.strings("readonlyPaths"),
        r.string("mountLabel"),
        r.object("personality", _read_personality),
        r.object("intelRdt", _read_intel_rdt),
        r.object("memoryPolicy", _read_memory_policy),
    )
