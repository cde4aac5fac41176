"""update of what runc cannot change: devices, throttles, huge pages; and of containers in a scope of systemd's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario import host
from tests.scenario.cgroupfs import is_v1
from tests.scenario.limits import (
    MIB,
    change,
    change_by_json,
    cpu_limit,
    everything,
    file,
    sleeping,
    value,
)

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle

KMSG = {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}
NONE = {"allow": False, "access": "rwm"}


def reads(bundle: Bundle, device: str) -> bool:
    """Whether a container that tries all the time to open /dev/<device> could do so just now."""
    seen = len(bundle.output())
    assert host.eventually(lambda: len(bundle.output()) > seen + 20)
    return f"{device} yes" in bundle.output()[seen + 10 :]


def opening(bundle: Bundle, device: str, major: int, minor: int) -> Bundle:
    """A running container that tries to open a device and /dev/null, and says each time whether it could."""
    null = "true </dev/null || echo NO-NULL"
    one = f"if true </dev/{device}; then echo {device} yes; else echo {device} no; fi"
    bundle.linux(devices=[{"path": f"/dev/{device}", "type": "c", "major": major, "minor": minor, "fileMode": 0o666}])
    bundle.resources(devices=[NONE]).capabilities("CAP_SYSLOG")
    bundle.process(args=["sh", "-c", f"while true; do {null}; {one}; done 2>/tmp/errors"])
    return bundle.create().start()


@pytest.mark.vm
@pytest.mark.differs_from_runc("cannot change devices")
def test_devices_are_allowed_and_denied_while_it_runs(bundle: Bundle) -> None:
    """And at no moment is one denied that is allowed before and after."""
    opening(bundle, "kmsg", 1, 11)
    assert not reads(bundle, "kmsg")
    for rules, expected in (([NONE, KMSG], True), ([NONE], False), ([NONE, KMSG], True)):
        change_by_json(bundle, devices=rules).ok()
        assert reads(bundle, "kmsg") == expected
    assert "NO-NULL" not in bundle.output()


def test_devices_of_a_change_that_fails_are_not_changed(bundle: Bundle) -> None:
    opening(bundle, "kmsg", 1, 11)
    assert change_by_json(bundle, devices=[NONE, KMSG], cpu={"cpus": "4000"}).returncode == 1
    assert not reads(bundle, "kmsg")


@pytest.mark.requires("cgroup1-devices")
def test_devices_that_others_allowed_stay(bundle: Bundle) -> None:
    """containerd says all rules of a container with each change of a limit; a GPU's hook has added some of its own."""
    sleeping(bundle, devices=[NONE, KMSG])
    (file(bundle, "devices.allow")).write_text("c 195:0 rw")
    change_by_json(bundle, devices=[NONE, KMSG], pids={"limit": 9}).ok()
    assert "c 195:0 rw" in value(bundle, "devices.list")


@pytest.mark.differs_from_runc("cannot change devices")
@pytest.mark.requires("cgroup1-devices")
def test_devices_that_others_allowed_survive_a_change_of_rules(bundle: Bundle) -> None:
    sleeping(bundle, devices=[NONE])
    (file(bundle, "devices.allow")).write_text("c 195:0 rw")
    change_by_json(bundle, devices=[NONE, KMSG]).ok()
    assert "c 1:11 r" in value(bundle, "devices.list")
    change_by_json(bundle, devices=[NONE]).ok()
    assert "c 195:0 rw" in value(bundle, "devices.list")
    assert "c 1:11" not in value(bundle, "devices.list")


def disk() -> dict[str, int]:
    number = os.stat("/").st_dev
    return {"major": os.major(number), "minor": os.minor(number)}


@pytest.mark.vm
@pytest.mark.requires("disk")
@pytest.mark.differs_from_runc("changes of blockIO nothing but the weight")
def test_throttles_are_set_and_lifted(bundle: Bundle) -> None:
    sleeping(bundle)
    name = "blkio.throttle.read_bps_device" if is_v1("blkio") else "io.max"
    change_by_json(bundle, blockIO={"throttleReadBpsDevice": [{**disk(), "rate": 1048576}]}).ok()
    assert "1048576" in file(bundle, name).read_text()
    refused = change_by_json(
        bundle, cpu={"cpus": "4000"}, blockIO={"throttleReadBpsDevice": [{**disk(), "rate": 4096}]}
    )
    assert refused.returncode == 1
    assert "1048576" in file(bundle, name).read_text()
    change_by_json(bundle, blockIO={"throttleReadBpsDevice": [{**disk(), "rate": 0}]}).ok()
    assert "1048576" not in file(bundle, name).read_text()


