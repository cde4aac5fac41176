"""Scheduler, priorities, memory policy, labels and our annotations, looked at from outside (config.md)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario import host

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle

newer = pytest.mark.differs_from_runc("newer than runc 1.1.5")


def said_by(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def real_time(bundle: Bundle) -> Bundle:
    """A v1 cpu cgroup has no time for real-time processes unless it is given some (CONFIG_RT_GROUP_SCHED)."""
    if Path(host.hierarchies().get("cpu", ""), "cpu.rt_runtime_us").exists():
        bundle.resources(cpu={"realtimePeriod": 1_000_000, "realtimeRuntime": 10_000})
    return bundle


def sleeping(bundle: Bundle) -> int:
    return bundle.process(args=["sleep", "60"]).create().start().pid


SCHEDULERS: list[tuple[dict[str, Any], int, int, int]] = [
    ({"policy": "SCHED_OTHER", "nice": -3}, os.SCHED_OTHER, 0, -3),
    ({"policy": "SCHED_BATCH", "nice": 19}, os.SCHED_BATCH, 0, 19),
    ({"policy": "SCHED_IDLE"}, os.SCHED_IDLE, 0, 0),
    ({"policy": "SCHED_FIFO", "priority": 7}, os.SCHED_FIFO, 7, 0),
    ({"policy": "SCHED_RR", "priority": 1}, os.SCHED_RR, 1, 0),
    (
        {"policy": "SCHED_RR", "priority": 9, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
        os.SCHED_RR | os.SCHED_RESET_ON_FORK,
        9,
        0,
    ),
]


@newer
@pytest.mark.parametrize(("scheduler", "policy", "priority", "nice"), SCHEDULERS)
def test_scheduler(bundle: Bundle, scheduler: dict[str, Any], policy: int, priority: int, nice: int) -> None:
    pid = sleeping(real_time(bundle).process(scheduler=scheduler))
    found = (os.sched_getscheduler(pid), os.sched_getparam(pid).sched_priority, os.getpriority(os.PRIO_PROCESS, pid))
    assert found == (policy, priority, nice)


@newer
def test_deadlines(bundle: Bundle) -> None:
    times = {"runtime": 1_000_000, "deadline": 20_000_000, "period": 30_000_000}
    pid = sleeping(bundle.process(scheduler={"policy": "SCHED_DEADLINE", **times}))
    assert "parameters: 1000000/20000000/30000000" in said_by("chrt", "-p", str(pid))


@newer
def test_scheduler_of_an_ordinary_user_with_seccomp(bundle: Bundle) -> None:
    """It takes privileges that the program has not: it is set before they are gone."""
    bundle.process(user={"uid": 1000, "gid": 1000}, scheduler={"policy": "SCHED_FIFO", "priority": 3}, capabilities={})
    real_time(bundle).linux(seccomp={"defaultAction": "SCMP_ACT_ALLOW"})
    assert os.sched_getscheduler(sleeping(bundle)) == os.SCHED_FIFO


@newer
@pytest.mark.requires("cgroup1-cpu")
def test_missing_time_for_real_time_is_explained(bundle: Bundle) -> None:
    if not Path(host.hierarchies()["cpu"], "cpu.rt_runtime_us").exists():
        pytest.skip("this kernel does not group real-time processes")
    result = bundle.process(scheduler={"policy": "SCHED_RR", "priority": 1}).run("true")
    assert ".linux.resources.cpu.realtimeRuntime" in result.stderr


@newer
@pytest.mark.parametrize(
    "scheduler",
    [
        {"policy": "SCHED_NOSUCH"},
        {"policy": "SCHED_ISO"},
        {"policy": "SCHED_OTHER", "nice": 99},
        {"policy": "SCHED_OTHER", "priority": 1},
        {"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_NOSUCH"]},
        {"policy": "SCHED_DEADLINE", "runtime": 3, "deadline": 2, "period": 1},
    ],
)
def test_impossible_scheduler_is_refused(bundle: Bundle, scheduler: dict[str, Any]) -> None:
    result = bundle.process(scheduler=scheduler).run("true")
    assert result.returncode == 1
    assert ".process.scheduler" in result.stderr


@newer
@pytest.mark.parametrize(
    ("class_", "priority", "said"),
    [
        ("IOPRIO_CLASS_RT", 0, "realtime: prio 0"),
        ("IOPRIO_CLASS_BE", 7, "best-effort: prio 7"),
        ("IOPRIO_CLASS_IDLE", 0, "idle"),
    ],
)
def test_io_priority(bundle: Bundle, class_: str, priority: int, said: str) -> None:
    pid = sleeping(bundle.process(ioPriority={"class": class_, "priority": priority}))
    assert said_by("ionice", "-p", str(pid)) == said


@newer
@pytest.mark.parametrize("wrong", [{"class": "IOPRIO_CLASS_BE", "priority": 8}, {"class": "IOPRIO_CLASS_X"}])
def test_impossible_io_priority_is_refused(bundle: Bundle, wrong: dict[str, Any]) -> None:
    assert bundle.process(ioPriority=wrong).run("true").returncode == 1


MEMORY_POLICIES = [
    ({"mode": "MPOL_BIND", "nodes": "0"}, "bind:0"),
    ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}, "bind=static:0"),
    ({"mode": "MPOL_PREFERRED", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]}, "prefer=relative:0"),
    ({"mode": "MPOL_PREFERRED", "nodes": "0"}, "prefer:0"),
    ({"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}, "prefer (many):0"),
    ({"mode": "MPOL_INTERLEAVE", "nodes": "0"}, "interleave:0"),
    ({"mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "0"}, "weighted interleave:0"),
    ({"mode": "MPOL_LOCAL"}, "local"),
    ({"mode": "MPOL_LOCAL", "nodes": ""}, "local"),
    # What a process has without any policy as well: the one that a runtime without policies passes.
    ({"mode": "MPOL_DEFAULT"}, "default"),
]


@pytest.mark.parametrize(
    ("policy", "shown"), [*(pytest.param(*each, marks=newer) for each in MEMORY_POLICIES[:-1]), MEMORY_POLICIES[-1]]
)
def test_memory_policy(bundle: Bundle, policy: dict[str, Any], shown: str) -> None:
    pid = sleeping(bundle.linux(memoryPolicy=policy))
    maps = Path(f"/proc/{pid}/numa_maps").read_text().splitlines()
    assert all(line.split(" ", 1)[1].startswith(shown) for line in maps)


@newer
@pytest.mark.parametrize(
    "policy",
    [
        {"mode": "MPOL_NOSUCH"},
        {"mode": "MPOL_BIND"},
        {"mode": "MPOL_BIND", "nodes": "900"},
        {"mode": "MPOL_BIND", "nodes": "x"},
        {"mode": "MPOL_DEFAULT", "nodes": "0"},
        {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NOSUCH"]},
        {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]},
    ],
)
def test_impossible_memory_policy_is_refused(bundle: Bundle, policy: dict[str, Any]) -> None:
    result = bundle.linux(memoryPolicy=policy).run("true")
    assert result.returncode == 1
    assert ".linux.memoryPolicy" in result.stderr


@newer
def test_32_bit_personality_does_not_confuse_system_calls(bundle: Bundle) -> None:
    """Under LINUX32 uname(2) says i686, and the numbers of system calls are the 64 bit ones all the same."""
    bundle.linux(personality={"domain": "LINUX32"}, memoryPolicy={"mode": "MPOL_BIND", "nodes": "0"})
    bundle.linux(seccomp={"defaultAction": "SCMP_ACT_ALLOW"})
    bundle.process(scheduler={"policy": "SCHED_BATCH"}, ioPriority={"class": "IOPRIO_CLASS_IDLE"})
    said = bundle.run("sh", "-c", "uname -m; cat /proc/self/numa_maps").ok().stdout
    assert said.startswith("i686\n")
    assert " bind:0 " in said


# security modules: on a machine without them a label is an error, never left out


without_apparmor = pytest.mark.skipif(
    os.path.exists("/sys/module/apparmor/parameters/enabled"), reason="AppArmor is enabled here"
)
without_selinux = pytest.mark.skipif(os.path.exists("/sys/fs/selinux/enforce"), reason="SELinux is enabled here")


@without_apparmor
def test_apparmor_profile_without_apparmor_is_refused(bundle: Bundle) -> None:
    result = bundle.process(apparmorProfile="some-profile").run("true")
    assert result.returncode == 1
    assert "pparmor" in result.stderr.lower()


@pytest.mark.vm  # with AppArmor, which is not SELinux
@without_selinux
@pytest.mark.differs_from_runc("runc without SELinux ignores the label (config.md: MUST be applied)")
@pytest.mark.parametrize("where", ["process", "linux"])
def test_selinux_label_without_selinux_is_refused(bundle: Bundle, where: str) -> None:
    if where == "process":
        bundle.process(selinuxLabel="system_u:system_r:container_t:s0")
    else:
        bundle.linux(mountLabel="system_u:object_r:container_file_t:s0")
    result = bundle.attempt("create")
    assert result.returncode == 1
    assert {"process": ".process.selinuxLabel", "linux": ".linux.mountLabel"}[where] in result.stderr


@pytest.mark.skipif("resctrl" in Path("/proc/self/mountinfo").read_text(), reason="resctrl is mounted here")
@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param({}, marks=pytest.mark.differs_from_runc("takes it for nothing")),
        {"closID": "/"},
        {"l3CacheSchema": "L3:0=f"},
        pytest.param({"enableMonitoring": True}, marks=pytest.mark.differs_from_runc("newer than 1.1.5")),
    ],
)
def test_intel_rdt_without_resctrl_is_refused(bundle: Bundle, wanted: dict[str, Any]) -> None:
    assert bundle.linux(intelRdt=wanted).attempt("create").returncode == 1


# annotations of ours

EXECUTE, READ_FILE, READ_DIR = 1, 4, 8
ours = pytest.mark.differs_from_runc("an annotation of pyrunc")


def landlock(bundle: Bundle, handled: int, *rules: dict[str, Any]) -> Bundle:
    text = json.dumps({"handled": handled, "rules": list(rules)})
    return bundle.set(annotations={"org.pyrunc.landlock": text})


@ours
@pytest.mark.requires("landlock")
@pytest.mark.parametrize("no_new_privileges", [False, True])
@pytest.mark.parametrize("uid", [0, 1000])
def test_landlock(bundle: Bundle, uid: int, no_new_privileges: bool) -> None:
    bundle.write("/secret", "42").process(user={"uid": uid, "gid": uid}, noNewPrivileges=no_new_privileges)
    rules = {"access": READ_FILE, "paths": ["/bin", "/proc"]}
    landlock(bundle, READ_FILE, rules).process(capabilities={})
    said = bundle.run("sh", "-c", "ls /etc; cat /proc/self/comm; cat /secret")
    assert said.returncode == 1
    assert "passwd" in said.stdout
    assert "cat\n" in said.stdout
    assert "42" not in said.stdout
    assert "Permission denied" in said.stderr


@pytest.mark.requires("landlock")
def test_landlock_comes_after_the_hooks_of_start(bundle: Bundle) -> None:
    bundle.hook("startContainer", "/bin/cp", "/etc/passwd", "/copy")
    landlock(bundle, READ_FILE, {"access": READ_FILE, "paths": ["/bin"]}).run("true").ok()
    assert bundle.path("/copy").exists()


@pytest.mark.requires("landlock")
def test_landlock_leaves_no_capability_behind(bundle: Bundle) -> None:
    landlock(bundle, READ_DIR).run("grep", "^CapEff", "/proc/self/status").ok()
    plain = bundle.run("grep", "^CapEff", "/proc/self/status").ok().stdout
    assert plain == bundle.set(annotations={}).run("grep", "^CapEff", "/proc/self/status").ok().stdout


@ours
@pytest.mark.requires("landlock")
def test_path_of_a_rule_that_is_missing_is_named(bundle: Bundle) -> None:
    result = landlock(bundle, READ_FILE, {"access": READ_FILE, "paths": ["/no/such"]}).run("true")
    assert result.returncode == 1
    assert '.annotations["org.pyrunc.landlock"].rules[0]' in result.stderr


@ours
@pytest.mark.parametrize("text", ["", "{", '{"handled": "all"}'])
def test_landlock_that_makes_no_sense_is_refused(bundle: Bundle, text: str) -> None:
    result = bundle.set(annotations={"org.pyrunc.landlock": text}).attempt("create")
    assert result.returncode == 1
    assert ".annotations" in result.stderr


def test_core_scheduling_is_there_or_refused(bundle: Bundle) -> None:
    result = bundle.set(annotations={"org.pyrunc.core-sched": "new"}).run("true")
    assert result.returncode == 0 or "no core scheduling" in result.stderr
