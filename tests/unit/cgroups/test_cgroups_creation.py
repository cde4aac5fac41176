"""Making directories and writing values, on trees of plain files that stand for a cgroup filesystem."""

from __future__ import annotations

import os
import posix
from typing import TYPE_CHECKING

import pytest

from pyrunc import cgroups
from pyrunc.cgroups import v2
from pyrunc.errors import CgroupError, StepError
from pyrunc.plan.facts import Hierarchy
from pyrunc.plan.steps_cgroups import CgroupPlan, Directory, Write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

V2_FILES = {
    "cgroup.procs": "",
    "cgroup.controllers": "cpu memory pids\n",
    "cgroup.subtree_control": "",
    "cgroup.events": "populated 0\nfrozen 0\n",
    "cgroup.freeze": "0\n",
    "memory.max": "",
    "pids.max": "",
}
V1_FILES = {
    "cgroup.procs": "",
    "tasks": "",
    "cpuset.cpus": "",
    "cpuset.mems": "",
    "freezer.state": "THAWED\n",
}


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Fill every directory made from now on with files, as the kernel does."""

    def serve(files: dict[str, str]) -> None:
        def mkdir(path: str, mode: int = 0o777) -> None:
            os.mkdir(path, mode)
            fill(path, files)

        monkeypatch.setattr(posix, "mkdir", mkdir)

    return serve


def fill(path: Path | str, files: dict[str, str]) -> None:
    for name, text in files.items():
        with open(f"{path}/{name}", "w") as file:
            file.write(text)


def unified(mount: Path, path: str = "a/box", controllers: tuple[str, ...] = ("memory",)) -> CgroupPlan:
    hierarchy = Hierarchy(str(mount), 2, ("cpu", "memory", "pids"))
    return CgroupPlan((Directory(hierarchy, f"{mount}/{path}", controllers=controllers),))


def first(mount: Path, path: str, *controllers: str) -> CgroupPlan:
    return CgroupPlan((Directory(Hierarchy(str(mount), 1, controllers), f"{mount}/{path}"),))


def test_missing_directories_are_told_before_they_are_made(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    plan = first(tmp_path, "a/b/c", "pids")
    assert cgroups.missing_directories(plan) == (f"{tmp_path}/a/b/c", f"{tmp_path}/a/b")
    cgroups.create(plan)
    assert cgroups.missing_directories(plan) == ()


def test_v2_passes_on_controllers_from_the_top_to_the_parent(
    tmp_path: Path, kernel: Callable[[dict[str, str]], None]
) -> None:
    kernel(V2_FILES)
    fill(tmp_path, {**V2_FILES, "cgroup.subtree_control": "cpu pids\n"})
    cgroups.create(unified(tmp_path))
    assert (tmp_path / "cgroup.subtree_control").read_text().startswith("+memory")
    assert (tmp_path / "a/cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert (tmp_path / "a/box/cgroup.subtree_control").read_text() == ""


def test_v2_names_the_parent_that_lacks_a_controller(
    tmp_path: Path, kernel: Callable[[dict[str, str]], None]
) -> None:
    kernel({**V2_FILES, "cgroup.controllers": "cpu\n"})
    fill(tmp_path, V2_FILES)
    with pytest.raises(CgroupError, match=r"\.linux\.cgroupsPath: .*/a does not have .* controller memory"):
        cgroups.create(unified(tmp_path))


@pytest.mark.parametrize("needed", [(), ("cpu",)])
def test_v2_minds_a_refused_controller_only_if_it_is_needed(
    tmp_path: Path,
    kernel: Callable[[dict[str, str]], None],
    needed: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def write(fd: int, data: bytes) -> int:
        if b"+cpu" in data:
            raise OSError(16, "Device or resource busy")
        return os.write(fd, data)

    kernel(V2_FILES)
    fill(tmp_path, V2_FILES)
    monkeypatch.setattr(posix, "write", write)
    if needed:
        with pytest.raises(
            CgroupError, match=r"cannot enable the cgroup controller cpu in .*busy .it has proc"
        ):
            cgroups.create(unified(tmp_path, controllers=needed))
    else:
        cgroups.create(unified(tmp_path, controllers=needed))
        assert (
            tmp_path / "cgroup.subtree_control"
        ).read_text() == "+pidsry"  # +memory, and then +pids over it


@pytest.mark.parametrize("needed", [(), ("memory",)])
def test_v2_parent_with_processes_is_left_as_it_is(
    tmp_path: Path,
    kernel: Callable[[dict[str, str]], None],
    needed: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would take cpu and pids by themselves, and then be a threaded domain."""

    def write(fd: int, data: bytes) -> int:
        if b"+memory" in data:
            raise OSError(16, "Device or resource busy")
        return os.write(fd, data)

    kernel(V2_FILES)
    fill(tmp_path, {**V2_FILES, "cgroup.procs": "17\n"})
    monkeypatch.setattr(posix, "write", write)
    if needed:
        with pytest.raises(CgroupError, match=f"move them from {tmp_path}/cgroup.procs into a child"):
            cgroups.create(unified(tmp_path, "box", needed))
    else:
        cgroups.create(unified(tmp_path, "box", needed))
    assert (tmp_path / "cgroup.subtree_control").read_text() == ""


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"cgroup.events": "populated 1\nfrozen 0\n"}, "already has processes"),
        ({"cgroup.events": "populated 0\nfrozen 1\n"}, "is frozen"),
        ({"cgroup.freeze": "1\n"}, "is frozen"),
    ],
)
def test_v2_cgroup_in_use_is_refused(tmp_path: Path, files: dict[str, str], words: str) -> None:
    (tmp_path / "box").mkdir()
    fill(tmp_path, V2_FILES)
    fill(tmp_path / "box", {**V2_FILES, **files})
    with pytest.raises(CgroupError, match=f"{tmp_path}/box {words}"):
        cgroups.create(unified(tmp_path, "box"))


