"""What the config.json of most bundles have in common: that of `hello`, from which they differ in what they show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HELLO = Path(__file__).resolve().parent / "hello/config.json"
# What docker gives to a container by default. hello has three of them; programs such as ping and su want more.
CAPABILITIES = """
    AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP
    SETUID SYS_CHROOT
""".split()

Config = dict[str, Any]


def basic(name: str, *args: str) -> Config:
    """Return hello's config.json without what is hello's own: its program, its limits, its additional group.

    The container has a hostname, namespaces, masked paths and a read-only root, and may open no devices but the
    usual ones.
    """
    config: Config = json.loads(HELLO.read_text())
    config["hostname"] = name
    config["process"]["args"] = list(args)
    config["process"]["user"] = {"uid": 0, "gid": 0}
    config["mounts"] = [mount for mount in config["mounts"] if mount["destination"] != "/hello.sh"]
    config["linux"]["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    return config


def with_capabilities(config: Config, *more: str) -> Config:
    """Give docker's usual capabilities to the program, and more by their names without CAP_."""
    names = sorted(f"CAP_{name}" for name in {*CAPABILITIES, *more})
    config["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), names)
    return config


def with_script(config: Config, script: Path) -> Config:
    """Bind a script of the bundle to /NAME, read-only, as hello does. The root file system needs no copy of it."""
    mount = {"destination": f"/{script.name}", "type": "bind", "source": str(script), "options": ["bind", "ro"]}
    config["mounts"].append(mount)
    return config


def write(folder: Path, config: Config) -> None:
    """Write folder/config.json. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=4) + "\n")
