"""The conformance suite's own parts: cases, what is expected, and reports."""

from __future__ import annotations

import dataclasses
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from conformance import host, needs
from conformance.box import Box
from conformance.broken import FAULTS
from conformance.case import CASES, Case, Failure, check, equal, load_cases
from conformance.expected import Expected
from conformance.reports.junit import junit
from conformance.reports.page import page
from conformance.reports.table import table
from conformance.reports.tap import tap
from conformance.runner import Verdict
from conformance.runtime import Result, Runtime

REPOSITORY = Path(__file__).resolve().parents[2]
RUNTIMES = [Runtime("/bin/a", "a", "1.0"), Runtime("/bin/b", "b", "2.0")]


def judge(_box: Box) -> None:
    """Do nothing."""


ONE = Case("group/one", "It is <so> & #1", "MUST", (1, 2), (), 20.0, "", judge)
TWO = Case("group/two", "It is so", "SHOULD", (3,), (), 20.0, "", judge)
VERDICTS = [
    Verdict(ONE, RUNTIMES[0], "pass", "", 0.5),
    Verdict(TWO, RUNTIMES[0], "fail", 'said "no"\nand <more>\x01', 1.0),
    Verdict(ONE, RUNTIMES[1], "fail", "known", 0.1, expected="a bug"),
    Verdict(TWO, RUNTIMES[1], "missing", "this host lacks it", 0.0),
]


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    return load_cases()


def test_every_requirement_of_a_case_exists(cases: dict[str, Case]) -> None:
    text = (REPOSITORY / "oci-spec/requirements.toml").read_text()
    known = {int(line.removeprefix("number = ")) for line in text.splitlines() if line.startswith("number = ")}
    assert {number for case in cases.values() for number in case.requirements} <= known


def test_every_need_of_a_case_is_known(cases: dict[str, Case]) -> None:
    for need in {need for case in cases.values() for need in case.needs}:
        assert needs.host_has(need) in (True, False)


def test_an_unknown_need_is_an_error() -> None:
    with pytest.raises(KeyError):
        needs.host_has("nothing")


def test_a_case_of_the_spec_names_its_requirements(cases: dict[str, Case]) -> None:
    assert [case.id for case in cases.values() if case.level in ("MUST", "SHOULD") and not case.requirements] == []


def test_every_fault_is_noticed_by_cases_that_exist(cases: dict[str, Case]) -> None:
    assert {name for fault in FAULTS for name in fault.noticed_by} <= cases.keys()


def test_every_group_has_a_fault(cases: dict[str, Case]) -> None:
    noticed = {name.partition("/")[0] for fault in FAULTS for name in fault.noticed_by}
    assert {case.group for case in cases.values()} <= noticed


def test_expected_failures_are_of_cases_that_exist(cases: dict[str, Case]) -> None:
    assert {entry["case"] for entry in Expected().entries} <= cases.keys()
    assert cases == CASES


def test_what_nobody_else_passes_is_justified(cases: dict[str, Case]) -> None:
    failing: dict[str, set[str]] = {}
    for entry in Expected().entries:
        if not entry.get("sometimes"):
            failing.setdefault(entry["case"], set()).add(entry["runtime"])
    assert [name for name, runtimes in failing.items() if len(runtimes) > 1 and not cases[name].justified] == []


def test_nothing_is_expected_to_fail_with_pyrunc() -> None:
    assert [entry for entry in Expected().entries if entry["runtime"] == "pyrunc"] == []


def test_an_entry_counts_for_its_versions_only(tmp_path: Path) -> None:
    file = tmp_path / "expected.toml"
    file.write_text('[[failure]]\nruntime = "a"\nversions = "1.*"\ncase = "group/one"\nreason = "why"\n')
    known = Expected(file)
    assert known.reason(RUNTIMES[0], "group/one") == "why"
    assert known.reason(Runtime("/bin/a", "a", "2.0"), "group/one") == ""
    assert known.reason(RUNTIMES[1], "group/one") == ""


def test_what_fails_sometimes_may_pass(tmp_path: Path) -> None:
    file = tmp_path / "expected.toml"
    file.write_text('[[failure]]\nruntime = "a"\ncase = "group/one"\nreason = "a race"\nsometimes = true\n')
    known = Expected(file)
    assert known.sometimes(RUNTIMES[0], "group/one")
    assert not known.sometimes(RUNTIMES[0], "group/two")
    for outcome in ("pass", "fail"):
        assert not Verdict(ONE, RUNTIMES[0], outcome, "", 0.0, "a race", sometimes=True).surprising


def test_an_entry_without_a_reason_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "expected.toml"
    file.write_text('[[failure]]\nruntime = "a"\ncase = "group/one"\n')
    with pytest.raises(ValueError, match="reason"):
        Expected(file)


