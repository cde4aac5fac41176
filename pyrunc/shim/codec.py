"""Messages of protocol buffers as records (protobuf.dev/programming-guides/encoding).

The library of that name takes 54 ms to import and 7 MB of each shim, twice the time that a container needs to be
created; the tests hold every message here against it.
"""

from __future__ import annotations

from pyrunc.host.protobuf import decode as decode_fields
from pyrunc.host.protobuf import encode as encode_fields
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, ClassVar, TypeVar

    M = TypeVar("M", bound="Message")

_SIGN, _WIDTH = 1 << 63, 1 << 64


class Message(Record):
    """Base of all messages. Members that are not set have the empty value of their type, a message within None.

    `_wire` has a row for each: number, name, kind, shape. The kind is "uint", "int", "bool", "str", "bytes" or the
    class of a message, the shape "" for one value, "list" or "map" (of str to str).
    """

    _wire: ClassVar[tuple[tuple[int, str, Any, str], ...]] = ()


def encode(message: Message) -> bytes:
    """Return the bytes of a message; as in proto3, members with an empty value are not written."""
    return encode_fields(_fields(message))


def _fields(message: Message) -> Iterator[tuple[int, int | str | bytes]]:
    for number, name, kind, shape in message._wire:
        value = getattr(message, name)
        if shape == "list":
            if kind in ("uint", "int", "bool"):
                yield from _packed(number, value)
            else:
                for each in value:
                    yield number, encode(each) if isinstance(each, Message) else each
        elif shape == "map":
            for key, each in value.items():
                yield number, encode_fields(((1, key), (2, each)))
        elif isinstance(value, Message):
            yield number, encode(value)
        elif value:
            yield number, value


def _packed(number: int, values: tuple[int, ...]) -> Iterator[tuple[int, bytes]]:
    """Lists of numbers go out as one field; a number alone is what a field of number 0 has behind its key."""
    if values:
        yield number, b"".join(encode_fields(((0, value),))[1:] for value in values)


def decode(cls: type[M], data: bytes) -> M:
    """Read a message; members that this version does not know are passed over. Raises ValueError."""
    found = decode_fields(data)
    rows = (row for row in cls._wire if row[0] in found)
    return cls(**{name: _value(found[number], kind, shape) for number, name, kind, shape in rows})


def _value(values: list[int | bytes], kind: Any, shape: str) -> object:
    if shape == "list":
        if kind in ("uint", "int", "bool"):
            return tuple(_one(each, kind) for value in values for each in _unpacked(value))
        return tuple(_one(value, kind) for value in values)
    if shape == "map":
        pairs = [decode_fields(_bytes(value)) for value in values]
        return {str(_one(pair.get(1, [b""])[-1], "str")): _one(pair.get(2, [b""])[-1], "str") for pair in pairs}
    return _one(values[-1], kind)


def _unpacked(value: int | bytes) -> list[int | bytes]:
    """Return the numbers of a packed list, read as so many fields of one number."""
    if isinstance(value, int):
        return [value]
    numbers: list[int | bytes] = []
    begin = 0
    for at, byte in enumerate(value):
        if byte < 0x80:
            numbers += decode_fields(b"\0" + value[begin : at + 1])[0]
            begin = at + 1
    if begin != len(value):
        raise ValueError("the message ends within a number")
    return numbers


def _one(value: int | bytes, kind: Any) -> object:
    if kind in ("uint", "int", "bool"):
        if not isinstance(value, int):
            raise ValueError("a number is written as text")
        value %= _WIDTH
        if kind == "bool":
            return bool(value)
        return value - _WIDTH if kind == "int" and value >= _SIGN else value
    data = _bytes(value)
    if kind == "str":
        return data.decode()
    return data if kind == "bytes" else decode(kind, data)


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a text is written as a number")
    return value
