"""config.md: versions, annotations, extensibility, and values that are wrong."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from conformance.case import Failure, case, check, equal

if TYPE_CHECKING:
    from conformance.box import Box


def refused(box: Box, what: str) -> None:
    """Create must fail, and leave nothing."""
    try:
        box.create().failed()
    except Failure as failure:
        raise Failure(f"{what}: {failure}") from failure
    equal(box.left_behind(), [], f"what is left after {what}")


@case(33)
def versions_of_the_spec(box: Box) -> None:
    """Every released version 1.x up to 1.2 is accepted."""
    for version in ("1.0.0", "1.0.2", "1.1.0", "1.2.0"):
        box.config["ociVersion"] = version
        check(box.report(), f"nothing was said with {version}")


@case(33, justified="config.md, ociVersion: MUST be in SemVer v2.0.0 format; runc and crun do not look")
def strange_versions_are_errors(box: Box) -> None:
    """A version that is not in SemVer's format, or missing, is an error."""
    for version in ("", "1", "1.0", "one", "v1.0.0", "1.0.0.0", None):
        box.config["ociVersion"] = version
        if version is None:
            del box.config["ociVersion"]
        refused(box, f"ociVersion {version!r}")


@case(76)
def annotations_are_strings(box: Box) -> None:
    """A value of an annotation that is no string is an error."""
    for value in (1, True, None, ["x"], {"x": "y"}):
        box.config["annotations"] = {"com.example.key": value}
        refused(box, f"the annotation {value!r}")


@case(76, justified="config.md, annotations: keys MUST NOT be an empty string; runc and crun do not look")
def annotation_keys_are_not_empty(box: Box) -> None:
    """An annotation whose key is empty is an error."""
    box.config["annotations"] = {"": "x"}
    refused(box, "an empty key")


@case(77)
def unknown_annotations_are_ignored(box: Box) -> None:
    """An annotation that the runtime does not know is no error."""
    box.config["annotations"] = {"org.example.nobody.knows.this": "true"}
    check(box.report(), "the program said nothing")


@case(77)
def unknown_properties_are_ignored(box: Box) -> None:
    """Properties that the spec does not have are ignored, at every level of the document."""
    box.config["unknownProperty"] = {"deep": [1, 2]}
    for member in (box.config["process"], box.config["root"], box.config["linux"], box.config["process"]["user"]):
        member["unknownProperty"] = "x"
    box.config["linux"]["namespaces"][0]["unknownProperty"] = 1
    box.config["mounts"][0]["unknownProperty"] = None
    check(box.report(), "the program said nothing")


WRONG: dict[str, dict[str, Any]] = {
    "process.cwd": {"process": {"cwd": 1}},
    "process.args": {"process": {"args": "probe"}},
    "process.args[0]": {"process": {"args": [1]}},
    "process.env": {"process": {"env": {"A": "1"}}},
    "process.user.uid": {"process": {"user": {"uid": "root", "gid": 0}}},
    "process.user.gid": {"process": {"user": {"uid": 0, "gid": -1}}},
    "process.terminal": {"process": {"terminal": "yes"}},
    "process.rlimits": {"process": {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": -1, "hard": 1}]}},
    "root.path": {"root": {"path": ["rootfs"]}},
    "root.readonly": {"root": {"path": "rootfs", "readonly": "true"}},
    "hostname": {"hostname": 7},
    "mounts": {"mounts": {}},
    "hooks": {"hooks": []},
    "linux": {"linux": []},
    "linux.namespaces": {"linux": {"namespaces": {"type": "pid"}}},
    "linux.maskedPaths": {"linux": {"maskedPaths": "/proc"}},
    "linux.resources.pids.limit": {"linux": {"resources": {"pids": {"limit": "many"}}}},
    "linux.resources.memory.limit": {"linux": {"resources": {"memory": {"limit": "1M"}}}},
    "linux.sysctl": {"linux": {"sysctl": {"net.ipv4.ip_forward": 1}}},
    "linux.seccomp": {"linux": {"seccomp": {"defaultAction": 1}}},
}


@case(78)
def values_of_wrong_types(box: Box) -> None:
    """A property whose value has the wrong type is an error."""
    valid = copy.deepcopy(box.config)
    for place, change in WRONG.items():
        box.config = copy.deepcopy(valid)
        for member, value in change.items():
            if isinstance(value, dict) and member in ("process", "linux"):
                box.config[member].update(value)
            else:
                box.config[member] = value
        refused(box, f"a wrong {place}")


@case(78)
def documents_that_are_none(box: Box) -> None:
    """A config.json that is no JSON object is an error."""
    for text in ("", "{", "[]", "null", '"x"', '{"ociVersion": "1.0.2"', "{'a': 1}", '{"a": NaN}'):
        (box.bundle / "config.json").write_text(text)
        box.call("create", "--bundle", str(box.bundle), box.id).failed()
    equal(box.left_behind(), [], "what is left")


@case(78, level="BEYOND")
def deep_documents(box: Box) -> None:
    """A document that is nested too deeply is an error, and not a crash."""
    (box.bundle / "config.json").write_text('{"a":' * 100000 + "1" + "}" * 100000)
    box.call("create", "--bundle", str(box.bundle), box.id).failed()


@case(16, 57)
def warnings_do_not_stop(box: Box) -> None:
    """What is only worth a warning does not change what happens."""
    box.config["process"]["capabilities"]["ambient"] = ["CAP_SYS_ADMIN"]
    box.process(user={"uid": 1000, "gid": 1000})
    check(box.report(), "the program said nothing")
