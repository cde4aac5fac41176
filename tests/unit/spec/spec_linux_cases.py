"""What keeps and what breaks the rules of config-linux.md."""

from __future__ import annotations

from tests.unit.spec.spec_cases import MAPPINGS, USER, Case, linux, namespaces, resources, seccomp

TOO_FAR = [{"containerID": 0, "hostID": 2**32 - 2, "size": 2}]
EMPTY = [{"containerID": 0, "hostID": 0, "size": 0}]

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
        linux(namespaces=namespaces("user")),
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
    *(
        Case(
            "errno_is_one_that_the_kernel_returns",
            seccomp({"names": ["read"], "action": action, "errnoRet": largest}, action=action, defaultErrnoRet=largest),
            seccomp({"names": ["read"], "action": action, "errnoRet": over}, action=action, defaultErrnoRet=70000),
            (".linux.seccomp.defaultErrnoRet", ".linux.seccomp.syscalls[0].errnoRet"),
        )
        for action, largest, over in (("SCMP_ACT_ERRNO", 4095, 4096), ("SCMP_ACT_TRACE", 65535, 65536))
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
