"""events: statistics in the shape that runc's callers read, and a notice when memory ran out."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.lanes import SLOWNESS
from tests.scenario import host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenario.bundle import Bundle

MIB = 1 << 20
MEMBERS = {"cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"}
MEMORY = {"usage", "swap", "kernel", "kernelTCP", "raw"}


def sleeping(bundle: Bundle, **limits: dict[str, Any]) -> Bundle:
    bundle.resources(**limits)
    return bundle.process(args=["sleep", "100"]).create().start()


def stats(bundle: Bundle) -> dict[str, Any]:
    event = bundle.attempt("events", "--stats").ok().json()
    assert (event["type"], event["id"]) == ("stats", bundle.id)
    data: dict[str, Any] = event["data"]
    return data


def kernels(bundle: Bundle, controller: str, v1: str, v2: str) -> str:
    """What a cgroup file of the container says, by its name in either version."""
    places = host.hierarchies()
    place, file = (places[controller], v1) if controller in places else (places["cgroup2"], v2)
    return Path(place, bundle.token, file).read_text().strip()


def is_v1(controller: str) -> bool:
    return controller in host.hierarchies()


@pytest.fixture
def on_disk() -> Iterator[Path]:
    """A directory next to the root: /tmp, where bundles are, may be in memory."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


# --stats


@pytest.mark.vm
def test_members_are_those_of_runc(bundle: Bundle) -> None:
    found = stats(sleeping(bundle))
    assert set(found) == MEMBERS
    assert set(found["memory"]) - {"cache", "psi"} == MEMORY
    assert {"kernel", "user"} <= set(found["cpu"]["usage"])
    assert set(found["cpu"]) - {"psi"} == {"usage", "throttling"}
    assert found["cpuset"].keys() >= {"cpu_exclusive", "sched_load_balance", "sched_relax_domain_level"}


def test_it_is_one_line_of_json(bundle: Bundle) -> None:
    said = sleeping(bundle).attempt("events", "--stats").ok().stdout
    assert said.count("\n") == 1
    assert said.endswith("\n")


@pytest.mark.vm
def test_memory(bundle: Bundle) -> None:
    found = stats(sleeping(bundle, memory={"limit": 64 * MIB}))["memory"]
    assert found["usage"]["limit"] == 64 * MIB
    assert 0 < found["usage"]["usage"] < 64 * MIB
    assert found["usage"]["failcnt"] == 0
    assert found["swap"]["usage"] >= found["usage"]["usage"] // 2
    known = dict(line.split() for line in kernels(bundle, "memory", "memory.stat", "memory.stat").splitlines())
    assert set(found["raw"]) == set(known)
    assert found["raw"]["pgfault"] > 0
    assert found.get("cache", 0) == found["raw"]["cache" if is_v1("memory") else "file"]


def test_unlimited_memory_is_a_number_that_no_machine_has(bundle: Bundle) -> None:
    assert stats(sleeping(bundle))["memory"]["usage"]["limit"] > 1 << 60


def test_pids(bundle: Bundle) -> None:
    bundle.resources(pids={"limit": 17}).process(args=["sh", "-c", "sleep 100 & sleep 100 & wait"]).create().start()
    assert host.eventually(lambda: stats(bundle)["pids"] == {"current": 3, "limit": 17})


def test_no_limit_of_pids_is_left_out(bundle: Bundle) -> None:
    assert stats(sleeping(bundle))["pids"] == {"current": 1}


@pytest.mark.vm
def test_cpu_time_grows_in_nanoseconds(bundle: Bundle) -> None:
    bundle.process(args=["sh", "-c", "while true; do :; done"]).create().start()
    before = stats(bundle)["cpu"]["usage"]
    began = time.monotonic()
    time.sleep(1)
    after = stats(bundle)["cpu"]["usage"]
    # From before the first to after the last look, all of it one cpu at the most.
    assert 0 < after["total"] - before["total"] <= (time.monotonic() - began + 1 * SLOWNESS) * 1e9
    assert after["user"] + after["kernel"] > before["user"] + before["kernel"]
    if is_v1("cpuacct"):
        assert sum(after["percpu"]) == pytest.approx(after["total"], rel=0.2)
        assert len(after["percpu"]) == len(after["percpu_user"]) == len(after["percpu_kernel"])


