"""The matrix as one HTML file that needs nothing else: cases by runtimes, coloured, to be filtered."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.case import Case
    from conformance.runner import Verdict
    from conformance.runtime import Runtime

STYLE = """
:root { color-scheme: light dark; --line: #8884; --pass: #2e9e5b; --fail: #d2393b; --other: #8a8f98; --known: #c98a10 }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 78rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.05rem; margin: 1.6rem 0 .3rem }
table { border-collapse: collapse; width: 100% } th, td { border-bottom: 1px solid var(--line); padding: .3rem .5rem;
  text-align: left; vertical-align: top }
td.verdict { width: 9rem } td.verdict b { color: #fff; border-radius: .25rem; padding: 0 .4rem; font-weight: 600 }
b.pass { background: var(--pass) } b.fail, b.error { background: var(--fail) }
b.missing, b.na { background: var(--other) } b.known { background: var(--known) }
td small, .requirements { color: var(--other) } .reason { display: none; overflow-wrap: anywhere }
td.verdict:focus .reason, td.verdict:hover .reason { display: block }
form { position: sticky; top: 0; background: Canvas; padding: .6rem 0; display: flex; gap: 1rem; flex-wrap: wrap }
input[type=search] { min-width: 16rem }
"""
SCRIPT = """
const form = document.querySelector('form'), rows = [...document.querySelectorAll('tr[data-text]')];
function filter() {
  const text = form.text.value.toLowerCase(), level = form.level.value, failing = form.failing.checked;
  for (const row of rows)
    row.hidden = !row.dataset.text.includes(text) || (level && row.dataset.level !== level)
      || (failing && !row.dataset.fails);
  for (const section of document.querySelectorAll('section'))
    section.hidden = !section.querySelector('tr[data-text]:not([hidden])');
}
form.addEventListener('input', filter);
"""


def page(verdicts: list[Verdict]) -> str:
    """Return the page. A cell shows its reason when the pointer is on it or it has the focus."""
    runtimes = list(dict.fromkeys(verdict.runtime for verdict in verdicts))
    cases = list(dict.fromkeys(verdict.case for verdict in verdicts))
    found = {(verdict.case, verdict.runtime): verdict for verdict in verdicts}
    sections = [
        _section(group, [case for case in cases if case.group == group], runtimes, found)
        for group in dict.fromkeys(case.group for case in cases)
    ]
    levels = "".join(f"<option>{level}</option>" for level in ("MUST", "SHOULD", "MAY", "BEYOND"))
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>OCI runtime conformance</title><style>{STYLE}</style>
<h1>OCI runtime conformance</h1>
{_summary(runtimes, verdicts)}
<form><label>Find <input type="search" name="text"></label>
<label>Level <select name="level"><option value="">all</option>{levels}</select></label>
<label><input type="checkbox" name="failing"> only what somebody fails</label></form>
{"".join(sections)}
<script>{SCRIPT}</script>
</html>
"""


def _summary(runtimes: list[Runtime], verdicts: list[Verdict]) -> str:
    rows = ""
    for runtime in runtimes:
        outcomes = [verdict.outcome for verdict in verdicts if verdict.runtime == runtime]
        numbers = "".join(f"<td>{outcomes.count(kind)}</td>" for kind in ("pass", "fail", "error", "missing", "n/a"))
        rows += f"<tr><th>{escape(runtime.name)} {escape(runtime.version)}</th>{numbers}</tr>"
    kinds = ("pass", "fail", "error of the suite", "host lacks it", "not offered")
    heads = "".join(f"<th>{kind}</th>" for kind in kinds)
    return f"<table><tr><th></th>{heads}</tr>{rows}</table>"


def _section(
    group: str, cases: list[Case], runtimes: list[Runtime], found: dict[tuple[Case, Runtime], Verdict]
) -> str:
    heads = "".join(f"<th>{escape(runtime.name)}</th>" for runtime in runtimes)
    rows = "".join(_row(case, [found.get((case, runtime)) for runtime in runtimes]) for case in cases)
    return (
        f"<section><h2>{escape(group)}</h2><table><tr><th>case</th><th>level</th>{heads}</tr>{rows}</table></section>\n"
    )


def _row(case: Case, verdicts: list[Verdict | None]) -> str:
    numbers = ", ".join(map(str, case.requirements))
    fails = any(verdict is not None and verdict.outcome in ("fail", "error") for verdict in verdicts)
    text = escape(f"{case.id} {case.sentence} {numbers}".lower(), quote=True)
    return (
        f'<tr data-text="{text}" data-level="{case.level}"{" data-fails=1" if fails else ""}>'
        f"<td>{escape(case.sentence)}<br><small>{escape(case.id)}</small></td>"
        f'<td>{case.level} <span class="requirements">{numbers}</span></td>{"".join(map(_cell, verdicts))}</tr>\n'
    )


def _cell(verdict: Verdict | None) -> str:
    if verdict is None:
        return "<td></td>"
    kind = "known" if verdict.expected and verdict.outcome == "fail" else verdict.outcome.replace("/", "")
    word = {"missing": "host lacks it", "n/a": "not offered", "error": "error"}.get(verdict.outcome, verdict.outcome)
    reason = " — ".join(text for text in (verdict.reason, verdict.expected) if text)
    return (
        f'<td class="verdict" tabindex="0"><b class="{kind}">{word}</b>'
        f'<span class="reason">{escape(reason)}</span></td>'
    )