@pytest.mark.parametrize(
    ("outcome", "expected", "surprising"),
    [("pass", "", False), ("pass", "x", True), ("fail", "", True), ("fail", "x", False), ("error", "x", True)],
)
def test_what_is_surprising(outcome: str, expected: str, surprising: bool) -> None:
    assert Verdict(ONE, RUNTIMES[0], outcome, "", 0.0, expected).surprising is surprising  # type: ignore[arg-type]


def test_tap() -> None:
    lines = tap(VERDICTS).splitlines()
    assert lines[:3] == ["TAP version 13", "1..4", "ok 1 - a group/one: It is <so> & \\#1"]
    assert [line.split(" - ")[0] for line in lines if line.startswith(("ok", "not"))] == [
        "ok 1",
        "not ok 2",
        "not ok 3",
        "ok 4",
    ]
    assert lines[-1].endswith("# SKIP this host lacks it")
    assert any("# TODO a bug" in line for line in lines)


def test_junit_can_be_parsed() -> None:
    suites = ET.fromstring(junit(VERDICTS).partition("\n")[2])
    assert [(suite.get("tests"), suite.get("failures"), suite.get("skipped")) for suite in suites] == [
        ("2", "1", "0"),
        ("2", "0", "2"),
    ]


def rows_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("<tr data-text=")]


def test_the_page_has_a_row_for_each_requirement_with_every_verdict() -> None:
    rows = rows_of(page(VERDICTS))
    assert [re.search(r'class="number">(\d*)<', row)[1] for row in rows] == ["1", "2", "3"]  # type: ignore[index]
    for row, kinds in zip(rows, (["pass", "known"], ["pass", "known"], ["fail", "missing"]), strict=True):
        assert re.findall(r'<summary><b class="(\w+)">', row) == kinds
        assert re.findall(r'<p><b class="(\w+)">', row) == kinds
        assert f'data-verdicts="{" ".join(kinds)}"' in row
    assert "group/one: known — a bug</p>" in rows[0]
    assert "group/two: this host lacks it</p>" in rows[2]


def test_a_cell_of_the_page_shows_its_worst_verdict() -> None:
    """And how many of the requirement's cases have it; a case of no requirement has a row of its own."""
    other = dataclasses.replace(TWO, id="group/three", requirements=(1,))
    alone = dataclasses.replace(TWO, id="group/four", level="BEYOND", requirements=())
    more = [Verdict(other, RUNTIMES[0], "fail", "worse", 0.1), Verdict(alone, RUNTIMES[0], "pass", "", 0.1)]
    text = page([*VERDICTS, *more])
    rows = rows_of(text)
    assert '<summary><b class="fail">fail 1/2</b></summary>' in rows[0]
    assert rows[0].index("group/three: worse") < rows[0].index("group/one: It is")
    assert "beyond the spec: group" in text
    assert "group/four" in rows[-1]


def test_the_page_has_no_markup_of_others_and_needs_no_network() -> None:
    text = page(VERDICTS)
    assert "&lt;so&gt; &amp; #1" in text
    assert "<more>" not in text
    assert "http" not in text
    assert "src=" not in text
    assert "@import" not in text


def test_the_table_names_what_fails() -> None:
    text = table(VERDICTS)
    assert "| group | 2 | 1 | 0 |" in text
    assert "| group/two: It is so | SHOULD | ✗ | - |" in text


def test_results_speak_for_themselves() -> None:
    good, bad, dead = (Result(("state", "x"), status, '{"a": 1}', "sorry") for status in (0, 1, -9))
    assert good.document() == {"a": 1}
    with pytest.raises(Failure, match="went well"):
        good.failed()
    with pytest.raises(Failure, match="sorry"):
        bad.succeeded()
    with pytest.raises(Failure, match="signal 9"):
        dead.failed()
    with pytest.raises(Failure, match="crashed"):
        Result(("state", "x"), 1, "", "Traceback (most recent call last)").failed()


def test_check_and_equal() -> None:
    check(1, "no")
    equal(1, 1, "one")
    with pytest.raises(Failure, match="one: expected 2, got 1"):
        equal(1, 2, "one")


def test_answers_are_lines_of_json() -> None:
    assert Box.answers('{"a": 1}\n\n[2]\n') == [{"a": 1}, [2]]
    with pytest.raises(Failure, match="what"):
        Box.answers("what")
    json.dumps(VERDICTS[0].reason)


def test_a_token_that_nobody_carries_has_nothing_left(tmp_path: Path) -> None:
    assert host.left_behind("no-such-token-anywhere", tmp_path) == []
