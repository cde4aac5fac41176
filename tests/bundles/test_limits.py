"""limits: every stop of the tour, the file and the effect, on cgroup v1 and v2."""

from __future__ import annotations

import re
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.bundles.built import Built
from tests.scenario import host
from tests.scenario.test_cgroups_joint import NETWORK, private, wait_until_gone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bundles.conftest import Builder

MIB = 1 << 20
HUGE = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
pytestmark = [pytest.mark.requires("root", "busybox"), pytest.mark.vm]


@pytest.fixture(scope="module")
def tour(built: Builder) -> Built:
    return built("limits")


def lines(tour: Built, stop: str, *wrap: str) -> list[str]:
    command = [tour.runtime, "--root", str(tour.root), "run", "--bundle", str(tour.dir / stop), tour.id(stop)]
    return tour.execute(*wrap, *command).ok().stdout.splitlines()


def is_v1(controller: str) -> bool:
    return controller in host.hierarchies()


def value(line: str, *names: str) -> str:
    """What a line `/sys/fs/cgroup/.../NAME: VALUE` says, the name being one of these."""
    file, _, text = line.partition(": ")
    assert file.startswith("/sys/fs/cgroup/")
    assert file.rsplit("/", 1)[1] in names
    return text.strip()


def used(line: str) -> tuple[int, int]:
    """The processor time of a line, in milliseconds, and the time it took."""
    spent, of = map(int, re.findall(r"\d+", line))
    return spent, of


@pytest.mark.requires("cgroup-cpuset")
def test_cpuset(tour: Built) -> None:
    file, allowed, counted = lines(tour, "cpuset")
    assert value(file, "cpuset.cpus") == "0"
    assert allowed == "may run on processors: 0"
    assert counted == "nproc counts: 1"


@pytest.mark.requires("cgroup-cpu", "cgroup-cpuset")
def test_shares_divide_a_processor(tour: Built) -> None:
    """What others take of it they take of both, so only the ratio is tested: 4 on v1, weights of 35 and 100 on v2."""
    ids = {stop: tour.id(stop) for stop in ("shares-small", "shares-large")}
    output = {stop: (tour.dir / f"{stop}.out").open("w+") for stop in ids}
    running = [
        subprocess.Popen(
            [tour.runtime, "--root", str(tour.root), "run", "--bundle", str(tour.dir / stop), ids[stop]],
            stdin=subprocess.DEVNULL,
            stdout=output[stop],
        )
        for stop in ids
    ]
    assert [each.wait(120) for each in running] == [0, 0]
    said = {}
    for stop, file in output.items():
        file.seek(0)
        said[stop] = file.read().splitlines()
        file.close()
    values = [value(said[stop][0], "cpu.shares", "cpu.weight") for stop in ids]
    assert values in (["256", "1024"], ["35", "100"])
    small, large = (used(said[stop][1])[0] for stop in ids)
    assert 1.7 < large / small < 6


@pytest.mark.requires("cgroup-cpu")
def test_quota(tour: Built) -> None:
    file, burnt, stat = lines(tour, "quota")
    assert value(file, "cpu.cfs_quota_us", "cpu.max") in ("20000", "20000 100000")
    spent, of = used(burnt)
    assert spent <= of * 0.25 + 20
    assert "nr_throttled" in value(stat, "cpu.stat")


@pytest.mark.requires("cgroup-cpu")
def test_cpuacct(tour: Built) -> None:
    burnt, usage, parts = lines(tour, "cpuacct")
    assert used(burnt)[0] > 0
    words = value(parts, "cpuacct.stat", "cpu.stat").split()
    if is_v1("cpuacct"):
        assert int(value(usage, "cpuacct.usage")) >= used(burnt)[0] * 1_000_000
        assert words[0::2] == ["user", "system"]
    else:
        assert {"usage_usec", "user_usec", "system_usec"} <= set(words)
    assert int(words[words.index("system" if "system" in words else "system_usec") + 1]) > 0


@pytest.mark.requires("cgroup-memory")
def test_memory(tour: Built) -> None:
    file, fits, too_much, _, killed, most = lines(tour, "memory")
    assert value(file, "memory.limit_in_bytes", "memory.max") == str(16 * MIB)
    assert (fits, too_much) == ("8 MiB: there", "32 MiB: exit code 137")
    assert "oom_kill 1" in value(killed, "memory.oom_control", "memory.events")
    assert 8 * MIB < int(value(most, "memory.max_usage_in_bytes", "memory.peak")) <= 16 * MIB


@pytest.mark.requires("cgroup-memory")
def test_swap(tour: Built) -> None:
    """On v1 the file has the sum, on v2 the difference; without swap on the host the one does what memory does."""
    _, sum_or_swap, total, first, second = lines(tour, "swap")
    v1 = is_v1("memory")
    assert value(sum_or_swap, "memory.memsw.limit_in_bytes", "memory.swap.max") == str((48 if v1 else 32) * MIB)
    has_swap = int(total.split()[1]) >= 32 * 1024
    assert first == ("32 MiB: there" if has_swap else "32 MiB: exit code 137")
    assert second == "64 MiB: exit code 137"


@pytest.mark.requires("cgroup-memory")
def test_oom_waits_on_v1_and_is_refused_on_v2(tour: Built) -> None:
    if not is_v1("memory"):
        assert ".linux.resources.memory.disableOOMKiller" in tour.run("oom").stderr
        return
    tour.run("oom", flags=("--detach",)).ok()
    control = cgroup(tour, "oom", "memory") / "memory.oom_control"
    assert host.eventually(lambda: "under_oom 1" in control.read_text(), 20)
    assert tour.state("oom")["status"] == "running"
    tour.pyrunc("update", "--memory", str(64 * MIB), "--memory-swap", str(64 * MIB), tour.id("oom")).ok()
    assert host.eventually(lambda: tour.state("oom")["status"] == "stopped", 20)
    tour.delete("oom")


