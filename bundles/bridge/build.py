"""The config.json of five containers: three with a network that hooks make, one with none, one with the host's."""

from __future__ import annotations

import sys
from pathlib import Path

from bundles import rootfs
from bundles.config import Config, basic, with_capabilities, with_script, write

SERVER = ["httpd", "-f", "-p", "80", "-h", "/www"]
ON_THE_BRIDGE = {"one": "10.88.77.2", "two": "10.88.77.3"}


def build(folder: Path) -> None:
    """Make root file system and config.json. Raises OSError."""
    rootfs.build(folder / "rootfs", [])
    for name in ("one", "none", "host"):
        config = with_script(container(folder, name, "sh", "/look.sh", name), folder / "look.sh")
        if name == "host":
            config["linux"]["namespaces"].remove({"type": "network"})
        finish(folder, name, config)
    for name in ("two", "outside"):
        config = container(folder, name, *SERVER)
        # Only what is in cgi-bin is run, and only what is executable.
        mount = {"destination": "/www/cgi-bin/who", "type": "bind", "source": str(folder / "who.sh")}
        config["mounts"].append({**mount, "options": ["bind", "ro"]})
        finish(folder, name, config)


def container(folder: Path, name: str, *args: str) -> Config:
    """Return the config.json of any of them."""
    config = with_capabilities(basic(name, *args))
    config["root"]["path"] = str(folder / "rootfs")
    return config


def finish(folder: Path, name: str, config: Config) -> None:
    """Add the hooks, and write. python is called by its path: a hook has no PATH, and this one has pyroute2."""
    action = ["bridge", ON_THE_BRIDGE[name]] if name in ON_THE_BRIDGE else ["outside"] if name == "outside" else []
    if action:
        command = [sys.executable, str(folder / "network.py")]
        up, down = ({"path": command[0], "args": [*command, word, *action]} for word in ("up", "down"))
        config["hooks"] = {"createRuntime": [up], "poststop": [down]}
    write(folder / name, config)
