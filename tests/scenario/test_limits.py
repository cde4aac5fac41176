"""Limits that hold, measured: on cgroup v1 and v2 the same tests, by what the kernel counted itself.

The machine may be busy with other things. So cpu time is set against the scheduler's own periods or against
another container's, not against a clock, and rates are those of the middle of a long write.
"""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scenario import cgroupfs, host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.scenario.bundle import Bundle

pytestmark = [
    pytest.mark.vm,
    pytest.mark.requires(*(f"cgroup-{name}" for name in ("memory", "cpu", "cpuset", "pids", "blkio"))),
]

MIB = 1 << 20
PERIOD = 100_000
BUSY = ["sh", "-c", "while :; do :; done"]


def running(bundle: Bundle, *args: str) -> Bundle:
    bundle.process(args=list(args)).create().start()
    return bundle


# memory

TIGHT = pytest.mark.differs_from_runc("its own init does not fit in, on v2", strict=False)


@TIGHT
def test_five_mebibytes_kill_a_program_that_takes_ten(bundle: Bundle) -> None:
    result = bundle.resources(memory={"limit": 5 * MIB, "swap": 5 * MIB}).run("/bin/probe", "memory", "10")
    assert (result.returncode, result.stdout) == (137, "")


@TIGHT
def test_five_mebibytes_are_enough_for_a_program_that_takes_three(bundle: Bundle) -> None:
    bundle.resources(memory={"limit": 5 * MIB, "swap": 5 * MIB})
    assert bundle.probe("memory", "3") == {"error": None, "value": 3}


# cpu


@pytest.mark.parametrize("percent", [10, 20])
def test_quota_is_what_is_used_in_each_period(bundle: Bundle, percent: int) -> None:
    """Never more, and not less where the scheduler had to stop it. Its shares keep a busy machine from giving less."""
    quota = PERIOD * percent // 100
    running(bundle.resources(cpu={"quota": quota, "period": PERIOD, "shares": 262144}), *BUSY)
    time.sleep(0.5)
    before, used = cgroupfs.cpu_stat(bundle), cgroupfs.cpu_usec(bundle)
    time.sleep(3)
    after, spent = cgroupfs.cpu_stat(bundle), cgroupfs.cpu_usec(bundle) - used
    periods = after["nr_periods"] - before["nr_periods"]
    stopped = after["nr_throttled"] - before["nr_throttled"]
    assert periods >= 20
    assert stopped * quota * 0.85 <= spent <= (periods + 1) * quota * 1.1
    assert stopped >= periods / 2


def test_shares_divide_one_cpu(new_bundle: Callable[[], Bundle]) -> None:
    """512 and 1024 shares are a third and two thirds; on v2 they are weights of 59 and 100, which comes near it."""
    both = []
    for shares in (512, 1024):
        bundle = new_bundle().resources(cpu={"shares": shares, "cpus": "0", "mems": "0"})
        both.append(running(bundle, *BUSY))
    time.sleep(0.5)
    before = [cgroupfs.cpu_usec(bundle) for bundle in both]
    time.sleep(5)
    small, large = (cgroupfs.cpu_usec(bundle) - used for bundle, used in zip(both, before, strict=True))
    assert small / (small + large) == pytest.approx(1 / 3, rel=0.15)


def test_cpuset_pins_every_process(bundle: Bundle) -> None:
    bundle.resources(cpu={"cpus": "1", "mems": "0"})
    said = bundle.run("sh", "-c", "for i in 1 2 3; do (grep Cpus_allowed_list: /proc/self/status); done").ok().stdout
    assert said.split()[1::2] == ["1", "1", "1"]


# pids

# Nine hundred processes at most, should the limit not hold; `exit` at the first that cannot be made is not wanted.
BOMB = "for i in $(seq 300); do (sleep 60 & (sleep 60 & sleep 60)) & done; wait"


