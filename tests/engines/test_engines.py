"""What an engine can do with runc it can do with pyrunc."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import demand
from tests.engines.engine import IMPOSSIBLE, PASSED, title
from tests.engines.station import ENGINES, NEWER, OURS, REFERENCE, Station

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engines.engine import Engine

OPERATIONS = [
    pytest.param(engine, operation, id=f"{engine.name}: {title(operation)}".replace(" ", "-"))
    for engine in (*ENGINES, *(NEWER if "PYRUNC_ENGINES" in os.environ else ()))
    for operation in engine.operations()
]


class Stations:
    """One engine at a time: the tests of an engine follow each other, and the next one's ends the last."""

    def __init__(self, runtimes: dict[str, Path]) -> None:
        self._runtimes = runtimes
        self._open = contextlib.ExitStack()
        self._station: Station | None = None

    def of(self, engine: type[Engine]) -> Station:
        """The engine, started."""
        if self._station is None or self._station.engine is not engine:
            self.close()
            demand("root", "overlay", "busybox", "runc", *engine.needs)
            self._station = self._open.enter_context(Station.open(engine, self._runtimes))
        return self._station

    def close(self) -> None:
        """End what is open."""
        self._station = None
        self._open.close()


@pytest.fixture(scope="module")
def stations(runtime: str) -> Iterator[Stations]:
    """The engines, with the runtime under test and runc."""
    made = Stations({OURS: Path(runtime), REFERENCE: Path(shutil.which("runc") or "runc")})
    yield made
    made.close()


@pytest.mark.parametrize(("engine", "operation"), OPERATIONS)
def test_operation(stations: Stations, engine: type[Engine], operation: Any) -> None:
    """runc is asked only when pyrunc cannot: then the engine, this host or pyrunc is to blame."""
    station = stations.of(engine)
    ours = station.judge(OURS, operation)
    if ours.result == PASSED:
        return
    if ours.result == IMPOSSIBLE:
        pytest.xfail(ours.why)
    reference = station.judge(REFERENCE, operation)
    if reference.result == PASSED:
        pytest.fail(f"runc can, pyrunc cannot: {ours.why}", pytrace=False)
    pytest.xfail(f"runc cannot here either: {reference.why}")
