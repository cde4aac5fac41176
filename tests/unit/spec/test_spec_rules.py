"""Every rule has a configuration that keeps it and one that breaks it, with the exact places."""

from __future__ import annotations

from typing import Any

import pytest

from pyrunc.record import Record
from pyrunc.spec import linux_rules, rules
from pyrunc.spec.rules import is_semver
from tests.unit.spec.spec_documents import ABSENT, Document, changed, problems_of, read, small


class Case(Record):
    """A rule's name, what to change to keep and to break it, and where it says so."""

    rule: str
    good: Document
    bad: Document
    paths: tuple[str, ...]


def namespaces(*kinds: str, **paths: str) -> list[Document]:
    return [{"type": kind} for kind in kinds] + [{"type": kind, "path": path} for kind, path in paths.items()]


def linux(**members: Any) -> Document:
    return {"linux": members}


def resources(**members: Any) -> Document:
    return {"linux": {"resources": members}}


def process(**members: Any) -> Document:
    return {"process": members}


def mounts(**members: Any) -> Document:
    return {"mounts": [{"destination": "/a"}, {"destination": "/b", **members}]}


def seccomp(*syscalls: Document, action: str = "SCMP_ACT_ERRNO", **members: Any) -> Document:
    return {"linux": {"seccomp": {"defaultAction": action, "syscalls": list(syscalls), **members}}}


MAPPINGS = [{"containerID": 0, "hostID": 1000, "size": 1}]
WITH_USER = namespaces("user")
USER = {"namespaces": WITH_USER, "uidMappings": MAPPINGS, "gidMappings": MAPPINGS}
TOO_FAR = [{"containerID": 0, "hostID": 2**32 - 2, "size": 2}]
EMPTY = [{"containerID": 0, "hostID": 0, "size": 0}]