def test_pids_limit_stops_a_fork_bomb(bundle: Bundle) -> None:
    running(bundle.resources(pids={"limit": 20}), "sh", "-c", f"trap : TERM; ({BOMB}); sleep 60")

    def events() -> int:
        return cgroupfs.keyed(cgroupfs.text(bundle, "pids", "pids.events", "pids.events"))["max"]

    assert host.eventually(events)
    for _ in range(20):
        assert int(cgroupfs.text(bundle, "pids", "pids.current", "pids.current")) <= 20
        time.sleep(0.01)
    bundle.kill("KILL", "--all")


# block devices


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[str]:
    """A loop device on an empty file, by its path."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(256 * MIB)
    command = ["losetup", "--find", "--show", str(image)]
    path = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    yield path
    subprocess.run(["losetup", "--detach", path], check=True)


@contextmanager
def writing(bundle: Bundle, loop: str, block: int, **limits: int) -> Iterator[str]:
    """A container that writes past all caches to the device; yields major:minor."""
    major, minor = 7, int(loop.removeprefix("/dev/loop"))
    number = {"type": "b", "major": major, "minor": minor}
    bundle.linux(devices=[{"path": "/dev/disk", **number}])
    bundle.resources(
        devices=[{"allow": True, "access": "rwm", **number}],
        blockIO={kind: [{"major": major, "minor": minor, "rate": rate}] for kind, rate in limits.items()},
    )
    running(bundle, "sh", "-c", f"while :; do dd if=/dev/zero of=/dev/disk bs={block} count=1000 oflag=direct; done")
    try:
        yield f"{major}:{minor}"
    finally:
        pid = bundle.pid  # of a process that has the device open, which therefore cannot be detached before
        bundle.kill("KILL").wait(pid)


def rate(bundle: Bundle, device: str, unit: str) -> float:
    """What is written in a second, once it has begun."""
    assert host.eventually(lambda: cgroupfs.written(bundle, device, unit))
    time.sleep(0.5)
    begin, before = time.monotonic(), cgroupfs.written(bundle, device, unit)
    time.sleep(4)
    return (cgroupfs.written(bundle, device, unit) - before) / (time.monotonic() - begin)


@pytest.mark.requires("loop")
def test_writes_are_throttled_to_one_mebibyte_a_second(bundle: Bundle, loop: str) -> None:
    with writing(bundle, loop, 65536, throttleWriteBpsDevice=MIB) as device:
        assert rate(bundle, device, "bytes") == pytest.approx(MIB, rel=0.15)


@pytest.mark.requires("loop")
def test_writes_are_throttled_to_forty_operations_a_second(bundle: Bundle, loop: str) -> None:
    with writing(bundle, loop, 4096, throttleWriteIOPSDevice=40) as device:
        assert rate(bundle, device, "operations") == pytest.approx(40, rel=0.15)


@pytest.mark.requires("loop")
def test_writes_are_faster_without_a_throttle(bundle: Bundle, loop: str) -> None:
    """Or the tests above would show a slow disk."""
    with writing(bundle, loop, 65536) as device:
        assert rate(bundle, device, "bytes") > 2 * MIB


@pytest.mark.requires("loop", "bfq")
def test_weight_of_one_device(bundle: Bundle, loop: str) -> None:
    """Only where bfq is the device's scheduler. How it divides a device between cgroups is its own affair."""
    name = loop.removeprefix("/dev/")
    Path("/sys/block", name, "queue/scheduler").write_text("bfq")
    number = {"major": 7, "minor": int(name.removeprefix("loop"))}
    bundle.resources(blockIO={"weight": 300, "weightDevice": [{**number, "weight": 500}]})
    bundle.process(args=["/bin/probe", "sleep"]).create()
    device = f"7:{number['minor']} 500"
    if cgroupfs.is_v1("blkio"):
        assert cgroupfs.text(bundle, "blkio", "blkio.bfq.weight", "") == "300"
        assert cgroupfs.text(bundle, "blkio", "blkio.bfq.weight_device", "").splitlines()[-1] == device
    else:
        assert cgroupfs.text(bundle, "blkio", "", "io.bfq.weight").splitlines() == ["default 300", device]
