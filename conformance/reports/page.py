"""The matrix as one HTML file that needs nothing else: requirements by runtimes, coloured, to be filtered.

A requirement's cell has the worst verdict of its cases; it opens to show each of them, with the reason.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from conformance.requirements import requirements

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conformance.case import Case
    from conformance.runner import Verdict
    from conformance.runtime import Runtime

WORDS = {"missing": "host lacks it", "n/a": "not offered"}
WORST_FIRST = ("error", "fail", "known", "missing", "n/a", "pass")
STYLE = """
:root { color-scheme: light dark; --line: #8884; --pass: #2e9e5b; --fail: #d2393b; --other: #8a8f98; --known: #c98a10 }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 82rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.05rem; margin: 1.6rem 0 .3rem }
table { border-collapse: collapse; width: 100% } th, td { border-bottom: 1px solid var(--line); padding: .3rem .5rem;
  text-align: left; vertical-align: top }
.verdict { width: 22% }
b { color: #fff; border-radius: .25rem; padding: 0 .4rem; font-weight: 600; white-space: nowrap }
b.pass { background: var(--pass) } b.fail, b.error { background: var(--fail) }
b.missing, b.na { background: var(--other) } b.known { background: var(--known) }
small, .number { color: var(--other) } summary { cursor: pointer }
details p { margin: .3rem 0 .3rem .6rem; overflow-wrap: anywhere; font-size: .88em }
form { position: sticky; top: 0; background: Canvas; padding: .6rem 0; display: flex; gap: 1rem; flex-wrap: wrap }
input[type=search] { min-width: 16rem }
"""
SCRIPT = """
const form = document.querySelector('form'), rows = [...document.querySelectorAll('tr[data-text]')];
function filter() {
  const text = form.text.value.toLowerCase(), level = form.level.value, verdict = form.verdict.value;
  for (const row of rows)
    row.hidden = !row.dataset.text.includes(text) || (level && row.dataset.level !== level)
      || (verdict && !row.dataset.verdicts.split(' ').includes(verdict));
  for (const section of document.querySelectorAll('section'))
    section.hidden = !section.querySelector('tr[data-text]:not([hidden])');
}
form.addEventListener('input', filter);
form.addEventListener('submit', event => event.preventDefault());
form.open.addEventListener('click', () => {
  const some = rows.some(row => !row.hidden && row.querySelector('details:not([open])'));
  for (const row of rows) if (!row.hidden) for (const each of row.querySelectorAll('details')) each.open = some;
});
"""


def page(verdicts: list[Verdict]) -> str:
    """Return the page: a section for each chapter of the spec, and one for each group of what is beyond the spec."""
    runtimes = list(dict.fromkeys(verdict.runtime for verdict in verdicts))
    sections: dict[str, str] = {}
    for requirement in requirements():
        of_one = [verdict for verdict in verdicts if requirement.number in verdict.case.requirements]
        if of_one:
            row = _row(str(requirement.number), requirement.level, requirement.text, of_one, runtimes)
            sections[requirement.section] = sections.get(requirement.section, "") + row
    known = {requirement.number for requirement in requirements()}
    for case in dict.fromkeys(verdict.case for verdict in verdicts):
        if not known & set(case.requirements):
            of_one = [verdict for verdict in verdicts if verdict.case == case]
            section = f"beyond the spec: {case.group}"
            row = _row("", case.level, case.sentence, of_one, runtimes)
            sections[section] = sections.get(section, "") + row
    levels = "".join(f"<option>{level}</option>" for level in ("MUST", "SHOULD", "MAY", "BEYOND"))
    kinds = "".join(f'<option value="{_class(kind)}">{WORDS.get(kind, kind)}</option>' for kind in WORST_FIRST)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>OCI runtime conformance</title><style>{STYLE}</style>
<h1>OCI runtime conformance</h1>
{_summary(runtimes, verdicts)}
<form><label>Find <input type="search" name="text"></label>
<label>Level <select name="level"><option value="">all</option>{levels}</select></label>
<label>Somebody has <select name="verdict"><option value="">anything</option>{kinds}</select></label>
<button type="button" name="open">open or close all</button></form>
{"".join(_section(name, rows, runtimes) for name, rows in sections.items())}
<script>{SCRIPT}</script>
</html>
"""


def _summary(runtimes: list[Runtime], verdicts: list[Verdict]) -> str:
    rows = ""
    for runtime in runtimes:
        outcomes = [_kind(verdict) for verdict in verdicts if verdict.runtime == runtime]
        numbers = "".join(f"<td>{outcomes.count(kind)}</td>" for kind in reversed(WORST_FIRST))
        rows += f"<tr><th>{escape(runtime.name)} {escape(runtime.version)}</th>{numbers}</tr>"
    heads = "".join(f"<th>{_badge(kind, WORDS.get(kind, kind))}</th>" for kind in reversed(WORST_FIRST))
    return f"<table><tr><th>cases</th>{heads}</tr>{rows}</table>"


def _section(name: str, rows: str, runtimes: list[Runtime]) -> str:
    heads = "".join(f'<th class="verdict">{escape(runtime.name)}</th>' for runtime in runtimes)
    table = f"<table><tr><th></th><th>requirement</th><th>level</th>{heads}</tr>\n{rows}</table>"
    return f"<section><h2>{escape(name)}</h2>{table}</section>\n"


def _row(number: str, level: str, text: str, verdicts: list[Verdict], runtimes: list[Runtime]) -> str:
    cases = list(dict.fromkeys(verdict.case for verdict in verdicts))
    said = [f"{verdict.case.id} {verdict.case.sentence} {verdict.reason} {verdict.expected}" for verdict in verdicts]
    words = " ".join(" ".join([number, text, *dict.fromkeys(said)]).split()).lower()
    kinds = " ".join(dict.fromkeys(_class(_kind(verdict)) for verdict in verdicts))
    cells = "".join(_cell([each for each in verdicts if each.runtime == runtime]) for runtime in runtimes)
    return (
        f'<tr data-text="{escape(words, quote=True)}" data-level="{level}" data-verdicts="{kinds}">'
        f'<td class="number">{number}</td><td>{escape(text)}<br><small>{_names(cases)}</small></td>'
        f"<td>{level}</td>{cells}</tr>\n"
    )


def _names(cases: Iterable[Case]) -> str:
    names = [escape(case.id) for case in cases]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _cell(verdicts: list[Verdict]) -> str:
    """The worst kind of verdict, how many of the cases have it, and what is behind it."""
    if not verdicts:
        return "<td></td>"
    kinds = [_kind(verdict) for verdict in verdicts]
    worst = min(kinds, key=WORST_FIRST.index)
    word = WORDS.get(worst, worst) + (f" {kinds.count(worst)}/{len(kinds)}" if len(kinds) > 1 else "")
    inside = "".join(map(_reason, sorted(verdicts, key=lambda verdict: WORST_FIRST.index(_kind(verdict)))))
    return f'<td class="verdict"><details><summary>{_badge(worst, word)}</summary>{inside}</details></td>'


def _reason(verdict: Verdict) -> str:
    kind = _kind(verdict)
    why = " — ".join(text for text in (verdict.reason, verdict.expected) if text) or verdict.case.sentence
    return f"<p>{_badge(kind, WORDS.get(kind, kind))} {escape(verdict.case.id)}: {escape(' '.join(why.split()))}</p>"


def _kind(verdict: Verdict) -> str:
    return "known" if verdict.expected and verdict.outcome == "fail" else verdict.outcome


def _badge(kind: str, word: str) -> str:
    return f'<b class="{_class(kind)}">{word}</b>'


def _class(kind: str) -> str:
    return kind.replace("/", "")
