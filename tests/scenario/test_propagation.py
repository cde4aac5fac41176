"""What propagates where: nothing to the host unless asked for; rootfsPropagation and slave mounts as
asked.
"""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scenario.host import eventually, parse_mountinfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.scenario.bundle import Bundle

MOUNT_INSIDE = "mkdir -p /data/inside; mount -t tmpfs inside /data/inside && echo mounted; exec sleep 60"


class SharedHost:
    """A mount namespace where everything is shared, as systemd leaves it: the worst case for leaks."""

    def __init__(self, pid: int) -> None:
        self.wrap = ["nsenter", "--mount", f"--target={pid}"]
        self._mountinfo = Path(f"/proc/{pid}/mountinfo")

    def points(self) -> list[str]:
        return [mount.point for mount in parse_mountinfo(self._mountinfo.read_text())]

    def mount_tmpfs(self, where: Path) -> None:
        subprocess.run([*self.wrap, "mount", "-t", "tmpfs", "late", where], check=True)


@contextmanager
def shared_host(bundle: Bundle) -> Iterator[SharedHost]:
    """Only the mount namespace is new: commands are run in it with nsenter, and its mounts end with its
    holder.
    """
    ready = bundle.dir / "shared"
    script = f"mount --make-rprivate / && mount --make-rshared / && echo > {ready}; exec sleep 60"
    with subprocess.Popen(["unshare", "--mount", "sh", "-c", script], env=bundle.environment()) as process:
        try:
            assert eventually(ready.exists)
            yield SharedHost(process.pid)
        finally:
            process.kill()


@pytest.fixture
def shared(bundle: Bundle) -> Iterator[SharedHost]:
    (bundle.dir / "data").mkdir()
    bundle.capabilities("CAP_SYS_ADMIN").process(args=["sh", "-c", MOUNT_INSIDE])
    with shared_host(bundle) as made:
        yield made


def started(bundle: Bundle, shared: SharedHost, says: str = "mounted") -> Bundle:
    bundle.create(wrap=shared.wrap)
    bundle.attempt("start", wrap=shared.wrap).ok()
    assert eventually(lambda: says in bundle.output())
    return bundle


@pytest.mark.parametrize("propagation", ["", "private", "slave"])
def test_nothing_is_mounted_on_a_host_that_shares_everything(
    bundle: Bundle, shared: SharedHost, propagation: str
) -> None:
    before = shared.points()
    if propagation:
        bundle.linux(rootfsPropagation=propagation)
    started(bundle.mkdir("/data"), shared)
    assert shared.points() == before


@pytest.mark.parametrize("option", ["", "private", "rprivate", "slave", "rslave"])
def test_mount_in_a_bind_mount_stays_inside(bundle: Bundle, shared: SharedHost, option: str) -> None:
    before = shared.points()
    started(bundle.mount("/data", "bind", "data", ["rbind", *filter(None, [option])]), shared)
    assert shared.points() == before


@pytest.mark.parametrize("option", ["shared", "rshared"])
def test_mount_in_a_shared_bind_mount_reaches_the_host(bundle: Bundle, shared: SharedHost, option: str) -> None:
    """The one that asks for it gets it. The source is a mount of its own: that of the rootfs may be made
    private.
    """
    shared.mount_tmpfs(bundle.dir / "data")
    bundle.linux(rootfsPropagation="shared").mount("/data", "bind", "data", ["rbind", option])
    started(bundle, shared)
    assert str(bundle.dir / "data/inside") in shared.points()


@pytest.mark.parametrize("option", ["slave", "rslave"])
def test_later_mount_of_the_host_reaches_a_slave(bundle: Bundle, shared: SharedHost, option: str) -> None:
    (bundle.dir / "data/late").mkdir()
    bundle.mount("/data", "bind", "data", ["rbind", option]).linux(rootfsPropagation="slave")
    started(bundle, shared)
    shared.mount_tmpfs(bundle.dir / "data/late")
    assert "/data/late" in [mount.point for mount in parse_mountinfo(Path(f"/proc/{bundle.pid}/mountinfo").read_text())]


def test_later_mount_of_the_host_does_not_reach_a_private_mount(bundle: Bundle, shared: SharedHost) -> None:
    (bundle.dir / "data/late").mkdir()
    bundle.mount("/data", "bind", "data", ["rbind", "rprivate"])
    started(bundle, shared)
    shared.mount_tmpfs(bundle.dir / "data/late")
    assert "/data/late" not in [
        mount.point for mount in parse_mountinfo(Path(f"/proc/{bundle.pid}/mountinfo").read_text())
    ]


@pytest.mark.parametrize(
    ("propagation", "tags"),
    [
        ("private", []),
        ("rprivate", []),
        ("slave", ["master"]),
        ("rslave", ["master"]),
        pytest.param(
            "shared",
            ["shared"],
            marks=pytest.mark.differs_from_runc("leaves the root private (mended in 1.3.1)"),
        ),
        pytest.param(
            "unbindable",
            ["unbindable"],
            marks=pytest.mark.differs_from_runc("leaves the root bindable (mended in 1.3.1)"),
        ),
    ],
)
def test_propagation_of_the_root(bundle: Bundle, shared: SharedHost, propagation: str, tags: list[str]) -> None:
    bundle.linux(rootfsPropagation=propagation)
    said = bundle.run("cat", "/proc/self/mountinfo", wrap=shared.wrap).ok().stdout
    root = next(mount for mount in parse_mountinfo(said) if mount.point == "/")
    assert [tag.split(":")[0] for tag in root.propagation] == tags


def test_mounts_of_the_rootfs_are_private_to_each_container(
    bundle: Bundle, new_bundle: Callable[[], Bundle], shared: SharedHost
) -> None:
    """Two containers of one rootfs: what one mounts is not there in the other."""
    started(bundle.mkdir("/data"), shared)
    second = new_bundle()
    second.set(root={"path": str(bundle.rootfs)})
    assert "/data/inside" not in second.run("cat", "/proc/self/mountinfo", wrap=shared.wrap).ok().stdout
