"""The device list: what v1 is told, and what v2's program decides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.cgroups.devices import device_program
from pyrunc.plan.cgroups_devices import ALWAYS_ALLOWED
from pyrunc.plan.steps_cgroups import DeviceRule
from pyrunc.spec.resources import DeviceCgroup, Pids
from tests.unit.cgroups.bpf_machine import allows
from tests.unit.cgroups.layouts import devices, plan, problems, v1, v2

DENY_ALL = DeviceCgroup(False, access="rwm")
ALLOW_ALL = DeviceCgroup(True, "a", access="rwm")
DEFAULTS = [("allow", rule.match) for rule in ALWAYS_ALLOWED]


def test_without_resources_only_the_defaults_are_allowed() -> None:
    assert devices(plan(v1())) == [("deny", "a"), *DEFAULTS]


def test_a_list_without_a_leading_deny_is_no_allow_all() -> None:
    kvm = DeviceCgroup(True, "c", 10, 232, "rw")
    assert devices(plan(v1(), devices=(kvm,))) == [("deny", "a"), ("allow", "c 10:232 rw"), *DEFAULTS]


def test_rules_that_repeat_the_defaults_are_written_once() -> None:
    null = DeviceCgroup(True, "c", 1, 3, "rwm")
    written = devices(plan(v1(), devices=(DENY_ALL, null)))
    assert sorted(written) == sorted([("deny", "a"), *DEFAULTS])


def test_all_allowed_is_one_write() -> None:
    assert devices(plan(v1(), devices=(DENY_ALL, ALLOW_ALL))) == [("allow", "a")]
    assert plan(v2(), devices=(DENY_ALL, ALLOW_ALL)).device_rules is None


def test_all_but_some() -> None:
    kvm = DeviceCgroup(False, "c", 10, 232, "rw")
    assert devices(plan(v1(), devices=(ALLOW_ALL, kvm))) == [("allow", "a"), ("deny", "c 10:232 rw")]


def test_unset_members_mean_any() -> None:
    written = devices(plan(v1(), devices=(DeviceCgroup(True, major=8), DeviceCgroup(True, "c", -1, -1, "r"))))
    assert ("allow", "c 8:* rwm") in written
    assert ("allow", "b 8:* rwm") in written
    assert ("allow", "c *:* rm") in written


def test_a_rule_of_type_a_about_one_device_does_not_open_all() -> None:
    rule = DeviceCgroup(True, "a", 10, 229, "rwm")
    written = devices(plan(v1(), devices=(rule,)))
    assert written[:3] == [("deny", "a"), ("allow", "c 10:229 rwm"), ("allow", "b 10:229 rwm")]
    partly = devices(plan(v1(), devices=(DeviceCgroup(True, "a", access="r"),)))
    assert ("allow", "a") not in partly


def test_a_later_rule_takes_back_an_earlier_one() -> None:
    fuse = DeviceCgroup(True, "c", 10, 229, "rwm")
    taken = DeviceCgroup(False, "c", 10, access="w")
    assert ("allow", "c 10:229 rm") in devices(plan(v1(), devices=(fuse, taken)))
    gone = DeviceCgroup(False, "c", 10)
    assert not any("10:229" in value for _, value in devices(plan(v1(), devices=(fuse, gone))))


def test_v1_refuses_what_it_would_silently_not_deny() -> None:
    wide, hole = DeviceCgroup(True, "c", 10, access="rw"), DeviceCgroup(False, "c", 10, 232, "rw")
    found = problems(v1(), devices=(wide, hole))
    assert found == {
        ".linux.resources.devices[1]": "cgroup v1 cannot deny c 10:232 rw within allow c 10:* rw"
    }
    assert plan(v2(), devices=(wide, hole)).device_rules is not None


def test_problems_are_at_the_number_that_is_wrong() -> None:
    rules = (DENY_ALL, DeviceCgroup(True, "c", -2, 1 << 32, "r"))
    assert list(problems(v1(), devices=rules)) == [
        ".linux.resources.devices[1].major",
        ".linux.resources.devices[1].minor",
    ]


def test_where_each_write_comes_from() -> None:
    kvm = DeviceCgroup(True, "c", 10, 232, "rw")
    writes = plan(v1(), devices=(DENY_ALL, kvm)).writes
    assert [write.where for write in writes[:3]] == [
        ".linux.resources.devices[0]",
        ".linux.resources.devices[1]",
        ".linux.resources.devices",
    ]


def program(*entries: DeviceCgroup) -> bytes:
    rules = plan(v2(), devices=entries, pids=Pids(1)).device_rules
    assert rules is not None
    return device_program(rules)


@pytest.mark.parametrize(
    ("kind", "major", "minor", "access", "allowed"),
    [
        ("c", 1, 3, "rw", True),
        ("c", 136, 77, "rw", True),
        ("c", 10, 232, "m", True),
        ("b", 8, 0, "m", True),
        ("c", 10, 232, "r", False),
        ("c", 10, 232, "rm", False),
        ("b", 1, 3, "r", False),
        ("b", 8, 0, "r", False),
    ],
)
def test_program_allows_the_defaults_only(
    kind: str, major: int, minor: int, access: str, allowed: bool
) -> None:
    assert allows(program(), kind, major, minor, access) is allowed


def test_program_lets_the_last_rule_win() -> None:
    wide, hole = DeviceCgroup(True, "c", 10, access="rw"), DeviceCgroup(False, "c", 10, 232, "w")
    code = program(wide, hole)
    assert allows(code, "c", 10, 229, "rw")
    assert allows(code, "c", 10, 232, "r")
    assert not allows(code, "c", 10, 232, "rw")
    assert allows(program(hole, wide), "c", 10, 232, "rw")


def test_program_lets_two_rules_allow_together() -> None:
    code = program(DeviceCgroup(True, "b", 8, 0, "r"), DeviceCgroup(True, "b", 8, 0, "w"))
    assert allows(code, "b", 8, 0, "rwm")


def test_program_after_allow_all_denies_only_what_follows() -> None:
    code = program(DENY_ALL, ALLOW_ALL, DeviceCgroup(False, "b"))
    assert allows(code, "c", 10, 232, "rwm")
    assert not allows(code, "b", 8, 0, "r")


def test_program_compares_numbers_beyond_31_bits() -> None:
    code = program(DeviceCgroup(True, "c", 2**32 - 1, 2**31, "r"))
    assert allows(code, "c", 2**32 - 1, 2**31, "r")
    assert not allows(code, "c", 2**32 - 1, 2**31 + 1, "r")


def test_empty_program_denies() -> None:
    assert not allows(device_program(()), "c", 1, 3, "r")


NUMBERS = st.sampled_from([None, 1, 2])
RULES = st.builds(
    DeviceRule,
    st.booleans(),
    st.sampled_from("abc"),
    NUMBERS,
    NUMBERS,
    st.sampled_from(["r", "w", "m", "rw", "rwm"]),
)


@given(
    st.lists(RULES, max_size=6), st.sampled_from("bc"), st.sampled_from([1, 2, 3]), st.sampled_from([1, 2, 3])
)
def test_program_decides_each_access_by_the_last_rule_about_it(
    rules: list[DeviceRule], kind: str, major: int, minor: int
) -> None:
    code = device_program(tuple(rules))
    verdicts = {}
    for letter in "rwm":
        about = [
            rule.allow
            for rule in rules
            if rule.type in ("a", kind)
            and rule.major in (None, major)
            and rule.minor in (None, minor)
            and letter in rule.access
        ]
        verdicts[letter] = bool(about) and about[-1]
        assert allows(code, kind, major, minor, letter) is verdicts[letter]
    assert allows(code, kind, major, minor, "rwm") is all(verdicts.values())
