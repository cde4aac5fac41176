"""What keeps and what breaks the rules of config.md, and the words that such cases are written in."""

from __future__ import annotations

from typing import Any

from pyrunc.record import Record
from tests.unit.spec.spec_documents import ABSENT, Document


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
USER = {"namespaces": namespaces("user"), "uidMappings": MAPPINGS, "gidMappings": MAPPINGS}

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
