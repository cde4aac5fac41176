"""checkpoint: the counter goes on where it was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scenario import host
from tests.scenario.test_checkpoint import box as own_processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bundles.built import Built
    from tests.bundles.conftest import Builder

MEMORY_LIMITS = ("memory.max", "memory.limit_in_bytes")

pytestmark = pytest.mark.requires("root", "busybox", "criu")


@pytest.fixture
def counter(built: Builder) -> Iterator[Built]:
    """The bundle, in pid and mount namespaces of the test's own: what is restored by mistake is nobody else's."""
    box = built("checkpoint")
    runtime = box.runtime
    with own_processes() as first:
        wrapper = box.dir.parent / "runtime"
        wrapper.write_text(f'#!/bin/sh\nexec nsenter --target {first} --mount --pid --wd=/ {runtime} "$@"\n')
        wrapper.chmod(0o755)
        box.runtime = str(wrapper)
        quietly(box, "run", "--detach", "--bundle", str(box.dir), box.id(""))
        yield box
        box.pyrunc("delete", "--force", box.id(""))
        box.runtime = runtime


def quietly(box: Built, *words: str) -> None:
    """A command, with /dev/null for its streams and the container's: criu knows nothing of our files."""
    said = box.execute("sh", "-c", '"$@" >/dev/null 2>&1', "sh", box.runtime, "--root", str(box.root), *words)
    assert said.returncode == 0, words


def count(box: Built) -> int:
    return int(box.exec("", "cat", "/tmp/count").stdout or 0)


def test_it_counts_on(counter: Built) -> None:
    saved = str(counter.dir / "saved")
    assert host.eventually(lambda: count(counter) > 3)
    before = count(counter)
    counter.pyrunc("checkpoint", "--image-path", saved, counter.id("")).ok()
    assert counter.token not in counter.pyrunc("list").ok().stdout
    assert list((counter.dir / "saved").glob("pages-*.img"))
    where = ["--image-path", saved, "--bundle", str(counter.dir)]
    quietly(counter, "restore", "--detach", *where, counter.id(""))
    after = count(counter)
    assert before <= after < before + 600, "it began anew, or counted while it was saved"
    assert host.eventually(lambda: count(counter) > after)
    assert limits(counter) == {str(64 << 20)}


def limits(box: Built) -> set[str]:
    """The memory limit of its cgroup, by any of its names."""
    files = [f"{folder}/{name}" for folder in host.cgroups_of(box.token) for name in MEMORY_LIMITS]
    return {Path(file).read_text().strip() for file in files if Path(file).exists()}