@pytest.mark.requires("cgroup2-hugetlb")
@pytest.mark.differs_from_runc("cannot change huge pages")
def test_huge_pages(bundle: Bundle) -> None:
    limit = [{"pageSize": "2MB", "limit": 4 * MIB}]
    sleeping(bundle, hugepageLimits=limit)
    place = Path(host.hierarchies()["cgroup2"], bundle.token)
    change_by_json(bundle, hugepageLimits=[{**limit[0], "limit": 8 * MIB}]).ok()
    assert (place / "hugetlb.2MB.max").read_text().strip() == str(8 * MIB)
    assert (place / "hugetlb.2MB.rsvd.max").read_text().strip() == str(8 * MIB)
    bad = {"pageSize": "3MB", "limit": 0}
    assert change_by_json(bundle, hugepageLimits=[limit[0], bad]).returncode == 1
    assert (place / "hugetlb.2MB.max").read_text().strip() == str(8 * MIB)


@pytest.mark.requires("cgroup2")
def test_unified(bundle: Bundle) -> None:
    sleeping(bundle)
    change_by_json(bundle, unified={"memory.high": "50331648", "pids.max": "21"}).ok()
    assert file(bundle, "memory.high").read_text().strip() == "50331648"
    assert value(bundle, "pids.max") == "21"


@pytest.mark.differs_from_runc("takes for granted what it cannot change")
def test_what_the_containers_cgroups_cannot_do_is_an_error(bundle: Bundle) -> None:
    sleeping(bundle)
    refused = change_by_json(bundle, rdma={"no_such_device0": {"hcaHandles": 1}}, pids={"limit": 5})
    assert refused.returncode == 1
    assert ".linux.resources.rdma.no_such_device0" in refused.stderr


def test_schemata_that_are_none_are_an_error_and_change_nothing(bundle: Bundle) -> None:
    """With resctrl the kernel does not take them, without it nobody does."""
    sleeping(bundle)
    refused = change(bundle, "--l3-cache-schema", "L3:nonsense", "--pids-limit", "5")
    assert refused.returncode == 1
    assert value(bundle, "pids.max") == "max"


# with the systemd driver


def scope(bundle: Bundle, **limits: Any) -> Bundle:
    """A running container in a scope of systemd's."""
    bundle.options.append("--systemd-cgroup")
    return sleeping(bundle.linux(cgroupsPath=f"system.slice:pyrunc:{bundle.token}"), **limits)


def unit(bundle: Bundle, name: str) -> str:
    """What systemd says of a property of the container's scope."""
    command = ["systemctl", "show", "--value", "--property", name, f"pyrunc-{bundle.token}.scope"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.requires("systemd", "cgroup2")
def test_systemd_is_told_and_the_files_are_exact(bundle: Bundle) -> None:
    """It rounds quotas to 10 ms a second, and writes all of a controller's files when it is told of one limit."""
    scope(bundle, cpu={"quota": 15500, "period": 100000}, memory={"limit": 64 * MIB}, pids={"limit": 50})
    change(bundle, "--memory", "48M", "--cpu-share", "512").ok()
    assert (value(bundle, "memory.limit_in_bytes"), unit(bundle, "MemoryMax")) == (str(48 * MIB),) * 2
    assert (value(bundle, "cpu.weight"), unit(bundle, "CPUWeight")) == ("59", "59")
    assert cpu_limit(bundle) == ("15500", "100000")
    change(bundle, "--cpu-quota", "25500").ok()
    assert cpu_limit(bundle) == ("25500", "100000")
    assert unit(bundle, "CPUQuotaPerSecUSec") == "260ms"


@pytest.mark.requires("systemd", "cgroup2")
@pytest.mark.differs_from_runc("leaves behind what it wrote before the failure")
def test_systemd_is_told_of_the_old_values_when_a_change_fails(bundle: Bundle) -> None:
    scope(bundle, cpu={"quota": 15500, "period": 100000}, memory={"limit": 64 * MIB}, pids={"limit": 50})
    before = everything(bundle)
    refused = change_by_json(
        bundle, memory={"limit": 32 * MIB}, pids={"limit": 7}, cpu={"quota": 30000}, unified={"memory.high": "much"}
    )
    assert refused.returncode == 1
    assert everything(bundle) == before
    assert (unit(bundle, "MemoryMax"), unit(bundle, "TasksMax")) == (str(64 * MIB), "50")


@pytest.mark.requires("systemd", "cgroup2")
@pytest.mark.differs_from_runc("cannot change devices")
def test_devices_in_a_scope(bundle: Bundle) -> None:
    bundle.options.append("--systemd-cgroup")
    opening(bundle.linux(cgroupsPath=f"system.slice:pyrunc:{bundle.token}"), "kmsg", 1, 11)
    assert not reads(bundle, "kmsg")
    for rules, expected in (([NONE, KMSG], True), ([NONE], False)):
        change_by_json(bundle, devices=rules).ok()
        assert reads(bundle, "kmsg") == expected
    assert "NO-NULL" not in bundle.output()
