"""docs/engines.md says what the last full run found."""

from __future__ import annotations

from tests.engines import table
from tests.engines.engine import FAILED, PASSED, title
from tests.engines.station import ENGINES


def test_every_operation_has_a_row() -> None:
    tried = {engine.name: [title(operation) for operation in engine.operations()] for engine in ENGINES}
    assert {engine: list(rows) for engine, rows in table.rows_of_page().items()} == tried


def test_nothing_that_runc_can_is_lacking() -> None:
    lacking = [
        f"{engine}: {operation}"
        for engine, rows in table.rows_of_page().items()
        for operation, results in rows.items()
        if results == [FAILED, PASSED]
    ]
    assert lacking == []
