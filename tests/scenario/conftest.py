"""Fixtures of the scenario tests: the bundle, and others when one is not enough."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import demand, host_has
from tests.scenario import host
from tests.scenario.bundle import Bundle
from tests.scenario.rootfs import COMPILED, Template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def workshop() -> Iterator[Path]:
    """A directory that everybody may enter: pytest's own is closed to the users of user namespaces."""
    folder = Path(tempfile.mkdtemp(prefix="pyrunc-scenario-"))
    folder.chmod(0o755)
    yield folder
    assert not host.mounts_of(str(folder)), "a mount is left below the workshop: nothing is deleted there"
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def template(workshop: Path) -> Iterator[Template]:
    """The files that all root file systems share; no container may have written to them."""
    demand("busybox", *([] if COMPILED else ["gcc"]))
    if not host_has("delegation"):
        demand("root")
    host.become_subreaper()
    folder = workshop / "template"
    folder.mkdir()
    made = Template(folder)
    yield made
    assert made.unchanged(), "a container wrote to the files that all root file systems share"


@pytest.fixture
def new_bundle(
    runtime: str, workshop: Path, template: Template, request: pytest.FixtureRequest
) -> Iterator[Callable[[], Bundle]]:
    """Make bundles; each is deleted by force at the end, and whatever is then left on the host is a
    failure.
    """
    made: list[Bundle] = []

    def make() -> Bundle:
        folder = workshop / f"t-{secrets.token_hex(4)}"
        folder.mkdir()
        made.append(Bundle(runtime, folder, template))
        return made[-1]

    yield make
    # A test that is expected to fail says so itself; its debris is swept up like any other.
    expected = request.node.get_closest_marker("xfail") is not None
    left = [what for bundle in reversed(made) for what in bundle.clean(0.2 if expected else 2.0)]
    if left and not expected:
        pytest.fail(f"left behind: {', '.join(left)}")


@pytest.fixture
def bundle(new_bundle: Callable[[], Bundle]) -> Bundle:
    """A bundle with a busybox rootfs and the default config."""
    return new_bundle()
