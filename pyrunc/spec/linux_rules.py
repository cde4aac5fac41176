"""The MUSTs of config-linux.md that types cannot say, one function each: see rules.py, which applies them."""

from __future__ import annotations

from pyrunc.errors import SpecError
from pyrunc.spec.linux import sysctl_file
from pyrunc.spec.read import member_path, number_ranges
from pyrunc.spec.seccomp import SECCOMP_ACTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.spec.linux import Linux
    from pyrunc.spec.mounts import IDMapping
    from pyrunc.spec.resources import Resources
    from pyrunc.spec.seccomp import Seccomp

ACTIONS_WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_MAX_ERRNO, _MAX_DATA = 4095, 0xFFFF
CLOCKS = ("monotonic", "boottime")
IPC_SYSCTLS = frozenset((
    "kernel/auto_msgmni", "kernel/msg_next_id", "kernel/msgmax", "kernel/msgmnb", "kernel/msgmni",
    "kernel/sem", "kernel/sem_next_id", "kernel/shm_next_id", "kernel/shm_rmid_forced", "kernel/shmall",
    "kernel/shmmax", "kernel/shmmni",
))  # fmt: skip
"""ipc_namespaces(7), and ipc/ipc_sysctl.c for the ones it leaves out."""


def namespaces_are_unique(linux: Linux) -> Iterator[SpecError]:
    """config-linux.md#namespaces: two entries of one type are an error."""
    seen: dict[str, int] = {}
    for i, namespace in enumerate(linux.namespaces):
        first = seen.setdefault(namespace.type, i)
        if first != i:
            yield SpecError(f".linux.namespaces[{i}].type", f"is the same as in .linux.namespaces[{first}]")


def namespace_paths_are_absolute(linux: Linux) -> Iterator[SpecError]:
    """config-linux.md#namespaces: path MUST be an absolute path."""
    for i, namespace in enumerate(linux.namespaces):
        if namespace.path is not None and not namespace.path.startswith("/"):
            yield SpecError(f".linux.namespaces[{i}].path", "must be an absolute path")


def mappings_are_possible(linux: Linux) -> Iterator[SpecError]:
    """config-linux.md#user-namespace-mappings: at least one id, none above 2**32-2 (user_namespaces(7))."""
    yield from _impossible_mappings(".linux.uidMappings", linux.uid_mappings)
    yield from _impossible_mappings(".linux.gidMappings", linux.gid_mappings)


def _impossible_mappings(at: str, mappings: tuple[IDMapping, ...]) -> Iterator[SpecError]:
    for i, mapping in enumerate(mappings):
        if mapping.size == 0:
            yield SpecError(f"{at}[{i}].size", "must be greater than zero")
        elif max(mapping.container_id, mapping.host_id) + mapping.size > 2**32 - 1:
            yield SpecError(f"{at}[{i}]", "reaches beyond the largest id, 4294967294")


def mappings_need_a_user_namespace(linux: Linux, namespaces: frozenset[str]) -> Iterator[SpecError]:
    """config-linux.md#user-namespace-mappings: they are the user namespace's."""
    if "user" in namespaces:
        return
    if linux.uid_mappings:
        yield SpecError(".linux.uidMappings", "needs a user entry in .linux.namespaces")
    if linux.gid_mappings:
        yield SpecError(".linux.gidMappings", "needs a user entry in .linux.namespaces")


def new_user_namespace_needs_mappings(linux: Linux, namespaces: frozenset[str]) -> Iterator[SpecError]:
    """config-linux.md#user-namespace-mappings: without them all ids inside are nobody's."""
    user = linux.namespace("user")
    if user is None or user.path is not None:
        return
    if not linux.uid_mappings:
        yield SpecError(".linux.uidMappings", "is required for a new user namespace")
    if not linux.gid_mappings:
        yield SpecError(".linux.gidMappings", "is required for a new user namespace")


def time_offsets_need_a_new_time_namespace(linux: Linux, namespaces: frozenset[str]) -> Iterator[SpecError]:
    """config-linux.md#offset-for-time-namespace: fixed once somebody is inside."""
    time = linux.namespace("time")
    if linux.time_offsets and (time is None or time.path is not None):
        yield SpecError(".linux.timeOffsets", "needs a time entry without path in .linux.namespaces")


