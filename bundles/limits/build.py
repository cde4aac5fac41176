"""The containers of the tour: each has one setting in `resources`, and shows with limits.sh what comes of it.

Numbers of disks and paths of programs are this machine's. What the host lacks is not left out here: pyrunc says so,
with the place in config.json, when such a container is created.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from bundles import ids, rootfs
from bundles.config import basic, with_capabilities, with_script, write

MIB = 1 << 20
CLASS = 0x00100001  # 10:1 in the words of tc(8)
PRIORITY = 4321  # that nobody else has
KMSG = {"type": "c", "major": 1, "minor": 11}

ONE_CPU = {"cpus": "0", "mems": "0"}
STOPS: dict[str, dict[str, Any]] = {
    "cpuset": {"cpu": ONE_CPU},
    "shares-small": {"cpu": {"shares": 256, **ONE_CPU}},
    "shares-large": {"cpu": {"shares": 1024, **ONE_CPU}},
    "quota": {"cpu": {"quota": 20_000, "period": 100_000}},
    "cpuacct": {},
    "memory": {"memory": {"limit": 16 * MIB, "swap": 16 * MIB}},
    "swap": {"memory": {"limit": 16 * MIB, "swap": 48 * MIB}},
    "oom": {"memory": {"limit": 16 * MIB, "swap": 16 * MIB, "disableOOMKiller": True}},
    "weight": {"blockIO": {"weight": 500}},
    "devices": {"devices": [{"allow": False, "access": "rwm"}, {"allow": True, "access": "w", **KMSG}]},
    "freezer": {},
    "pids": {"pids": {"limit": 8}},
    "net_cls": {"network": {"classID": CLASS}},
    "net_prio": {"network": {"priorities": [{"name": "lo", "priority": PRIORITY}]}},
    "hugetlb": {"hugepageLimits": [{"pageSize": "2MB", "limit": 2 * MIB}]},
}


def build(folder: Path) -> None:
    """Make root file system, data folder and a config.json for each stop. Raises OSError."""
    rootfs.build(folder / "rootfs", [])
    (folder / "data").mkdir(exist_ok=True)
    stops = dict(STOPS)
    disk = ids.disk_of(folder)
    if disk:
        stops["throttle"] = {"blockIO": {"throttleWriteBpsDevice": [{**disk, "rate": MIB}]}}
    else:
        print(f"limits: no stop `throttle`: {folder} is not on a disk")
    for name, resources in stops.items():
        stop(folder, name, resources)


def stop(folder: Path, name: str, resources: dict[str, Any]) -> None:
    """Write the config.json of one stop."""
    config = with_script(with_capabilities(basic(name, "sh", "/limits.sh", name)), folder / "limits.sh")
    config["root"]["path"] = str(folder / "rootfs")
    config["linux"]["resources"] = resources
    if name == "throttle":
        mount = {"destination": "/data", "type": "bind", "source": str(folder / "data"), "options": ["bind"]}
        config["mounts"].append(mount)
    elif name == "devices":
        config["linux"]["devices"] = [{"path": "/dev/kmsg", **KMSG}]
    elif name == "hugetlb":
        huge = {"destination": "/huge", "type": "hugetlbfs", "source": "none", "options": ["pagesize=2M"]}
        config["mounts"].append(huge)
    elif name == "net_cls":
        config["hooks"] = {"createRuntime": [firewall(folder, name, CLASS)]}
    elif name == "net_prio":
        # The controller knows the devices of the host's network namespace and no others (net/core/netprio_cgroup.c).
        config["linux"]["namespaces"].remove({"type": "network"})
        config["hooks"] = {
            "createRuntime": [firewall(folder, name, PRIORITY)],
            "poststop": [firewall(folder, name, PRIORITY, "remove")],
        }
    write(folder / name, config)


def firewall(folder: Path, controller: str, number: int, *action: str) -> dict[str, Any]:
    """Return the hook that makes the number mean something."""
    words = [sys.executable, str(folder / "firewall.py"), controller, str(number), *action]
    return {"path": sys.executable, "args": words}
