"""The config.json of the hooks bundle: hooks have absolute paths, and this folder may be anywhere."""

from __future__ import annotations

from pathlib import Path

from bundles import rootfs
from bundles.config import basic, write

OUTSIDE = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
ENVIRONMENT = ["PATH=/usr/bin:/bin"]


def build(folder: Path) -> None:
    """Make root file system, log and config.json. Raises OSError."""
    rootfs.build(folder / "rootfs", [])
    (folder / "log").write_text("")  # bound into the container, so it is there before
    script, log = folder / "hook.sh", folder / "log"
    config = basic("hooks", "/hook.sh", "program")
    config["hooks"] = {
        kind: [{"path": str(script), "args": ["hook.sh", kind], "env": ENVIRONMENT, "timeout": 10}] for kind in OUTSIDE
    }
    inside = {"path": "/hook.sh", "args": ["hook.sh", "startContainer"], "env": ENVIRONMENT}
    config["hooks"]["startContainer"] = [inside]
    for source, option in ((script, "ro"), (log, "rw")):
        mount = {"destination": f"/{source.name}", "type": "bind", "source": str(source), "options": ["bind", option]}
        config["mounts"].append(mount)
    write(folder, config)