def time_offset_clocks_are_known(linux: Linux) -> Iterator[SpecError]:
    """config-linux.md#offset-for-time-namespace: the key is the name of the clock."""
    for clock in linux.time_offsets:
        if clock not in CLOCKS:
            yield SpecError(member_path(".linux.timeOffsets", clock), f"must be one of {', '.join(CLOCKS)}")


def devices_have_numbers(linux: Linux) -> Iterator[SpecError]:
    """config-linux.md#devices: major and minor are required unless type is p."""
    for i, device in enumerate(linux.devices):
        if device.type in ("c", "b", "u"):
            if device.major is None:
                yield SpecError(f".linux.devices[{i}].major", f"is required for type {device.type}")
            if device.minor is None:
                yield SpecError(f".linux.devices[{i}].minor", f"is required for type {device.type}")


def device_paths_are_absolute(linux: Linux) -> Iterator[SpecError]:
    """config-linux.md#devices: the full path inside the container."""
    for i, device in enumerate(linux.devices):
        if not device.path.startswith("/"):
            yield SpecError(f".linux.devices[{i}].path", "must be an absolute path")


def net_device_names_are_possible(linux: Linux) -> Iterator[SpecError]:
    """config-linux.md#network-devices: names that the kernel takes, by its dev_valid_name()."""
    for host_name, device in linux.net_devices.items():
        at = member_path(".linux.netDevices", host_name)
        if not _is_interface_name(host_name):
            yield SpecError(at, "must be named after a network interface")
        if device.name is not None and not _is_interface_name(device.name):
            yield SpecError(f"{at}.name", "must be a name for a network interface")


def _is_interface_name(name: str) -> bool:
    plain = not any(character in "/:" or character.isspace() for character in name)
    return plain and 0 < len(name.encode(errors="surrogatepass")) < 16 and name not in (".", "..")


def masked_paths_are_absolute(linux: Linux) -> Iterator[SpecError]:
    """config-linux.md#masked-paths: the values MUST be absolute paths."""
    for i, path in enumerate(linux.masked_paths):
        if not path.startswith("/"):
            yield SpecError(f".linux.maskedPaths[{i}]", "must be an absolute path")


def readonly_paths_are_absolute(linux: Linux) -> Iterator[SpecError]:
    """config-linux.md#readonly-paths: the values MUST be absolute paths."""
    for i, path in enumerate(linux.readonly_paths):
        if not path.startswith("/"):
            yield SpecError(f".linux.readonlyPaths[{i}]", "must be an absolute path")


def personality_has_no_flags(linux: Linux) -> Iterator[SpecError]:
    """config-linux.md#personality: no flag values are supported so far."""
    if linux.personality is not None and linux.personality.flags:
        yield SpecError(".linux.personality.flags", "must be empty: the spec has no flags yet")


def memory_policy_nodes_are_a_list(linux: Linux) -> Iterator[SpecError]:
    """config-linux.md#memory-policy: nodes separated by commas, ranges by dashes."""
    policy = linux.memory_policy
    if policy is not None and policy.nodes and number_ranges(policy.nodes) is None:
        yield SpecError(".linux.memoryPolicy.nodes", 'must be a list of nodes such as "0-1,3"')


def clos_id_names_a_directory(linux: Linux) -> Iterator[SpecError]:
    """config-linux.md#intelrdt: a directory right below resctrl's root, or "/", the root itself."""
    clos_id = linux.intel_rdt.clos_id if linux.intel_rdt else None
    if clos_id is None or clos_id == "/":
        return
    if clos_id in ("", ".", "..") or "/" in clos_id or "\n" in clos_id:
        yield SpecError(".linux.intelRdt.closID", 'must be "/" or a name without a slash')


def schemata_are_lines(linux: Linux) -> Iterator[SpecError]:
    """config-linux.md#intelrdt: one line an entry, without newlines."""
    if linux.intel_rdt is None:
        return
    for i, line in enumerate(linux.intel_rdt.schemata):
        if "\n" in line:
            yield SpecError(f".linux.intelRdt.schemata[{i}]", "must not contain a newline")


