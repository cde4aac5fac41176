"""The config.json of the rootless bundle: it maps whoever builds it, so build it as the user who will run it."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path
from typing import Any

from bundles import rootfs
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
    linux["uidMappings"] = id_map(os.geteuid(), Path("/etc/subuid"))
    linux["gidMappings"] = id_map(os.getegid(), Path("/etc/subgid"))
    for mount in config["mounts"]:
        if mount["type"] == "devpts":
            mount["options"].remove("gid=5")  # perhaps nobody's
    config["mounts"] = [mount for mount in config["mounts"] if mount["type"] != "cgroup"]
    with_script(config, folder / "show.sh")
    volume_mount = {"destination": "/volume", "type": "bind", "source": str(volume), "options": ["bind"]}
    config["mounts"].append(volume_mount)
    write(folder, config)


def id_map(own: int, file: Path) -> list[dict[str, Any]]:
    """Map 0 inside to ourselves, and 1 and so on to the ids that subuid(5) sets aside for us, if there are any."""
    maps = [{"containerID": 0, "hostID": own, "size": 1}]
    if os.geteuid() == 0 or not shutil.which("newuidmap") or not file.exists():
        return maps
    names = {str(os.geteuid()), pwd.getpwuid(os.geteuid()).pw_name}
    for line in file.read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in names:
            first, _, count = rest.partition(":")
            maps.append({"containerID": 1, "hostID": int(first), "size": int(count)})
            break
    return maps
