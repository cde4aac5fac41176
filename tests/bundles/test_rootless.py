"""rootless: an ordinary user is root of a container, with one id or with those of /etc/subuid."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from bundles.folder import HERE
from tests.bundles.built import Built, paragraphs
from tests.conftest import NOBODY, SUBORDINATE

if TYPE_CHECKING:
    from tests.bundles.conftest import Builder

pytestmark = pytest.mark.requires("root", "busybox", "unprivileged-user")

USER: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}


def users_own(box: Built) -> Built:
    """Let what comes be in a folder of the ordinary user."""
    mine = box.dir.parent / "mine"
    mine.mkdir()
    os.chown(mine, NOBODY, NOBODY)
    box.dir, box.root = mine / "rootless", mine / "state"
    return box


def shown_by(box: Built, *wrap: str, **user: Any) -> dict[str, str]:
    """Build and run it as an ordinary user, `wrap` being what makes one."""
    into = str(box.dir.parent)
    build = [sys.executable, "-m", "bundles", "--into", into, "rootless"]
    box.execute(*wrap, *build, cwd=HERE.parent, **user).ok()
    run = [box.runtime, "--root", str(box.root), "run", "--bundle", str(box.dir), box.id("")]
    return paragraphs(box.execute(*wrap, *run, cwd="/", **user).ok().stdout)


@pytest.fixture(scope="module")
def single(built: Builder) -> tuple[Built, dict[str, str]]:
    box = users_own(built("rootless"))
    return box, shown_by(box, **USER)


def test_one_id(single: tuple[Built, dict[str, str]]) -> None:
    _, said = single
    assert said["the map: inside, outside, how many"] == f"0 {NOBODY} 1"
    assert said["who am I"].splitlines() == ["uid 0, gid 0, groups 0", "setgroups: deny"]
    assert said["other users"].startswith("there is only one id")


def test_root_of_what_is_mine(single: tuple[Built, dict[str, str]]) -> None:
    box, said = single
    assert said["root of what is mine"].splitlines() == [
        "the name of the container is renamed",
        "network interfaces: lo",
        "made /volume/file",
    ]
    assert (box.dir / "volume/file").stat().st_uid == NOBODY


def test_not_of_what_is_not(single: tuple[Built, dict[str, str]]) -> None:
    refused = single[1]["not of what is not"].splitlines()
    assert len(refused) == 2
    assert all(line.endswith("Operation not permitted") for line in refused)


@pytest.mark.requires("newuidmap")
def test_subordinate_ids(built: Builder) -> None:
    box = users_own(built("rootless"))
    said = shown_by(box, *SUBORDINATE)
    assert said["the map: inside, outside, how many"].splitlines() == [f"0 {NOBODY} 1", "1 200000 65000"]
    assert said["other users"] == "/volume/file belongs to uid 1, gid 1"
    file = (box.dir / "volume/file").stat()
    assert (file.st_uid, file.st_gid) == (200000, 200000)
