"""jsontext reads and writes what the json package does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrunc.jsontext import dump, parse

REPOSITORY = Path(__file__).resolve().parents[2]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@settings(deadline=None)
@given(VALUES)
def test_what_is_written_is_what_the_package_writes(value: object) -> None:
    assert dump(value) == json.dumps(value, separators=(",", ":"))


@settings(deadline=None)
@given(VALUES, st.integers(1, 8))
def test_with_indent_too(value: object, indent: int) -> None:
    assert dump(value, indent) == json.dumps(value, indent=indent)


@settings(deadline=None)
@given(VALUES, st.sampled_from(["", " ", "\n\t\r "]), st.sampled_from([None, 2]), st.booleans())
def test_what_is_read_is_what_was_written(value: object, space: str, indent: int | None, ascii_only: bool) -> None:
    text = space + json.dumps(value, indent=indent, ensure_ascii=ascii_only) + space
    assert parse(text) == value
    assert repr(parse(text)) == repr(value), "1, 1.0 and True are three things"


@settings(deadline=None)
@given(st.text() | st.text(alphabet='[]{}",:0123456789.eE+-truefalsn \t\n\\u'))
def test_a_text_is_read_or_refused_as_by_the_package(text: str) -> None:
    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        expected = json.loads(text, parse_constant=refuse)
    except ValueError:
        with pytest.raises(ValueError):
            parse(text)
    else:
        assert parse(text) == expected


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_lone_surrogates_are_written_as_the_package_writes_them(text: str) -> None:
    assert dump(text) == json.dumps(text)


def test_a_tuple_is_an_array() -> None:
    assert dump({"a": (1, ("x",)), "b": ()}) == '{"a":[1,["x"]],"b":[]}'


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("", 1, 1),
        ("  ", 1, 3),
        ("{", 1, 2),
        ('{"a": 1,}', 1, 9 if sys.version_info < (3, 13) else 8),  # the brace, or the comma before it
        ("[1 2]", 1, 4),
        ('{"a": 1}\n{}', 2, 1),
        ('{\n  "a": tru\n}', 2, 8),
        ('"\n"', 1, 2),
        ("{'a': 1}", 1, 2),
        ("\ufeff{}", 1, 1),
        ('["\\x"]', 1, 3),
        ("[01]", 1, 3),
        ("// c\n{}", 1, 1),
    ],
)
def test_a_bad_document_is_refused_at_its_place(text: str, line: int, column: int) -> None:
    with pytest.raises(ValueError, match=rf"line {line} column {column}\b"):
        parse(text)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}'])
def test_constants_that_are_no_json_are_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"(NaN|Infinity) is not JSON"):
        parse(text)


@pytest.mark.parametrize("text", ["[1e99999]", "[-1e400]"])
def test_a_number_that_is_too_large_can_be_written_again(text: str) -> None:
    assert parse(dump(parse(text))) == parse(text)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, "9" * 5000])
def test_a_document_made_to_hurt_is_only_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


@pytest.mark.parametrize(
    "text", ['{"a": [1, 2.5, "\\u00e9", null, true]}', "{} x", "[1,", "nope", '{"a": "\\ud83d\\ude00"}']
)
def test_it_is_the_same_in_an_interpreter_without_the_package(text: str) -> None:
    """pytest has long since loaded json, on whose presence the C scanner's errors depend."""
    program = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from pyrunc.jsontext import dump, parse\n"
        "assert 'json' not in sys.modules\n"
        f"try: print(dump(parse({text!r})))\n"
        "except ValueError as err: print(type(err).__name__, err)\n"
    )
    alone = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    ).stdout
    try:
        assert alone == dump(parse(text)) + "\n"
    except ValueError as err:
        assert alone == f"{type(err).__name__} {err}\n"