def mem_bw_schema_is_a_line(linux: Linux) -> Iterator[SpecError]:
    """config-linux.md#intelrdt: MUST start with "MB:" and MUST NOT contain newlines."""
    schema = linux.intel_rdt.mem_bw_schema if linux.intel_rdt else None
    if schema is not None and (not schema.startswith("MB:") or "\n" in schema):
        yield SpecError(".linux.intelRdt.memBwSchema", 'must be one line that starts with "MB:"')


def sysctl_names_stay_below_proc_sys(linux: Linux) -> Iterator[SpecError]:
    """config-linux.md#sysctl: a name becomes a path below /proc/sys and must not lead out of it."""
    for name in linux.sysctl:
        if "\n" in name or any(part in ("", ".", "..") for part in sysctl_file(name).split("/")):
            yield SpecError(member_path(".linux.sysctl", name), "must be the name of a file below /proc/sys")


def sysctls_belong_to_the_container(linux: Linux, namespaces: frozenset[str]) -> Iterator[SpecError]:
    """config-linux.md#sysctl: for the container, so only those that a namespace of its own has copies of."""
    for name in linux.sysctl:
        at = member_path(".linux.sysctl", name)
        file = sysctl_file(name)
        owner = _owner_of_sysctl(file)
        if file == "kernel/hostname":
            yield SpecError(at, "must be set by .hostname")
        elif not owner:
            yield SpecError(at, "belongs to no namespace: it would change the host")
        elif owner not in namespaces:
            yield SpecError(at, f"needs a {owner} entry in .linux.namespaces")


def _owner_of_sysctl(file: str) -> str:
    """Return the type of the namespace that has its own copy of a file below /proc/sys, or ""."""
    if file in IPC_SYSCTLS or file.startswith("fs/mqueue/"):
        return "ipc"
    if file == "kernel/domainname":
        return "uts"
    return {"net": "network", "user": "user"}.get(file.partition("/")[0], "")


def errno_only_where_it_is_returned(seccomp: Seccomp) -> Iterator[SpecError]:
    """config-linux.md#seccomp: an errno for an action that takes none MUST be refused."""
    without = [action for action in SECCOMP_ACTIONS if action not in ACTIONS_WITH_ERRNO]
    if seccomp.default_errno_ret is not None and seccomp.default_action in without:
        yield SpecError(".linux.seccomp.defaultErrnoRet", f"cannot be used with {seccomp.default_action}")
    for i, syscall in enumerate(seccomp.syscalls):
        if syscall.errno_ret is not None and syscall.action in without:
            yield SpecError(f".linux.seccomp.syscalls[{i}].errnoRet", f"cannot be used with {syscall.action}")


def errno_is_one_that_the_kernel_returns(seccomp: Seccomp) -> Iterator[SpecError]:
    """config-linux.md#seccomp, errnoRet: seccomp(2) has 16 bits for it, and cuts an errno off at 4095."""
    given = [(".linux.seccomp.defaultErrnoRet", seccomp.default_action, seccomp.default_errno_ret)]
    for i, syscall in enumerate(seccomp.syscalls):
        given.append((f".linux.seccomp.syscalls[{i}].errnoRet", syscall.action, syscall.errno_ret))
    for path, action, number in given:
        largest = _MAX_ERRNO if action == "SCMP_ACT_ERRNO" else _MAX_DATA
        if number is not None and number > largest:
            yield SpecError(path, f"must be between 0 and {largest} with {action}")


def seccomp_rules_name_a_syscall(seccomp: Seccomp) -> Iterator[SpecError]:
    """config-linux.md#seccomp: names MUST contain at least one entry."""
    for i, syscall in enumerate(seccomp.syscalls):
        if not syscall.names:
            yield SpecError(f".linux.seccomp.syscalls[{i}].names", "must have at least one entry")


def listener_metadata_needs_a_listener(seccomp: Seccomp) -> Iterator[SpecError]:
    """config-linux.md#seccomp: listenerMetadata MUST NOT be set if listenerPath is not."""
    if seccomp.listener_metadata and not seccomp.listener_path:
        yield SpecError(".linux.seccomp.listenerMetadata", "needs a listenerPath")


