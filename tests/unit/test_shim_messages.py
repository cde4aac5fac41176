"""The shim's messages against the library of protocol buffers, which reads and writes the same bytes."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrunc.shim.codec import Message, decode, encode
from pyrunc.shim.protos import events, metrics_v1, metrics_v2, options, task, ttrpc, types
from tools import protos

MODULES = {
    "events": events,
    "metrics_v1": metrics_v1,
    "metrics_v2": metrics_v2,
    "options": options,
    "task": task,
    "ttrpc": ttrpc,
    "types": types,
}
MESSAGES = [
    value
    for module in MODULES.values()
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, Message) and value.__module__ == module.__name__
]

# Of a number's width the library knows more than we do.
NUMBERS = {
    "UINT32": (0, 2**32 - 1),
    "UINT64": (0, 2**64 - 1),
    "INT32": (-(2**31), 2**31 - 1),
    "INT64": (-(2**63), 2**63 - 1),
}
KINDS: dict[Any, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "str": st.text(max_size=20),
    "bytes": st.binary(max_size=20),
}


def test_no_module_of_messages_is_left_out() -> None:
    assert {path.stem for path in protos.PROTOS.glob("*.proto")} == set(MODULES)
    assert {name_of(cls) for cls in MESSAGES} == set(theirs())


@functools.cache
def theirs() -> dict[str, Any]:
    """The library's classes, by the names of the messages."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    pool = descriptor_pool.DescriptorPool()
    names: dict[str, Any] = {}
    waiting = list(protos.read(protos.PROTOS).file)
    waiting.sort(key=lambda file: len(file.dependency))
    for file in waiting:
        assert isinstance(file, descriptor_pb2.FileDescriptorProto)
        pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
        for message in file.message_type:
            found = pool.FindMessageTypeByName(f"{file.package}.{message.name}")
            names[f"{file.name.removesuffix('.proto')}.{message.name}"] = message_factory.GetMessageClass(found)
    return names


def name_of(cls: type[Message]) -> str:
    return f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}"


def number_of(field: Any) -> st.SearchStrategy[int]:
    """Numbers as wide as a field takes them."""
    (width,) = (width for width in NUMBERS if getattr(field, f"TYPE_{width}") == field.type)
    return st.integers(*NUMBERS[width])


def any_of(cls: type[Message]) -> st.SearchStrategy[Any]:
    """Messages of a class with anything in them."""
    members: dict[str, st.SearchStrategy[Any]] = {}
    fields = theirs()[name_of(cls)].DESCRIPTOR.fields_by_number
    assert {field.number: field.name for field in fields.values()} == {row[0]: row[1] for row in cls._wire}
    for number, name, kind, shape in cls._wire:
        if kind in ("uint", "int"):
            one = number_of(fields[number])
        else:
            one = KINDS[kind] if isinstance(kind, str) else any_of(kind)
        if shape == "list":
            members[name] = st.lists(one, max_size=3).map(tuple)
        elif shape == "map":
            members[name] = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)
        else:
            members[name] = one if isinstance(kind, str) else st.none() | one
    return st.builds(cls, **members)


@pytest.mark.parametrize("cls", MESSAGES, ids=name_of)
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_the_library_reads_what_we_write_and_we_what_it_writes(cls: type[Message], data: Any) -> None:
    ours = data.draw(any_of(cls))
    read = theirs()[name_of(cls)].FromString(encode(ours))
    assert decode(cls, read.SerializeToString()) == ours
    for _, name, kind, shape in cls._wire:
        if isinstance(kind, str) and not shape:
            assert getattr(read, name) == getattr(ours, name)


@pytest.mark.parametrize("cls", MESSAGES, ids=name_of)
@settings(deadline=None, max_examples=30)
@given(data=st.binary(max_size=60))
def test_what_is_no_message_is_a_value_error(cls: type[Message], data: bytes) -> None:
    try:
        decode(cls, data)
    except ValueError:
        return


def test_what_a_later_version_adds_is_passed_over() -> None:
    whole = task.CreateTaskRequest(id="a", bundle="/b")
    more = encode(whole) + b"\xa2\x06\x03new"  # field 100
    assert decode(task.CreateTaskRequest, more) == whole


def test_the_modules_are_those_that_make_protos_writes(tmp_path: Path) -> None:
    for path in protos.write(tmp_path):
        assert (protos.PROTOS / path.name).read_text() == path.read_text(), "run make protos"
