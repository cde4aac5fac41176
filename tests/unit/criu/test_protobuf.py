"""The wire format, on the examples of its specification and on whatever else there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pyrunc.host.protobuf import decode, encode

NUMBERS = some.integers(0, 2**64 - 1)
FIELDS = some.lists(some.tuples(some.integers(1, 2**29 - 1), NUMBERS | some.binary(max_size=200)), max_size=8)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([(1, 150)], "08 96 01"),
        ([(2, "testing")], "12 07 74 65 73 74 69 6e 67"),
        ([(3, encode([(1, 150)]))], "1a 03 08 96 01"),
        ([(1, True), (2, False)], "08 01 10 00"),
        ([(1, -2)], "08 fe ff ff ff ff ff ff ff ff 01"),
        ([(16, 0)], "80 01 00"),
        ([(1, "a"), (1, "b")], "0a 01 61 0a 01 62"),
        ([], ""),
    ],
)
def test_examples(fields: list[tuple[int, int | str | bytes]], message: str) -> None:
    assert encode(fields) == bytes.fromhex(message)


@given(FIELDS)
def test_what_is_encoded_is_decoded(fields: list[tuple[int, int | bytes]]) -> None:
    expected: dict[int, list[int | bytes]] = {}
    for number, value in fields:
        expected.setdefault(number, []).append(value)
    assert decode(encode(fields)) == expected


def test_fixed_widths_are_skipped_over() -> None:
    assert decode(bytes.fromhex("09 0102030405060708 15 01020304 18 05")) == {
        1: [bytes(range(1, 9))],
        2: [bytes(range(1, 5))],
        3: [5],
    }


@pytest.mark.parametrize("broken", ["08", "0a 05 61", "08" + "ff" * 11, "0b", "09 01", "80"])
def test_what_is_no_message(broken: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(bytes.fromhex(broken))


@given(some.binary(max_size=60))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    try:
        decode(data)
    except ValueError:
        return
