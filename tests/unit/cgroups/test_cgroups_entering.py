"""cgroups/entering.py: which directories a process joins, and how. The tree is made of plain files."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyrunc.cgroups.entering import Entrance, entrance, open_beside
from pyrunc.errors import CgroupError, UsageError
from pyrunc.plan.facts import CgroupLayout, Hierarchy


def leaf(tmp_path: Path, mount: str, **files: str) -> str:
    """Make a container's directory in one hierarchy, and one below it."""
    path = tmp_path / mount / "box"
    (path / "below").mkdir(parents=True)
    for folder in (path, path / "below"):
        (folder / "cgroup.procs").touch()
    for name, value in files.items():
        (path / name.replace("__", ".")).write_text(f"{value}\n")
    return str(path)


def v1(tmp_path: Path, *controllers: str) -> CgroupLayout:
    return CgroupLayout(tuple(Hierarchy(f"{tmp_path}/{name}", 1, tuple(name.split(","))) for name in controllers))


def v2(tmp_path: Path) -> CgroupLayout:
    return CgroupLayout((Hierarchy(f"{tmp_path}/c", 2, ("memory", "pids")),))


def test_by_oneself_on_v1_and_by_birth_on_v2(tmp_path: Path) -> None:
    cpu, unified = leaf(tmp_path, "cpu"), leaf(tmp_path, "c")
    layout = CgroupLayout((*v1(tmp_path, "cpu").hierarchies, *v2(tmp_path).hierarchies))
    assert entrance((cpu, unified), {}, layout) == Entrance((cpu,), unified, ())
    assert entrance((cpu,), {}, layout) == Entrance((cpu,), "", ())
    assert entrance((), {}, layout) == Entrance((), "", ())


@pytest.mark.parametrize(
    ("files", "late"),
    [
        ({"memory__max": "max", "pids__max": "max"}, False),
        ({"memory__max": str(1 << 30)}, False),
        ({"memory__max": str(1 << 20)}, True),
        ({"pids__max": "10", "pids__current": "8"}, False),
        ({"pids__max": "10", "pids__current": "9"}, True),
        ({"pids__max": "0", "pids__current": "1"}, True),
        ({}, False),
    ],
)
def test_what_has_no_room_for_an_interpreter_is_entered_late(tmp_path: Path, files: dict[str, str], late: bool) -> None:
    unified = leaf(tmp_path, "c", **files)
    found = entrance((unified,), {}, v2(tmp_path))
    assert (found.unified, found.late) == (("", (unified,)) if late else (unified, ()))


@pytest.mark.parametrize(
    ("limit", "current", "few"), [("max", "8", False), ("100", "8", False), ("10", "8", True), ("70", "8", True)]
)
def test_whether_a_program_would_notice_one_process_more(
    tmp_path: Path, limit: str, current: str, few: bool
) -> None:
    unified = leaf(tmp_path, "c", pids__max=limit, pids__current=current)
    assert entrance((unified,), {}, v2(tmp_path)).few_pids is few


def test_a_small_memory_limit_on_v1(tmp_path: Path) -> None:
    memory = leaf(tmp_path, "memory", memory__limit_in_bytes=str(1 << 20))
    cpu = leaf(tmp_path, "cpu")
    assert entrance((memory, cpu), {}, v1(tmp_path, "memory", "cpu")) == Entrance((cpu,), "", (memory,))


def test_below_by_controller_or_all(tmp_path: Path) -> None:
    joint, memory = leaf(tmp_path, "cpu,cpuacct"), leaf(tmp_path, "memory")
    layout = v1(tmp_path, "cpu,cpuacct", "memory")
    assert entrance((joint, memory), {"": "below"}, layout).tasks == (f"{joint}/below", f"{memory}/below")
    assert entrance((joint, memory), {"cpuacct": "/below/"}, layout).tasks == (f"{joint}/below", memory)
    assert entrance((joint, memory), {"": ".", "memory": "below"}, layout).tasks == (joint, f"{memory}/below")


@pytest.mark.parametrize("path", ["nosuch", "..", "below/../..", "../box/below"])
def test_below_is_there_and_below(tmp_path: Path, path: str) -> None:
    with pytest.raises(CgroupError, match="--cgroup"):
        entrance((leaf(tmp_path, "cpu"),), {"": path}, v1(tmp_path, "cpu"))


def test_a_controller_that_the_container_is_not_in(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'memory'"):
        entrance((leaf(tmp_path, "cpu"),), {"memory": "below"}, v1(tmp_path, "cpu", "memory"))


def test_a_hierarchy_that_is_not_mounted_here(tmp_path: Path) -> None:
    with pytest.raises(CgroupError, match="not in a hierarchy"):
        entrance((leaf(tmp_path, "cpu"),), {}, v1(tmp_path, "memory"))


def test_an_init_elsewhere_is_not_followed(tmp_path: Path) -> None:
    """It may have been moved anywhere; a process of ours is not to go where the container was not put."""
    with pytest.raises(CgroupError, match="not below"):
        open_beside(1, f"{tmp_path}/c/box", v2(tmp_path))
