"""Which tests run where: on this machine, or in the guest of tests/vm, which has what few machines have at once.

In the lane run the tests that require one of its features, and those marked `vm` because cgroup v2, systemd or an
ordinary user's own cgroup may change what happens. Outside, what requires a feature that only the lane has is
skipped, in CI too, if the lane runs it; there nothing is skipped.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

FEATURES = frozenset({"cgroup2", "systemd", "apparmor", "criu", "delegation"})
# cgroup v1; a kernel of 6.15.
LACKS = ("cgroup1", "idmapped-overlay")
FOLDERS = ("tests/kernel", "tests/scenario", "tests/bundles")
LANES = ("root", "user", "all")
USERS_OWN = "delegation"  # a cgroup that systemd has given to the ordinary user who runs the tests

# Times that tests wait are multiplied by it: an emulated machine is slow.
SLOWNESS = float(os.environ.get("PYRUNC_SLOWNESS", "1"))


def has(feature: str) -> bool:
    """Tell whether the lane is the place for what requires the feature: cgroup2-X is controller X of v2, cgroup-X
    that of either version.
    """
    return feature in FEATURES or feature.startswith(("cgroup2-", "cgroup-"))


def requirements(item: pytest.Item) -> list[str]:
    """Return what a test requires of the host."""
    return [name for marker in item.iter_markers("requires") for name in marker.args]


def sends_away(item: pytest.Item, missing: list[str]) -> bool:
    """Tell whether a test that cannot run on this host, for want of these features, runs in the lane."""
    return any(map(has, missing)) and any(runs_in(lane, item) for lane in ("root", "user"))


def runs_in(lane: str, item: pytest.Item) -> bool:
    """Tell whether a test runs in the lane of "root" or of an ordinary "user", or in "all" it could run in."""
    required = requirements(item)
    if not item.location[0].startswith(FOLDERS) or any(name.startswith(LACKS) for name in required):
        return False
    if USERS_OWN in required:
        return lane == "user"
    users = {user for marker in item.iter_markers("vm") for user in marker.args or ("root",)}
    if any(has(name) for name in required):
        users.add("root")
    return lane in users or lane == "all"


def part_of(items: list[pytest.Item], part: str) -> list[pytest.Item]:
    """Return the `1/2` or the `2/2` and so on of the tests: neighbours take about the same time."""
    number, _, count = part.partition("/")
    return items[int(number) - 1 :: int(count)]


def choose(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what does not run in --lane, or not in this --part of it."""
    lane = config.getoption("--lane")
    chosen = [item for item in items if runs_in(lane, item)] if lane else items
    chosen = part_of(chosen, config.getoption("--part"))
    kept = {id(item) for item in chosen}
    config.hook.pytest_deselected(items=[item for item in items if id(item) not in kept])
    items[:] = chosen
