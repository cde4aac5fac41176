"""An engine that stands in its box, ready to be asked for operations with either runtime."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Self

from tests.engines import image
from tests.engines.box import Box
from tests.engines.containerd import Containerd
from tests.engines.containerd_shim import ContainerdShim, CriShim, DockerShim
from tests.engines.cri import Cri
from tests.engines.docker import Docker
from tests.engines.engine import ARCHIVE, Engine, Outcome, judge
from tests.engines.podman import Podman, PodmanOfUser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENGINES: tuple[type[Engine], ...] = (Containerd, ContainerdShim, Cri, CriShim, Docker, Podman, PodmanOfUser)
NEWER: tuple[type[Engine], ...] = (DockerShim,)
"""Those that Debian 12 has no version of: for PYRUNC_ENGINES (docs/testing.md)."""
OURS, REFERENCE = "pyrunc", "runc"


class Station:
    """One engine and two runtimes, by the names OURS and REFERENCE."""

    def __init__(self, engine: type[Engine], box: Box, runtimes: dict[str, Path]) -> None:
        self.engine = engine
        self._box = box
        self._runtimes = runtimes
        box.path(ARCHIVE).write_bytes(image.archive())
        self.version = engine.start(box, runtimes)

    @classmethod
    @contextlib.contextmanager
    def open(cls, engine: type[Engine], runtimes: dict[str, Path]) -> Iterator[Self]:
        """Make a box and start an engine in it."""
        with Box.open() as box:
            yield cls(engine, box, runtimes)

    def judge(self, runtime: str, operation: Any) -> Outcome:
        """Carry out one operation with one of the two runtimes."""
        return judge(self.engine(self._box, self._runtimes[runtime], runtime), operation)
