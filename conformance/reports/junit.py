"""JUnit's XML, as CI servers read it: a suite per runtime, a class per chapter."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.runner import Verdict


def junit(verdicts: list[Verdict]) -> str:
    """Return all verdicts as XML; a failure that is expected counts as skipped, with the reason."""
    suites = ET.Element("testsuites", name="OCI runtime conformance")
    for runtime in dict.fromkeys(verdict.runtime for verdict in verdicts):
        of_one = [verdict for verdict in verdicts if verdict.runtime == runtime]
        suite = ET.SubElement(suites, "testsuite", name=f"{runtime.name} {runtime.version}", tests=str(len(of_one)))
        for verdict in of_one:
            _add(suite, verdict)
        for kind in ("failure", "error", "skipped"):
            number = sum(case.find(kind) is not None for case in suite)
            suite.set({"failure": "failures", "error": "errors"}.get(kind, kind), str(number))
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _add(suite: ET.Element, verdict: Verdict) -> None:
    case = verdict.case
    element = ET.SubElement(
        suite,
        "testcase",
        classname=f"{verdict.runtime.name}.{case.group}",
        name=case.id.partition("/")[2],
        time=f"{verdict.seconds:.3f}",
    )
    if verdict.outcome == "pass":
        return
    if verdict.outcome in ("missing", "n/a") or verdict.expected:
        ET.SubElement(element, "skipped", message=_clean(verdict.expected or verdict.reason))
        return
    kind = "failure" if verdict.outcome == "fail" else "error"
    inside = ET.SubElement(element, kind, message=_clean(verdict.reason), type=case.level)
    inside.text = _clean(f"{case.sentence}\nrequirements: {', '.join(map(str, case.requirements)) or 'none'}")


def _clean(text: str) -> str:
    """XML 1.0 knows no control characters."""
    return "".join(char if char >= " " or char in "\n\t" else "?" for char in text)