def test_throttling(bundle: Bundle) -> None:
    bundle.resources(cpu={"quota": 10000, "period": 100000})
    bundle.process(args=["sh", "-c", "while true; do :; done"]).create().start()
    assert host.eventually(lambda: stats(bundle)["cpu"]["throttling"].get("throttledTime", 0) > 1_000_000)
    found = stats(bundle)["cpu"]["throttling"]
    assert found["periods"] >= found["throttledPeriods"] > 0


def test_cpuset(bundle: Bundle) -> None:
    found = stats(sleeping(bundle, cpu={"cpus": "0", "mems": "0"}))["cpuset"]
    if is_v1("cpuset"):
        assert (found["cpus"], found["mems"]) == ([0], [0])
        assert found["sched_relax_domain_level"] == -1
    else:
        assert "cpus" not in found


@pytest.mark.vm
@pytest.mark.requires("disk")
def test_blocks_written(bundle: Bundle, on_disk: Path) -> None:
    script = "dd if=/dev/zero of=/mnt/file bs=65536 count=16 conv=fsync 2>/dev/null; exec sleep 100"
    bundle.mount("/mnt", "bind", str(on_disk), ["rbind"]).process(args=["sh", "-c", script]).create().start()

    def written() -> int:
        entries = stats(bundle)["blkio"].get("ioServiceBytesRecursive", [])
        return sum(entry.get("value", 0) for entry in entries if entry.get("op") == "Write")

    assert host.eventually(lambda: written() > 0)
    for entry in stats(bundle)["blkio"].get("ioServicedRecursive", []):
        assert set(entry) <= {"major", "minor", "op", "value"}


@pytest.mark.requires("cgroup2")
@pytest.mark.differs_from_runc("pressure is newer than runc 1.1")
def test_pressure(bundle: Bundle) -> None:
    found = stats(sleeping(bundle))
    for resource, file in (("cpu", "cpu"), ("memory", "memory"), ("blkio", "io")):
        psi = found[resource]["psi"]
        assert set(psi) == {"some", "full"}
        assert set(psi["some"]) == {"avg10", "avg60", "avg300", "total"}
        assert psi["some"]["total"] <= int(kernels(bundle, file, "", f"{file}.pressure").split("total=")[1].split()[0])


@pytest.mark.differs_from_runc("counts only interfaces that libcontainer itself has made")
def test_interfaces_of_the_containers_network(bundle: Bundle) -> None:
    bundle.process(args=["sh", "-c", "ifconfig lo up && sleep 100"]).capabilities("CAP_NET_ADMIN")
    bundle.create().start()
    (lo,) = stats(bundle)["network_interfaces"]
    assert lo["Name"] == "lo"
    assert set(lo) == {
        "Name",
        *(f"{way}{what}" for way in ("Rx", "Tx") for what in ("Bytes", "Packets", "Errors", "Dropped")),
    }
    # One packet of eight bytes, besides 28 of headers, to a port where nobody listens: and back comes the ICMP.
    inside = ["nsenter", f"--net=/proc/{bundle.pid}/ns/net"]
    send = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'8 bytes.', ('127.0.0.1', 9))"
    subprocess.run([*inside, "/usr/bin/env", "python3", "-c", send], check=True)
    (lo,) = stats(bundle)["network_interfaces"]
    assert lo["TxBytes"] == lo["RxBytes"] >= 36
    assert lo["TxPackets"] == lo["RxPackets"] >= 1


def test_interfaces_of_the_host_are_not_the_containers(bundle: Bundle) -> None:
    namespaces = [each for each in bundle.config["linux"]["namespaces"] if each["type"] != "network"]
    assert stats(sleeping(bundle.linux(namespaces=namespaces)))["network_interfaces"] is None


def test_created_and_paused_containers_have_statistics(bundle: Bundle) -> None:
    bundle.process(args=["sleep", "100"]).create()
    assert stats(bundle)["pids"]["current"] >= 1
    bundle.start().attempt("pause").ok()
    assert set(stats(bundle)) == MEMBERS


def test_a_stopped_container_has_none(bundle: Bundle) -> None:
    pid = sleeping(bundle).pid
    bundle.kill("KILL")
    bundle.wait(pid)
    for flags in (["--stats"], []):
        refused = bundle.attempt("events", *flags)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "not running" in refused.stderr


