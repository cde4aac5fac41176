"""The config.json of the isolated bundle: whose root it is depends on who builds it, and so do the limits.

An ordinary user gets a user namespace in which that user is root, and limits only where systemd has delegated a
cgroup (v2). Root gets the limits, and no user namespace.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bundles import ids, rootfs
from bundles.config import Config, basic, with_capabilities, with_script, write

MIB = 1 << 20
GROUPS = [5, 20]  # any two that are not the first


def build(folder: Path) -> None:
    """Make root file system, data folder and config.json. Raises OSError."""
    rootfs.build(folder / "rootfs", [])
    (folder / "data").mkdir(exist_ok=True)
    config = with_capabilities(basic("isolated", "sh", "/isolated.sh"))
    for name in ("isolated.sh", "escape.sh"):
        with_script(config, folder / name)
    mount = {"destination": "/data", "type": "bind", "source": str(folder / "data"), "options": ["bind"]}
    config["mounts"].append(mount)
    if os.geteuid():
        become_root(config)
    else:
        config["process"]["user"]["additionalGids"] = GROUPS
    if os.geteuid() == 0 or ids.has_own_cgroup():
        config["linux"]["resources"].update(limits(folder))
    else:
        del config["linux"]["resources"]
        config["mounts"] = [mount for mount in config["mounts"] if mount["type"] != "cgroup"]
    write(folder, config)


def become_root(config: Config) -> None:
    """Make root inside of the ordinary user who builds; others and further groups where subuid(5) grants ids."""
    linux = config["linux"]
    linux["namespaces"].append({"type": "user"})
    linux["uidMappings"] = ids.own_map(os.geteuid(), Path("/etc/subuid"))
    linux["gidMappings"] = ids.own_map(os.getegid(), Path("/etc/subgid"))
    del linux["resources"]["devices"]  # which devices may be opened is root's to say
    if len(linux["gidMappings"]) > 1:
        config["process"]["user"]["additionalGids"] = GROUPS
        return
    for mount in config["mounts"]:
        if mount["type"] == "devpts":
            mount["options"].remove("gid=5")  # there is no such group inside


def limits(folder: Path) -> dict[str, Any]:
    """Return 10 % of one processor, 5 MiB of memory and no swap, and 1 MiB a second to the disk we are on."""
    found: dict[str, Any] = {
        "cpu": {"quota": 10_000, "period": 100_000},
        "memory": {"limit": 5 * MIB, "swap": 5 * MIB},
    }
    disk = ids.disk_of(folder)
    # Controller io is root's to delegate, and systemd does not by default.
    if disk and (os.geteuid() == 0 or "io" in ids.delegated()):
        found["blockIO"] = {"throttleWriteBpsDevice": [{**disk, "rate": MIB}]}
    return found
