"""linux.namespaces: new, joined by path, inherited."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scenario.host import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenario.bundle import Bundle

PROC_NAMES = {"pid": "pid", "network": "net", "mount": "mnt", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup"}


def own_namespace(kind: str) -> str:
    return os.readlink(f"/proc/self/ns/{PROC_NAMES[kind]}")


@contextmanager
def holder(bundle: Bundle, *flags: str) -> Iterator[int]:
    """A process in namespaces of its own, for containers to join; yields its pid."""
    ready = bundle.dir / "holder"
    command = ["unshare", *flags, "sh", "-c", f"echo > {ready}; exec sleep 60"]
    with subprocess.Popen(command, env=bundle.environment()) as process:
        try:
            assert eventually(ready.exists)
            yield process.pid
        finally:
            process.kill()


@pytest.mark.parametrize("kind", ["pid", "network", "mount", "ipc", "uts", "cgroup"])
def test_new_namespace(bundle: Bundle, kind: str) -> None:
    assert bundle.namespace(kind).probe("self")["ns"][PROC_NAMES[kind]] != own_namespace(kind)


@pytest.mark.parametrize("kind", ["pid", "network", "ipc", "uts", "cgroup"])
def test_namespace_that_is_not_listed_is_inherited(bundle: Bundle, kind: str) -> None:
    assert bundle.without_namespace(kind).probe("self")["ns"][PROC_NAMES[kind]] == own_namespace(kind)


@pytest.mark.differs_from_runc("wants a /proc in the rootfs, and leaves its bind of the rootfs mounted")
def test_inherited_mount_namespace(bundle: Bundle) -> None:
    """Without mounts of its own such a container is a chroot. The namespace is not the host's: a mistake
    could be costly.
    """
    with holder(bundle, "--mount") as pid:
        mountinfo = Path(f"/proc/{pid}/mountinfo")
        before = mountinfo.read_text()
        bundle.without_namespace("mount").set(mounts=[])
        wrap = ["nsenter", "--mount", f"--target={pid}"]
        result = bundle.run("sh", "-c", "echo in $(pwd); ls /bin/probe", wrap=wrap)
        assert mountinfo.read_text() == before
    assert result.ok().stdout == "in /\n/bin/probe\n"


@pytest.mark.parametrize(
    ("kind", "flag"), [("network", "--net"), ("ipc", "--ipc"), ("uts", "--uts"), ("cgroup", "--cgroup")]
)
def test_namespace_joined_by_path(bundle: Bundle, kind: str, flag: str) -> None:
    with holder(bundle, flag) as pid:
        path = f"/proc/{pid}/ns/{PROC_NAMES[kind]}"
        assert bundle.namespace(kind, path).probe("self")["ns"][PROC_NAMES[kind]] == os.readlink(path)


def test_joined_pid_namespace(bundle: Bundle) -> None:
    """The forking unshare stays outside; its child is pid 1 there and the container's init another process
    of it.
    """
    with holder(bundle, "--pid", "--fork", "--kill-child") as pid:
        path = f"/proc/{pid}/ns/pid_for_children"
        said = bundle.namespace("pid", path).probe("self")
        assert said["ns"]["pid"] == os.readlink(path)
        assert said["pid"] > 1


def test_joined_namespaces_of_another_container(bundle: Bundle) -> None:
    """A pod: the second container shares network, ipc and uts with the first."""
    pid = bundle.process(args=["/bin/probe", "sleep"]).set(hostname="pod").create().start().pid
    first = bundle.id
    bundle.id += "-second"
    del bundle.config["hostname"]
    for kind in ("network", "ipc", "uts"):
        bundle.namespace(kind, f"/proc/{pid}/ns/{PROC_NAMES[kind]}")
    bundle.linux(cgroupsPath=f"/{bundle.id}")
    assert bundle.run("hostname").ok().stdout == "pod\n"
    bundle.id = first


@pytest.mark.parametrize(
    ("kind", "other"), [("network", "uts"), ("ipc", "net"), ("uts", "ipc"), ("pid", "mnt"), ("cgroup", "uts")]
)
def test_namespace_of_the_wrong_type_is_refused(bundle: Bundle, kind: str, other: str) -> None:
    with holder(bundle, "--net", "--ipc", "--uts", "--mount") as pid:
        assert bundle.namespace(kind, f"/proc/{pid}/ns/{other}").run("true").returncode == 1


@pytest.mark.parametrize("path", ["/etc/passwd", "/no/such/file", "proc/self/ns/net", "/proc/self/ns"])
def test_path_that_is_no_namespace_is_refused(bundle: Bundle, path: str) -> None:
    assert bundle.namespace("network", path).run("true").returncode == 1


def test_hostname(bundle: Bundle) -> None:
    before = os.uname().nodename
    assert bundle.set(hostname="inside").run("hostname").ok().stdout == "inside\n"
    assert os.uname().nodename == before


@pytest.mark.differs_from_runc("domainname is newer than runc 1.1.5")
def test_domainname(bundle: Bundle) -> None:
    before = Path("/proc/sys/kernel/domainname").read_text()
    said = bundle.set(domainname="inside.example").run("cat", "/proc/sys/kernel/domainname").ok().stdout
    assert said == "inside.example\n"
    assert Path("/proc/sys/kernel/domainname").read_text() == before


def test_loopback_is_up_in_a_new_network_namespace(bundle: Bundle) -> None:
    said = bundle.run("ip", "address", "show", "lo").ok().stdout
    assert ",UP" in said
    assert "inet 127.0.0.1/8" in said


def test_loopback_of_a_joined_network_namespace_is_left_alone(bundle: Bundle) -> None:
    with holder(bundle, "--net") as pid:
        said = bundle.namespace("network", f"/proc/{pid}/ns/net").run("ip", "link", "show", "lo").ok().stdout
    assert ",UP" not in said


def test_init_is_pid_1_of_its_own_namespace(bundle: Bundle) -> None:
    said = bundle.probe("self")
    assert (said["pid"], said["ppid"]) == (1, 0)


def test_cgroup_namespace_hides_the_path(bundle: Bundle) -> None:
    said = bundle.namespace("cgroup").run("cat", "/proc/self/cgroup").ok().stdout
    assert bundle.token not in said
    assert all(line.endswith(":/") for line in said.splitlines() if not line.startswith("0::"))


@pytest.mark.requires("timens")
@pytest.mark.differs_from_runc("time namespaces are newer than runc 1.1.5")
def test_time_namespace_with_offsets(bundle: Bundle) -> None:
    offsets = {"monotonic": {"secs": 86400, "nanosecs": 0}, "boottime": {"secs": 7200, "nanosecs": 5}}
    said = bundle.namespace("time").linux(timeOffsets=offsets).probe("clocks")
    here = subprocess.run([bundle.template.probe, "clocks"], capture_output=True, text=True, check=True).stdout
    monotonic = int(here.split(":")[1].split(",")[0])
    assert 86400 <= said["monotonic"] - monotonic + 1 < 86410
    assert 7200 <= said["boottime"] - monotonic + 1 < 7210


@pytest.mark.requires("timens")
@pytest.mark.differs_from_runc("time namespaces are newer than runc 1.1.5")
def test_unknown_clock_is_refused(bundle: Bundle) -> None:
    bundle.namespace("time").linux(timeOffsets={"monotonic": {"secs": 1}}).run("true").ok()
    assert bundle.linux(timeOffsets={"realtime": {"secs": 1}}).run("true").returncode == 1
