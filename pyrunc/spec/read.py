"""Walk a parsed JSON document member by member, collecting what is wrong instead of stopping at it.

A reader function such as `read_mount(r: Reader) -> Mount` asks for the members it knows and builds a record;
members nobody asks for are ignored (config.md#extensibility), and so is null where a member is optional.
After a complaint a method returns something of the right type, so that reading goes on: the record that
comes out is only good for finding more problems.
"""

from __future__ import annotations

from pyrunc.errors import SpecError
from pyrunc.jsontext import dump

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")

# Lowest and highest value of the integer types that the spec names.
INT32 = (-(2**31), 2**31 - 1)
INT64 = (-(2**63), 2**63 - 1)
UINT16 = (0, 2**16 - 1)
UINT32 = (0, 2**32 - 1)
UINT64 = (0, 2**64 - 1)


def kind_of(value: object) -> str:
    """Name a JSON type as error messages do."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, dict):
        return "an object"
    return "an array" if isinstance(value, list) else "null"


def member_path(path: str, key: str) -> str:
    """Return the path of an object's member as jq writes it: `.linux.sysctl["net.core.somaxconn"]`."""
    if key.isidentifier() and key.isascii():
        return f"{path}.{key}"
    return f"{path}[{dump(key)}]"


def number_ranges(text: str) -> tuple[range, ...] | None:
    """Read a list of CPUs or memory nodes such as "0-3,7" (cpuset(7), "List format"); None if it is none.

    Spaces and empty entries are passed over; the kernel has no use for numbers of more than four digits.
    """
    ranges = []
    for part in filter(None, (part.strip(" ") for part in text.split(","))):
        low, dash, high = part.partition("-")
        numbers = (low.strip(" "), (high if dash else low).strip(" "))
        if not all(number.isascii() and number.isdigit() and len(number) < 5 for number in numbers):
            return None
        if int(numbers[0]) > int(numbers[1]):
            return None
        ranges.append(range(int(numbers[0]), int(numbers[1]) + 1))
    return tuple(ranges)


