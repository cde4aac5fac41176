"""Two containers of a pod: the first keeps its namespaces where the second finds them, by paths that do not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bundles import rootfs
from bundles.config import basic, with_capabilities, with_script, write
from bundles.tree import Tree

PATH = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]  # a hook gets no environment but its own
SHARED = {"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts"}  # type in config.json -> name in /proc/PID/ns


def build(folder: Path) -> None:
    """Make a root file system for each, and config.json. Raises OSError."""
    for name in ("first", "second"):
        rootfs.build(folder / name / "rootfs", [])
    with Tree(folder / "first/rootfs") as tree:
        tree.write("mark", "This file tells the two roots apart.\n")
    kept = folder / "namespaces"
    kept.mkdir(exist_ok=True)
    first(folder, kept)
    second(folder, kept)


def first(folder: Path, kept: Path) -> None:
    """Write the config.json of the one that makes the namespaces."""
    config = with_capabilities(basic("pod", "httpd", "-f", "-p", "80", "-h", "/"))
    with_script(config, folder / "look.sh")

    def hook(action: str) -> dict[str, Any]:
        script = str(folder / "keep.sh")
        return {"path": "/bin/sh", "args": ["sh", script, action, str(kept), *SHARED.values()], "env": PATH}

    config["hooks"] = {"createRuntime": [hook("keep")], "poststop": [hook("forget")]}
    write(folder / "first", config)


def second(folder: Path, kept: Path) -> None:
    """Write the config.json of the one that joins them. Its mounts and its cgroup are its own."""
    config = with_script(with_capabilities(basic("", "sh", "/look.sh")), folder / "look.sh")
    # The name is the pod's: only who has a uts namespace of its own may set one.
    del config["hostname"]
    for entry in config["linux"]["namespaces"]:
        if entry["type"] in SHARED:
            entry["path"] = str(kept / SHARED[entry["type"]])
    write(folder / "second", config)
