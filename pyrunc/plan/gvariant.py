"""The text form of a D-Bus value, as annotations hold it: `uint64 5000000`, `['a', 'b']`, `@ay [1]`, `<true>`.

The grammar is GLib's ("GVariant Text Format"), without maybe types, which D-Bus has not. What comes out is a
signature of the D-Bus specification ("Type System") and a value: str, int, float, bool, bytes, list, tuple or dict,
and for a variant the pair of its own signature and value.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    # kind, the signature that the text gives or "", content
    Node = tuple[str, str, Any]

_KEYWORDS = {
    "boolean": "b",
    "byte": "y",
    "int16": "n",
    "uint16": "q",
    "int32": "i",
    "uint32": "u",
    "int64": "x",
    "uint64": "t",
    "double": "d",
    "string": "s",
    "objectpath": "o",
    "signature": "g",
}
_RANGES = {
    "y": (0, 8),
    "n": (-1, 15),
    "q": (0, 16),
    "i": (-1, 31),
    "u": (0, 32),
    "x": (-1, 63),
    "t": (0, 64),
}
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_BASIC = frozenset("ybnqiuxtdsog")
_STRINGS = frozenset("sog")
_WORD_END = frozenset(" \t\n\r,]})>:")
_DEEPEST = 32  # D-Bus specification, "Valid Signatures"


def parse_variant(text: str) -> tuple[str, Any]:
    """Return signature and value of one text. Raises ValueError, which says what is wrong with it."""
    reader = _Reader(text)
    node = reader.value()
    if reader.skip():
        raise ValueError(f"{text[reader.at :]!r} follows the value")
    signature = _infer(node)
    if "?" in signature:
        raise ValueError("the type of what is empty has to be given, as in @as []")
    return signature, _fit(node, signature)


class _Reader:
    """A text and how far it has been read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def skip(self) -> str:
        """Pass over space; return the next character, "" at the end."""
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.text[self.at : self.at + 1]

    def take(self, token: str) -> bool:
        """Read one token if it comes next."""
        self.skip()
        found = self.text.startswith(token, self.at)
        self.at += len(token) if found else 0
        return found

    def expect(self, token: str) -> None:
        """Read a token that has to come next."""
        if not self.take(token):
            raise ValueError(f"{token!r} is missing before {self.text[self.at :]!r}")

    def value(self) -> Node:
        """Read one value."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise ValueError("it is nested too deeply")
        first = self.skip()
        if self.text.startswith(("b'", 'b"'), self.at):
            self.at += 1
            node: Node = ("bytes", "ay", self._string().encode("utf-8", "surrogateescape") + b"\0")
        elif first in _OPENERS:
            self.at += 1
            node = _OPENERS[first](self)
        else:
            node = self._word()
        self.depth -= 1
        return node

    def read_quoted(self) -> Node:
        """Read a string whose first quote has been read."""
        self.at -= 1
        return "string", "", self._string()

    def read_typed(self) -> Node:
        """Read what follows an @: a signature and a value of that type."""
        start = self.at
        self.at = signature_end(self.text, start)
        signature = self.text[start : self.at]
        kind, _, content = self.value()
        return kind, signature, content

    def read_array(self) -> Node:
        """Read the items of an array and its end."""
        return "array", "", self._items("]", self.value)

    def read_tuple(self) -> Node:
        """Read the items of a tuple and its end; (1,) has one."""
        return "tuple", "", self._items(")", self.value)

    def read_dict(self) -> Node:
        """Read the entries of a dictionary and its end."""
        return "dict", "", self._items("}", self._entry)

    def read_variant(self) -> Node:
        """Read the value of a variant and its end."""
        inner = self.value()
        self.expect(">")
        return "variant", "v", inner

    def _items(self, end: str, item: Callable[[], Any]) -> list[Any]:
        items = []
        while not self.take(end):
            items.append(item())
            if self.skip() != end:
                self.expect(",")
        return items

    def _entry(self) -> tuple[Node, Node]:
        key = self.value()
        self.expect(":")
        return key, self.value()

    def _string(self) -> str:
        quote, self.at = self.text[self.at], self.at + 1
        parts: list[str] = []
        while True:
            character = self.text[self.at : self.at + 1]
            self.at += 1
            if not character:
                raise ValueError("a string does not end")
            if character == quote:
                return "".join(parts)
            parts.append(self._escape() if character == "\\" else character)

    def _escape(self) -> str:
        letter = self.text[self.at : self.at + 1]
        self.at += 1
        digits = {"u": 4, "U": 8}.get(letter, 0)
        if not digits:
            return _ESCAPES.get(letter, letter)
        number, self.at = self.text[self.at : self.at + digits], self.at + digits
        if len(number) != digits:
            raise ValueError(f"\\{letter} needs {digits} digits")
        return chr(int(number, 16))

    def _word(self) -> Node:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in _WORD_END:
            self.at += 1
        word = self.text[start : self.at]
        if word in _KEYWORDS:
            kind, _, content = self.value()
            return kind, _KEYWORDS[word], content
        if word in ("true", "false"):
            return "bool", "", word == "true"
        return "number", "", _number(word)


_OPENERS: dict[str, Callable[[_Reader], Node]] = {
    "'": _Reader.read_quoted,
    '"': _Reader.read_quoted,
    "@": _Reader.read_typed,
    "[": _Reader.read_array,
    "(": _Reader.read_tuple,
    "{": _Reader.read_dict,
    "<": _Reader.read_variant,
}


def _number(word: str) -> int | float:
    """Read a number; a leading 0 is octal, as in C."""
    digits = word.lstrip("+-")
    try:
        if digits.isdigit() and digits.startswith("0"):
            return int(word, 8)
        return int(word, 16 if digits[:2] in ("0x", "0X") else 10)
    except ValueError:
        pass
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"{word!r} is no value") from None


def signature_end(text: str, at: int) -> int:
    """Return where the single complete type that begins at `at` ends. Raises ValueError."""
    first = text[at : at + 1]
    if first in _BASIC or first == "v":
        return at + 1
    if first == "a":
        return signature_end(text, at + 1)
    closing = {"(": ")", "{": "}"}.get(first)
    if closing is None:
        raise ValueError(f"{text[at:]!r} does not begin with a type of D-Bus")
    at += 1
    while text[at : at + 1] not in (closing, ""):
        at = signature_end(text, at)
    if not text[at:]:
        raise ValueError(f"{closing!r} is missing in a type")
    return at + 1


def _infer(node: Node) -> str:
    """Return the type of a value, as GLib sees it where the text gives none; "?" for the items of nothing."""
    kind, given, content = node
    if given:
        return given
    if kind == "number":
        return "d" if isinstance(content, float) else "i"
    if kind == "tuple":
        return f"({''.join(map(_infer, content))})"
    if kind == "array":
        return f"a{_common(content)}"
    if kind == "dict":
        return f"a{{{_common([key for key, _ in content])}{_common([value for _, value in content])}}}"
    return {"string": "s", "bool": "b"}[kind]


def _common(nodes: list[Node]) -> str:
    """Return the one type that all items have: one with its type written down speaks for the others."""
    given = [node[1] for node in nodes if node[1]]
    inferred = [_infer(node) for node in nodes]
    if not given and set(inferred) == {"i", "d"}:
        return "d"
    whole = [signature for signature in inferred if "?" not in signature]
    return next(iter((*given, *whole, *inferred)), "?")


def _fit(node: Node, signature: str) -> Any:
    """Return a node's value as one of the type. Raises ValueError where it cannot be."""
    kind, given, content = node
    if given and given != signature:
        raise ValueError(f"a value of type {given} is where one of type {signature} belongs")
    fit = _FITS.get(kind)
    value = fit(content, signature) if fit else None
    if value is None:
        raise ValueError(f"a {kind} is where a value of type {signature} belongs")
    return value


