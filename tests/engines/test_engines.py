"""What an engine can do with runc it can do with pyrunc."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import demand
from tests.engines.engine import IMPOSSIBLE, PASSED, title
from tests.engines.station import ENGINES, OURS, REFERENCE, Station

if TYPE_CHECKING:
    from collections.abc import Iterator

OPERATIONS = [
    pytest.param(engine, operation, id=f"{engine.name}: {title(operation)}".replace(" ", "-"))
    for engine in ENGINES
    for operation in engine.operations()
]


@pytest.fixture(scope="module")
def station(request: pytest.FixtureRequest, runtime: str) -> Iterator[Station]:
    """The engine, started; pytest keeps the tests of one engine together."""
    demand("root", "busybox", "runc", *request.param.needs)
    reference = shutil.which("runc")
    assert reference
    with Station.open(request.param, {OURS: Path(runtime), REFERENCE: Path(reference)}) as made:
        yield made


@pytest.mark.parametrize(("station", "operation"), OPERATIONS, indirect=["station"], scope="module")
def test_operation(station: Station, operation: Any) -> None:
    """runc is asked only when pyrunc cannot: then the engine, this host or pyrunc is to blame."""
    ours = station.judge(OURS, operation)
    if ours.result == PASSED:
        return
    if ours.result == IMPOSSIBLE:
        pytest.xfail(ours.why)
    reference = station.judge(REFERENCE, operation)
    if reference.result == PASSED:
        pytest.fail(f"runc can, pyrunc cannot: {ours.why}", pytrace=False)
    pytest.xfail(f"runc cannot here either: {reference.why}")
