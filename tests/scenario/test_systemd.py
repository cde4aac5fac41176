"""The systemd cgroup driver: the container is in a scope of its own, with the limits in its unit and in its files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scenario import host
from tests.scenario.test_crash import deleted_without_a_trace, kill_after, moments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.scenario.bundle import Bundle

pytestmark = [pytest.mark.requires("systemd", "cgroup2-memory", "cgroup2-pids"), pytest.mark.vm]

MIB = 1 << 20
EVERYWHERE = Path("/sys/fs/cgroup")


def systemctl(*words: str) -> str:
    """What systemctl prints, of the user's manager for an ordinary user."""
    mode = ["--user"] if os.geteuid() else []
    done = subprocess.run(["systemctl", *mode, *words], capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.strip()


def managed(bundle: Bundle) -> Bundle:
    """A bundle whose container has the scope pyrunc-TOKEN.scope in system.slice."""
    bundle.options = ["--systemd-cgroup"]
    return bundle.linux(cgroupsPath=f"system.slice:pyrunc:{bundle.token}").process(args=["sleep", "1000"])


@pytest.fixture
def scoped(bundle: Bundle) -> Iterator[Bundle]:
    """Such a bundle; no unit with its token may be left at the end."""
    yield managed(bundle)
    bundle.delete("--force")
    assert systemctl("list-units", "--all", "--no-legend", f"*{bundle.token}*") == ""


def unit(bundle: Bundle) -> str:
    return f"pyrunc-{bundle.token}.scope"


def shown(bundle: Bundle, *names: str) -> dict[str, str]:
    """Properties of the container's unit."""
    said = systemctl("show", unit(bundle), *(f"--property={name}" for name in names))
    return dict(line.partition("=")[::2] for line in said.splitlines())


def place(bundle: Bundle) -> str:
    """The cgroup that the container's process is in."""
    return Path(f"/proc/{bundle.pid}/cgroup").read_text().strip().removeprefix("0::")


def value(bundle: Bundle, file: str) -> str:
    return Path(f"{EVERYWHERE}{place(bundle)}/{file}").read_text().strip()


# the scope


def test_container_is_in_its_scope(scoped: Bundle) -> None:
    scoped.create()
    assert place(scoped) == f"/system.slice/{unit(scoped)}"
    assert shown(scoped, "ActiveState", "Delegate", "Slice") == {
        "ActiveState": "active",
        "Delegate": "yes",
        "Slice": "system.slice",
    }


@pytest.mark.differs_from_runc("takes no --cgroup-manager")
def test_driver_by_its_other_name(scoped: Bundle) -> None:
    scoped.options = ["--cgroup-manager", "systemd"]
    assert place(scoped.create()) == f"/system.slice/{unit(scoped)}"


@pytest.mark.differs_from_runc("names its scopes runc-ID.scope")
def test_default_place(scoped: Bundle) -> None:
    del scoped.config["linux"]["cgroupsPath"]
    assert place(scoped.create()) == f"/system.slice/pyrunc-{scoped.token}.scope"


def test_slice_in_a_slice(scoped: Bundle) -> None:
    top = scoped.token.replace("-", "")
    scoped.linux(cgroupsPath=f"{top}-inner.slice:pyrunc:{scoped.token}").create()
    try:
        assert place(scoped) == f"/{top}.slice/{top}-inner.slice/{unit(scoped)}"
        scoped.delete("--force")
    finally:
        systemctl("stop", f"{top}.slice")


def test_path_of_another_form_is_refused(scoped: Bundle) -> None:
    result = scoped.linux(cgroupsPath=f"/{scoped.token}").run()
    assert result.returncode == 1
    assert not host.cgroups_of(scoped.token)


def test_cgroup_namespace_begins_at_the_scope(scoped: Bundle) -> None:
    assert scoped.namespace("cgroup").run("cat", "/proc/self/cgroup").ok().stdout == "0::/\n"


def test_unit_ends_with_its_container(scoped: Bundle) -> None:
    assert scoped.run("true").returncode == 0
    assert shown(scoped, "LoadState") == {"LoadState": "not-found"}


@pytest.mark.differs_from_runc("says libcontainer container ID")
def test_unit_says_whose_it_is(scoped: Bundle) -> None:
    scoped.create()
    assert shown(scoped, "Description")["Description"] == f"pyrunc container {scoped.id} in {scoped.root}"


# limits


def test_limits_are_in_the_unit(scoped: Bundle) -> None:
    scoped.resources(
        memory={"limit": 64 * MIB, "reservation": 32 * MIB, "swap": 96 * MIB},
        cpu={"shares": 1024, "quota": 20000, "period": 50000, "cpus": "0", "mems": "0"},
        pids={"limit": 17},
    ).create()
    expected = {
        "MemoryMax": str(64 * MIB),
        "MemoryLow": str(32 * MIB),
        "MemorySwapMax": str(32 * MIB),
        "CPUQuotaPerSecUSec": "400ms",
        "CPUQuotaPeriodUSec": "50ms",
        "AllowedCPUs": "0",
        "AllowedMemoryNodes": "0",
        "TasksMax": "17",
    }
    assert shown(scoped, *expected) == expected


@pytest.mark.differs_from_runc("1.1 has another conversion of shares, and leaves systemd's rounded quota", strict=False)
def test_files_have_what_was_asked_for_not_what_systemd_rounds_it_to(scoped: Bundle) -> None:
    scoped.resources(
        memory={"limit": 64 * MIB},
        cpu={"shares": 512, "quota": 12345, "period": 50000},
        pids={"limit": 17},
        hugepageLimits=[{"pageSize": "2MB", "limit": 4 * MIB}],
        unified={"memory.high": str(48 * MIB), "cgroup.max.depth": "7"},
    ).create()
    expected = {
        "memory.max": str(64 * MIB),
        "memory.high": str(48 * MIB),
        "cpu.weight": "59",
        "cpu.max": "12345 50000",
        "pids.max": "17",
        "hugetlb.2MB.max": str(4 * MIB),
        "cgroup.max.depth": "7",
    }
    assert {file: value(scoped, file) for file in expected} == expected


def test_limits_survive_a_reload_of_systemd(scoped: Bundle) -> None:
    scoped.resources(memory={"limit": 64 * MIB}, pids={"limit": 17}).create()
    systemctl("daemon-reload")
    assert (value(scoped, "memory.max"), value(scoped, "pids.max")) == (str(64 * MIB), "17")


NOTHING = {"allow": False, "access": "rwm"}
LOOP = {"allow": True, "type": "b", "major": 7, "minor": 0, "access": "r"}


def test_devices_are_in_the_unit_and_held_back(scoped: Bundle) -> None:
    scoped.resources(devices=[NOTHING, LOOP]).capabilities("CAP_MKNOD")
    nodes = "mknod /dev/loop b 7 0; mknod /dev/other b 7 1; head -c 1 /dev/loop >/dev/null; head -c 1 /dev/other"
    script = f"{nodes}; head -c 1 /dev/zero | wc -c"
    result = scoped.run("sh", "-c", script)
    assert "/dev/other: Operation not permitted" in result.stderr
    assert "/dev/loop: Operation not permitted" not in result.stderr
    assert result.stdout.strip() == "1"
    scoped.process(args=["sleep", "1000"]).create()
    said = systemctl("show", unit(scoped), "--property=DevicePolicy", "--property=DeviceAllow").splitlines()
    assert {"DevicePolicy=strict", "DeviceAllow=/dev/block/7:0 r"} <= set(said)


@pytest.mark.differs_from_runc("1.1 writes the limit before the container is small enough")
def test_small_memory_limit(scoped: Bundle) -> None:
    """The interpreter that waits would not fit: the limit follows it."""
    scoped.resources(memory={"limit": 5_000_000, "swap": 5_000_000}).create()
    assert shown(scoped, "MemoryMax") == {"MemoryMax": "5000000"}
    assert value(scoped, "memory.max") == str(5_000_000 // 4096 * 4096)
    scoped.delete("--force")
    assert scoped.run("/bin/probe", "memory", "3").returncode == 0
    assert scoped.run("/bin/probe", "memory", "10").returncode == 137


def test_update_reaches_the_unit_and_the_files(scoped: Bundle) -> None:
    scoped.resources(memory={"limit": 64 * MIB}).create()
    scoped.attempt("update", "--memory", str(32 * MIB), "--pids-limit", "9").ok()
    assert shown(scoped, "MemoryMax", "TasksMax") == {"MemoryMax": str(32 * MIB), "TasksMax": "9"}
    assert (value(scoped, "memory.max"), value(scoped, "pids.max")) == (str(32 * MIB), "9")


# annotations


def annotated(bundle: Bundle, **properties: str) -> Bundle:
    return bundle.set(annotations={f"org.systemd.property.{name}": text for name, text in properties.items()})


def test_annotations_are_properties(scoped: Bundle) -> None:
    annotated(scoped, TimeoutStopSec="7", CollectMode="'inactive-or-failed'", CPUWeight="uint64 33").create()
    assert shown(scoped, "TimeoutStopUSec", "CollectMode", "CPUWeight") == {
        "TimeoutStopUSec": "7s",
        "CollectMode": "inactive-or-failed",
        "CPUWeight": "33",
    }


def test_annotation_that_does_not_fit_is_an_error(scoped: Bundle) -> None:
    result = annotated(scoped, TimeoutStopSec="nonsense").run()
    assert result.returncode == 1
    assert "TimeoutStopSec" in result.stderr


@pytest.mark.differs_from_runc("puts the process into the scope, and kills it with the container")
def test_annotation_cannot_take_processes_of_the_host(scoped: Bundle) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        annotated(scoped, PIDs=f"[uint32 {other.pid}]").attempt("create")
        scoped.delete("--force")
        survived = other.poll() is None
        other.kill()
    assert survived


def test_property_that_systemd_does_not_know_is_an_error(scoped: Bundle) -> None:
    result = annotated(scoped, NoSuchThing="1").run()
    assert result.returncode == 1
    assert "NoSuchThing" in result.stderr
    assert not host.leftovers(scoped.token, scoped.root)


# failures


def test_leftover_of_a_failed_scope_is_no_obstacle(scoped: Bundle) -> None:
    failing = ["systemd-run", "--scope", "-p", "RuntimeMaxSec=1s", f"--unit={unit(scoped)}", "sleep", "60"]
    subprocess.run(failing, capture_output=True, check=False, timeout=60)
    assert shown(scoped, "ActiveState") == {"ActiveState": "failed"}
    assert scoped.run("echo", "here").ok().stdout == "here\n"


@pytest.fixture
def squatter(scoped: Bundle) -> Iterator[subprocess.Popen[bytes]]:
    """Somebody else's scope of the same name, with a process in it."""
    command = ["systemd-run", "--scope", "--quiet", f"--unit={unit(scoped)}", "sleep", "60"]
    with subprocess.Popen(command) as process:
        assert host.eventually(lambda: shown(scoped, "ActiveState") == {"ActiveState": "active"})
        yield process
        process.kill()
    assert host.eventually(lambda: shown(scoped, "LoadState") == {"LoadState": "not-found"})


def test_running_unit_of_somebody_else_is_left_alone(scoped: Bundle, squatter: subprocess.Popen[bytes]) -> None:
    assert scoped.attempt("create").returncode == 1
    scoped.delete("--force")
    assert squatter.poll() is None
    assert shown(scoped, "ActiveState") == {"ActiveState": "active"}


def test_one_of_two_containers_gets_the_unit(scoped: Bundle, new_bundle: Callable[[], Bundle]) -> None:
    other = new_bundle()
    other.options = scoped.options
    other.linux(cgroupsPath=scoped.create().config["linux"]["cgroupsPath"])
    assert other.attempt("create").returncode == 1
    other.delete("--force")
    assert scoped.start().status == "running"


def test_failed_hook_leaves_no_unit(scoped: Bundle) -> None:
    scoped.hook("createRuntime", "/bin/false")
    assert scoped.attempt("create").returncode == 1
    assert shown(scoped, "LoadState") == {"LoadState": "not-found"}


def test_kill_all_of_a_scope(scoped: Bundle) -> None:
    scoped.process(args=["sh", "-c", "sleep 1000 & sleep 1000"]).create().start()
    pid = scoped.pid
    scoped.kill("--all", "KILL")
    assert scoped.wait(pid) == 137


@pytest.mark.differs_from_runc("now and then leaves a scope behind, or cannot delete what is half made", strict=False)
def test_killed_at_any_moment_it_leaves_no_unit(scoped: Bundle) -> None:
    words = scoped.save().command("create")
    for moment in list(moments(scoped, words))[5::7]:
        deleted_without_a_trace(scoped)
        kill_after(scoped, words, moment)
    deleted_without_a_trace(scoped)
    assert shown(scoped, "LoadState") == {"LoadState": "not-found"}
