"""The wire format of protocol buffers, as far as criu speaks it (protobuf.dev/programming-guides/encoding).

Fifty lines, and no generated module that has to match the version of a library: the messages that we need are few
and flat. A message goes out as (field number, value) pairs; what comes in is a table of field numbers.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Value = int | str | bytes

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_WIDTH = 64


def encode(fields: Iterable[tuple[int, Value]]) -> bytes:
    """Return a message: numbers and booleans as varints, texts and messages within by their length."""
    return b"".join(_field(number, value) for number, value in fields)


def _field(number: int, value: Value) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return _varint(number << 3 | _LENGTH) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    value &= (1 << _WIDTH) - 1  # a negative int32 takes ten bytes, as if it were an int64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode(message: bytes) -> dict[int, list[int | bytes]]:
    """Return the values of a message by field number, in order; what is within stays bytes.

    Raises ValueError for what is no message.
    """
    fields: dict[int, list[int | bytes]] = {}
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        kind = key & 7
        value: int | bytes
        if kind == _VARINT:
            value, at = _read_varint(message, at)
        elif kind == _LENGTH:
            length, at = _read_varint(message, at)
            value, at = _cut(message, at, length)
        elif kind in _FIXED:
            value, at = _cut(message, at, _FIXED[kind])
        else:
            raise ValueError(f"field {key >> 3} has the unknown wire type {kind}")
        fields.setdefault(key >> 3, []).append(value)
    return fields


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, _WIDTH + 6, 7):
        if at >= len(message):
            raise ValueError("the message ends within a number")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number is longer than ten bytes")


def _cut(message: bytes, at: int, length: int) -> tuple[bytes, int]:
    if at + length > len(message):
        raise ValueError("the message ends within a field")
    return message[at : at + length], at + length