CONFIG_CASES = [
    Case("oci_version_is_one_we_know", {"ociVersion": "1.99.0"}, {"ociVersion": "1.0"}, (".ociVersion",)),
    Case(
        "oci_version_is_one_we_know", {"ociVersion": "1.0.0-rc5"}, {"ociVersion": "2.0.0"}, (".ociVersion",)
    ),
    Case("root_is_given", {"root": {"path": "/r"}}, {"root": ABSENT}, (".root",)),
    Case("root_is_given", {"root": {"path": "r"}}, {"root": {"path": ""}}, (".root.path",)),
    Case(
        "annotation_keys_are_not_empty",
        {"annotations": {"a": ""}},
        {"annotations": {"": "x"}},
        ('.annotations[""]',),
    ),
    Case(
        "hostname_needs_uts",
        {"hostname": "h", **linux(namespaces=namespaces("uts"))},
        {"hostname": "h", **linux(namespaces=namespaces("pid"))},
        (".hostname",),
    ),
    Case(
        "hostname_needs_uts",
        {"hostname": "", "linux": ABSENT},
        {"hostname": "h", "linux": ABSENT},
        (".hostname",),
    ),
    Case(
        "domainname_needs_uts",
        {"domainname": "d", **linux(namespaces=namespaces(uts="/proc/1/ns/uts"))},
        {"domainname": "d", **linux(namespaces=[])},
        (".domainname",),
    ),
    Case(
        "idmap_has_something_to_map_by",
        mounts(options=["bind", "idmap"], uidMappings=MAPPINGS, gidMappings=MAPPINGS),
        mounts(options=["bind", "idmap"]),
        (".mounts[1].options",),
    ),
    Case(
        "idmap_has_something_to_map_by",
        {**mounts(options=["rbind", "ridmap"]), **linux(**USER)},
        mounts(options=["rbind", "ridmap"]),
        (".mounts[1].options",),
    ),
    Case(
        "mount_has_a_destination",
        {"mounts": [{"destination": "relative"}]},
        {"mounts": [{"destination": ""}]},
        (".mounts[0].destination",),
    ),
    Case(
        "mount_mappings_come_together",
        mounts(uidMappings=MAPPINGS, gidMappings=MAPPINGS),
        mounts(uidMappings=MAPPINGS),
        (".mounts[1].gidMappings",),
    ),
    Case("mount_mappings_come_together", mounts(), mounts(gidMappings=MAPPINGS), (".mounts[1].uidMappings",)),
    Case("args_name_a_program", process(args=["sh"]), process(args=[]), (".process.args",)),
    Case("args_name_a_program", {"process": ABSENT}, process(args=ABSENT), (".process.args",)),
    Case("cwd_is_absolute", process(cwd="/x"), process(cwd="x"), (".process.cwd",)),
    Case(
        "rlimits_are_unique",
        process(rlimits=[{"type": f"RLIMIT_{name}", "soft": 1, "hard": 1} for name in ("AS", "CPU")]),
        process(rlimits=[{"type": f"RLIMIT_{name}", "soft": 1, "hard": 1} for name in ("AS", "CPU", "AS")]),
        (".process.rlimits[2].type",),
    ),
    Case(
        "rlimit_soft_is_within_hard",
        process(rlimits=[{"type": "RLIMIT_AS", "soft": 1, "hard": 1}]),
        process(rlimits=[{"type": "RLIMIT_AS", "soft": 2, "hard": 1}]),
        (".process.rlimits[0]",),
    ),
    Case(
        "exec_cpu_affinity_is_a_list",
        process(execCPUAffinity={"initial": "0-3,7", "final": ""}),
        process(execCPUAffinity={"initial": "3-0", "final": "all"}),
        (".process.execCPUAffinity.initial", ".process.execCPUAffinity.final"),
    ),
    *(
        Case(
            "hook_paths_are_absolute",
            {"hooks": {kind: [{"path": "/bin/true"}]}},
            {"hooks": {kind: [{"path": "/bin/true"}, {"path": "true"}]}},
            (f".hooks.{kind}[1].path",),
        )
        for kind in (
            "prestart",
            "createRuntime",
            "createContainer",
            "startContainer",
            "poststart",
            "poststop",
        )
    ),
    Case(
        "hook_timeouts_are_positive",
        {"hooks": {"poststop": [{"path": "/a", "timeout": 1}]}},
        {"hooks": {"poststop": [{"path": "/a", "timeout": 0}, {"path": "/a", "timeout": -1}]}},
        (".hooks.poststop[0].timeout", ".hooks.poststop[1].timeout"),
    ),
]

