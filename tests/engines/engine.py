"""What the engines have in common: a driver that uses one runtime, operations, and how one of them went."""

from __future__ import annotations

import abc
import secrets
import time
import traceback
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

from tests.scenario import host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.engines.box import Box
    from tests.scenario.bundle import Result

IMAGE = "pyrunc.test/busybox:latest"
PAUSE_IMAGE = "pyrunc.test/pause:1"
ARCHIVE = "/run/box/images.tar"

# Eats memory from when /go is there: by then the engine watches for an end of this kind.
GREEDY = ("sh", "-c", "until [ -e /go ]; do sleep 0.05; done; x=a; while :; do x=$x$x$x$x; done")

PASSED, FAILED, IMPOSSIBLE = "yes", "no", "-"


class ImpossibleError(Exception):
    """This version of the engine, or this host, cannot do it with any runtime."""


class Outcome(NamedTuple):
    """How an operation went: # Eats memory from when /go is there: by then the engine watches for an end of this kind.
    GREEDY = ("sh", "-c", "until [ -e /go ]; do sleep 0.05; done; x=a; while :; do x=$x$x$x$x; done")

    PASSED, FAILED or IMPOSSIBLE, why, and how many seconds it took."""

    result: str
    why: str
    seconds: float


class Engine(abc.ABC):
    """An engine that uses one runtime. An operation is a function that takes it; failures are AssertionErrors."""

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    """What the host must have: names of probes in tests/conftest.py."""

    def __init__(self, box: Box, runtime: Path, runtime_name: str) -> None:
        self.box = box
        self.runtime = str(runtime)
        self.runtime_name = runtime_name

    @classmethod
    @abc.abstractmethod
    def operations(cls) -> tuple[Operation[Self], ...]:
        """What this engine is asked to do, in the order of the table."""

    @classmethod
    @abc.abstractmethod
    def start(cls, box: Box, runtimes: dict[str, Path]) -> str:
        """Start the engine in a box, able to use these runtimes, import the images, and return its version."""

    @abc.abstractmethod
    def clean(self) -> None:
        """Remove all containers of this driver by force."""

    @abc.abstractmethod
    def state_folders(self) -> list[str]:
        """Patterns, inside the box, of what a runtime keeps for a container of this driver.

        Names that begin with @ are pyrunc's own caches: no container's id may begin so.
        """

    def new_id(self) -> str:
        """A name that no other container has."""
        return f"{self.runtime_name}-{secrets.token_hex(4)}"

    def leftovers(self) -> list[str]:
        """What of this driver's containers is left on the host: state and cgroups."""
        root = self.box.path("/")
        return [str(found) for pattern in self.state_folders() for found in root.glob(pattern.lstrip("/"))]


if TYPE_CHECKING:
    from typing import TypeVar

    E = TypeVar("E", bound=Engine)
    Operation = Callable[[E], None]


def title(operation: Operation[E]) -> str:
    """An operation's name in words."""
    return operation.__name__.rstrip("_").replace("_", " ")


def judge(engine: E, operation: Operation[E]) -> Outcome:
    """Carry out one operation, clean up, and look what was left behind."""
    begin = time.monotonic()
    result, why = PASSED, ""
    try:
        operation(engine)
    except ImpossibleError as err:
        result, why = IMPOSSIBLE, str(err)
    except AssertionError as err:
        result, why = FAILED, _told(err)
    engine.clean()
    if not host.eventually(lambda: not engine.leftovers()) and result == PASSED:
        result, why = FAILED, f"left behind: {', '.join(engine.leftovers())}"
    return Outcome(result, why, time.monotonic() - begin)


def _told(err: AssertionError) -> str:
    """What an assertion says, and which line of the operation came to it."""
    frames = traceback.extract_tb(err.__traceback__)[1:]
    return f"{frames[0].line}: {' '.join(str(err).split()) or frames[-1].line}"


def refused(result: Result, *words: str) -> None:
    """Fail unless the command failed and said these words."""
    said = result.stdout + result.stderr
    assert result.returncode != 0, f"{' '.join(result.command)}: was to fail"
    for word in words:
        assert word in said, f"{' '.join(result.command)}: {word!r} is not in {said!r}"


def becomes(wanted: str, found: Callable[[], str], seconds: float = 10.0) -> None:
    """Fail unless something becomes what is wanted within so many seconds."""
    last = [""]

    def same() -> bool:
        last[0] = found()
        return last[0] == wanted

    assert host.eventually(same, seconds), f"is {last[0]!r}, not {wanted!r}, after {seconds} seconds"
