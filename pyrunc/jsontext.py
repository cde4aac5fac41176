"""JSON without the json package: that one brings re and enum, 8 ms that every command would pay.

The C scanner and string encoder that the json package itself uses are called directly; where an
interpreter does not have them, the package is the fallback.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


_SPACE = " \t\r\n"


class _Context:
    """What _json.make_scanner reads: the settings of json.JSONDecoder under the same names."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    memo: dict[str, str] = {}

    @staticmethod
    def parse_constant(name: str) -> NoReturn:
        """Refuse NaN and Infinity, which RFC 8259 does not know."""
        raise ValueError(f"{name} is not JSON")


def parse(text: str) -> Any:
    """Parse one JSON document (RFC 8259).

    Raises ValueError, with the place in its message, on anything else: trailing text, NaN, integers of
    thousands of digits, nesting deeper than the interpreter's stack.
    """
    try:
        from _json import make_scanner

        start = len(text) - len(text.lstrip(_SPACE))
        value, end = make_scanner(_Context)(text, start)  # type: ignore[arg-type]
        if not text[end:].strip(_SPACE):
            return value
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (ImportError, StopIteration, SystemError):
        # The scanner alone cannot name an error (it looks for json.decoder among the loaded modules).
        pass
    return _parse_with_package(text)


def _parse_with_package(text: str) -> Any:
    import json

    return json.loads(text, parse_constant=_Context.parse_constant)


def dump(value: object, indent: int = 0) -> str:
    """Write a JSON document, on one line or, with indent, one member a line."""
    parts: list[str] = []
    _write(value, "\n" if indent else "", " " * indent, parts)
    return "".join(parts)


def _write(value: Any, newline: str, step: str, parts: list[str]) -> None:
    if isinstance(value, str):
        parts.append(_quote(value))
    elif value is None or isinstance(value, bool):
        parts.append({None: "null", True: "true", False: "false"}[value])
    elif isinstance(value, (int, float)):
        # 1e999 is JSON, and read as infinity: so that is how infinity is written.
        parts.append(repr(value).replace("inf", "1e999"))
    elif isinstance(value, dict):
        colon = ": " if step else ":"
        _write_members(((_quote(str(key)) + colon, each) for key, each in value.items()), "{}", newline, step, parts)
    else:
        _write_members((("", item) for item in value), "[]", newline, step, parts)


def _write_members(members: Any, brackets: str, newline: str, step: str, parts: list[str]) -> None:
    parts.append(brackets[0])
    inner = newline + step
    separator = ""
    for label, item in members:
        parts += (separator, inner, label)
        _write(item, inner, step, parts)
        separator = ","
    parts += (newline if separator else "", brackets[1])


def _quote(text: str) -> str:
    try:
        from _json import encode_basestring_ascii
    except ImportError:
        from json.encoder import py_encode_basestring_ascii as encode_basestring_ascii
    return encode_basestring_ascii(text)