LINUX_CASES = [
    Case(
        "namespaces_are_unique",
        linux(namespaces=namespaces("pid", "uts")),
        linux(namespaces=namespaces("pid", "uts", "pid")),
        (".linux.namespaces[2].type",),
    ),
    Case(
        "namespace_paths_are_absolute",
        linux(namespaces=namespaces(network="/run/netns/a")),
        linux(namespaces=namespaces(network="netns/a", pid="")),
        (".linux.namespaces[0].path", ".linux.namespaces[1].path"),
    ),
    Case(
        "mappings_are_possible",
        linux(**USER),
        linux(**{**USER, "uidMappings": TOO_FAR, "gidMappings": EMPTY}),
        (".linux.uidMappings[0]", ".linux.gidMappings[0].size"),
    ),
    Case(
        "mappings_need_a_user_namespace",
        linux(namespaces=namespaces(user="/proc/1/ns/user"), uidMappings=MAPPINGS, gidMappings=MAPPINGS),
        linux(uidMappings=MAPPINGS, gidMappings=MAPPINGS),
        (".linux.uidMappings", ".linux.gidMappings"),
    ),
    Case(
        "new_user_namespace_needs_mappings",
        linux(namespaces=namespaces(user="/proc/1/ns/user")),
        linux(namespaces=WITH_USER),
        (".linux.uidMappings", ".linux.gidMappings"),
    ),
    Case(
        "time_offsets_need_a_new_time_namespace",
        linux(namespaces=namespaces("time"), timeOffsets={"monotonic": {"secs": 1}}),
        linux(timeOffsets={"monotonic": {"secs": 1}}),
        (".linux.timeOffsets",),
    ),
    Case(
        "time_offsets_need_a_new_time_namespace",
        linux(namespaces=namespaces(time="/proc/1/ns/time"), timeOffsets={}),
        linux(namespaces=namespaces(time="/proc/1/ns/time"), timeOffsets={"boottime": {"secs": 1}}),
        (".linux.timeOffsets",),
    ),
    Case(
        "time_offset_clocks_are_known",
        linux(namespaces=namespaces("time"), timeOffsets={"boottime": {"secs": -1, "nanosecs": 5}}),
        linux(namespaces=namespaces("time"), timeOffsets={"realtime": {"secs": 1}}),
        (".linux.timeOffsets.realtime",),
    ),
    Case(
        "devices_have_numbers",
        linux(devices=[{"type": "p", "path": "/p"}, {"type": "u", "path": "/u", "major": 1, "minor": 3}]),
        linux(devices=[{"type": "c", "path": "/c", "major": 1}, {"type": "b", "path": "/b", "minor": 1}]),
        (".linux.devices[0].minor", ".linux.devices[1].major"),
    ),
    Case(
        "device_paths_are_absolute",
        linux(devices=[{"type": "p", "path": "/outside/dev"}]),
        linux(devices=[{"type": "p", "path": "dev/p"}]),
        (".linux.devices[0].path",),
    ),
    Case(
        "net_device_names_are_possible",
        linux(netDevices={"eth0": {"name": "ctr%d"}, "wlan0": {}}),
        linux(netDevices={"eth0": {"name": "a/b"}, "sixteen-letters-": {}, "..": {"name": ""}}),
        (
            ".linux.netDevices.eth0.name",
            '.linux.netDevices["sixteen-letters-"]',
            '.linux.netDevices[".."]',
            '.linux.netDevices[".."].name',
        ),
    ),
    Case(
        "masked_paths_are_absolute",
        linux(maskedPaths=["/proc/kcore"]),
        linux(maskedPaths=["/proc/kcore", "proc/keys"]),
        (".linux.maskedPaths[1]",),
    ),
    Case(
        "readonly_paths_are_absolute",
        linux(readonlyPaths=["/proc/sys"]),
        linux(readonlyPaths=["", "/proc/sys"]),
        (".linux.readonlyPaths[0]",),
    ),
    Case(
        "personality_has_no_flags",
        linux(personality={"domain": "LINUX", "flags": []}),
        linux(personality={"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}),
        (".linux.personality.flags",),
    ),
    Case(
        "memory_policy_nodes_are_a_list",
        linux(memoryPolicy={"mode": "MPOL_DEFAULT", "nodes": ""}),
        linux(memoryPolicy={"mode": "MPOL_BIND", "nodes": "zero"}),
        (".linux.memoryPolicy.nodes",),
    ),
    *(
        Case(
            "clos_id_names_a_directory",
            linux(intelRdt={"closID": good}),
            linux(intelRdt={"closID": bad}),
            (".linux.intelRdt.closID",),
        )
        for good, bad in (
            ("/", "."),
            ("gold", ".."),
            ("a.b", "/gold"),
            ("g", "a/b"),
            ("g", ""),
            ("g", "a\nb"),
        )
    ),
    Case(
        "schemata_are_lines",
        linux(intelRdt={"schemata": ["L3:0=7f0", "MB:0=20"]}),
        linux(intelRdt={"schemata": ["L3:0=7f0", "L2:0=f\nMB:0=20"]}),
        (".linux.intelRdt.schemata[1]",),
    ),
    Case(
        "mem_bw_schema_is_a_line",
        linux(intelRdt={"memBwSchema": "MB:0=20;1=70"}),
        linux(intelRdt={"memBwSchema": "L3:0=20"}),
        (".linux.intelRdt.memBwSchema",),
    ),
    Case(
        "mem_bw_schema_is_a_line",
        linux(intelRdt={"l3CacheSchema": "L3:0=7f0"}),
        linux(intelRdt={"memBwSchema": "MB:0=20\nL3:0=1"}),
        (".linux.intelRdt.memBwSchema",),
    ),
    *(
        Case(
            "sysctl_names_stay_below_proc_sys",
            linux(sysctl={"net.ipv4.ip_forward": "1"}),
            linux(sysctl={name: "1"}),
            (f'.linux.sysctl["{name}"]',),
        )
        for name in ("net/../vm/swappiness", "net.ipv4.//", "net..core", "net/./core", "net.")
    ),
    *(
        Case(
            "sysctls_belong_to_the_container",
            linux(namespaces=namespaces(owner), sysctl={name: "1"}),
            linux(namespaces=[], sysctl={name: "1"}),
            (f'.linux.sysctl["{name}"]',),
        )
        for owner, name in (
            ("network", "net.ipv4.ip_forward"),
            ("network", "net/ipv4/conf/eth0.1/forwarding"),
            ("ipc", "kernel.shmmax"),
            ("ipc", "fs.mqueue.msg_max"),
            ("uts", "kernel.domainname"),
        )
    ),
    Case(
        "sysctls_belong_to_the_container",
        linux(**USER, sysctl={"user.max_user_namespaces": "1"}),
        linux(sysctl={"user.max_user_namespaces": "1"}),
        ('.linux.sysctl["user.max_user_namespaces"]',),
    ),
    *(
        Case(
            "sysctls_belong_to_the_container",
            linux(sysctl={}),
            linux(sysctl={name: "1"}),
            (f'.linux.sysctl["{name}"]',),
        )
        for name in ("kernel.hostname", "vm.swappiness", "kernel.core_pattern", "fs.mqueuex.a", "network.a")
    ),
]

RESOURCES_CASES = [
    Case(
        "device_rules_are_readable",
        resources(devices=[{"allow": True, "type": "a", "access": "mwr"}, {"allow": False}]),
        resources(devices=[{"allow": True, "type": "p", "access": "x"}]),
        (".linux.resources.devices[0].type", ".linux.resources.devices[0].access"),
    ),
    Case(
        "burst_is_within_quota",
        resources(cpu={"burst": 2, "quota": 2}),
        resources(cpu={"burst": 3, "quota": 2}),
        (".linux.resources.cpu.burst",),
    ),
    Case(
        "burst_is_within_quota",
        resources(cpu={"burst": 2, "quota": -1}),
        resources(cpu={"burst": 2**64 - 1, "quota": 1}),
        (".linux.resources.cpu.burst",),
    ),
    Case(
        "weight_devices_have_a_weight",
        resources(blockIO={"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 10}]}),
        resources(blockIO={"weightDevice": [{"major": 8, "minor": 0}]}),
        (".linux.resources.blockIO.weightDevice[0]",),
    ),
    *(
        Case(
            "hugepage_sizes_are_sizes",
            resources(hugepageLimits=[{"pageSize": good, "limit": 1}]),
            resources(hugepageLimits=[{"pageSize": bad, "limit": 1}]),
            (".linux.resources.hugepageLimits[0].pageSize",),
        )
        for good, bad in (
            ("64KB", "64kB"),
            ("2MB", "02MB"),
            ("1GB", "MB"),
            ("16GB", "2M"),
            ("2MB", ""),
            ("2MB", "2TB"),
        )
    ),
    Case(
        "rdma_devices_have_a_limit",
        resources(rdma={"mlx5_1": {"hcaObjects": 0}}),
        resources(rdma={"mlx5_1": {}, "a b": {"hcaHandles": 1}}),
        (".linux.resources.rdma.mlx5_1", '.linux.resources.rdma["a b"]'),
    ),
    Case(
        "unified_keys_are_files",
        resources(unified={"memory.high": "1", "foo.bar": "2"}),
        resources(unified={"../memory.high": "1", "": "1", "..": "1"}),
        (
            '.linux.resources.unified["../memory.high"]',
            '.linux.resources.unified[""]',
            '.linux.resources.unified[".."]',
        ),
    ),
]

SECCOMP_CASES = [
    *(
        Case(
            "errno_only_where_it_is_returned",
            seccomp({"names": ["read"], "action": good, "errnoRet": 1}, defaultErrnoRet=38),
            seccomp({"names": ["read"], "action": bad, "errnoRet": 1}, action=bad, defaultErrnoRet=38),
            (".linux.seccomp.defaultErrnoRet", ".linux.seccomp.syscalls[0].errnoRet"),
        )
        for good, bad in (("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW"), ("SCMP_ACT_TRACE", "SCMP_ACT_NOTIFY"))
    ),
    Case(
        "seccomp_rules_name_a_syscall",
        seccomp({"names": ["read"], "action": "SCMP_ACT_ALLOW"}),
        seccomp({"names": ["read"], "action": "SCMP_ACT_ALLOW"}, {"names": [], "action": "SCMP_ACT_ALLOW"}),
        (".linux.seccomp.syscalls[1].names",),
    ),
    Case(
        "listener_metadata_needs_a_listener",
        seccomp(listenerPath="/a.sock", listenerMetadata="x"),
        seccomp(listenerMetadata="x"),
        (".linux.seccomp.listenerMetadata",),
    ),
]

CASES = CONFIG_CASES + LINUX_CASES + RESOURCES_CASES + SECCOMP_CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_configuration_that_keeps_the_rule_is_read(case: Case) -> None:
    read(changed(small(), case.good))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_configuration_that_breaks_the_rule_is_refused_there(case: Case) -> None:
    assert {problem.path for problem in problems_of(changed(small(), case.bad))} == set(case.paths)


def all_rules() -> list[Any]:
    tables = [
        value
        for module in (rules, linux_rules)
        for name, value in vars(module).items()
        if name.endswith("_RULES")
    ]
    return [rule for table in tables for rule in table]


def test_every_rule_has_its_cases() -> None:
    assert {rule.__name__ for rule in all_rules()} == {case.rule for case in CASES}


def test_every_rule_is_in_a_table() -> None:
    written = {
        name
        for module in (rules, linux_rules)
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__
        and not name.startswith(("_", "check", "is_semver"))
    }
    assert written == {rule.__name__ for rule in all_rules()}


def test_every_rule_names_its_section_of_the_spec() -> None:
    for rule in all_rules():
        assert rule.__doc__.startswith(("config.md#", "config-linux.md#"))


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0",
        "1.0.0",
        "10.20.30",
        "1.0.0-rc.1",
        "1.0.0-0",
        "1.0.0--",
        "1.0.0-0a",
        "1.3.0-rc.1+dev.001",
        "1.0.0+a-b",
    ],
)
def test_semantic_versions(text: str) -> None:
    assert is_semver(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "1", "1.0", "1.0.0.0", "v1.0.0", "01.0.0", "1.00.0", "1.0.0-", "1.0.0+", "1.0.0-01", "1.0.0-a..b",
        "1.0.0-é", "1.0.0+a+b", " 1.0.0", "1.0.0\n", "1.0.-1", "1.0.\u0661", "1..0",
    ],
)  # fmt: skip
def test_what_is_no_semantic_version(text: str) -> None:
    assert not is_semver(text)


def test_unknown_capabilities_are_no_error() -> None:
    read(changed(small(), process(capabilities={"bounding": ["CAP_OF_TOMORROW"]})))


def test_a_process_may_be_absent() -> None:
    assert read(changed(small(), {"process": ABSENT})).process is None


@pytest.mark.parametrize("value", ["shared", "slave", "private", "unbindable", "rshared", "rslave"])
def test_the_propagations_that_engines_write_are_known(value: str) -> None:
    spec = read(changed(small(), linux(rootfsPropagation=value)))
    assert spec.linux is not None
    assert spec.linux.rootfs_propagation == value
