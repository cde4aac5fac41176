"""launcher/hot.txt: what the image puts together, by names that a later change may leave behind."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

HOT = (Path(__file__).parents[2] / "launcher/hot.txt").read_text().splitlines()


def test_it_is_a_sorted_list_of_functions() -> None:
    assert sorted(set(HOT)) == HOT
    assert len(HOT) > 400


@pytest.mark.parametrize("module", sorted({line.partition(":")[0] for line in HOT if line.startswith("pyrunc")}))
def test_its_functions_exist(module: str) -> None:
    """`make hot` finds out anew which there are."""
    imported = importlib.import_module(module)
    for path in (line.partition(":")[2] for line in HOT if line.partition(":")[0] == module):
        found = imported
        for part in path.split("."):
            assert part in vars(found), f"{module}:{path} is no more: make hot"
            found = vars(found)[part]


@pytest.mark.requires("root", "busybox")
def test_most_of_what_runs_is_in_it() -> None:
    from tests.bench.hot import record

    ran = set(record())
    assert len(ran & set(HOT)) > 0.9 * len(ran), f"make hot; not in hot.txt: {sorted(ran - set(HOT))[:10]}"
