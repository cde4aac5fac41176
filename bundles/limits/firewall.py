"""A hook that lets a firewall recognise a container's packets: by the class of net_cls, or the priority of net_prio.

    firewall.py CONTROLLER NUMBER [remove]

Both controllers only put a number on what the container sends. It means something to those who look at the number: a
queueing discipline of tc(8), or as here an nftables rule that drops what has it. Its stdin is the container's state
(runtime.md, "State").
"""

from __future__ import annotations

import json
import sys

from pyroute2 import netns
from pyroute2.nftables.expressions import genex, verdict
from pyroute2.nftables.main import NFTables

NFT_REG_1, EQUAL, DROP = 1, 0, 0
ACCEPT, IPV4 = 1, 2
# Where the number can be seen, and as what. The class is the sending socket's. The priority is put on a packet when
# its device gets it, after all of netfilter's hooks for sending; `lo` brings it back with the packet.
PLACES = {"net_cls": ("postrouting", 23), "net_prio": ("input", 2)}  # NFT_META_CGROUP, NFT_META_PRIORITY


def add(controller: str, number: int, table: str) -> None:
    """Add a table with one rule. Raises OSError."""
    hook, key = PLACES[controller]
    load = genex("meta", {"key": key, "dreg": NFT_REG_1})
    # The kernel keeps both numbers in its own byte order.
    data = {"attrs": [("NFTA_DATA_VALUE", number.to_bytes(4, sys.byteorder))]}
    compare = genex("cmp", {"sreg": NFT_REG_1, "op": EQUAL, "data": data})
    with NFTables(nfgen_family=IPV4) as firewall:
        firewall.begin()
        firewall.table("add", name=table)
        firewall.chain("add", table=table, name="marked", hook=hook, type="filter", policy=ACCEPT)
        firewall.rule("add", table=table, chain="marked", expressions=[[load, compare], verdict(DROP)])
        firewall.commit()


def remove(table: str) -> None:
    """Remove the table and what is in it. Raises OSError."""
    with NFTables(nfgen_family=IPV4) as firewall:
        firewall.begin()
        firewall.table("del", name=table)
        firewall.commit()


def main(controller: str, number: str, *action: str) -> None:
    """Do it in the network namespace of the container, as long as there is one. Raises OSError."""
    state = json.load(sys.stdin)
    table = f"pyrunc-{state['id']}"
    if action:
        remove(table)
    else:
        netns.setns(f"/proc/{state['pid']}/ns/net")
        add(controller, int(number), table)


if __name__ == "__main__":
    main(*sys.argv[1:])
