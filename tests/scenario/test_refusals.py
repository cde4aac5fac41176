"""Every MUST about a value of config.json, from outside: create refuses it, names the place, and leaves nothing.

The other half, that what is right is accepted, is in the tests of what it does.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario import host

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle

pytestmark = pytest.mark.differs_from_runc("takes many of these, and names no place")

MAPPING = [{"containerID": 0, "hostID": 100000, "size": 1}]


def namespaces(*more: dict[str, Any]) -> dict[str, Any]:
    return {"linux": {"namespaces": [*({"type": kind} for kind in ("mount", "pid")), *more]}}


def process(**members: Any) -> dict[str, Any]:
    return {"process": members}


def linux(**members: Any) -> dict[str, Any]:
    return {"linux": members}


def resources(**members: Any) -> dict[str, Any]:
    return {"linux": {"resources": members}}


def mount(**members: Any) -> dict[str, Any]:
    return {"mounts": [{"destination": "/mnt", **members}]}


def rule(**members: Any) -> dict[str, Any]:
    whole = {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", **members}
    return linux(seccomp={"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [whole]})


def argument(**members: Any) -> dict[str, Any]:
    return rule(args=[{"index": 0, "value": 1, "op": "SCMP_CMP_EQ", **members}])


def seccomp(**members: Any) -> dict[str, Any]:
    return linux(seccomp={"defaultAction": "SCMP_ACT_ALLOW", **members})


def rlimits(*limits: dict[str, Any]) -> dict[str, Any]:
    return process(rlimits=[{"type": "RLIMIT_CPU", "soft": 1, "hard": 2, **limit} for limit in limits])


# requirement, what is changed, where create says that it is wrong
REFUSALS: list[tuple[int, dict[str, Any], str]] = [
    (33, {"ociVersion": "1.0"}, ".ociVersion"),
    (33, {"ociVersion": "2.0.0"}, ".ociVersion"),
    (34, {"root": None}, ".root"),
    (34, {"root": {"path": "no-such-directory"}}, ".root.path"),
    (43, mount(source="/tmp", options=["bind", "idmap"]), ".mounts[0].options"),
    (44, mount(source="/tmp", options=["bind"], uidMappings=MAPPING), ".mounts[0].gidMappings"),
    (51, process(cwd="x"), ".process.cwd"),
    (51, process(cwd=None), ".process.cwd"),
    (52, process(args=[]), ".process.args"),
    (54, rlimits({"type": "RLIMIT_FOO"}), ".process.rlimits[0].type"),
    (56, rlimits({}, {}), ".process.rlimits[1].type"),
    (61, process(scheduler={"policy": "SCHED_NO"}), ".process.scheduler.policy"),
    (61, process(scheduler={"policy": "SCHED_OTHER", "flags": ["X"]}), ".process.scheduler.flags[0]"),
    (62, process(ioPriority={"class": "IOPRIO_CLASS_NO"}), ".process.ioPriority.class"),
    (62, process(ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 8}), ".process.ioPriority.priority"),
    (63, process(execCPUAffinity={"final": "x"}), ".process.execCPUAffinity.final"),
    (67, {**namespaces(), "hostname": "host"}, ".hostname"),
    (68, {"hooks": {"createRuntime": [{"path": "bin/true"}]}}, ".hooks.createRuntime[0].path"),
    (69, {"hooks": {"poststop": [{"path": "/bin/true", "timeout": 0}]}}, ".hooks.poststop[0].timeout"),
    (69, {"hooks": {"poststop": [{"path": "/bin/true", "timeout": -1}]}}, ".hooks.poststop[0].timeout"),
    (76, {"annotations": {"": "x"}}, '.annotations[""]'),
    (76, {"annotations": {"a": 1}}, ".annotations.a"),
    (81, namespaces({"type": "ipc", "path": "ns/ipc"}), ".linux.namespaces[2].path"),
    (81, namespaces({"type": "ipc", "path": "/proc/self/ns/uts"}), ".linux.namespaces[2].path"),
    (83, namespaces({"type": "pid"}), ".linux.namespaces[2].type"),
    (86, linux(timeOffsets={"realtime": {"secs": 1}}), ".linux.timeOffsets.realtime"),
    (86, linux(timeOffsets={"monotonic": {"nanosecs": 10**9}}), ".linux.timeOffsets.monotonic.nanosecs"),
    (87, linux(devices=[{"type": "c", "path": "/dev/x", "major": 1}]), ".linux.devices[0].minor"),
    (87, linux(devices=[{"type": "d", "path": "/dev/x"}]), ".linux.devices[0].type"),
    (95, linux(cgroupsPath="/a/../../b"), ".linux.cgroupsPath"),
    (98, resources(devices=[{"allow": True, "type": "x"}]), ".linux.resources.devices[0].type"),
    (98, resources(devices=[{"access": "r"}]), ".linux.resources.devices[0].allow"),
    (99, resources(memory={"limit": -2}), ".linux.resources.memory.limit"),
    (101, resources(cpu={"quota": 2000, "burst": 3000}), ".linux.resources.cpu.burst"),
    (102, resources(cpu={"idle": 2}), ".linux.resources.cpu.idle"),
    (103, resources(blockIO={"weightDevice": [{"major": 8, "minor": 0}]}), ".linux.resources.blockIO.weightDevice[0]"),
    (107, resources(rdma={"mlx5_1": {}}), ".linux.resources.rdma.mlx5_1"),
    (108, resources(unified={"nosuch.max": "1"}), '.linux.resources.unified["nosuch.max"]'),
    (113, linux(intelRdt={"memBwSchema": "L3:0=1"}), ".linux.intelRdt.memBwSchema"),
    (113, linux(intelRdt={"schemata": ["L3:0=1\nMB:0=2"]}), ".linux.intelRdt.schemata[0]"),
    (115, linux(memoryPolicy={"mode": "MPOL_NO"}), ".linux.memoryPolicy.mode"),
    (115, linux(memoryPolicy={"mode": "MPOL_BIND", "nodes": "x"}), ".linux.memoryPolicy.nodes"),
    (115, linux(memoryPolicy={"mode": "MPOL_BIND", "nodes": "0", "flags": ["X"]}), ".linux.memoryPolicy.flags[0]"),
    (116, linux(sysctl={"kernel.panic": "1"}), '.linux.sysctl["kernel.panic"]'),
    (117, linux(seccomp={}), ".linux.seccomp.defaultAction"),
    (117, rule(action="SCMP_ACT_NO"), ".linux.seccomp.syscalls[0].action"),
    (117, seccomp(architectures=["SCMP_ARCH_NO"]), ".linux.seccomp.architectures[0]"),
    (117, seccomp(flags=["SECCOMP_FILTER_FLAG_NO"]), ".linux.seccomp.flags[0]"),
    (117, argument(op="SCMP_CMP_NO"), ".linux.seccomp.syscalls[0].args[0].op"),
    (118, seccomp(defaultErrnoRet=1), ".linux.seccomp.defaultErrnoRet"),
    (118, rule(action="SCMP_ACT_KILL", errnoRet=1), ".linux.seccomp.syscalls[0].errnoRet"),
    (120, seccomp(listenerMetadata="x"), ".linux.seccomp.listenerMetadata"),
    (122, rule(names=[]), ".linux.seccomp.syscalls[0].names"),
    (122, argument(index=6), ".linux.seccomp.syscalls[0].args[0].index"),
    (122, argument(value=None), ".linux.seccomp.syscalls[0].args[0].value"),
    (123, linux(rootfsPropagation="sideways"), ".linux.rootfsPropagation"),
    (124, linux(maskedPaths=["proc/kcore"]), ".linux.maskedPaths[0]"),
    (125, linux(readonlyPaths=["proc/sys"]), ".linux.readonlyPaths[0]"),
    (127, linux(personality={"domain": "SOLARIS"}), ".linux.personality.domain"),
    (127, linux(personality={"domain": "LINUX", "flags": ["X"]}), ".linux.personality.flags"),
]


@pytest.mark.parametrize(
    ("change", "path"), [row[1:] for row in REFUSALS], ids=[f"{row[0]}{row[2]}" for row in REFUSALS]
)
def test_value_against_a_must_is_refused_by_its_place(bundle: Bundle, change: dict[str, Any], path: str) -> None:
    bundle.config = merged(bundle.config, change)
    result = bundle.attempt("create")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert path in result.stderr
    assert host.leftovers(bundle.token, bundle.root) == []


def merged(config: Any, change: Any) -> Any:
    """A copy of a config with members replaced, objects member by member; None takes one away."""
    if not isinstance(config, dict) or not isinstance(change, dict):
        return copy.deepcopy(change)
    whole = {**config, **{key: merged(config.get(key), value) for key, value in change.items()}}
    return {key: value for key, value in whole.items() if value is not None}


def test_refusal_has_everything_at_once_with_its_chapter(bundle: Bundle) -> None:
    """Types, rules, the plan and the host: the same lines as `check --host`."""
    bundle.config["process"]["cwd"] = 5
    bundle.mount("/a", "none", "no-such-source", ["bind"])
    bundle.resources(memory={"limit": 4096, "swap": 1})
    said = bundle.attempt("create").stderr
    expected = [
        ".process.cwd: must be a string, not a number (config.md#process)",
        ".linux.resources.memory.swap: ",
        "(config-linux.md#memory)",
        "no-such-source is not there (config.md#mounts)",
    ]
    assert [words for words in expected if words not in said] == []
    report = bundle.execute([bundle.runtime, "check", "--host", "--bundle", str(bundle.dir)])
    assert report.returncode == 1
    lines = [line.removeprefix("error: ") for line in report.stdout.splitlines() if line.startswith("error: ")]
    assert [line for line in lines if line not in said] == []


def test_check_finds_nothing_in_what_runs(bundle: Bundle) -> None:
    bundle.save()
    report = bundle.execute([bundle.runtime, "check", "--host", "--json", "--bundle", str(bundle.dir)]).ok()
    assert report.json()["errors"] == []
    bundle.run("true").ok()
