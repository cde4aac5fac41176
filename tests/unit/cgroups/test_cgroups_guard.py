"""What may be removed, frozen or killed, and above all what may not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pyrunc.cgroups import control
from pyrunc.cgroups.control import Cgroup, guard
from pyrunc.cgroups.layout import read_layout
from pyrunc.errors import CgroupError
from pyrunc.plan.facts import CgroupLayout, Hierarchy

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def layout(tmp_path: Path) -> CgroupLayout:
    """Two hierarchies; in the first we are in /ours/here."""
    for path in ("pids/ours/here/below", "pids/ours/beside", "pids/box/inner", "memory/box", "outside"):
        (tmp_path / path).mkdir(parents=True)
    return CgroupLayout(
        (
            Hierarchy(f"{tmp_path}/pids", 1, ("pids",), "/ours/here"),
            Hierarchy(f"{tmp_path}/memory", 1, ("memory",), "/"),
        )
    )


@pytest.mark.parametrize(
    "path", ["pids/box", "pids/box/inner", "memory/box", "pids/ours/beside", "pids/ours/here/below"]
)
def test_a_containers_cgroup_passes(layout: CgroupLayout, tmp_path: Path, path: str) -> None:
    assert guard(f"{tmp_path}/{path}", layout).mount == f"{tmp_path}/{path.partition('/')[0]}"


def test_what_is_gone_passes(layout: CgroupLayout, tmp_path: Path) -> None:
    assert guard(f"{tmp_path}/pids/no/longer/there", layout).controllers == ("pids",)


@pytest.mark.parametrize(
    "path",
    ["", "/", "//", ".", "..", "pids/box", "/..", "{}/pids/box/..", "{}/pids/../pids/box", "{}/pids/./box",
     "{}/pids/box/", "{}/pids//box"],
)  # fmt: skip
def test_what_is_not_a_plain_absolute_path_is_refused(
    layout: CgroupLayout, tmp_path: Path, path: str
) -> None:
    with pytest.raises(CgroupError, match="not a plain absolute path"):
        guard(path.format(tmp_path), layout)


@pytest.mark.parametrize("path", ["pids", "memory"])
def test_the_root_of_a_hierarchy_is_refused(layout: CgroupLayout, tmp_path: Path, path: str) -> None:
    with pytest.raises(CgroupError, match="root of a hierarchy"):
        guard(f"{tmp_path}/{path}", layout)


@pytest.mark.parametrize("path", ["pids/ours", "pids/ours/here"])
def test_our_own_cgroup_and_those_above_it_are_refused(
    layout: CgroupLayout, tmp_path: Path, path: str
) -> None:
    with pytest.raises(CgroupError, match="this very process is in it"):
        guard(f"{tmp_path}/{path}", layout)


@pytest.mark.parametrize("path", ["{}/outside", "{}", "/tmp", "/etc", "{}/pidsx/box"])
def test_what_is_not_in_a_cgroup_hierarchy_is_refused(
    layout: CgroupLayout, tmp_path: Path, path: str
) -> None:
    with pytest.raises(CgroupError, match="not in a mounted cgroup hierarchy"):
        guard(path.format(tmp_path), layout)


def test_symbolic_links_are_refused(layout: CgroupLayout, tmp_path: Path) -> None:
    (tmp_path / "pids/last").symlink_to(tmp_path / "outside")
    (tmp_path / "pids/middle").symlink_to(tmp_path / "pids/ours")
    with pytest.raises(CgroupError, match="refusing"):
        guard(f"{tmp_path}/pids/last", layout)
    with pytest.raises(CgroupError, match="leads out of"):
        guard(f"{tmp_path}/pids/middle/here", layout)


def test_what_vanishes_while_one_looks_passes(
    layout: CgroupLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a scope does that systemd takes away; there, /proc/self/fd says `(deleted)`."""
    folder = tmp_path / "pids/box/inner"
    readlink = os.readlink

    def look(path: str) -> str:
        if folder.exists():
            folder.rmdir()
        return readlink(path)

    monkeypatch.setattr("posix.readlink", look)
    assert guard(str(folder), layout).controllers == ("pids",)


def test_a_file_is_refused(layout: CgroupLayout, tmp_path: Path) -> None:
    (tmp_path / "pids/file").touch()
    with pytest.raises(CgroupError, match="refusing"):
        guard(f"{tmp_path}/pids/file", layout)


def test_another_filesystem_is_refused() -> None:
    hierarchies = (Hierarchy("/", 1, ("pids",)),)
    with pytest.raises(CgroupError, match=r"leads out of|not in a mounted"):
        guard("/proc", CgroupLayout(hierarchies))
    with pytest.raises(CgroupError, match="leads out of"):
        guard("/dev/shm", CgroupLayout((Hierarchy("/dev", 1, ("pids",)),)))


def test_a_cgroup_object_cannot_be_made_of_a_refused_path(layout: CgroupLayout, tmp_path: Path) -> None:
    for path in (f"{tmp_path}/pids", f"{tmp_path}/pids/ours", "/", f"{tmp_path}/outside"):
        with pytest.raises(CgroupError):
            Cgroup((f"{tmp_path}/memory/box", path), layout=layout)


def test_no_operation_signals_this_process(
    layout: CgroupLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*arguments: int) -> None:
        raise AssertionError(f"a signal is sent: {arguments}")

    for name in ("posix.kill", "signal.pidfd_send_signal", "_signal.pidfd_send_signal", "posix.pidfd_open"):
        monkeypatch.setattr(name, forbidden)
    monkeypatch.setattr(control, "_PATIENCE", 0.01)
    box = Cgroup((f"{tmp_path}/pids/box",), layout=layout)
    for pids in ("1\n", f"{os.getpid()}\n"):
        (tmp_path / "pids/box/cgroup.procs").write_text(pids)
        for operation in (box.kill_all, lambda: box.signal_all(15)):
            with pytest.raises(CgroupError, match="refusing to signal"):
                operation()
    # Somebody whom our pid namespace does not show; kill(0) would be our own process group.
    (tmp_path / "pids/box/cgroup.procs").write_text("0\n")
    with pytest.raises(CgroupError, match=r"cannot kill all processes in .*: 0 are left"):
        box.kill_all()


def test_this_hosts_own_places_are_refused() -> None:
    layout = read_layout()
    for each in layout.hierarchies:
        own = f"{each.mount}{each.own.rstrip('/')}"
        parents = (
            {own[: own.index("/", len(each.mount) + 1)]}
            if own.count("/") > each.mount.count("/") + 1
            else set()
        )
        for path in {each.mount, own, *parents}:
            with pytest.raises(CgroupError, match="refusing"):
                guard(path, layout)
