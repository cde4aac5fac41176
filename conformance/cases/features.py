"""features.md and features-linux.md: a runtime that says what it can do has to be right."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from conformance.case import NotApplicable, case, check, equal

if TYPE_CHECKING:
    from conformance.box import Box

NOT_FOR_A_TMPFS = {"bind", "rbind", "remount", "idmap", "ridmap", "tmpcopyup", "mand", "nomand", "copy-symlink"}


def document(box: Box) -> dict[str, Any]:
    """The features document; a runtime need not have one."""
    found = box.features()
    if not found:
        raise NotApplicable("it has no features document")
    return found


@case(128)
def versions_are_named(box: Box) -> None:
    """OciVersionMin and ociVersionMax are there, and both are accepted."""
    features = document(box)
    for key in ("ociVersionMin", "ociVersionMax"):
        check(isinstance(features.get(key), str), f"{key} is {features.get(key)!r}")
        box.config["ociVersion"] = features[key]
        check(box.report(), f"nothing was said with {features[key]}")


@case(130)
def listed_hooks_run(box: Box) -> None:
    """Every hook that is listed is run."""
    listed = document(box).get("hooks") or []
    for kind in listed:
        box.hook(kind)
    box.process(args=["/bin/probe", "exit", "0"]).create().succeeded()
    box.start().succeeded()
    box.await_status("stopped")
    box.delete().succeeded()
    equal({record["label"] for record in box.hooks()}, set(listed), "the hooks that ran")


@case(130, time_limit=60)
def listed_mount_options_are_known(box: Box) -> None:
    """Every mount option that is listed is accepted."""
    base = box.config["mounts"]
    for option in document(box).get("mountOptions") or []:
        if option in NOT_FOR_A_TMPFS:
            continue
        box.config["mounts"] = [*base, {"destination": "/x", "type": "tmpfs", "source": "tmpfs", "options": [option]}]
        result = box.run()
        check(result.status == 0, f"{option}: {result.words()}")


@case(130, needs="user-namespaces")
def listed_namespaces_are_known(box: Box) -> None:
    """Every namespace that is listed can be had."""
    for kind in document(box).get("linux", {}).get("namespaces") or []:
        check(kind in ("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"), f"{kind} is no namespace")
        if kind != "user":
            box.with_namespace(kind)
    check(box.report(), "the program said nothing")


@case(130)
def listed_capabilities_are_known(box: Box) -> None:
    """Every capability that is listed is accepted."""
    names = document(box).get("linux", {}).get("capabilities") or []
    box.process(capabilities={kind: names for kind in ("bounding", "permitted", "effective")})  # noqa: C420
    check(box.report(), "the program said nothing")


@case(130, needs="seccomp")
def listed_seccomp_words_are_known(box: Box) -> None:
    """Every seccomp action, operator and architecture that is listed is accepted."""
    seccomp = document(box).get("linux", {}).get("seccomp", {})
    if not seccomp.get("enabled"):
        raise NotApplicable("it says that it has no seccomp")
    for action in seccomp.get("actions") or []:
        if action not in ("SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE"):
            rule = {"names": ["getitimer"], "action": action}
            box.linux(seccomp={"defaultAction": "SCMP_ACT_LOG", "syscalls": [rule]})
            check(box.run().status == 0, f"action {action}")
    for operator in seccomp.get("operators") or []:
        condition = {"index": 0, "value": 99, "op": operator}
        rule = {"names": ["getitimer"], "action": "SCMP_ACT_ERRNO", "args": [condition]}
        box.linux(seccomp={"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
        check(box.run().status == 0, f"operator {operator}")
    for architecture in seccomp.get("archs") or []:
        box.linux(seccomp={"defaultAction": "SCMP_ACT_ALLOW", "architectures": [architecture]})
        check(box.create().status == 0, f"architecture {architecture}")
        box.delete("--force")


@case(134)
def supported_flags_are_known_flags(box: Box) -> None:
    """Seccomp flags that are supported are among the known ones."""
    seccomp = document(box).get("linux", {}).get("seccomp", {})
    if seccomp.get("supportedFlags") is None:
        raise NotApplicable("it does not tell its flags")
    equal(set(seccomp["supportedFlags"]) - set(seccomp.get("knownFlags") or []), set(), "flags that it does not know")


@case(132, level="SHOULD")
def no_options_of_file_systems(box: Box) -> None:
    """MountOptions lists none that belong to a file system."""
    listed = set(document(box).get("mountOptions") or [])
    equal(listed & {"size", "mode", "uid", "gid", "newinstance", "ptmxmode", "lowerdir", "context"}, set(), "listed")


@case(131, level="SHOULD")
def the_same_each_time(box: Box) -> None:
    """The document does not depend on where and by whom it is asked for."""
    first = document(box)
    box.bundle.joinpath("elsewhere").mkdir()
    second = box.call("features", cwd=box.bundle / "elsewhere", environment={"HOME": "/nowhere"}).document()
    equal(json.dumps(second, sort_keys=True), json.dumps(first, sort_keys=True), "the document")


@case(137)
def annotations_are_strings(box: Box) -> None:
    """Values of annotations are strings."""
    for key, value in (document(box).get("annotations") or {}).items():
        check(isinstance(value, str), f"{key} is {value!r}")
