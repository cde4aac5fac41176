"""What few containers ask of their init: scheduler, priorities, memory policy, labels, annotations."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pyrunc.errors import ConfigError
from pyrunc.kernel import flags
from pyrunc.plan.netdevices import MoveNetDevice, plan_net_devices
from pyrunc.plan.policies import plan_policies
from pyrunc.plan.steps_process import (
    Landlock,
    LandlockRule,
    MakeCoreCookie,
    SetIoPriority,
    SetLabel,
    SetMemoryPolicy,
    SetScheduler,
)
from pyrunc.spec.linux import Linux, Namespace, NetDevice
from pyrunc.spec.load import parse


def policies(
    process: dict[str, Any] | None = None,
    linux: dict[str, Any] | None = None,
    annotations: dict[str, str] | None = None,
) -> Any:
    document = {
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "process": {"args": ["true"], "cwd": "/", **(process or {})},
        "linux": linux or {},
        "annotations": annotations or {},
    }
    return plan_policies(parse(json.dumps(document), "config.json"))


@pytest.mark.parametrize("policy", sorted(flags.SCHEDULERS))
def test_every_scheduler_has_its_number(policy: str) -> None:
    (step,) = policies({"scheduler": {"policy": policy}})
    assert step == SetScheduler(".process.scheduler", policy, flags.SCHEDULERS[policy], 0, 0, 0, 0, 0, 0)
    assert step.describe() == f"set the scheduler to {policy}"


def test_flags_of_a_scheduler_are_joined() -> None:
    times = {"runtime": 1, "deadline": 2, "period": 3}
    names = ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_DL_OVERRUN"]
    (step,) = policies({"scheduler": {"policy": "SCHED_DEADLINE", "flags": names, **times}})
    assert (step.flags, step.runtime, step.deadline, step.period) == (5, 1, 2, 3)


@pytest.mark.parametrize(
    ("scheduler", "at"),
    [
        ({"policy": "SCHED_OTHER", "nice": 20}, "nice"),
        ({"policy": "SCHED_BATCH", "nice": -21}, "nice"),
        ({"policy": "SCHED_FIFO", "nice": 1}, "nice"),
        ({"policy": "SCHED_OTHER", "priority": 1}, "priority"),
        ({"policy": "SCHED_IDLE", "runtime": 1}, "runtime"),
        ({"policy": "SCHED_RR", "deadline": 1}, "deadline"),
        ({"policy": "SCHED_BATCH", "period": 1}, "period"),
    ],
)
def test_values_without_a_meaning_are_refused(scheduler: dict[str, Any], at: str) -> None:
    with pytest.raises(ConfigError) as refused:
        policies({"scheduler": scheduler})
    assert [each.path for each in refused.value.problems] == [f".process.scheduler.{at}"]


def test_io_priority() -> None:
    (step,) = policies({"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 6}})
    assert step == SetIoPriority(".process.ioPriority", "IOPRIO_CLASS_BE", 2, 6)


def test_memory_policy_has_its_flags_and_nodes() -> None:
    wanted = {"mode": "MPOL_BIND", "nodes": "0-2,5,1", "flags": ["MPOL_F_STATIC_NODES"]}
    (step,) = policies(linux={"memoryPolicy": wanted})
    assert step == SetMemoryPolicy(".linux.memoryPolicy", "MPOL_BIND", 2 | 1 << 15, (0, 1, 2, 5))
    assert step.describe() == "set the memory policy to MPOL_BIND over nodes 0,1,2,5"


def test_labels_come_first() -> None:
    steps = policies({"ioPriority": {"class": "IOPRIO_CLASS_IDLE"}, "selinuxLabel": "s", "apparmorProfile": "a"})
    assert steps[:2] == (
        SetLabel(".process.apparmorProfile", "apparmor", "a"),
        SetLabel(".process.selinuxLabel", "selinux", "s"),
    )


def test_empty_labels_ask_for_nothing() -> None:
    assert policies({"selinuxLabel": "", "apparmorProfile": ""}) == ()


def test_core_scheduling() -> None:
    where = '.annotations["org.pyrunc.core-sched"]'
    assert policies(annotations={"org.pyrunc.core-sched": "new"}) == (MakeCoreCookie(where),)
    with pytest.raises(ConfigError, match='must be "new"'):
        policies(annotations={"org.pyrunc.core-sched": "old"})


WHERE = '.annotations["org.pyrunc.landlock"]'


def test_landlock() -> None:
    text = json.dumps({"handled": 15, "rules": [{"access": 12, "paths": ["/usr", "/bin"]}]})
    (step,) = policies(annotations={"org.pyrunc.landlock": text})
    assert step == Landlock(WHERE, 15, (LandlockRule(f"{WHERE}.rules[0]", 12, ("/usr", "/bin")),))


@pytest.mark.parametrize(
    ("document", "at"),
    [
        ("no", ""),
        ([], ""),
        ({"rules": []}, ".handled"),
        ({"handled": 0}, ".handled"),
        ({"handled": True}, ".handled"),
        ({"handled": 1, "extra": 1}, ""),
        ({"handled": 1, "rules": {}}, ".rules"),
        ({"handled": 1, "rules": [{"access": 1}]}, ".rules[0]"),
        ({"handled": 1, "rules": [{"access": 2, "paths": ["/"]}]}, ".rules[0].access"),
        ({"handled": 1, "rules": [{"access": 1, "paths": []}]}, ".rules[0].paths"),
        ({"handled": 1, "rules": [{"access": 1, "paths": ["a"]}]}, ".rules[0].paths[0]"),
    ],
)
def test_landlock_that_makes_no_sense_is_refused(document: Any, at: str) -> None:
    text = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(ConfigError) as refused:
        policies(annotations={"org.pyrunc.landlock": text})
    assert [each.path for each in refused.value.problems] == [WHERE + at]


def test_net_devices_are_named_as_on_the_host_if_not_told_otherwise() -> None:
    linux = Linux((Namespace("network"),), net_devices={"eth9": NetDevice(), "eth8": NetDevice("net%d")})
    assert plan_net_devices(linux) == (
        MoveNetDevice(".linux.netDevices.eth9", "eth9", "eth9"),
        MoveNetDevice(".linux.netDevices.eth8", "eth8", "net%d"),
    )
    assert plan_net_devices(linux)[1].describe() == "move network device eth8 into the container as net%d"


@pytest.mark.parametrize("name", ["%", "a%s", "%d%d", "%dx%d"])
def test_a_template_has_one_place_for_a_number(name: str) -> None:
    with pytest.raises(ConfigError, match=r"eth9\.name"):
        plan_net_devices(Linux((Namespace("network"),), net_devices={"eth9": NetDevice(name)}))


def test_a_container_without_a_process_has_no_policies() -> None:
    linux = {"memoryPolicy": {"mode": "MPOL_LOCAL"}}
    text = json.dumps({"ociVersion": "1.0.0", "root": {"path": "r"}, "linux": linux})
    assert plan_policies(parse(text, "config.json")) == ()
