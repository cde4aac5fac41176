"""Every rule has a configuration that keeps it and one that breaks it, with the exact places."""

from __future__ import annotations

from typing import Any

import pytest

from pyrunc.spec import linux_rules, rules
from pyrunc.spec.rules import is_semver
from tests.unit.spec.spec_cases import CONFIG_CASES, Case, linux, process
from tests.unit.spec.spec_documents import ABSENT, changed, problems_of, read, small
from tests.unit.spec.spec_linux_cases import LINUX_CASES, RESOURCES_CASES, SECCOMP_CASES

CASES = CONFIG_CASES + LINUX_CASES + RESOURCES_CASES + SECCOMP_CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_configuration_that_keeps_the_rule_is_read(case: Case) -> None:
    read(changed(small(), case.good))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_configuration_that_breaks_the_rule_is_refused_there(case: Case) -> None:
    assert {problem.path for problem in problems_of(changed(small(), case.bad))} == set(case.paths)


def all_rules() -> list[Any]:
    tables = [
        value
        for module in (rules, linux_rules)
        for name, value in vars(module).items()
        if name.endswith("_RULES")
    ]
    return [rule for table in tables for rule in table]


def test_every_rule_has_its_cases() -> None:
    assert {rule.__name__ for rule in all_rules()} == {case.rule for case in CASES}


def test_every_rule_is_in_a_table() -> None:
    written = {
        name
        for module in (rules, linux_rules)
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__
        and not name.startswith(("_", "check", "is_semver"))
    }
    assert written == {rule.__name__ for rule in all_rules()}


def test_every_rule_names_its_section_of_the_spec() -> None:
    for rule in all_rules():
        assert rule.__doc__.startswith(("config.md#", "config-linux.md#"))


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0",
        "1.0.0",
        "10.20.30",
        "1.0.0-rc.1",
        "1.0.0-0",
        "1.0.0--",
        "1.0.0-0a",
        "1.3.0-rc.1+dev.001",
        "1.0.0+a-b",
    ],
)
def test_semantic_versions(text: str) -> None:
    assert is_semver(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "1", "1.0", "1.0.0.0", "v1.0.0", "01.0.0", "1.00.0", "1.0.0-", "1.0.0+", "1.0.0-01", "1.0.0-a..b",
        "1.0.0-é", "1.0.0+a+b", " 1.0.0", "1.0.0\n", "1.0.-1", "1.0.\u0661", "1..0",
    ],
)  # fmt: skip
def test_what_is_no_semantic_version(text: str) -> None:
    assert not is_semver(text)


def test_unknown_capabilities_are_no_error() -> None:
    read(changed(small(), process(capabilities={"bounding": ["CAP_OF_TOMORROW"]})))


def test_a_process_may_be_absent() -> None:
    assert read(changed(small(), {"process": ABSENT})).process is None


@pytest.mark.parametrize("value", ["shared", "slave", "private", "unbindable", "rshared", "rslave"])
def test_the_propagations_that_engines_write_are_known(value: str) -> None:
    spec = read(changed(small(), linux(rootfsPropagation=value)))
    assert spec.linux is not None
    assert spec.linux.rootfs_propagation == value
