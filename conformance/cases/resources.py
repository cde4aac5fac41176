"""config-linux.md: limits of linux.resources that need more than one value to tell whether they are right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from conformance import needs
from conformance.case import case, check, equal
from conformance.cases.cgroups import MIB, cgroup_of, running_in

if TYPE_CHECKING:
    from conformance.box import Box

HELD = 24
THROTTLES = {
    "throttleReadBpsDevice": ("read_bps", "rbps"),
    "throttleWriteBpsDevice": ("write_bps", "wbps"),
    "throttleReadIOPSDevice": ("read_iops", "riops"),
    "throttleWriteIOPSDevice": ("write_iops", "wiops"),
}


def holding(box: Box) -> Path:
    """Run a program that uses memory which cannot be swapped out; return its cgroup."""
    for kind in ("bounding", "effective", "permitted"):
        box.config["process"]["capabilities"][kind].append("CAP_IPC_LOCK")
    box.resources(memory={"limit": 64 * MIB}).process(args=["/bin/probe", "hold", str(HELD)])
    log = box.bundle / "stdout.log"
    with log.open("wb") as out:
        box.create_into(out).succeeded()
    box.start().succeeded()
    box.until(lambda: "ready" in log.read_text(), "the program does not hold its memory")
    return cgroup_of(box.state()["pid"], "memory")


def limit_in(folder: Path) -> int:
    """The memory limit of a cgroup, in bytes."""
    files = (folder / "memory.limit_in_bytes", folder / "memory.max")
    return int(next(file for file in files if file.exists()).read_text())


@case(100, needs="cgroup-memory")
def limit_below_the_usage_is_refused(box: Box) -> None:
    """With checkBeforeUpdate a limit below what is used is an error: nothing is killed, and the old limit holds."""
    folder = holding(box)
    resources = {"memory": {"limit": HELD // 2 * MIB, "checkBeforeUpdate": True}}
    box.call("update", "--resources", "-", box.id, stdin=json.dumps(resources).encode()).failed()
    equal(box.status(), "running", "status")
    equal(limit_in(folder), 64 * MIB, "the limit")


@case(100, needs="cgroup-memory")
def limit_above_the_usage_is_set(box: Box) -> None:
    """With checkBeforeUpdate a limit above what is used is set."""
    folder = holding(box)
    resources = {"memory": {"limit": 2 * HELD * MIB, "checkBeforeUpdate": True}}
    box.call("update", "--resources", "-", box.id, stdin=json.dumps(resources).encode()).succeeded()
    equal(limit_in(folder), 2 * HELD * MIB, "the limit")


@case(101, needs="cgroup-cpu", justified="config-linux.md, cpu: burst, since 1.1; runc 1.1 and crun 1.8 do not know it")
def burst(box: Box) -> None:
    """Burst is what may be saved for later, in the container's cgroup."""
    folder = running_in(box.resources(cpu={"quota": 40000, "period": 100000, "burst": 30000}), "cpu")
    files = (folder / "cpu.cfs_burst_us", folder / "cpu.max.burst")
    equal([file.read_text().strip() for file in files if file.exists()], ["30000"], "the burst")


@case(101, needs="cgroup-cpu", justified="config-linux.md, cpu: burst cannot be larger than any positive quota")
def burst_above_the_quota_is_an_error(box: Box) -> None:
    """A burst that is larger than the quota is an error, and leaves nothing."""
    box.resources(cpu={"quota": 40000, "period": 100000, "burst": 50000}).create().failed()
    equal(box.left_behind(), [], "what is left")


@case(104, needs=("cgroup-blkio", "disk"))
def throttles(box: Box) -> None:
    """Each of the four throttles is written for its device."""
    number = needs.disk()
    major, minor = map(int, number.split(":"))
    rates = {name: 1000000 + place for place, name in enumerate(THROTTLES)}
    box.resources(blockIO={name: [{"major": major, "minor": minor, "rate": rate}] for name, rate in rates.items()})
    folder = running_in(box, "blkio")
    for name, (v1, v2) in THROTTLES.items():
        file = folder / f"blkio.throttle.{v1}_device"
        if file.exists():
            equal(file.read_text().split(), [number, str(rates[name])], file.name)
        else:
            fields = (folder / "io.max").read_text().split()
            check(fields[:1] == [number] and f"{v2}={rates[name]}" in fields, f"io.max is {' '.join(fields)}")


@case(104, needs="cgroup-blkio")
def throttle_of_no_device_is_an_error(box: Box) -> None:
    """A throttle for a device that is not there cannot be applied: an error."""
    box.resources(blockIO={"throttleReadBpsDevice": [{"major": 4000, "minor": 7, "rate": 1000}]}).create().failed()
    equal(box.left_behind(), [], "what is left")


@case(105, level="SHOULD", needs="cgroup-hugetlb", justified="runc 1.1.15 passes, where all controllers are on v2")
def huge_pages_are_counted_when_reserved(box: Box) -> None:
    """A limit of huge pages is for reservations where the kernel counts those, and for use in any case."""
    sizes = [name.removeprefix("hugepages-") for name in _names("/sys/kernel/mm/hugepages")]
    page = next(name for name in ("2MB", "32MB", "64KB", "1GB") if f"{_kib(name)}kB" in sizes)
    limit = 4 * _kib(page) * 1024
    folder = running_in(box.resources(hugepageLimits=[{"pageSize": page, "limit": limit}]), "hugetlb")
    reserved = [folder / f"hugetlb.{page}.rsvd.{word}" for word in ("limit_in_bytes", "max")]
    used = [folder / f"hugetlb.{page}.{word}" for word in ("limit_in_bytes", "max")]
    seen = {file.name: file.read_text().strip() for file in reserved if file.exists()}
    seen = seen or {file.name: file.read_text().strip() for file in used if file.exists()}
    check(seen, f"{folder} has no limit of huge pages")
    check(set(seen.values()) == {str(limit)}, f"{seen}, not {limit}")


def _names(folder: str) -> list[str]:
    return [entry.name for entry in Path(folder).iterdir()]


def _kib(size: str) -> int:
    return int(size[:-2]) * {"KB": 1, "MB": 1024, "GB": 1024 * 1024}[size[-2:]]
