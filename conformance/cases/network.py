"""config-linux.md, "Network Devices": what becomes of linux.netDevices.

Each case works in a network namespace of its own, which is the host's for the runtime, on one end of a pair.
"""

from __future__ import annotations

import socket
import subprocess
from typing import TYPE_CHECKING, Any

from conformance import host
from conformance.case import Failure, NotApplicable, case, check, equal

if TYPE_CHECKING:
    from conformance.box import Box

NEW = 'config-linux.md, "Network Devices"; runc 1.1 and crun 1.8 are older than it'
NAME, PEER = "conformance0", "conformance1"
MAC = "02:00:00:00:00:07"
ADDRESSES = ("10.77.0.1/24", "fd00:77::1/64")


def ip(*words: str) -> None:
    """ip-link(8) or ip-address(8), in our network namespace."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def here() -> set[str]:
    """The network devices of our namespace."""
    return {name for _, name in socket.if_nameindex()}


def pair(box: Box) -> str:
    """Make a pair of devices in a network namespace of our own; return the name of one end."""
    if box.features().get("linux", {}).get("netDevices", {}).get("enabled") is False:
        raise NotApplicable("its features say that it does not know netDevices")
    host.own_network()
    ip("link", "add", NAME, "type", "veth", "peer", "name", PEER)
    return NAME


def links(box: Box) -> dict[str, Any]:
    """The network devices that the program sees."""
    return dict(box.ask("links"))


@case(91, needs="veth", justified=NEW)
def device_is_moved_as_it_is(box: Box) -> None:
    """A device is in the container and no longer outside: up, with its mtu, its hardware and its global addresses."""
    name = pair(box)
    ip("link", "set", name, "mtu", "1400", "address", MAC)
    ip("address", "add", ADDRESSES[0], "dev", name)
    ip("-6", "address", "add", ADDRESSES[1], "dev", name, "nodad")
    box.linux(netDevices={name: {}}).process(args=["/bin/probe", "links", "--", "wait"])
    log = box.bundle / "stdout.log"
    with log.open("wb") as out:
        box.create_into(out).succeeded()
    check(name not in here(), "it is still outside after create")
    box.start().succeeded()
    box.until(lambda: log.read_text().count("\n"), "the program said nothing")
    seen = box.answers(log.read_text())[0]
    check(name in seen, f"inside there are {sorted(seen)}")
    equal([seen[name][key] for key in ("up", "mtu", "mac")], [True, 1400, MAC], "up, mtu and hardware address")
    missing = set(ADDRESSES) - set(seen[name]["addresses"])
    check(not missing, f"of its addresses {sorted(missing)} are missing: {seen[name]['addresses']}")


@case(91, needs="veth", justified=NEW)
def device_gets_its_new_name(box: Box) -> None:
    """With name the device is called so in the container."""
    name = pair(box)
    seen = links(box.linux(netDevices={name: {"name": "eth0"}}))
    check("eth0" in seen and name not in seen, f"inside there are {sorted(seen)}")
    check(seen["eth0"]["up"], "it is not up")


@case(91, 9, needs="veth", justified=NEW)
def missing_device_is_an_error(box: Box) -> None:
    """A device that is not there is an error, and none is moved for it."""
    name = pair(box)
    box.linux(netDevices={name: {}, "nosuchdevice": {}}).create().failed()
    check(name in here(), "the one that is there is gone")


@case(92, needs="veth", justified=NEW)
def taken_name_is_an_error(box: Box) -> None:
    """A name that the container's network namespace has already is an error, and the device stays outside."""
    name = pair(box)
    box.linux(netDevices={name: {"name": "lo"}}).create().failed()
    check(name in here(), "the device is gone")


@case(92, needs="veth", justified=NEW)
def template_finds_a_free_name(box: Box) -> None:
    """A name with %d is a template: each device gets the first number that is free."""
    name = pair(box)
    seen = links(box.linux(netDevices={name: {"name": "eth%d"}, PEER: {"name": "eth%d"}}))
    equal(set(seen), {"lo", "eth0", "eth1"}, "devices inside")


@case(93, needs="veth", justified=NEW)
def device_is_never_moved_back(box: Box) -> None:
    """What happens to a device after it was moved is not the runtime's: it stays in the namespace after delete."""
    name = pair(box)
    keeper = box.sibling().running()
    namespace = f"/proc/{keeper.state()['pid']}/ns/net"
    box.with_namespace("network", namespace).linux(netDevices={name: {"name": "eth0"}})
    check("eth0" in links(box), "it was not moved")
    box.delete("--force")
    equal(here() & {name, "eth0"}, set(), "devices that came back")
    later = box.sibling()
    seen = links(later.with_namespace("network", namespace))
    if "eth0" not in seen:
        raise Failure(f"after delete the namespace has {sorted(seen)}")
    check(seen["eth0"]["up"], "it was set down")
