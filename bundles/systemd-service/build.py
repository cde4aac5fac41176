"""The config.json of the systemd-service bundle, and its unit: both name absolute paths."""

from __future__ import annotations

import shutil
from pathlib import Path

from bundles import rootfs
from bundles.config import basic, with_script, write

UNIT = "pyrunc-bundle.service"
REPOSITORY = Path(__file__).resolve().parents[2]


def build(folder: Path) -> None:
    """Make root file system, config.json and unit. Raises OSError, also without systemd-notify."""
    rootfs.build(folder / "rootfs", ["systemd-notify"])
    config = with_script(basic("service", "sh", "/service.sh"), folder / "service.sh")
    config["linux"]["cgroupsPath"] = f"/system.slice/{UNIT}/container"
    config["linux"]["resources"]["memory"] = {"limit": 64 << 20}
    write(folder, config)
    runtime = shutil.which(REPOSITORY / ".venv/bin/pyrunc") or shutil.which("pyrunc") or "/usr/local/bin/pyrunc"
    text = (folder / "unit.in").read_text()
    (folder / UNIT).write_text(text.replace("@pyrunc@", runtime).replace("@bundle@", str(folder)))
