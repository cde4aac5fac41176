"""layers: one image, two containers; what each writes, keeps and cannot see."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.bundles.built import Built, paragraphs
from tests.scenario import host

if TYPE_CHECKING:
    from tests.bundles.conftest import Builder

pytestmark = pytest.mark.requires("root", "busybox", "overlay")

BEFORE = "what this container wrote before"


def everything(folder: Path) -> dict[str, object]:
    """All that a tree is: names, kinds, permissions, times, devices, contents."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, status.st_rdev, status.st_uid, content)
    return found


class Story:
    """What three runs said: `one` twice, then `two`."""

    def __init__(self, box: Built) -> None:
        self.box = box
        self.image = everything(box.dir / "image")
        self.runs = [paragraphs(box.run(of).ok().stdout) for of in ("one", "one", "two")]


@pytest.fixture(scope="module")
def story(built: Builder) -> Story:
    return Story(built("layers"))


def test_the_root_is_an_overlay_that_the_host_does_not_have(story: Story) -> None:
    assert story.runs[0]["the root"] == "overlay overlay"
    assert host.mounts_of(story.box.token) == []


def test_the_layers_add_up(story: Story) -> None:
    assert story.runs[0]["what the image says"].splitlines() == [
        "LAYERS=3, started in /app",
        "from the third layer",
        "old: gone",
        "cache: b",
    ]


def test_a_second_run_sees_the_writes_of_the_first(story: Story) -> None:
    first, second, _ = story.runs
    assert first[BEFORE] == "nothing"
    assert second[BEFORE] == "one was here"
    assert second["now it writes"] == "notes: 2"
    said = second["what the image says"].splitlines()
    assert said[1:] == ["from the third layer", "and here", "old: gone", "cache:"]


def test_another_container_does_not(story: Story) -> None:
    first, _, other = story.runs
    assert other[BEFORE] == "nothing"
    assert other["what the image says"] == first["what the image says"]


def test_the_image_is_as_it_was(story: Story) -> None:
    assert everything(story.box.dir / "image") == story.image


def test_writes_are_in_the_upper_layer(story: Story) -> None:
    upper = story.box.dir / "one/upper"
    assert {str(path.relative_to(upper)) for path in upper.rglob("*") if not path.is_dir()} == {
        "notes",
        "app/motd",
        "app/cache/b",
    }
    assert (upper / "app/motd").read_text().splitlines() == ["from the third layer", "and here", "and here"]
    deleted = (upper / "app/cache/b").lstat()
    assert stat.S_ISCHR(deleted.st_mode)
    assert deleted.st_rdev == 0


def test_whiteouts_are_translated(story: Story) -> None:
    layer = story.box.dir / "image/2/app"
    assert stat.S_ISCHR((layer / "old").lstat().st_mode)
    assert os.getxattr(layer / "cache", "trusted.overlay.opaque") == b"y"
    assert not list((story.box.dir / "image").rglob(".wh.*"))


def test_two_at_once_on_one_image(story: Story) -> None:
    box = story.box
    for of in ("one", "two"):
        box.change(of, lambda config: config["process"].update(args=["sleep", "1000"]))
        box.create(of)
        box.start(of)
    box.exec("one", "sh", "-c", "echo secret >/app/new; rm -r /app/look.sh").ok()
    assert box.exec("two", "ls", "/app").ok().stdout.split() == ["cache", "look.sh", "motd"]
    for of in ("one", "two"):
        box.delete(of, "--force")
    assert everything(box.dir / "image") == story.image
