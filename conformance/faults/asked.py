"""What config.json asks for is spoilt on its way to the runtime: that one does not do it."""

from __future__ import annotations

from conformance.faults import Fault

ASKED = (
    Fault(
        "the environment has one variable more",
        """
if making():
    document = config()
    document["process"]["env"].append("MORE=1")
    save(document)
""",
        ("process/environment_is_exact",),
    ),
    Fault(
        "capabilities are not looked at",
        """
if making():
    document = config()
    document["process"]["capabilities"] = {kind: ["CAP_SYS_ADMIN", "CAP_CHOWN"] for kind in
        ("bounding", "effective", "permitted", "inheritable")}
    save(document)
""",
        ("process/capabilities_are_exact", "process/without_capabilities_none", "security/nothing_is_inheritable"),
    ),
    Fault(
        "hooks are forgotten",
        """
if making():
    document = config()
    document.pop("hooks", None)
    save(document)
""",
        ("hooks/order_at_create", "hooks/each_at_its_time", "hooks/a_hook_that_fails_at_create"),
    ),
    Fault(
        "nothing is read-only or masked",
        """
if making():
    document = config()
    document["root"].pop("readonly", None)
    document["linux"].pop("maskedPaths", None)
    document["linux"].pop("readonlyPaths", None)
    save(document)
""",
        ("mounts/readonly_root", "mounts/masked_file_and_directory", "mounts/readonly_paths"),
    ),
    Fault(
        "mount options are dropped",
        """
if making():
    document = config()
    for mount in document["mounts"]:
        mount["options"] = [option for option in mount.get("options", []) if option in ("bind", "rbind")]
    save(document)
""",
        ("mounts/ro_on_tmpfs", "mounts/nosuid_on_bind", "mounts/unknown_options_are_the_filesystems"),
    ),
    Fault(
        "every namespace is the host's",
        """
if making():
    document = config()
    document["linux"]["namespaces"] = [{"type": "mount"}]
    document.pop("hostname", None)
    save(document)
""",
        (
            "namespaces/new_pid_namespace",
            "namespaces/new_network_namespace",
            "namespaces/first_process_of_its_pid_namespace",
        ),
    ),
    Fault(
        "devices are not made",
        """
if making():
    document = config()
    document["linux"].pop("devices", None)
    save(document)
""",
        ("devices/devices_are_made", "devices/umask_does_not_change_modes"),
    ),
    Fault(
        "device rules are dropped",
        """
if making():
    document = config()
    document["linux"].setdefault("resources", {})["devices"] = [{"allow": True, "access": "rwm"}]
    save(document)
""",
        ("devices/devices_are_denied_unless_allowed", "devices/device_rules_count_in_their_order"),
    ),
    Fault(
        "seccomp is left out",
        """
if making():
    document = config()
    document["linux"].pop("seccomp", None)
    save(document)
""",
        ("seccomp/errno_action", "seccomp/kill_action", "seccomp/unknown_words_are_errors"),
    ),
    Fault(
        "limits are left out",
        """
if making():
    document = config()
    document["linux"].pop("resources", None)
    save(document)
""",
        ("cgroups/pids_limit", "cgroups/memory_limit_holds", "cgroups/impossible_limits_are_errors"),
    ),
    Fault(
        "cgroupsPath is not looked at",
        """
if making():
    document = config()
    document["linux"]["cgroupsPath"] += "-elsewhere"
    save(document)
""",
        ("cgroups/absolute_path",),
    ),
    Fault(
        "wrong configurations are mended",
        """
if making():
    document = config()
    document["annotations"] = {}
    document["ociVersion"] = "1.0.2"
    save(document)
""",
        ("config/strange_versions_are_errors", "config/annotation_keys_are_not_empty"),
    ),
    Fault(
        "network devices stay where they are",
        """
if making():
    document = config()
    document["linux"].pop("netDevices", None)
    save(document)
""",
        ("network/device_is_moved_as_it_is", "network/taken_name_is_an_error", "network/device_is_never_moved_back"),
    ),
    Fault(
        "the agent gets another state than it should",
        """
if making():
    document = config()
    seccomp = document["linux"].get("seccomp", {})
    if seccomp.get("listenerPath"):
        document["annotations"] = {"com.example.another": "value"}
        seccomp["listenerMetadata"] = "another"
        save(document)
""",
        ("listener/state_of_the_process", "listener/no_metadata_none_sent"),
    ),
    Fault(
        "no agent is asked",
        """
if making():
    document = config()
    seccomp = document["linux"].get("seccomp", {})
    seccomp["syscalls"] = []
    seccomp.pop("listenerPath", None)
    seccomp.pop("listenerMetadata", None)
    save(document)
""",
        (
            "listener/agent_decides",
            "listener/one_state_a_connection",
            "listener/agent_that_is_not_there_is_an_error",
            "listener/metadata_without_a_path_is_an_error",
            "listener/nobody_to_ask_is_an_error",
        ),
    ),
    Fault(
        "policies and labels are left out",
        """
if making():
    document = config()
    for name in ("memoryPolicy", "intelRdt", "mountLabel"):
        document["linux"].pop(name, None)
    for name in ("apparmorProfile", "selinuxLabel", "execCPUAffinity", "consoleSize"):
        document["process"].pop(name, None)
    save(document)
""",
        (
            "policies/memory_policy",
            "policies/memory_policy_flags",
            "policies/wrong_memory_policy_is_an_error",
            "policies/apparmor_that_is_not_there_is_an_error",
            "policies/selinux_that_is_not_there_is_an_error",
            "policies/mount_label_without_selinux_is_an_error",
            "policies/intel_rdt_without_resctrl_is_an_error",
            "process/exec_cpu_affinity",
            "process/wrong_exec_cpu_affinity_is_an_error",
            "process/console_size",
        ),
    ),
    Fault(
        "mappings of mounts are not looked at",
        """
if making():
    document = config()
    for mount in document["mounts"]:
        mount.pop("uidMappings", None)
        mount.pop("gidMappings", None)
        mount["options"] = [option for option in mount.get("options", []) if "idmap" not in option]
    save(document)
""",
        (
            "idmap/half_a_mapping_is_an_error",
            "idmap/idmapped_bind",
            "idmap/idmap_without_mappings_is_an_error",
            "idmap/recursive_only_with_ridmap",
            "features/idmap_is_as_said",
        ),
    ),
    Fault(
        "limits are set whatever is used, and not those of devices",
        """
if making():
    document = config()
    for name in ("blockIO", "hugepageLimits", "cpu"):
        document["linux"].get("resources", {}).pop(name, None)
    save(document)
if command == "update":
    sys.exit(0)
""",
        (
            "resources/limit_below_the_usage_is_refused",
            "resources/limit_above_the_usage_is_set",
            "resources/burst",
            "resources/burst_above_the_quota_is_an_error",
            "resources/throttles",
            "resources/throttle_of_no_device_is_an_error",
            "resources/huge_pages_are_counted_when_reserved",
        ),
    ),
)
