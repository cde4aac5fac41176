"""Made of ttrpc.proto by `make protos`: do not edit."""

from __future__ import annotations

from pyrunc.shim.codec import Message
from pyrunc.shim.protos.types import Any


class Status(Message):
    """ttrpc.Status."""

    code: int = 0
    message: str = ""
    details: tuple[Any, ...] = ()

    _wire = (
        (1, "code", "int", ""),
        (2, "message", "str", ""),
        (3, "details", Any, "list"),
    )


class KeyValue(Message):
    """ttrpc.KeyValue."""

    key: str = ""
    value: str = ""

    _wire = (
        (1, "key", "str", ""),
        (2, "value", "str", ""),
    )


class Request(Message):
    """ttrpc.Request."""

    service: str = ""
    method: str = ""
    payload: bytes = b""
    timeout_nano: int = 0
    metadata: tuple[KeyValue, ...] = ()

    _wire = (
        (1, "service", "str", ""),
        (2, "method", "str", ""),
        (3, "payload", "bytes", ""),
        (4, "timeout_nano", "int", ""),
        (5, "metadata", KeyValue, "list"),
    )


class Response(Message):
    """ttrpc.Response."""

    status: Status | None = None
    payload: bytes = b""

    _wire = (
        (1, "status", Status, ""),
        (2, "payload", "bytes", ""),
    )
