"""The config.json of the userns bundle: which ids root has set aside for containers differs from host to host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bundles import rootfs
from bundles.config import basic, with_capabilities, with_script, write

SUBORDINATE = {"uid": Path("/etc/subuid"), "gid": Path("/etc/subgid")}
SIZE = 65536
DEFAULT = 100000  # where useradd(8) begins


def build(folder: Path) -> None:
    """Make root file system, volume and config.json. Raises OSError."""
    root = folder / "rootfs"
    rootfs.build(root, [])
    # The root file system stays the host's root's: nobody inside may make a mount point in it.
    for name in ("plain", "mapped"):
        (root / name).mkdir(exist_ok=True)
    (root / "show.sh").touch()
    volume = folder / "volume"
    volume.mkdir(exist_ok=True)
    (volume / "file").write_text("of the host's root\n")
    config = with_capabilities(basic("userns", "sh", "/show.sh"), "SYS_ADMIN")
    linux = config["linux"]
    linux["namespaces"].append({"type": "user"})
    maps = {f"{kind}Mappings": id_map(file) for kind, file in SUBORDINATE.items()}
    linux.update(maps)
    linux["readonlyPaths"] = []
    linux["maskedPaths"] = []
    with_script(config, folder / "show.sh")
    config["mounts"] += [
        {"destination": "/plain", "type": "bind", "source": str(volume), "options": ["bind"]},
        {"destination": "/mapped", "type": "bind", "source": str(volume), "options": ["bind", "idmap"]} | maps,
    ]
    write(folder, config)


def id_map(file: Path) -> list[dict[str, Any]]:
    """Return a map of SIZE ids: root's in subuid(5), else those with which ranges usually begin."""
    lines = file.read_text().splitlines() if file.exists() else []
    of_root = [line.split(":") for line in lines if line.startswith("root:")]
    first = next((int(start) for _, start, count in of_root if int(count) >= SIZE), DEFAULT)
    return [{"containerID": 0, "hostID": first, "size": SIZE}]
