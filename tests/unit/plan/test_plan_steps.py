"""Every step can say what it will do, in words that follow "cannot ..."."""

from __future__ import annotations

from typing import Any

import pytest

from pyrunc.plan import steps, steps_process
from pyrunc.plan.facts import Hierarchy
from pyrunc.plan.steps import Attributes, Step
from pyrunc.plan.steps_cgroups import CgroupPlan, DeviceRule, Directory, Write

KINDS = sorted(Step.__subclasses__(), key=lambda kind: kind.__name__)


def value_for(name: str, annotation: str) -> object:
    """Something for a field; a path is named after its field."""
    if annotation == "str":
        return f"/{name}" if name in ("path", "target", "source") else "sample"
    plain: dict[str, object] = {"int": 7, "bool": True, "Attributes": Attributes(), "tuple[str, ...]": ("a=b",)}
    return () if annotation.startswith("tuple") and annotation not in plain else plain.get(annotation)


def sample(kind: type[Step]) -> Step:
    """A step with something in every field."""
    values: dict[str, Any] = {}
    for name in kind._fields:
        annotation = next(base.__annotations__[name] for base in kind.__mro__ if name in base.__annotations__)
        values[name] = value_for(name, annotation)
    return kind(**values)


def test_all_kinds_of_steps_are_here() -> None:
    assert {steps.MountFs, steps.JoinNamespace, steps_process.SetLabel} <= set(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_describe_is_one_phrase(kind: type[Step]) -> None:
    phrase = sample(kind).describe()
    verb = phrase.split()[0]
    assert verb.isalpha()
    assert verb.islower()
    assert not verb.endswith(("s", "ed", "ing"))
    assert phrase == " ".join(phrase.split())
    assert not phrase.endswith(".")
    assert "object at" not in phrase


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_describe_names_what_it_acts_on(kind: type[Step]) -> None:
    phrase = sample(kind).describe()
    for name in ("path", "target"):
        assert name not in kind._fields or f"/{name}" in phrase


@pytest.mark.parametrize(
    ("step", "phrase"),
    [
        (steps.MountFs("", "proc", "proc", "/proc"), "mount proc on /proc"),
        (steps.MountBind("", "/srv", "/data", True), "bind mount /srv on /data"),
        (steps.MakeDevice("", "/dev/null", "c", 1, 3, 0o666, 0, 0), "make device /dev/null (c 1:3)"),
        (steps.MakeDevice("", "/p", "p", 0, 0, 0o666, 0, 0), "make device /p (p)"),
        (steps.JoinNamespace("", "network", "/run/n"), "join the network namespace at /run/n"),
        (steps.WriteSysctl("", "kernel.sem", "1\n2"), "set sysctl kernel.sem to '1\\n2'"),
    ],
)
def test_some_phrases_in_full(step: Step, phrase: str) -> None:
    assert step.describe() == phrase


def test_namespaces_say_which_are_new() -> None:
    joined = steps.JoinNamespace(".linux.namespaces[1].path", "network", "/run/n")
    namespaces = steps.Namespaces(0, 0, False, False, (joined,), names=("pid", "network", "mount"))
    assert namespaces.describe() == "make namespaces: pid, mount"
    assert namespaces.but(names=("network",)).describe() == "make namespaces: none"


def test_maps_say_what_is_what_outside() -> None:
    maps = steps.IdMaps((steps.IdMap(0, 1000, 1), steps.IdMap(1, 200000, 10)), (steps.IdMap(0, 100, 1),))
    assert maps.describe() == "map uids 0 = 1000 (1), uids 1 = 200000 (10), gids 0 = 100 (1)"


def test_a_cgroup_plan_says_one_act_a_line() -> None:
    planned = CgroupPlan(
        (Directory(Hierarchy("/c", 2, ("pids",)), "/c/box"),),
        (Write("/c/box/pids.max", "9", ".linux.resources.pids.limit"),),
        (DeviceRule(False, "a", None, None, "rwm"), DeviceRule(True, "c", 1, 3, "r")),
    )
    assert planned.describe().split("\n") == [
        "make the cgroup /c/box",
        "write '9' to /c/box/pids.max",
        "deny a *:* rwm",
        "allow c 1:3 r",
    ]
