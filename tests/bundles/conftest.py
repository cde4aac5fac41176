"""The fixture of the bundles' tests: one that builds a bundle and leaves nothing behind."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.bundles.built import Built
from tests.scenario import host

if TYPE_CHECKING:
    from collections.abc import Iterator


class Builder(Protocol):
    """What `built` is: called with the name of a bundle."""

    def __call__(self, name: str) -> Built: ...


@pytest.fixture(scope="module")
def built(runtime: str) -> Iterator[Builder]:
    """Build bundles, each in a folder that everybody may enter; what they leave on the host is a failure."""
    host.become_subreaper()
    boxes: list[Built] = []

    def build(name: str) -> Built:
        workshop = Path(tempfile.gettempdir(), f"pyrunc-bundle-{secrets.token_hex(4)}")
        workshop.mkdir(mode=0o755)
        try:
            boxes.append(Built(runtime, name, workshop))
        except BaseException:
            shutil.rmtree(workshop)
            raise
        return boxes[-1]

    yield build
    left: list[str] = []

    def clean(box: Built) -> None:
        left.extend(box.clean())

    with contextlib.ExitStack() as ends:  # the others too where one cannot be cleaned
        for box in boxes:
            ends.callback(clean, box)
    if left:
        pytest.fail(f"left behind: {', '.join(left)}")
