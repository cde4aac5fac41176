"""Statistics: from files as the kernel writes them to one record, for both versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pyrunc.cgroups import stats_v1, stats_v2
from pyrunc.cgroups.stats import (
    UNLIMITED,
    BlkioEntry,
    CpuUsage,
    Hugetlb,
    MemoryEntry,
    Pids,
    Pressure,
    Stall,
    Stats,
    Throttling,
    numbers,
    read_stats,
)
from pyrunc.errors import CgroupError
from pyrunc.plan.facts import CgroupLayout, Hierarchy

if TYPE_CHECKING:
    from pathlib import Path


def v1(folder: Path, *controllers: str, **files: str) -> Stats:
    write(folder, files)
    return Stats().but(**stats_v1.read(str(folder), controllers, Stats()))


def v2(folder: Path, *controllers: str, **files: str) -> Stats:
    write(folder, files)
    return Stats().but(**stats_v2.read(str(folder), controllers, Stats()))


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


# v1


def test_v1_cpu_time_of_one_controller_and_throttling_of_another(tmp_path: Path) -> None:
    found = v1(
        tmp_path,
        "cpu",
        "cpuacct",
        cpuacct__usage="700\n",
        cpuacct__stat="user 3\nsystem 4\n",
        cpuacct__usage_percpu="300 400 \n",
        cpuacct__usage_all="cpu user system\n0 100 200\n1 150 250\n",
        cpu__stat="nr_periods 9\nnr_throttled 2\nthrottled_time 5000\nnr_bursts 0\n",
    )
    assert found.cpu.usage == CpuUsage(700, 30_000_000, 40_000_000, (300, 400), (100, 150), (200, 250))
    assert found.cpu.throttling == Throttling(9, 2, 5000)
    assert found.cpu.psi is None


def test_v1_memory(tmp_path: Path) -> None:
    found = v1(
        tmp_path,
        "memory",
        memory__stat="cache 10\nrss 20\n",
        memory__limit_in_bytes="100\n",
        memory__usage_in_bytes="30\n",
        memory__max_usage_in_bytes="40\n",
        memory__failcnt="5\n",
        memory__memsw__limit_in_bytes="200\n",
        memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    ).memory
    assert (found.cache, found.raw, found.events["oom_kill"]) == (10, {"cache": 10, "rss": 20}, 3)
    assert found.usage == MemoryEntry(100, 30, 40, 5)
    assert found.swap == MemoryEntry(200)
    assert found.kernel == MemoryEntry()


def test_v1_cpuset(tmp_path: Path) -> None:
    files = {"cpus": "0-2,5\n", "mems": "0\n", "sched_relax_domain_level": "-1\n", "cpu_exclusive": "1\n"}
    found = v1(tmp_path, "cpuset", **{f"cpuset__{name}": text for name, text in files.items()}).cpuset
    assert (found.cpus, found.mems) == ((0, 1, 2, 5), (0,))
    assert (found.sched_relax_domain_level, found.cpu_exclusive, found.mem_hardwall) == (-1, 1, 0)


def test_v1_blocks_are_the_schedulers_where_it_counts(tmp_path: Path) -> None:
    throttle = {
        "io_serviced_recursive": "8:0 Read 9\nTotal 9\n",
        "io_service_bytes_recursive": "8:0 Read 90\nTotal 90\n",
    }
    files = {f"blkio__throttle__{name}": text for name, text in throttle.items()}
    empty = v1(tmp_path, "blkio", blkio__bfq__io_serviced_recursive="Total 0\n", **files).blkio
    assert empty.serviced == (BlkioEntry(8, 0, "Read", 9),)
    assert empty.service_bytes == (BlkioEntry(8, 0, "Read", 90),)
    counted = v1(tmp_path, "blkio", blkio__bfq__io_serviced_recursive="8:16 Write 1\nTotal 1\n").blkio
    assert (counted.serviced, counted.service_bytes) == ((BlkioEntry(8, 16, "Write", 1),), ())


def test_v1_sectors_have_no_operation(tmp_path: Path) -> None:
    files = {"blkio__io_serviced_recursive": "8:0 Read 1\n", "blkio__sectors_recursive": "8:0 6792\n"}
    files["blkio__io_queued_recursive"] = "8:0 Sync 3\nTotal 3\n"
    found = v1(tmp_path, "blkio", **files).blkio
    assert found.sectors == (BlkioEntry(8, 0, "", 6792),)
    assert found.queued == (BlkioEntry(8, 0, "Sync", 3),)


def test_v1_huge_pages_are_reservations_where_they_are_counted(tmp_path: Path) -> None:
    files = {
        "hugetlb__2MB__usage_in_bytes": "1\n",
        "hugetlb__2MB__rsvd__usage_in_bytes": "2\n",
        "hugetlb__2MB__rsvd__max_usage_in_bytes": "3\n",
        "hugetlb__2MB__rsvd__failcnt": "4\n",
        "hugetlb__1GB__usage_in_bytes": "5\n",
    }
    assert v1(tmp_path, "hugetlb", **files).hugetlb == {"1GB": Hugetlb(5), "2MB": Hugetlb(2, 3, 4)}


# v2


def test_v2_cpu_is_in_microseconds_there_and_in_nanoseconds_here(tmp_path: Path) -> None:
    text = "usage_usec 7\nuser_usec 3\nsystem_usec 4\nnr_periods 9\nnr_throttled 2\nthrottled_usec 5\n"
    found = v2(tmp_path, "cpu", cpu__stat=text).cpu
    assert (found.usage, found.throttling) == (CpuUsage(7000, 3000, 4000), Throttling(9, 2, 5000))


def test_v2_memory_and_swap_are_told_together(tmp_path: Path) -> None:
    found = v2(
        tmp_path,
        "memory",
        memory__stat="anon 20\nfile 10\n",
        memory__max="100\n",
        memory__current="30\n",
        memory__peak="40\n",
        memory__swap__max="50\n",
        memory__swap__current="6\n",
        memory__events="low 0\nmax 5\noom 1\noom_kill 1\n",
    ).memory
    assert (found.cache, found.events["oom_kill"]) == (10, 1)
    assert found.usage == MemoryEntry(100, 30, 40, 5)
    assert found.swap == MemoryEntry(150, 36)
    assert found.swap_only == MemoryEntry(50, 6)


@pytest.mark.parametrize(("memory", "swap"), [("max", "50"), ("100", "max"), ("max", "max")])
def test_v2_no_limit_of_one_is_no_limit_of_both(tmp_path: Path, memory: str, swap: str) -> None:
    found = v2(tmp_path, "memory", memory__max=memory, memory__swap__max=swap).memory
    assert found.swap.limit == UNLIMITED


def test_v2_blocks(tmp_path: Path) -> None:
    text = "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n8:0 \n254:0 rbytes=7 cost.usage=9\n"
    found = v2(tmp_path, "io", io__stat=text).blkio
    assert found.service_bytes == (
        BlkioEntry(8, 16, "Read", 1),
        BlkioEntry(8, 16, "Write", 2),
        BlkioEntry(8, 16, "Discard", 5),
        BlkioEntry(254, 0, "Read", 7),
    )
    assert [entry.value for entry in found.serviced] == [3, 4, 6]


def test_v2_pressure_of_every_resource(tmp_path: Path) -> None:
    text = "some avg10=1.50 avg60=0.25 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n"
    found = v2(tmp_path, cpu__pressure=text, io__pressure=text.splitlines()[0])
    assert found.cpu.psi == Pressure(Stall(1.5, 0.25, 0.0, 12), Stall(0.0, 0.0, 0.0, 3))
    assert found.blkio.psi == Pressure(Stall(1.5, 0.25, 0.0, 12))
    assert found.memory.psi is None


def test_v2_huge_pages(tmp_path: Path) -> None:
    files = {"current": "1\n", "rsvd__current": "2\n", "events": "max 3\n"}
    found = v2(tmp_path, "hugetlb", **{f"hugetlb__2MB__{name}": text for name, text in files.items()})
    assert found.hugetlb == {"2MB": Hugetlb(2, 0, 3)}


@pytest.mark.parametrize(("limit", "expected"), [("max\n", 0), ("7\n", 7)])
def test_pids(tmp_path: Path, limit: str, expected: int) -> None:
    files = {"pids__current": "3\n", "pids__max": limit}
    assert v1(tmp_path, "pids", **files).pids == v2(tmp_path, "pids", **files).pids == Pids(3, expected)


# the whole


def host(tmp_path: Path) -> CgroupLayout:
    """A hybrid host in a directory: memory is v1's, pids v2's."""
    memory, unified = tmp_path / "memory", tmp_path / "unified"
    for place in (memory, unified):
        (place / "box").mkdir(parents=True)
    (memory / "box/memory.usage_in_bytes").write_text("5\n")
    (unified / "box/pids.current").write_text("2\n")
    (unified / "box/cpu.stat").write_text("usage_usec 7\n")
    return CgroupLayout((Hierarchy(str(memory), 1, ("memory",)), Hierarchy(str(unified), 2, ("pids",))))


def test_both_versions_add_up(tmp_path: Path) -> None:
    layout = host(tmp_path)
    found = read_stats(tuple(f"{each.mount}/box" for each in layout.hierarchies), layout)
    assert (found.memory.usage.usage, found.pids.current, found.version) == (5, 2, 1)
    # The time that v2 always tells is v1's to count where the controller is there.
    assert found.cpu.usage == CpuUsage()


def test_v2_alone_tells_cpu_time_without_the_controller(tmp_path: Path) -> None:
    layout = CgroupLayout((host(tmp_path).hierarchies[1],))
    found = read_stats((f"{tmp_path}/unified/box",), layout)
    assert (found.cpu.usage.total, found.version) == (7000, 2)


def test_a_cgroup_that_is_gone_is_an_error(tmp_path: Path) -> None:
    layout = host(tmp_path)
    with pytest.raises(CgroupError, match=r"cannot read the statistics of .*/memory/gone: not found"):
        read_stats((f"{tmp_path}/memory/gone",), layout)


def test_the_root_of_a_hierarchy_is_no_containers(tmp_path: Path) -> None:
    with pytest.raises(CgroupError, match="refusing"):
        read_stats((f"{tmp_path}/memory",), host(tmp_path))


def test_numbers_that_are_none_are_an_error_and_no_crash(tmp_path: Path) -> None:
    layout = host(tmp_path)
    (tmp_path / "memory/box/memory.usage_in_bytes").write_text("much\n")
    with pytest.raises(CgroupError, match="cannot read the statistics"):
        read_stats((f"{tmp_path}/memory/box",), layout)


@pytest.mark.parametrize(("text", "expected"), [("", ()), ("\n", ()), ("0-2,7\n", (0, 1, 2, 7)), ("3", (3,))])
def test_lists(text: str, expected: tuple[int, ...]) -> None:
    assert numbers(text) == expected
