"""Which hierarchies a host has, read from copies of /proc/PID/cgroup and mountinfo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pyrunc.cgroups.layout import read_layout
from pyrunc.errors import CgroupError
from pyrunc.plan.facts import Hierarchy

if TYPE_CHECKING:
    from pathlib import Path

V1 = """\
24 1 0:22 / /proc rw,nosuid - proc proc rw
31 23 0:28 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:10 master:3 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/lib/x,name=systemd
"""
OWN_V1 = "12:memory:/jobs/1\n4:cpu,cpuacct:/\n1:name=systemd:/init.scope\n"


@pytest.fixture
def unified(tmp_path: Path) -> Path:
    mount = tmp_path / "unified"
    mount.mkdir()
    (mount / "cgroup.controllers").write_text("cpu io\n")
    return mount


def layout_of(tmp_path: Path, cgroup: str, mountinfo: str) -> tuple[Hierarchy, ...]:
    (tmp_path / "cgroup").write_text(cgroup)
    (tmp_path / "mountinfo").write_text(mountinfo)
    return read_layout(str(tmp_path)).hierarchies


def test_v1_mounts_are_matched_with_their_controllers(tmp_path: Path) -> None:
    assert layout_of(tmp_path, OWN_V1, V1) == (
        Hierarchy("/sys/fs/cgroup/cpu,cpuacct", 1, ("cpu", "cpuacct"), "/"),
        Hierarchy("/sys/fs/cgroup/memory", 1, ("memory",), "/jobs/1"),
        Hierarchy("/sys/fs/cgroup/systemd", 1, ("name=systemd",), "/init.scope"),
    )


def test_v2_tells_its_controllers_itself(tmp_path: Path, unified: Path) -> None:
    line = f"41 31 0:38 / {unified} rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
    assert layout_of(tmp_path, "0::/user.slice\n", line) == (
        Hierarchy(str(unified), 2, ("cpu", "io"), "/user.slice"),
    )


def test_hybrid_is_both(tmp_path: Path, unified: Path) -> None:
    line = f"41 31 0:38 / {unified} rw - cgroup2 cgroup2 rw\n"
    found = layout_of(tmp_path, f"{OWN_V1}0::/\n", V1 + line)
    assert [each.version for each in found] == [1, 1, 1, 2]


def test_own_counts_from_the_mount_where_only_a_part_is_mounted(tmp_path: Path) -> None:
    line = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    for own, expected in (
        ("/docker/abc", "/"),
        ("/docker/abc/job", "/job"),
        ("/docker/abcd", "/"),
        ("/elsewhere", "/"),
        ("/../../elsewhere", "/"),
    ):
        (found,) = layout_of(tmp_path, f"4:memory:{own}\n", line)
        assert (found.own, found.root) == (expected, "/docker/abc")


def test_a_second_mount_elsewhere_does_not_hide_the_usual_one(tmp_path: Path) -> None:
    line = "99 31 0:32 / /var/rootfs/cgroup rw - cgroup cgroup rw,memory\n"
    for text in (V1 + line, line + V1):
        found = {each.controllers: each.mount for each in layout_of(tmp_path, OWN_V1, text)}
        assert found["memory",] == "/sys/fs/cgroup/memory"


def test_escapes_in_mount_points_are_undone(tmp_path: Path) -> None:
    line = "35 31 0:32 / /a\\040b\\134c rw - cgroup cgroup rw,memory\n"
    (found,) = layout_of(tmp_path, "4:memory:/\n", line)
    assert found.mount == "/a b\\c"


def test_a_mount_whose_controllers_are_not_ours_is_left_out(tmp_path: Path) -> None:
    assert layout_of(tmp_path, "1:cpu:/\n", "35 31 0:32 / /m rw - cgroup cgroup rw,memory\n") == ()


def test_no_procfs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CgroupError, match=r"cannot read the cgroups of .*: not found"):
        read_layout(str(tmp_path / "nothing"))
