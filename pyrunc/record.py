"""A small immutable typed record.

The standard dataclass decorator writes and compiles source for each class: forty classes cost about
36 ms at start-up, several times what a whole command may take. A Record only looks at the annotations
that are there anyway. Type checkers see it as a frozen dataclass.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self, dataclass_transform
else:

    def dataclass_transform(**_: bool) -> Callable[[type], type]:  # typing is not imported: it costs 8 ms
        """Stand in for typing.dataclass_transform, which only type checkers read."""
        return lambda cls: cls


@dataclass_transform(frozen_default=True)
class Record:
    """Base of every value that rooms hand to one another: fields are the class's annotations, in order."""

    _fields: tuple[str, ...] = ()
    _defaults: dict[str, object] = {}
    _required: int = 0

    def __init_subclass__(cls) -> None:
        own = [name for name in cls.__dict__.get("__annotations__", ()) if not name.startswith("_")]
        cls._fields = cls._fields + tuple(name for name in own if name not in cls._fields)
        cls._defaults = {name: getattr(cls, name) for name in cls._fields if hasattr(cls, name)}
        cls._required = sum(name not in cls._defaults for name in cls._fields)

    def __init__(self, *values: Any, **named: Any) -> None:
        fields = self._fields
        if len(values) > len(fields):
            raise TypeError(f"{type(self).__name__} takes {len(fields)} values, {len(values)} were given")
        state = self.__dict__
        state.update(self._defaults)
        state.update(zip(fields, values, strict=False))
        if not named and len(values) >= self._required:
            return  # the usual case; fields without a default come first
        if not named.keys().isdisjoint(fields[: len(values)]):
            raise TypeError(f"{type(self).__name__}: a field is given twice")
        state.update(named)
        if len(state) != len(fields) or not state.keys() <= set(fields):
            wrong = sorted(set(fields) ^ state.keys())
            raise TypeError(f"{type(self).__name__}: missing or unknown {', '.join(wrong)}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: cannot set {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: cannot delete {name}")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), tuple(self.__dict__[name] for name in self._fields)))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self._fields)
        return f"{type(self).__name__}({shown})"

    def but(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return type(self)(**{**self.__dict__, **changes})