def test_a_container_that_is_not_there_is_an_error(bundle: Bundle) -> None:
    assert "does not exist" in bundle.attempt("events").stderr


@pytest.mark.parametrize("interval", ["0s", "soon", "-1s"])
def test_intervals_that_are_none(bundle: Bundle, interval: str) -> None:
    refused = sleeping(bundle).attempt("events", f"--interval={interval}")
    assert refused.returncode == 1
    assert "interval" in refused.stderr


# as it happens


@contextlib.contextmanager
def listening(bundle: Bundle, *flags: str) -> Iterator[subprocess.Popen[str]]:
    """`events`, running; its lines are read from stdout."""
    command = bundle.command("events", *flags)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=bundle.environment()) as events:
        try:
            yield events
        finally:
            events.kill()


def lines(events: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """All of them, once it has ended by itself."""
    said, _ = events.communicate(timeout=30 * SLOWNESS)
    return [json.loads(line) for line in said.splitlines()]


def test_statistics_come_at_intervals_until_the_container_ends(bundle: Bundle) -> None:
    pid = sleeping(bundle).pid
    with listening(bundle, "--interval", "200ms") as events:
        assert events.stdout is not None
        first = [json.loads(events.stdout.readline()) for _ in range(3)]
        bundle.kill("KILL")
        bundle.wait(pid)
        bundle.delete()
        rest = lines(events)
    assert events.returncode == 0
    assert {event["type"] for event in first + rest} == {"stats"}
    assert set(first[0]["data"]) == MEMBERS


def test_events_end_with_the_container_before_the_first_interval(bundle: Bundle) -> None:
    pid = sleeping(bundle).pid
    with listening(bundle, "--interval", "1h") as events:
        time.sleep(0.5 * SLOWNESS)
        bundle.kill("KILL")
        bundle.wait(pid)
        bundle.delete()
        assert lines(events) == []
    assert events.returncode == 0


def await_listener(pid: int) -> None:
    """Wait until `events` has what the kernel will tell it by."""

    def waits() -> bool:
        links = []
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                links.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        return any(name in link for link in links for name in ("eventfd", "inotify", "memory.events"))

    assert host.eventually(waits)
    time.sleep(0.3)


@pytest.mark.vm
def test_memory_that_ran_out_is_told(bundle: Bundle) -> None:
    """The init lives on: only what it has started is killed."""
    script = "read line </tmp/go; /bin/probe memory 64; exec sleep 100"
    bundle.resources(memory={"limit": 16 * MIB, "swap": 16 * MIB})
    (bundle.rootfs / "tmp/go").unlink(missing_ok=True)
    bundle.process(args=["sh", "-c", f"mkfifo /tmp/go; {script}"]).create().start()
    go = bundle.rootfs / "tmp/go"
    assert host.eventually(go.exists)
    with listening(bundle, "--interval", "1h") as events:
        assert events.stdout is not None
        await_listener(events.pid)
        go.write_text("go\n")
        assert json.loads(events.stdout.readline()) == {"type": "oom", "id": bundle.id}
        events.terminate()
    assert bundle.status == "running"


@pytest.mark.vm
def test_memory_that_ran_out_for_the_init_is_told(bundle: Bundle) -> None:
    script = "mkfifo /tmp/go; read line </tmp/go; exec /bin/probe memory 64"
    bundle.resources(memory={"limit": 16 * MIB, "swap": 16 * MIB}).process(args=["sh", "-c", script])
    pid = bundle.create().start().pid
    go = bundle.rootfs / "tmp/go"
    assert host.eventually(go.exists)
    with listening(bundle, "--interval", "1h") as events:
        await_listener(events.pid)
        go.write_text("go\n")
        assert bundle.wait(pid) == 137
        bundle.delete()
        said = lines(events)
    assert {"type": "oom", "id": bundle.id} in said
    assert {event["type"] for event in said} == {"oom"}


@pytest.mark.differs_from_runc("is killed by SIGPIPE")
def test_whoever_stops_listening_is_no_error(bundle: Bundle) -> None:
    sleeping(bundle)
    command = bundle.command("events", "--interval", "100ms")
    events = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=bundle.environment()
    )
    assert events.stdout is not None
    events.stdout.readline()
    events.stdout.close()
    _, said = events.communicate(timeout=30 * SLOWNESS)
    assert (events.returncode, said) == (0, "")
