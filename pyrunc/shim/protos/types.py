"""Made of types.proto by `make protos`: do not edit."""

from __future__ import annotations

from pyrunc.shim.codec import Message


class Any(Message):
    """containerd.types.Any."""

    type_url: str = ""
    value: bytes = b""

    _wire = (
        (1, "type_url", "str", ""),
        (2, "value", "bytes", ""),
    )


class Timestamp(Message):
    """containerd.types.Timestamp."""

    seconds: int = 0
    nanos: int = 0

    _wire = (
        (1, "seconds", "int", ""),
        (2, "nanos", "int", ""),
    )


class Mount(Message):
    """containerd.types.Mount."""

    type: str = ""
    source: str = ""
    target: str = ""
    options: tuple[str, ...] = ()

    _wire = (
        (1, "type", "str", ""),
        (2, "source", "str", ""),
        (3, "target", "str", ""),
        (4, "options", "str", "list"),
    )


class Empty(Message):
    """containerd.types.Empty."""
