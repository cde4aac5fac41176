"""userns: root inside is nobody outside, and a mapped mount gives the files back to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.bundles.built import Built, paragraphs

if TYPE_CHECKING:
    from tests.bundles.conftest import Builder

pytestmark = pytest.mark.requires("root", "busybox", "userns")

NEW = pytest.mark.differs_from_runc("id-mapped mounts are newer than runc 1.1.5")


@pytest.fixture
def box(built: Builder) -> Built:
    return built("userns")


@pytest.fixture
def shown(box: Built) -> dict[str, str]:
    return paragraphs(box.run().ok().stdout)


def first_id(box: Built, kind: str = "uid") -> int:
    config = json.loads((box.dir / "config.json").read_text())
    return int(config["linux"][f"{kind}Mappings"][0]["hostID"])


def without_mapped(config: dict[str, Any]) -> None:
    config["mounts"] = [mount for mount in config["mounts"] if mount["destination"] != "/mapped"]


@NEW
def test_root_inside(box: Built, shown: dict[str, str]) -> None:
    assert shown["who am I"] == "inside: uid 0, gid 0"
    assert shown["the map: inside, outside, how many"] == f"0 {first_id(box)} 65536"


@NEW
def test_what_root_may_and_may_not(shown: dict[str, str]) -> None:
    assert shown["what root may do here"] == "the name of the container is renamed\na tmpfs is mounted"
    assert shown["and what it may not"].splitlines() == [
        "date: can't set date: Operation not permitted",
        "can't create /proc/sys/kernel/panic: Permission denied",
    ]


@NEW
def test_the_volume_has_two_faces(box: Built, shown: dict[str, str]) -> None:
    assert shown["a volume as it is on the host"].splitlines() == [
        "/plain/file belongs to uid 65534, gid 65534",
        "/plain/new: Permission denied",
    ]
    assert shown["the same volume with mapped ids"].splitlines() == [
        "/mapped/file belongs to uid 0, gid 0",
        "/mapped/new belongs to uid 0, gid 0",
    ]
    new = (box.dir / "volume/new").stat()
    assert (new.st_uid, new.st_gid) == (0, 0)


def test_outside_it_is_an_ordinary_number(box: Built) -> None:
    box.change("", without_mapped)
    box.create()
    status = Path(f"/proc/{box.state()['pid']}/status").read_text()
    ids = {line.split()[0]: line.split()[1:] for line in status.splitlines() if line.startswith(("Uid", "Gid"))}
    assert ids["Uid:"] == [str(first_id(box))] * 4
    assert ids["Gid:"] == [str(first_id(box, "gid"))] * 4


def test_without_capabilities_root_may_nothing(box: Built) -> None:
    def edit(config: dict[str, Any]) -> None:
        without_mapped(config)
        config["process"]["capabilities"] = {}

    box.change("", edit)
    said = paragraphs(box.run().stdout)
    assert said["what root may do here"] == ""