def device_rules_are_readable(resources: Resources) -> Iterator[SpecError]:
    """config-linux.md#allowed-device-list: type is a, c or b, access a composition of r, w and m."""
    for i, rule in enumerate(resources.devices):
        at = f".linux.resources.devices[{i}]"
        if rule.type not in (None, "a", "c", "b"):
            yield SpecError(f"{at}.type", "must be one of a, c, b")
        if rule.access is not None and rule.access.strip("rwm"):
            yield SpecError(f"{at}.access", "must be made of r, w and m")


def burst_is_within_quota(resources: Resources) -> Iterator[SpecError]:
    """config-linux.md#cpu: burst MUST be no larger than any positive quota."""
    cpu = resources.cpu
    if cpu is not None and cpu.burst and cpu.quota and 0 < cpu.quota < cpu.burst:
        yield SpecError(".linux.resources.cpu.burst", f"must not be larger than the quota, {cpu.quota}")


def weight_devices_have_a_weight(resources: Resources) -> Iterator[SpecError]:
    """config-linux.md#block-io: at least one of weight and leafWeight in each entry."""
    for i, device in enumerate(resources.block_io.weight_device if resources.block_io else ()):
        if device.weight is None and device.leaf_weight is None:
            yield SpecError(f".linux.resources.blockIO.weightDevice[{i}]", "must have weight or leafWeight")


def hugepage_sizes_are_sizes(resources: Resources) -> Iterator[SpecError]:
    """config-linux.md#huge-page-limits: <size><unit-prefix>B, such as 64KB, 2MB, 1GB."""
    for i, limit in enumerate(resources.hugepage_limits):
        number = limit.page_size[:-2]
        decimal = number.isascii() and number.isdigit() and number[0] != "0"
        if not decimal or limit.page_size[-2:] not in ("KB", "MB", "GB"):
            yield SpecError(f".linux.resources.hugepageLimits[{i}].pageSize", 'must be a size such as "2MB"')


def rdma_devices_have_a_limit(resources: Resources) -> Iterator[SpecError]:
    """config-linux.md#rdma: at least one of hcaHandles and hcaObjects in each entry."""
    for name, device in resources.rdma.items():
        at = member_path(".linux.resources.rdma", name)
        if device.hca_handles is None and device.hca_objects is None:
            yield SpecError(at, "must have hcaHandles or hcaObjects")
        if not name or any(character.isspace() for character in name):
            yield SpecError(at, "must be named after an RDMA device")


def unified_keys_are_files(resources: Resources) -> Iterator[SpecError]:
    """config-linux.md#unified: each key is a file of the container's own cgroup, not of another one."""
    for key in resources.unified:
        if key in ("", ".", "..") or "/" in key:
            yield SpecError(
                member_path(".linux.resources.unified", key), "must be the name of a cgroup's file"
            )


LINUX_RULES = (
    namespaces_are_unique, namespace_paths_are_absolute, mappings_are_possible, time_offset_clocks_are_known,
    devices_have_numbers, device_paths_are_absolute, net_device_names_are_possible, masked_paths_are_absolute,
    readonly_paths_are_absolute, personality_has_no_flags, memory_policy_nodes_are_a_list,
    clos_id_names_a_directory, schemata_are_lines, mem_bw_schema_is_a_line, sysctl_names_stay_below_proc_sys,
)  # fmt: skip
LINUX_NAMESPACE_RULES = (
    mappings_need_a_user_namespace, new_user_namespace_needs_mappings, time_offsets_need_a_new_time_namespace,
    sysctls_belong_to_the_container,
)  # fmt: skip
SECCOMP_RULES = (
    errno_only_where_it_is_returned, errno_is_one_that_the_kernel_returns, seccomp_rules_name_a_syscall,
    listener_metadata_needs_a_listener,
)  # fmt: skip
RESOURCES_RULES = (
    device_rules_are_readable, burst_is_within_quota, weight_devices_have_a_weight, hugepage_sizes_are_sizes,
    rdma_devices_have_a_limit, unified_keys_are_files,
)  # fmt: skip
