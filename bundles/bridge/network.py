"""The hooks of the bridge bundle: they give a container an interface, and take away what that needed.

    network.py up bridge ADDRESS      createRuntime: eth0 on the bridge, a default route, masquerading
    network.py up outside             createRuntime: eth0 with a cable to the host, and no route back
    network.py down bridge|outside    poststop

They run in the host's network namespace. createRuntime is called when the container's namespaces are there and
nothing runs in them yet; the container's state comes on stdin and has its pid (runtime.md, "State").

The last container on the bridge takes the bridge, the firewall's table and the forwarding with it. What
net.ipv4.ip_forward was before is kept in the alias of the bridge: when that is gone, so is the memory of it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute, NetlinkError, netns
from pyroute2.nftables.expressions import genex
from pyroute2.nftables.main import NFTables

BRIDGE = "pyrunc0"
HOST, PREFIX = "10.88.77.1", 24
NEAR, FAR = "203.0.113.1", "203.0.113.2"  # RFC 5737: for examples, nobody's
FORWARD = Path("/proc/sys/net/ipv4/ip_forward")

IPV4, ACCEPT, AFTER_ROUTING = 2, 1, 100
NFT_REG_1, EQUAL, NOT_EQUAL = 1, 0, 1
NETWORK_HEADER, SOURCE_ADDRESS = 1, 12  # ip(7): where the source address begins
NFT_META_OIF = 5


def main(action: str, where: str, address: str = FAR) -> None:
    """Do what the hook is called for. Raises OSError, NetlinkError."""
    state = json.load(sys.stdin)
    # Two containers may come or go at once; who makes or removes the bridge must be alone.
    with Path(__file__).open() as lock, IPRoute() as network:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cable = f"veth{hashlib.sha256(state['id'].encode()).hexdigest()[:8]}"  # a name has 15 characters at most
        if action == "down":
            unplug(network, cable)
            if where == "bridge" and not ports(network):
                remove_bridge(network)
        else:
            plug(network, cable, state["pid"])
            if where == "bridge":
                attach(network, cable)
            else:
                network.addr("add", index=index_of(network, cable), address=NEAR, prefixlen=PREFIX)
            network.link("set", index=index_of(network, cable), state="up")
            configure(state["pid"], address, HOST if where == "bridge" else "")


def index_of(network: IPRoute, name: str) -> int:
    """Return the number of an interface, 0 if there is none of the name."""
    return next(iter(network.link_lookup(ifname=name)), 0)


def plug(network: IPRoute, cable: str, pid: int) -> None:
    """Make a veth pair, a cable with two ends: one here, the other, eth0, in the container's namespace (veth(4))."""
    network.link("add", ifname=cable, kind="veth", peer={"ifname": "eth0", "net_ns_pid": pid})


def unplug(network: IPRoute, cable: str) -> None:
    """Remove our end. The kernel does that itself when the namespace of the other goes, but only a moment later."""
    index = index_of(network, cable)
    try:
        if index:
            network.link("del", index=index)
    except NetlinkError as error:
        if error.code != errno.ENODEV:
            raise


def attach(network: IPRoute, cable: str) -> None:
    """Put our end on the bridge, which is made if this is the first container."""
    bridge = index_of(network, BRIDGE) or make_bridge(network)
    network.link("set", index=index_of(network, cable), master=bridge)


def make_bridge(network: IPRoute) -> int:
    """Make the bridge, which has the host's address among the containers, and return its number."""
    network.link("add", ifname=BRIDGE, kind="bridge")
    bridge = index_of(network, BRIDGE)
    network.link("set", index=bridge, ifalias=f"ip_forward was {FORWARD.read_text().strip()}")
    network.addr("add", index=bridge, address=HOST, prefixlen=PREFIX)
    network.link("set", index=bridge, state="up")
    FORWARD.write_text("1")
    masquerade(bridge)
    return bridge


def ports(network: IPRoute) -> list[Any]:
    """Return the interfaces that are on the bridge."""
    bridge = index_of(network, BRIDGE)
    return [link for link in network.get_links() if bridge and link.get_attr("IFLA_MASTER") == bridge]


def remove_bridge(network: IPRoute) -> None:
    """Remove the bridge and what make_bridge() did besides."""
    bridge = index_of(network, BRIDGE)
    if not bridge:
        return
    (link,) = network.get_links(bridge)
    before = str(link.get_attr("IFLA_IFALIAS")).rpartition(" ")[2]
    FORWARD.write_text(before)
    network.link("del", index=bridge)
    with NFTables(nfgen_family=IPV4) as firewall:
        firewall.begin()
        firewall.table("del", name=BRIDGE)
        firewall.commit()


def masquerade(bridge: int) -> None:
    """Send what containers send to others than containers under the host's address, and answers back.

    As nft(8) says it: ip saddr 10.88.77.0/24 oif != pyrunc0 masquerade
    """
    three_bytes = socket.inet_aton(HOST)[: PREFIX // 8]
    place = {"dreg": NFT_REG_1, "base": NETWORK_HEADER, "offset": SOURCE_ADDRESS, "len": len(three_bytes)}
    from_containers = [genex("payload", place), compare(EQUAL, three_bytes)]
    to_others = [
        genex("meta", {"key": NFT_META_OIF, "dreg": NFT_REG_1}),
        compare(NOT_EQUAL, bridge.to_bytes(4, sys.byteorder)),
    ]
    with NFTables(nfgen_family=IPV4) as firewall:
        firewall.begin()
        firewall.table("add", name=BRIDGE)
        hook = {"hook": "postrouting", "type": "nat", "priority": AFTER_ROUTING, "policy": ACCEPT}
        firewall.chain("add", table=BRIDGE, name="out", **hook)
        rule = [from_containers, to_others, [genex("masq", {})]]
        firewall.rule("add", table=BRIDGE, chain="out", expressions=rule)
        firewall.commit()


def compare(how: int, data: bytes) -> Any:
    """Return the expression that goes on only if the register is, or is not, what it should be."""
    return genex("cmp", {"sreg": NFT_REG_1, "op": how, "data": {"attrs": [("NFTA_DATA_VALUE", data)]}})


def configure(pid: int, address: str, gateway: str) -> None:
    """Give eth0 its address, and the container its default route. In its namespace: setns(2), for this process."""
    here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    netns.setns(f"/proc/{pid}/ns/net")
    with IPRoute() as network:
        index = index_of(network, "eth0")
        network.addr("add", index=index, address=address, prefixlen=PREFIX)
        network.link("set", index=index, state="up")
        if gateway:
            network.route("add", dst="default", gateway=gateway)
    netns.setns(here)
    os.close(here)


if __name__ == "__main__":
    main(*sys.argv[1:])