def test_v2_empty_cgroup_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v2, "_forget_devices", lambda _: None)  # only a real cgroup can have programs
    (tmp_path / "box").mkdir()
    fill(tmp_path, V2_FILES)
    fill(tmp_path / "box", V2_FILES)
    cgroups.create(unified(tmp_path, "box"))


def test_v2_delegation_changes_only_the_listed_files(
    tmp_path: Path, kernel: Callable[[dict[str, str]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str, int, int]] = []

    def chown(path: str, uid: int, gid: int) -> None:
        os.stat(path)
        given.append((path.removeprefix(f"{tmp_path}/"), uid, gid))

    monkeypatch.setattr(posix, "chown", chown)
    kernel(V2_FILES)
    fill(tmp_path, V2_FILES)
    cgroups.create(unified(tmp_path, "box").but(owner=1000))
    assert given[0] == ("box", 1000, -1)
    assert ("box/cgroup.procs", 1000, -1) in given
    assert all(path in ("box", "box/cgroup.procs", "box/cgroup.subtree_control") for path, _, _ in given)


@pytest.mark.parametrize(
    ("files", "words"),
    [({"cgroup.procs": "17\n"}, "already has processes"), ({"freezer.state": "FREEZING\n"}, "is freezing")],
)
def test_v1_cgroup_in_use_is_refused(tmp_path: Path, files: dict[str, str], words: str) -> None:
    (tmp_path / "box").mkdir()
    fill(tmp_path / "box", {**V1_FILES, **files})
    with pytest.raises(CgroupError, match=f"{tmp_path}/box {words}"):
        cgroups.create(first(tmp_path, "box", "freezer"))


def test_v1_cpuset_is_copied_down(tmp_path: Path, kernel: Callable[[dict[str, str]], None]) -> None:
    kernel(V1_FILES)
    fill(tmp_path, {"cpuset.cpus": "0-3\n", "cpuset.mems": "0\n"})
    (tmp_path / "bare").mkdir()
    fill(tmp_path / "bare", V1_FILES)
    cgroups.create(first(tmp_path, "bare/a/box", "cpuset"))
    for path in ("bare", "bare/a", "bare/a/box"):
        assert (tmp_path / path / "cpuset.cpus").read_text() == "0-3"
        assert (tmp_path / path / "cpuset.mems").read_text() == "0"


def test_v1_old_memsw_limit_is_lifted_first(tmp_path: Path) -> None:
    (tmp_path / "box").mkdir()
    fill(tmp_path / "box", {**V1_FILES, "memory.memsw.limit_in_bytes": "55"})
    cgroups.create(first(tmp_path, "box", "memory"))
    assert (tmp_path / "box/memory.memsw.limit_in_bytes").read_text() == "-1"


def test_a_parent_that_goes_away_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []

    def mkdir(path: str, mode: int = 0o777) -> None:
        os.mkdir(path, mode)
        if path.endswith("/a") and not taken:
            os.rmdir(path)
            taken.append(path)

    monkeypatch.setattr(posix, "mkdir", mkdir)
    cgroups.create(first(tmp_path, "a/box", "pids"))
    assert (tmp_path / "a/box").is_dir()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(CgroupError, match=r"\.linux\.cgroupsPath: cannot make the cgroup .*/box"):
        cgroups.create(first(tmp_path / "nowhere", "box", "pids"))


def write(tmp_path: Path, file: str, value: str = "5", optional: bool = False) -> Write:
    return Write(f"{tmp_path}/{file}", value, ".linux.resources.x", optional)


def test_apply_writes_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    fill(tmp_path, {"a": "", "b": ""})
    monkeypatch.setattr(posix, "write", lambda _, data: seen.append(data))
    values = [("a", "1"), ("a", "2"), ("b", "3"), ("a", "4")]
    cgroups.apply(write(tmp_path, file, value) for file, value in values)
    assert seen == [b"1", b"2", b"3", b"4"]


def test_apply_closes_what_it_opened(tmp_path: Path) -> None:
    fill(tmp_path, {"a": "", "b": ""})
    before = os.listdir("/proc/self/fd")
    cgroups.apply([write(tmp_path, "a"), write(tmp_path, "gone", optional=True), write(tmp_path, "b")])
    with pytest.raises(StepError):
        cgroups.apply([write(tmp_path, "a"), write(tmp_path, "gone")])
    assert os.listdir("/proc/self/fd") == before


def test_apply_says_what_it_could_not_write(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"^\.linux\.resources\.x: cannot write '5' to .*/gone: not found$"):
        cgroups.apply([write(tmp_path, "gone")])


@pytest.mark.parametrize(("number", "let_pass"), [(2, True), (95, True), (22, False), (13, False)])
def test_optional_lets_pass_only_what_the_kernel_lacks(
    tmp_path: Path, number: int, let_pass: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int, data: bytes) -> int:
        raise OSError(number, f"no {data.decode()}")

    fill(tmp_path, {"a": ""})
    monkeypatch.setattr(posix, "write", refuse)
    if let_pass:
        cgroups.apply([write(tmp_path, "a", optional=True)])
    else:
        with pytest.raises(StepError):
            cgroups.apply([write(tmp_path, "a", optional=True)])


def test_otherwise_is_written_where_the_file_is_missing(tmp_path: Path) -> None:
    fill(tmp_path, {"new": ""})
    cgroups.apply([write(tmp_path, "old").but(otherwise=write(tmp_path, "new", "7"))])
    assert (tmp_path / "new").read_text() == "7"
    with pytest.raises(StepError, match=r"cannot write '9' to .*/neither"):
        cgroups.apply([write(tmp_path, "old").but(otherwise=write(tmp_path, "neither", "9"))])


def names(fds: tuple[int, ...]) -> list[str]:
    found = [os.readlink(f"/proc/self/fd/{fd}") for fd in fds]
    for fd in fds:
        os.close(fd)
    return [name.rpartition("/")[0].rpartition("/")[2] for name in found]


def test_small_memory_is_entered_last(tmp_path: Path) -> None:
    for name in ("pids", "memory", "unified"):
        (tmp_path / name).mkdir()
        fill(tmp_path / name, V1_FILES)
    directories = tuple(
        Directory(Hierarchy(str(tmp_path), version, (name,)), f"{tmp_path}/{name}")
        for name, version in (("pids", 1), ("memory", 1), ("unified", 2))
    )
    plan = CgroupPlan(directories)
    assert names(cgroups.entry_fds(plan, late=False)) == ["pids", "memory"]
    assert names(cgroups.entry_fds(plan, late=True)) == []
    small = plan.but(small_memory=True)
    assert names(cgroups.entry_fds(small, late=False)) == ["pids"]
    assert names(cgroups.entry_fds(small, late=True)) == ["memory"]


def test_entry_fds_leaves_none_open_when_one_fails(tmp_path: Path) -> None:
    (tmp_path / "pids").mkdir()
    fill(tmp_path / "pids", V1_FILES)
    before = os.listdir("/proc/self/fd")
    plan = CgroupPlan(
        tuple(
            Directory(Hierarchy(str(tmp_path), 1, (name,)), f"{tmp_path}/{name}") for name in ("pids", "gone")
        )
    )
    with pytest.raises(CgroupError, match=r"cannot open the cgroup .*/gone: not found"):
        cgroups.entry_fds(plan, late=False)
    assert os.listdir("/proc/self/fd") == before


def test_the_v2_directory_is_opened_only_for_who_can_be_born_there(tmp_path: Path) -> None:
    plan = unified(tmp_path, ".")
    fd = cgroups.open_directory(plan)
    os.close(fd)
    assert cgroups.open_directory(plan.but(born_inside=False)) == -1
    assert cgroups.open_directory(first(tmp_path, "box", "pids")) == -1


def test_a_pid_is_added_to_v2_only(tmp_path: Path) -> None:
    fill(tmp_path, {"cgroup.procs": ""})
    cgroups.add(unified(tmp_path, "."), 123)
    assert (tmp_path / "cgroup.procs").read_text() == "123"
    cgroups.add(first(tmp_path, ".", "pids"), 456)
    assert (tmp_path / "cgroup.procs").read_text() == "123"


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(cgroups, "nothing")  # noqa: B009 - mypy knows that it is not there
