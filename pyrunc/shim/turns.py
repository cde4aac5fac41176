"""Only so many at once: what is asked for beyond that waits for its turn, in order."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Turns:
    """So many turns at a time."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: list[Callable[[], None]] = []

    def take(self, act: Callable[[], None]) -> None:
        """Call `act` as soon as a turn is free, perhaps now; whoever has it gives it back with `give`."""
        if self._free:
            self._free -= 1
            act()
        else:
            self._waiting.append(act)

    def give(self) -> None:
        """Hand a turn on."""
        if self._waiting:
            self._waiting.pop(0)()
        else:
            self._free += 1
