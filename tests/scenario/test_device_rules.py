"""linux.resources.devices on either version of cgroups: a list that v1 keeps, a program of ours on v2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle

pytestmark = pytest.mark.requires("root")

DENY_ALL = {"allow": False, "access": "rwm"}
FUSE = {"type": "c", "major": 10, "minor": 229}
MAKE_FUSE = "mknod /dev/made c 10 229"


def may(bundle: Bundle, *calls: str) -> list[bool]:
    """Tell which of these questions to the probe are answered without EPERM."""
    said = bundle.run("sh", "-c", "; ".join(f"probe {call}" for call in calls)).ok().stdout.splitlines()
    assert "EACCES" not in "".join(said), "where nodes are made devices cannot be opened anyway"
    return ["EPERM" not in line for line in said]


@pytest.mark.vm
def test_devices_are_denied_by_default(bundle: Bundle) -> None:
    """Making any node is allowed, as engines expect; opening it is not. 10:229 is /dev/fuse, 7:0 the first
    loop device.
    """
    bundle.resources(devices=[DENY_ALL])
    calls = (
        "mknod /dev/made c 10 229",
        "mknod /dev/loop b 7 0",
        "open /dev/made rw",
        "open /dev/loop r",
        "open /dev/null rw",
        "open /dev/zero r",
    )
    assert may(bundle, *calls) == [True, True, False, False, True, True]


@pytest.mark.parametrize("rules", [None, []], ids=["no-rules", "empty-rules"])
def test_devices_are_denied_without_rules_too(bundle: Bundle, rules: list[Any] | None) -> None:
    if rules is not None:
        bundle.resources(devices=rules)
    assert may(bundle, MAKE_FUSE, "open /dev/made rw", "open /dev/urandom r") == [True, False, True]


@pytest.mark.vm
def test_list_without_a_leading_deny_is_no_allow_all(bundle: Bundle) -> None:
    """GHSA-g54h-m393-cpwq."""
    bundle.resources(devices=[{"allow": True, "type": "c", "major": 7, "minor": 1, "access": "rw"}])
    assert may(bundle, MAKE_FUSE, "open /dev/made rw") == [True, False]


@pytest.mark.vm
def test_access_of_a_rule(bundle: Bundle) -> None:
    bundle.resources(devices=[DENY_ALL, {"allow": True, **FUSE, "access": "w"}])
    assert may(bundle, MAKE_FUSE, "open /dev/made r", "open /dev/made w", "open /dev/made rw") == [
        True,
        False,
        True,
        False,
    ]


@pytest.mark.vm
def test_later_rules_win(bundle: Bundle) -> None:
    bundle.resources(
        devices=[DENY_ALL, {"allow": True, **FUSE, "access": "rw"}, {"allow": False, **FUSE, "access": "w"}]
    )
    assert may(bundle, MAKE_FUSE, "open /dev/made r", "open /dev/made w") == [True, True, False]


@pytest.mark.vm
def test_rule_without_a_minor_is_for_all_of_them(bundle: Bundle) -> None:
    bundle.resources(devices=[DENY_ALL, {"allow": True, "type": "c", "major": 10, "access": "rw"}])
    assert may(bundle, MAKE_FUSE, "open /dev/made rw") == [True, True]


def test_rule_without_a_type_is_for_everything(bundle: Bundle) -> None:
    bundle.resources(devices=[{"allow": True, "access": "rwm"}])
    assert may(bundle, MAKE_FUSE, "open /dev/made rw") == [True, True]


def test_configured_device_still_needs_its_rule(bundle: Bundle) -> None:
    bundle.linux(devices=[{"path": "/dev/fuse", **FUSE}])
    assert may(bundle, "open /dev/fuse rw") == [False]


EVERYTHING = {"allow": True, "access": "rwm"}


@pytest.mark.vm
def test_deny_takes_out_of_everything(bundle: Bundle) -> None:
    bundle.resources(devices=[EVERYTHING, {"allow": False, **FUSE, "access": "w"}])
    calls = (MAKE_FUSE, "open /dev/made r", "open /dev/made w", "mknod /dev/loop b 7 0")
    assert may(bundle, *calls) == [True, True, False, True]


@pytest.mark.vm
def test_making_a_node_can_be_denied_where_everything_is_allowed(bundle: Bundle) -> None:
    bundle.resources(devices=[EVERYTHING, {"allow": False, **FUSE, "access": "m"}])
    assert may(bundle, MAKE_FUSE, "mknod /dev/loop b 7 0") == [False, True]


@pytest.mark.vm
def test_what_can_be_opened_can_be_read_and_written(bundle: Bundle) -> None:
    """The rules are about opening: reading and writing then do what the device does."""
    bundle.resources(devices=[DENY_ALL, {"allow": True, "type": "c", "major": 1, "minor": 7, "access": "r"}])
    said = bundle.run("sh", "-c", "head -c 4 /dev/zero | wc -c; echo x > /dev/null && echo null; echo x > /dev/full")
    assert said.stdout.split() == ["4", "null"]
    assert "No space left" in said.stderr


@pytest.mark.vm
def test_type_is_part_of_the_rule(bundle: Bundle) -> None:
    """Block device 10:229 is none of the character device's business."""
    bundle.resources(devices=[DENY_ALL, {"allow": True, "type": "b", "major": 10, "minor": 229, "access": "rw"}])
    assert may(bundle, MAKE_FUSE, "open /dev/made rw") == [True, False]


def test_two_rules_allow_together_what_neither_does_alone(bundle: Bundle) -> None:
    bundle.resources(devices=[DENY_ALL, *({"allow": True, **FUSE, "access": each} for each in "rw")])
    assert may(bundle, MAKE_FUSE, "open /dev/made rw") == [True, True]

