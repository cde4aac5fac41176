"""conformance/ against oci-spec/requirements.toml: every requirement that a runtime can be judged by has a case."""

from __future__ import annotations

import pytest

from conformance.case import Case, load_cases
from conformance.requirements import requirements

# A requirement without a case, and why nothing that a case could do would show it. The aim is that there is none.
WITHOUT: dict[int, str] = {}
# Requirements whose only cases need what neither this machine nor the VM lane has, and so have never been seen to pass.
NEVER_RUN_HERE = {
    112: "resctrl is a feature of processors, and no emulator has it",
    113: "resctrl is a feature of processors, and no emulator has it",
    114: "resctrl is a feature of processors, and no emulator has it",
}
RARE = {"resctrl", "resctrl-monitoring", "selinux"}


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return list(load_cases().values())


def test_every_requirement_has_a_case(cases: list[Case]) -> None:
    covered = {number for case in cases for number in case.requirements}
    assert {each.number for each in requirements()} - covered == WITHOUT.keys()


def test_what_never_runs_is_listed(cases: list[Case]) -> None:
    """A case that is always missing its needs judges nobody: its requirement is not really covered."""
    running = {number for case in cases if not RARE & set(case.needs) for number in case.requirements}
    covered = {number for case in cases for number in case.requirements}
    assert covered - running == NEVER_RUN_HERE.keys()


def test_what_never_runs_is_justified_by_the_spec(cases: list[Case]) -> None:
    assert [case.id for case in cases if RARE & set(case.needs) and not case.justified] == []


def test_a_case_is_not_below_its_requirements(cases: list[Case]) -> None:
    """A MUST is judged by at least one case that says MUST, a SHOULD by one that says SHOULD or more."""
    rank = {"BEYOND": 0, "MAY": 1, "SHOULD": 2, "MUST": 3}
    best: dict[int, int] = {}
    for case in cases:
        for number in case.requirements:
            best[number] = max(best.get(number, 0), rank[case.level])
    weak = {each.number for each in requirements() if best.get(each.number, 3) < rank[each.level]}
    assert weak == set()