def _fit_number(content: int | float, signature: str) -> int | float | None:
    if signature == "d":
        return float(content)
    if signature not in _RANGES or isinstance(content, float):
        return None
    sign, bits = _RANGES[signature]
    if not sign * 2**bits <= content < 2**bits:
        raise ValueError(f"{content} does not fit into type {signature}")
    return content


def _fit_string(content: str, signature: str) -> str | None:
    if "\0" in content:
        raise ValueError("D-Bus strings have no NUL")
    return content if signature in _STRINGS else None


def _fit_array(content: list[Node], signature: str) -> list[Any] | None:
    if signature[0] != "a" or signature[1:2] == "{":
        return None
    return [_fit(item, signature[1:]) for item in content]


def _fit_dict(content: list[tuple[Node, Node]], signature: str) -> dict[Any, Any] | None:
    if not signature.startswith("a{") or signature[2] not in _BASIC:
        return None
    return {_fit(key, signature[2]): _fit(value, signature[3:-1]) for key, value in content}


def _fit_tuple(content: list[Node], signature: str) -> tuple[Any, ...] | None:
    """An empty one fits nothing: D-Bus has no empty struct."""
    if signature[0] != "(" or not content:
        return None
    types, at = [], 1
    while signature[at] != ")":
        end = signature_end(signature, at)
        types.append(signature[at:end])
        at = end
    if len(types) != len(content):
        raise ValueError(f"{len(content)} values are where {signature} belongs")
    return tuple(_fit(item, each) for item, each in zip(content, types, strict=True))


def _fit_variant(content: Node, signature: str) -> tuple[str, Any] | None:
    if signature != "v":
        return None
    inner = _infer(content)
    if "?" in inner:
        raise ValueError("the type of what is empty has to be given, as in @as []")
    return inner, _fit(content, inner)


_FITS: dict[str, Callable[[Any, str], Any]] = {
    "number": _fit_number,
    "string": _fit_string,
    "bool": lambda content, signature: content if signature == "b" else None,
    "bytes": lambda content, signature: content if signature == "ay" else None,
    "array": _fit_array,
    "dict": _fit_dict,
    "tuple": _fit_tuple,
    "variant": _fit_variant,
}
