"""linux.netDevices: interfaces of the host, here of a network namespace made for the test (config-linux.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle, Result

pytestmark = [pytest.mark.requires("veth"), pytest.mark.differs_from_runc("linux.netDevices is newer than 1.1.5")]

# Both ends of a pair; the other end shows that the device is up, and what became of it.
PAIR = "ip link add here0 type veth peer name peer0 && "


def run(bundle: Bundle, devices: dict[str, Any], *args: str, before: str = "", after: str = ":") -> Result:
    """Run a container from a network namespace of its own: what is moved comes from there."""
    script = f'{PAIR}{before or ":"} && "$@"; status=$?; {after}; exit $status'
    wrap = ["unshare", "-n", "sh", "-c", script, "sh"]
    bundle.linux(netDevices=devices)
    return bundle.run(*(args or ("ip", "addr")), wrap=wrap)


def test_device_is_moved_and_up(bundle: Bundle) -> None:
    said = run(bundle, {"here0": {}}, "ip", "link", "show", "here0", after="ip -o link show").ok().stdout
    inside, outside = said.split("1: lo", 1)
    assert "here0" in inside
    assert "UP" in inside.split(">")[0]
    assert "here0" not in outside.replace("@here0", "")


def test_device_gets_another_name(bundle: Bundle) -> None:
    said = run(bundle, {"here0": {"name": "eth0"}}, before="ip link set here0 mtu 1400 address 02:00:00:00:00:07").ok()
    assert "eth0" in said.stdout
    assert "here0" not in said.stdout
    assert "mtu 1400" in said.stdout
    assert "02:00:00:00:00:07" in said.stdout


def test_permanent_global_addresses_are_kept(bundle: Bundle) -> None:
    before = " && ".join(
        (
            "ip addr add 10.7.0.1/24 brd 10.7.0.255 dev here0",
            "ip addr add 10.8.0.1 peer 10.8.0.2/32 dev here0",
            "ip -6 addr add fd00::7/64 dev here0 nodad",
            "ip addr add 169.254.7.7/16 scope link dev here0",
            "ip -6 addr add fd00::8/64 dev here0 valid_lft 1000 preferred_lft 1000",
        )
    )
    said = run(bundle, {"here0": {"name": "net1"}}, before=before).ok().stdout
    assert "inet 10.7.0.1/24 brd 10.7.0.255 scope global net1" in said
    assert "inet 10.8.0.1 peer 10.8.0.2/32 scope global net1" in said
    assert "inet6 fd00::7/64 scope global" in said
    assert "169.254.7.7" not in said
    assert "fd00::8" not in said


def test_template_takes_the_first_free_number(bundle: Bundle) -> None:
    said = run(bundle, {"here0": {"name": "eth%d"}, "peer0": {"name": "eth%d"}}, "ip", "-o", "link").ok().stdout
    assert {line.split(": ")[1].split("@")[0] for line in said.splitlines()} >= {"eth0", "eth1"}


def test_name_that_is_taken_is_refused(bundle: Bundle) -> None:
    result = run(bundle, {"here0": {"name": "lo"}}, after="ip -o link show")
    assert result.returncode == 1
    assert ".linux.netDevices.here0" in result.stderr
    assert "here0" in result.stdout, "nothing may have been moved"


def test_missing_device_is_refused_before_any_is_moved(bundle: Bundle) -> None:
    result = run(bundle, {"here0": {}, "nosuch0": {}}, after="ip -o link show")
    assert result.returncode == 1
    assert ".linux.netDevices.nosuch0" in result.stderr
    assert "here0" in result.stdout


@pytest.mark.parametrize(
    "devices",
    [
        {"here0": {"name": "a/b"}},
        {"here0": {"name": "x%s"}},
        {"here0": {"name": "%d%d"}},
        {"here0": {"name": "seventeen_letters"}},
        {"here0": {"name": "a"}, "peer0": {"name": "a"}},
    ],
)
def test_impossible_name_is_refused(bundle: Bundle, devices: dict[str, Any]) -> None:
    result = run(bundle, devices)
    assert result.returncode == 1
    assert ".linux.netDevices" in result.stderr


def test_without_a_network_namespace_it_is_refused(bundle: Bundle) -> None:
    result = run(bundle.without_namespace("network"), {"here0": {}})
    assert result.returncode == 1
    assert ".linux.netDevices" in result.stderr


def test_hooks_see_the_device_inside(bundle: Bundle) -> None:
    bundle.hook("createContainer", "/bin/sh", "-c", f"ip -o link show > {bundle.dir}/seen")
    run(bundle, {"here0": {}}, "true").ok()
    assert "here0" in (bundle.dir / "seen").read_text()


def test_user_namespace(bundle: Bundle) -> None:
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    bundle.namespace("user").linux(uidMappings=maps, gidMappings=maps)
    said = run(bundle, {"here0": {"name": "eth0"}}, before="ip addr add 10.7.0.1/24 dev here0").ok().stdout
    assert "inet 10.7.0.1/24" in said


def test_device_is_not_moved_back(bundle: Bundle) -> None:
    """A veth ends with its namespace; a physical device the kernel gives back to the first one, and not we."""
    said = run(bundle, {"here0": {}}, "true", after="sleep 0.3; ip -o link show").ok().stdout
    assert "here0" not in said.replace("@here0", "")
