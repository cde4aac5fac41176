"""What a case is: one sentence about runtimes, the requirements it comes from, and the function that finds out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from conformance.box import Box

Level = Literal["MUST", "SHOULD", "MAY", "BEYOND"]
"""BEYOND: not in the spec; what users rely on (engines), or are to be kept from (security, robustness)."""

TIME_LIMIT = 20.0


class Failure(Exception):
    """The runtime is not as the case's sentence says; the text tells what was seen instead."""


class NotApplicable(Exception):
    """The runtime says itself that it lacks an optional feature (features.md); the text tells which."""


@dataclass(frozen=True)
class Case:
    """One case. `id` is "chapter/name"; `requirements` are numbers of oci-spec/requirements.toml."""

    id: str
    sentence: str
    level: Level
    requirements: tuple[int, ...]
    needs: tuple[str, ...]
    time_limit: float
    justified: str
    """Why it is right although neither runc nor crun passes it: the words of the spec. Empty where one of them does."""
    judge: Callable[[Box], None]

    @property
    def group(self) -> str:
        """The chapter."""
        return self.id.partition("/")[0]


CASES: dict[str, Case] = {}


def case(
    *requirements: int,
    level: Level = "MUST",
    needs: tuple[str, ...] | str = (),
    time_limit: float = TIME_LIMIT,
    justified: str = "",
) -> Callable[[Callable[[Box], None]], Callable[[Box], None]]:
    """Register a function as a case: its name becomes the id, the first line of its docstring the sentence."""

    def register(judge: Callable[[Box], None]) -> Callable[[Box], None]:
        chapter = judge.__module__.rpartition(".")[2]
        name = f"{chapter}/{judge.__name__}"
        sentence = (judge.__doc__ or "").strip().partition("\n")[0].rstrip(".")
        if name in CASES or not sentence:
            raise ValueError(f"{name}: a case needs a name of its own and a sentence")
        wanted = (needs,) if isinstance(needs, str) else needs
        CASES[name] = Case(name, sentence, level, requirements, wanted, time_limit, justified, judge)
        return judge

    return register


def check(holds: object, otherwise: str) -> None:
    """Raise Failure unless something holds."""
    if not holds:
        raise Failure(otherwise)


def equal(seen: Any, wanted: Any, what: str) -> None:
    """Raise Failure unless two values are equal."""
    if seen != wanted:
        raise Failure(f"{what}: expected {wanted!r}, got {seen!r}")


def load_cases() -> dict[str, Case]:
    """Import every file of cases/, and return all cases: file by file, each in the order in which they are written."""
    from importlib import import_module
    from pathlib import Path

    for file in sorted(Path(__file__).with_name("cases").glob("[a-z]*.py")):
        import_module(f"conformance.cases.{file.stem}")
    return dict(sorted(CASES.items(), key=lambda item: item[1].group))  # files import each other
