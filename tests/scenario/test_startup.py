"""What create and run really load, lazy imports included; what the others load is seen without root in tests/house."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.house.modules import heavy, modules_loaded
from tests.scenario.profiles import engine_profile

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle

# In the same process: sealed, it would be another python that we cannot ask. The launcher needs no second one.
IN_THIS_PROCESS = """
import pyrunc.sealing
pyrunc.sealing.ensure = lambda words: None
from pyrunc.cli import main
assert main({words}) == 0
"""


@pytest.fixture(autouse=True)
def only_our_own(runtime_name: str) -> None:
    if runtime_name != "pyrunc":
        pytest.skip("looks at the modules of this checkout")


def loaded(bundle: Bundle, *commands: str) -> frozenset[str]:
    """Run commands on the bundle one after the other, in one interpreter."""
    bundle.save()
    actions = [IN_THIS_PROCESS.format(words=json.dumps(bundle.command(command)[1:])) for command in commands]
    return modules_loaded("".join(actions))


@pytest.mark.parametrize("command", ["create", "run"])
def test_plain_container(bundle: Bundle, command: str) -> None:
    assert heavy(loaded(bundle, command)) == set()


def test_whole_life(bundle: Bundle) -> None:
    bundle.process(args=["/bin/probe", "sleep"])
    assert heavy(loaded(bundle, "create", "start", "state", "kill")) == set()


def test_container_with_much_to_do(bundle: Bundle) -> None:
    bundle.mkdir("/data").hook("createRuntime", "/bin/true").hook("poststop", "/bin/true").mount(
        "/data", "tmpfs", "tmpfs", ["tmpcopyup"]
    )
    bundle.resources(memory={"limit": 64 << 20}).linux(seccomp=engine_profile(), sysctl={"net.ipv4.ip_forward": "1"})
    whole = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    bundle.namespace("user").linux(uidMappings=whole, gidMappings=whole)
    assert heavy(loaded(bundle, "run")) == set()
