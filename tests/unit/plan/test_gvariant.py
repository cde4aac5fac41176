"""Values of D-Bus as text."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.plan.gvariant import parse_variant


@pytest.mark.parametrize(
    ("text", "signature", "value"),
    [
        ("true", "b", True),
        ("false", "b", False),
        ("5", "i", 5),
        (" -7 ", "i", -7),
        ("0x1f", "i", 31),
        ("010", "i", 8),
        ("0", "i", 0),
        ("1.5", "d", 1.5),
        ("1e3", "d", 1000.0),
        ("inf", "d", inf),
        ("'a b'", "s", "a b"),
        ('"it\'s"', "s", "it's"),
        (r"'a\'b\\\n\u0041\U00000042'", "s", "a'b\\\nAB"),
        ("b'ab'", "ay", b"ab\0"),
        ("uint64 18446744073709551615", "t", 2**64 - 1),
        ("int64 -9223372036854775808", "x", -(2**63)),
        ("byte 0x41", "y", 65),
        ("@t 5", "t", 5),
        ("double 5", "d", 5.0),
        ("objectpath '/a'", "o", "/a"),
        ("signature 'as'", "g", "as"),
        ("['a', 'b']", "as", ["a", "b"]),
        ("[1, 2.5]", "ad", [1.0, 2.5]),
        ("[1, uint64 2]", "at", [1, 2]),
        ("@as []", "as", []),
        ("[[], ['a']]", "aas", [[], ["a"]]),
        ("@ay [1, 2]", "ay", [1, 2]),
        ("[('/dev/null', 'rw')]", "a(ss)", [("/dev/null", "rw")]),
        ("(1,)", "(i)", (1,)),
        ("@(sut) ('x', 1, 2)", "(sut)", ("x", 1, 2)),
        ("{'a': <1>, 'b': <'x'>}", "a{sv}", {"a": ("i", 1), "b": ("s", "x")}),
        ("@a{sv} {}", "a{sv}", {}),
        ("<@t 5>", "v", ("t", 5)),
        ("<<true>>", "v", ("v", ("b", True))),
    ],
)
def test_value(text: str, signature: str, value: Any) -> None:
    assert parse_variant(text) == (signature, value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "foo", "1 2", "'a", "'a\\u12'", "[1", "[1 2]", "(1", "()", "<1", "{'a' 1}"),
        *("{'a': 1", "[]", "<[]>", "{}"),
        *("byte 256", "byte -1", "uint64 -1", "int16 32768", "uint32 4294967296", "5000000000", "int32 1.5"),
        *("['a', 1]", "@ai ['a']", "@s 5", "boolean 1", "@v 5", "@z 1", "@a", "@(s 1", "@"),
        *("@(ss) ('a',)", "@a{vs} {}"),
        *("[uint32 1, uint64 2]", "nothing", "just 1", "'nul\\u0000'", "[" * 40 + "1" + "]" * 40),
    ],
)
def test_no_value(text: str) -> None:
    with pytest.raises(ValueError):
        parse_variant(text)


@given(st.text(alphabet="[](){}<>@,:'\"\\ abinstuy0123456789-.xu", max_size=30))
def test_any_text_is_a_value_or_an_error(text: str) -> None:
    try:
        signature, _ = parse_variant(text)
    except ValueError:
        return
    assert signature


@given(st.integers(0, 2**64 - 1))
def test_every_number_of_a_type_is_taken(number: int) -> None:
    assert parse_variant(f"uint64 {number}") == ("t", number)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_every_string_can_be_said(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    assert parse_variant(f"'{quoted}'") == ("s", text)