class Reader:
    """One JSON object, where it is in the document, and the list that takes every problem found."""

    __slots__ = ("_members", "path", "problems")

    def __init__(self, members: dict[str, Any], path: str, problems: list[SpecError]) -> None:
        """`path` is "" for the document itself, else such as ".mounts[3]"."""
        self._members = members
        self.path = path
        self.problems = problems

    def has(self, key: str) -> bool:
        """Tell a member that is there, perhaps empty, from one that is absent or null."""
        return self._members.get(key) is not None

    def string(self, key: str) -> str | None:
        """Read an optional string."""
        value = self._members.get(key)
        if value is None or (type(value) is str and value.isascii() and "\0" not in value):
            return value
        return self._checked_string(value, f"{self.path}.{key}")

    def required_string(self, key: str) -> str:
        """Read a string; "" after a complaint."""
        value = self.string(key)
        if value is None:
            self._require(key)
            return ""
        return value

    def one_of(self, key: str, choices: tuple[str, ...]) -> str | None:
        """Read an optional string that has to be one of a few."""
        before = len(self.problems)
        value = self.string(key)
        if value is not None and value not in choices and len(self.problems) == before:
            self._not_one_of(f"{self.path}.{key}", choices)
        return value

    def required_one_of(self, key: str, choices: tuple[str, ...]) -> str:
        """Read a string that has to be one of a few; "" after a complaint."""
        value = self.one_of(key, choices)
        if value is None:
            self._require(key)
            return ""
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        """Read an optional array of strings."""
        value = self._members.get(key)
        if value is None:
            return ()
        if type(value) is list:
            # A seccomp profile has hundreds of names: joining looks at all of them at the speed of C.
            try:
                joined = "".join(value)
            except TypeError:
                pass
            else:
                if joined.isascii() and "\0" not in joined:
                    return tuple(value)
        path = f"{self.path}.{key}"
        return tuple([self._checked_string(item, f"{path}[{i}]") for i, item in self._items(value, path)])

    def required_strings(self, key: str) -> tuple[str, ...]:
        """Read an array of strings, which may be empty but has to be there."""
        if not self.has(key):
            self._require(key)
        return self.strings(key)

    def each_one_of(self, key: str, choices: tuple[str, ...]) -> tuple[str, ...]:
        """Read an optional array of strings from a list."""
        before = len(self.problems)
        values = self.strings(key)
        if len(self.problems) == before:
            for i, value in enumerate(values):
                if value not in choices:
                    self._not_one_of(f"{self.path}.{key}[{i}]", choices)
        return values

    def boolean(self, key: str) -> bool | None:
        """Read an optional boolean."""
        value = self._members.get(key)
        if value is None or type(value) is bool:
            return value
        self._wrong_kind(f"{self.path}.{key}", "a boolean", value)
        return None

    def required_boolean(self, key: str) -> bool:
        """Read a boolean; False after a complaint."""
        if not self.has(key):
            self._require(key)
        return self.boolean(key) or False

    def integer(self, key: str, limits: tuple[int, int]) -> int | None:
        """Read an optional integer; `limits` are the lowest and the highest value allowed."""
        value = self._members.get(key)
        if value is None:
            return None
        return self._checked_integer(value, limits, f"{self.path}.{key}")

    def required_integer(self, key: str, limits: tuple[int, int]) -> int:
        """Read an integer between two limits; 0 after a complaint."""
        if not self.has(key):
            self._require(key)
        return self.integer(key, limits) or 0

    def integers(self, key: str, limits: tuple[int, int]) -> tuple[int, ...]:
        """Read an optional array of integers between two limits."""
        path = f"{self.path}.{key}"
        items = self._items(self._members.get(key), path)
        return tuple([self._checked_integer(item, limits, f"{path}[{i}]") or 0 for i, item in items])

    def object(self, key: str, read: Callable[[Reader], T]) -> T | None:
        """Read an optional object by a reader function."""
        value = self._members.get(key)
        if value is None:
            return None
        if type(value) is dict:
            return read(Reader(value, f"{self.path}.{key}", self.problems))
        self._wrong_kind(f"{self.path}.{key}", "an object", value)
        return None

    def objects(self, key: str, read: Callable[[Reader], T]) -> tuple[T, ...]:
        """Read an optional array of objects by a reader function; it keeps its length whatever is in it."""
        value = self._members.get(key)
        if value is None:
            return ()
        path = f"{self.path}.{key}"
        return tuple([read(self._inner(item, f"{path}[{i}]")) for i, item in self._items(value, path)])

    def object_map(self, key: str, read: Callable[[Reader], T]) -> dict[str, T]:
        """Read an optional object that maps names of any kind to objects."""
        return {name: read(self._inner(value, path)) for name, value, path in self._entries(key)}

    def string_map(self, key: str) -> dict[str, str]:
        """Read an optional object that maps names of any kind to strings."""
        return {name: self._checked_string(value, path) for name, value, path in self._entries(key)}

    def _items(self, value: Any, path: str) -> enumerate[Any]:
        """Number the items of an array; none if it is absent or no array."""
        if value is not None and type(value) is not list:
            self._wrong_kind(path, "an array", value)
        return enumerate(value if type(value) is list else ())

    def _entries(self, key: str) -> list[tuple[str, Any, str]]:
        """List name, value and path of an object that is used as a map."""
        value = self._members.get(key)
        if value is None:
            return []
        path = f"{self.path}.{key}"
        if type(value) is not dict:
            self._wrong_kind(path, "an object", value)
            return []
        entries = [(name, item, member_path(path, name)) for name, item in value.items()]
        for name, _, entry_path in entries:
            self._checked_string(name, entry_path)
        return entries

    def _inner(self, value: Any, path: str) -> Reader:
        if type(value) is dict:
            return Reader(value, path, self.problems)
        self._wrong_kind(path, "an object", value)
        # What an object of the wrong type lacks besides is no news: those problems go nowhere.
        return Reader({}, path, [])

    def _checked_string(self, value: Any, path: str) -> str:
        """Return a string that can go to the kernel: encodable, and without a NUL to cut it short."""
        if type(value) is not str:
            self._wrong_kind(path, "a string", value)
            return ""
        if "\0" in value:
            self._complain(path, "must not contain a NUL character")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                self._complain(path, "must not contain half of a surrogate pair")
        return value

    def _checked_integer(self, value: Any, limits: tuple[int, int], path: str) -> int | None:
        if type(value) is float:
            # As in Go's encoding/json: 1.0 and 1e3 are refused, for a larger one would be rounded silently.
            self._complain(path, "must be an integer, without fraction or exponent")
        elif type(value) is not int:
            self._wrong_kind(path, "an integer", value)
        elif limits[0] <= value <= limits[1]:
            return value
        else:
            self._complain(path, f"must be between {limits[0]} and {limits[1]}")
        return None

    def _require(self, key: str) -> None:
        self._complain(f"{self.path}.{key}", "is required")

    def _wrong_kind(self, path: str, wanted: str, value: Any) -> None:
        self._complain(path, f"must be {wanted}, not {kind_of(value)}")

    def _not_one_of(self, path: str, choices: tuple[str, ...]) -> None:
        self._complain(path, f"must be one of {', '.join(choices)}")

    def _complain(self, path: str, problem: str) -> None:
        self.problems.append(SpecError(path, problem))
