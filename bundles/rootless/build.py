"""The config.json of the rootless bundle: it maps whoever builds it, so build it as the user who will run it."""

from __future__ import annotations

import os
from pathlib import Path

from bundles import ids, rootfs
from bundles.config import basic, with_capabilities, with_script, write


def build(folder: Path) -> None:
    """Make root file system, volume and config.json. Raises OSError."""
    rootfs.build(folder / "rootfs", [])
    volume = folder / "volume"
    volume.mkdir(exist_ok=True)
    config = with_capabilities(basic("rootless", "sh", "/show.sh"), "SYS_ADMIN")
    linux = config["linux"]
    del linux["resources"]  # devices are root's to allow, and other limits take a delegated cgroup
    linux["namespaces"].append({"type": "user"})
    linux["uidMappings"] = ids.own_map(os.geteuid(), Path("/etc/subuid"))
    linux["gidMappings"] = ids.own_map(os.getegid(), Path("/etc/subgid"))
    for mount in config["mounts"]:
        if mount["type"] == "devpts":
            mount["options"].remove("gid=5")  # perhaps nobody's
    config["mounts"] = [mount for mount in config["mounts"] if mount["type"] != "cgroup"]
    with_script(config, folder / "show.sh")
    volume_mount = {"destination": "/volume", "type": "bind", "source": str(volume), "options": ["bind"]}
    config["mounts"].append(volume_mount)
    write(folder, config)
