"""features.md and features-linux.md: a runtime that says what it can do has to be right."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from conformance.case import Failure, NotApplicable, case, check, equal
from conformance.cases.cgroups import cgroup_of
from conformance.cases.idmap import OUTSIDE, TOP, mapped
from conformance.cases.seccomp import NUMBERS, profile, rule

if TYPE_CHECKING:
    from conformance.box import Box

NOT_FOR_A_TMPFS = {"bind", "rbind", "remount", "idmap", "ridmap", "tmpcopyup", "mand", "nomand", "copy-symlink"}
SEMVER = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")
# Members that came after features.md itself (1.1), and the version that brought them.
BROUGHT = {
    "linux.mountExtensions": (1, 2),
    "linux.intelRdt": (1, 2),
    "potentiallyUnsafeConfigAnnotations": (1, 2),
    "linux.netDevices": (1, 3),
    "linux.memoryPolicy": (1, 3),
    "linux.intelRdt.schemata": (1, 3),
    "linux.intelRdt.monitoring": (1, 3),
}
# Annotations that some runtime acts on, with a value that shows in what the program or the host sees.
ANNOTATIONS = {
    "run.oci.keep_original_groups": "1",
    "run.oci.hooks.stdout": "{bundle}/said",
    "run.oci.handler": "nothing-of-this-name",
    "run.oci.mount_context_type": "nothing",
    "org.pyrunc.landlock": '{{"handled": 4, "rules": []}}',
    "org.pyrunc.core-sched": "nonsense",
    "org.systemd.property.MemoryMax": "nonsense",
}
GROUP_OF_THE_CALLER = 4321


def document(box: Box) -> dict[str, Any]:
    """The features document; a runtime need not have one."""
    found = box.features()
    if not found:
        raise NotApplicable("it has no features document")
    return found


def version(features: dict[str, Any], key: str) -> tuple[int, ...]:
    """A version of the document, without what comes after its three numbers. Raises Failure if it is none."""
    found = SEMVER.fullmatch(str(features.get(key)))
    if found is None:
        raise Failure(f"{key} is {features.get(key)!r}")
    return tuple(map(int, found.groups()))


@case(128)
def versions_are_named(box: Box) -> None:
    """OciVersionMin and ociVersionMax are there, and both are accepted."""
    features = document(box)
    for key in ("ociVersionMin", "ociVersionMax"):
        version(features, key)
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


@case(130, time_limit=60, justified="features.md: a runtime MUST recognize what it lists")
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


@case(130, justified="features.md: a runtime MUST recognize what it lists")
def listed_capabilities_are_known(box: Box) -> None:
    """Every capability that is listed is accepted."""
    names = document(box).get("linux", {}).get("capabilities") or []
    box.process(capabilities={kind: names for kind in ("bounding", "permitted", "effective")})  # noqa: C420
    check(box.report(), "the program said nothing")


@case(130, needs="seccomp", justified="features.md: a runtime MUST recognize what it lists")
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


@case(134, justified="features-linux.md, seccomp: supportedFlags are of knownFlags; newer than both")
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


@case(129)
def nothing_is_newer_than_the_version(box: Box) -> None:
    """No property is newer than ociVersionMax, which is not lower than ociVersionMin."""
    features = document(box)
    least, most = version(features, "ociVersionMin"), version(features, "ociVersionMax")
    check(least <= most, f"from {features['ociVersionMin']} to {features['ociVersionMax']}")
    newer = [path for path, since in BROUGHT.items() if most[:2] < since and _said(features, path) is not None]
    equal(newer, [], f"properties that {features['ociVersionMax']} does not have")


@case(133)
def empty_is_none(box: Box) -> None:
    """What is listed as empty, or said to be off, is not there: null, or no word, is what says nothing."""
    features = document(box)
    box.hook("createRuntime").mount("/data", type="tmpfs", source="tmpfs", options=["nosuid"])
    profile(box, rule("getpriority", errnoRet=95))
    words = ("report", "--", "syscall", str(NUMBERS["getpriority"]), "0", "0", "--", "wait")
    log = box.bundle / "stdout.log"
    with log.open("wb") as out:
        box.process(args=["/bin/probe", *words]).create_into(out).succeeded()
    box.start().succeeded()
    box.until(lambda: "ready" in log.read_text(), "the program is not ready")
    report, refused = box.answers(log.read_text())[:2]
    cgroup = cgroup_of(box.state()["pid"], "pids")
    version = "v2" if (cgroup / "cgroup.controllers").exists() else "v1"
    works = {
        "hooks": bool(box.hooks()),
        "mountOptions": any("/data rw,nosuid" in line for line in report["mountinfo"].splitlines()),
        "linux.namespaces": report["pid"] == 1,
        "linux.capabilities": "CapEff:\t0000000000000000" not in report["status"],
        "linux.seccomp.enabled": refused["error"] == "EOPNOTSUPP",
        "linux.seccomp.actions": refused["error"] == "EOPNOTSUPP",
        f"linux.cgroup.{version}": box.token in str(cgroup),
    }
    for path, does in works.items():
        said = _said(features, path)
        check(not (does and said in ([], False)), f"{path} is {json.dumps(said)}, but it works")


def _said(features: dict[str, Any], path: str) -> Any:
    node: Any = features
    for key in path.split("."):
        node = node.get(key) if isinstance(node, dict) else None
    return node


@case(135, needs="idmapped-mounts", justified="features-linux.md, mountExtensions, since 1.2: newer than both")
def idmap_is_as_said(box: Box) -> None:
    """MountExtensions.idmap.enabled tells whether mappings of mounts are used."""
    said = _said(document(box), "linux.mountExtensions.idmap.enabled")
    if said is None:
        raise NotApplicable("it does not say whether it uses mappings of mounts")
    mapped(box, "bind", "idmap").process(args=["/bin/probe", "stat", TOP])
    done = box.run()
    used = done.status == 0 and box.answers(done.stdout)[0][TOP]["uid"] == OUTSIDE
    equal(used, said, "whether mappings are used")


@case(136, justified="features.md, potentiallyUnsafeConfigAnnotations, since 1.2: newer than both")
def annotations_with_an_effect_are_named(box: Box) -> None:
    """Each annotation that changes what happens is in potentiallyUnsafeConfigAnnotations, by its name or beginning."""
    named = _said(document(box), "potentiallyUnsafeConfigAnnotations")
    if named is None:
        raise NotApplicable("it does not tell its annotations")
    check(all(isinstance(name, str) and name for name in named), f"names: {named}")
    os.setgroups([GROUP_OF_THE_CALLER])
    without = _effects(box, {})
    for name, value in ANNOTATIONS.items():
        is_named = name in named or any(name.startswith(each) for each in named if each.endswith("."))
        if not is_named:
            seen = _effects(box, {name: value.format(bundle=box.bundle)})
            equal(seen, without, f"with {name}, which is not named")


def _effects(box: Box, annotations: dict[str, str]) -> Any:
    """What a run comes to: whether it works, the groups, a file that can be read, and what a hook says."""
    said = box.bundle / "said"
    said.unlink(missing_ok=True)
    box.config["annotations"] = annotations
    box.config["hooks"] = {"createRuntime": [{"path": str(box.probe), "args": ["probe", "clocks"]}]}
    done = box.process(args=["/bin/probe", "report", "--", "cat", "/etc/group"]).run()
    if done.status != 0:
        return "it does not run"
    report, cat = box.answers(done.stdout)
    return report["groups"], cat, said.exists()


@case(137)
def annotations_are_strings(box: Box) -> None:
    """Values of annotations are strings."""
    for key, value in (document(box).get("annotations") or {}).items():
        check(isinstance(value, str), f"{key} is {value!r}")