def cgroup(tour: Built, stop: str, controller: str) -> Path:
    mounts = host.hierarchies()
    top = Path(mounts.get(controller, mounts.get("cgroup2", "")))
    return next(path for path in top.rglob(tour.id(stop)) if path.is_dir())


@pytest.mark.requires("cgroup1-blkio", "disk")
def test_throttle(tour: Built) -> None:
    file, wrote = lines(tour, "throttle")
    assert str(MIB) in value(file, "blkio.throttle.write_bps_device", "io.max")
    size, milliseconds = map(int, re.findall(r"\d+", wrote))
    assert size == 4 * MIB
    assert milliseconds >= 3000


@pytest.mark.requires("cgroup-blkio")
def test_weight(tour: Built) -> None:
    (file,) = lines(tour, "weight")
    names = ("blkio.weight", "blkio.bfq.weight", "io.bfq.weight", "io.weight")
    assert value(file, *names).split()[-1] in ("500", "4950")


@pytest.mark.requires("cgroup-memory")
def test_devices(tour: Built) -> None:
    file, *said = lines(tour, "devices")
    assert "c 1:11 w" in file or file.startswith("v2 has no file")
    assert said == [
        "/dev/kmsg: opened for writing",
        "can't open /dev/kmsg: Operation not permitted",
        "made a node of c 1:1",
        "can't open /dev/memory: Operation not permitted",
        "/dev/zero: opened",
    ]


@pytest.mark.requires("cgroup-pids")
def test_freezer(tour: Built) -> None:
    tour.create("freezer")
    tour.start("freezer")
    output = tour.last_output()

    def count() -> int:
        return len(output.read_text().splitlines())

    assert host.eventually(lambda: count() > 2, 20)
    tour.pyrunc("pause", tour.id("freezer")).ok()
    assert tour.state("freezer")["status"] == "paused"
    file = cgroup(tour, "freezer", "freezer") / ("freezer.state" if is_v1("freezer") else "cgroup.freeze")
    assert file.read_text().strip() in ("FROZEN", "1")
    before = count()
    time.sleep(1)
    assert count() == before
    tour.pyrunc("resume", tour.id("freezer")).ok()
    assert host.eventually(lambda: count() > before, 20)
    tour.kill("freezer")
    assert host.eventually(lambda: tour.state("freezer")["status"] == "stopped", 20)
    tour.delete("freezer")


@pytest.mark.requires("cgroup-pids")
def test_pids(tour: Built) -> None:
    file, refused, events = lines(tour, "pids")
    assert value(file, "pids.max") == "8"
    assert refused.endswith("can't fork: Resource temporarily unavailable")
    assert value(events, "pids.events") == "max 1"


@pytest.fixture(scope="module")
def network() -> Iterator[list[str]]:
    """What runs a command where both controllers are mounted; afterwards they are gone again."""
    yield private(NETWORK)
    wait_until_gone(NETWORK)


@pytest.mark.requires("net-cgroups", "cgroup1-memory")
def test_net_cls(tour: Built, network: list[str]) -> None:
    file, pinged = lines(tour, "net_cls", *network)
    assert value(file, "net_cls.classid") == str(0x100001)
    assert pinged == "ping: sendto: Operation not permitted"


@pytest.mark.requires("net-cgroups", "cgroup1-memory")
def test_net_prio(tour: Built, network: list[str]) -> None:
    file, pinged = lines(tour, "net_prio", *network)
    assert value(file, "net_prio.ifpriomap").startswith("lo 4321")
    assert pinged.endswith("100% packet loss")


@pytest.mark.differs_from_runc("does not say which controller is missing")
@pytest.mark.parametrize("stop", ["net_cls", "net_prio"])
def test_what_a_host_lacks_is_said(tour: Built, stop: str) -> None:
    """v2 has neither controller, and v1 hosts seldom mount them. Whoever has them sees none of that here."""
    hidden = 'mount -t tmpfs tmpfs /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"'
    command = [tour.runtime, "--root", str(tour.root), "run", "--bundle", str(tour.dir / stop), tour.id(stop)]
    result = tour.execute("unshare", "--mount", "sh", "-c", hidden, "sh", *command)
    assert result.returncode == 1
    lacking = f"needs the cgroup controller {stop}, which this host does not have"
    assert lacking in result.stderr or f"cgroup v2 has no {stop} controller" in result.stderr


@contextmanager
def huge_pages(number: int) -> Iterator[None]:
    before = HUGE.read_text()
    HUGE.write_text(str(int(before) + number))
    assert int(HUGE.read_text()) >= int(before) + number, "no huge pages to be had"
    yield
    HUGE.write_text(before)


@pytest.mark.differs_from_runc("looks for hugetlb among the v1 hierarchies only", strict=False)
@pytest.mark.requires("cgroup-hugetlb")
def test_hugetlb(tour: Built) -> None:
    with huge_pages(4):
        file, _, fits, too_much = lines_of_failure(tour, "hugetlb")
    assert value(file, "hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max") == str(2 * MIB)
    assert fits == "2 MiB: there"
    assert too_much == "fallocate: fallocate '/huge/two': No space left on device"


def lines_of_failure(tour: Built, stop: str) -> list[str]:
    result = tour.run(stop)
    assert result.returncode == 1
    return result.stdout.splitlines()
