"""bridge: who can talk to whom. The host's part is played by a network namespace of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.bundles.built import Built, paragraphs
from tests.scenario import host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bundles.conftest import Builder
    from tests.scenario.bundle import Result

pytestmark = pytest.mark.requires("root", "busybox", "veth", "nftables")

TABLES = """
from pyroute2.nftables.main import NFTables
with NFTables(nfgen_family=2) as firewall:
    print(*(table.get_attr("NFTA_TABLE_NAME") for table in firewall.get_tables()))
"""


class Town:
    """A host, as far as its network is concerned, with the containers of the bundle."""

    def __init__(self, box: Built, pid: int) -> None:
        self.box = box
        self.enter = ["nsenter", f"--net=/proc/{pid}/ns/net"]
        self.script("ip link set lo up")

    def script(self, text: str) -> str:
        """Run a few words of shell on the host."""
        return self.box.execute(*self.enter, "sh", "-c", text).ok().stdout

    def pyrunc(self, command: str, name: str, *more: str) -> Result:
        where = ["--bundle", str(self.box.dir / name)] if command in ("create", "run") else []
        words = [self.box.runtime, "--root", str(self.box.root), command, *where, self.box.id(name), *more]
        return self.box.execute(*self.enter, *words).ok()

    def open(self, name: str) -> None:
        self.pyrunc("create", name)
        self.pyrunc("start", name)

    def close(self, name: str) -> None:
        self.pyrunc("kill", name, "KILL")
        assert host.eventually(lambda: self.box.state(name)["status"] == "stopped", 20)
        self.pyrunc("delete", name)

    def look(self, name: str) -> dict[str, str]:
        return paragraphs(self.pyrunc("run", name).stdout)

    def traces(self) -> list[str]:
        """What is on the host of interfaces, tables, and forwarding."""
        tables = self.box.execute(*self.enter, sys.executable, "-c", TABLES)
        forward = self.script("cat /proc/sys/net/ipv4/ip_forward")
        links = self.script("ip -o link")
        names = [line.split(": ")[1].partition("@")[0] for line in links.splitlines()]
        return [*names, *tables.ok().stdout.split(), forward.strip()]


@pytest.fixture(scope="module")
def town(built: Builder) -> Iterator[Town]:
    sleeper = subprocess.Popen(["unshare", "--net", "sleep", "1000"])
    ours = os.readlink("/proc/self/ns/net")
    assert host.eventually(lambda: os.readlink(f"/proc/{sleeper.pid}/ns/net") != ours)
    found = Town(built("bridge"), sleeper.pid)
    before = found.traces()
    assert before == ["lo", "0"]
    for name in ("outside", "two"):
        found.open(name)
    yield found
    for name in ("two", "outside"):
        found.close(name)
    after = found.traces()
    sleeper.kill()
    sleeper.wait()
    assert after == before, "the last container takes everything along"


@pytest.fixture(scope="module")
def one(town: Town) -> dict[str, str]:
    return town.look("one")


def test_the_bridge_is_there_with_the_firewall_and_forwarding(town: Town) -> None:
    traces = town.traces()
    assert traces.count("pyrunc0") == 2  # the interface and the table
    assert len([name for name in traces if name.startswith("veth")]) == 2
    assert traces[-1] == "1"


def test_it_has_an_address_and_a_default_route(one: dict[str, str]) -> None:
    assert one["interfaces"].split() == ["eth0", "lo"]
    assert one["addresses"].splitlines() == ["lo 127.0.0.1/8", "eth0 10.88.77.2/24"]
    assert one["routes"].splitlines()[0].split()[:5] == ["default", "via", "10.88.77.1", "dev", "eth0"]


def test_lo_works(one: dict[str, str]) -> None:
    assert one["lo"] == "127.0.0.1 answers"


def test_to_the_host(one: dict[str, str]) -> None:
    assert one["the host"] == "10.88.77.1 answers"


def test_to_the_other_container_by_its_own_address(one: dict[str, str]) -> None:
    answer, asked = one["the container two"].splitlines()
    assert answer == "10.88.77.3 answers"
    assert asked.removesuffix("]").endswith("10.88.77.2")
    assert asked.startswith("two was asked by")


def test_to_the_outside_by_the_hosts_address(one: dict[str, str]) -> None:
    answer, asked = one["the outside world"].splitlines()
    assert answer == "203.0.113.2 answers"
    assert asked.removesuffix("]").endswith("203.0.113.1")


def test_the_outside_knows_no_way_in(town: Town) -> None:
    """So an answer can only come because of masquerading."""
    routes = town.box.exec("outside", "ip", "route").ok().stdout
    assert "default" not in routes
    assert "10.88" not in routes


def test_without_masquerading_nothing_comes_back(town: Town) -> None:
    """Asked from the bridge's subnet by a table that is emptied for a moment, as nft(8) would."""
    remove = (
        "import sys; from pyroute2.nftables.main import NFTables\n"
        "with NFTables(nfgen_family=2) as f: f.begin(); f.table('del', name='pyrunc0'); f.commit()"
    )
    add = (
        "import runpy; m = runpy.run_path('network.py'); from pyroute2 import IPRoute\n"
        "with IPRoute() as n: m['masquerade'](m['index_of'](n, 'pyrunc0'))"
    )
    python = [*town.enter, sys.executable, "-c"]
    town.box.execute(*python, remove).ok()
    said = town.look("one")
    town.box.execute(*python, add, cwd=town.box.dir).ok()
    assert said["the container two"].startswith("10.88.77.3 answers")
    assert said["the outside world"].startswith("203.0.113.2 does not answer")


def test_its_cable_is_gone_with_it(town: Town, one: dict[str, str]) -> None:
    assert one
    assert len([name for name in town.traces() if name.startswith("veth")]) == 2


def test_none(town: Town) -> None:
    said = town.look("none")
    assert said["interfaces"].split() == ["lo"]
    assert said["lo"] == "127.0.0.1 answers"
    assert "does not answer (ping: sendto: Network is unreachable)" in said["the host"]


def test_host(town: Town) -> None:
    said = town.look("host")
    assert {"lo", "pyrunc0"} <= set(said["interfaces"].split())
    assert "pyrunc0 10.88.77.1/24" in said["addresses"]


@pytest.mark.differs_from_runc("does not say which kind of hook has failed")
def test_a_hook_that_fails_leaves_nothing(town: Town) -> None:
    """An address that is none: the cable is there already when it is found out."""
    before = town.traces()

    def spoil(config: dict[str, dict[str, list[dict[str, list[str]]]]]) -> None:
        config["hooks"]["createRuntime"][0]["args"][-1] = "10.88.77.300"

    town.box.change("one", spoil)
    words = ["run", "--bundle", str(town.box.dir / "one"), town.box.id("one")]
    failed = town.box.execute(*town.enter, town.box.runtime, "--root", str(town.box.root), *words)
    assert failed.returncode == 1
    assert "createRuntime" in failed.stderr
    assert host.eventually(lambda: town.traces() == before)
