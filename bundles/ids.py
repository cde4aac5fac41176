"""What of a config.json depends on this machine and on who is asking: ids, cgroups, disks."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path
from typing import Any

CGROUP2 = Path("/sys/fs/cgroup")


def own_map(own: int, file: Path) -> list[dict[str, Any]]:
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


def has_own_cgroup() -> bool:
    """Say whether we may make cgroups beside our own: on plain v2, where systemd has delegated."""
    return is_v2() and os.access(_own_cgroup() / "cgroup.procs", os.W_OK)


def delegated() -> list[str]:
    """Return the controllers that we have in our own cgroup (v2). Raises OSError."""
    return (_own_cgroup() / "cgroup.controllers").read_text().split()


def is_v2() -> bool:
    """Say whether this host has plain cgroup v2."""
    return (CGROUP2 / "cgroup.controllers").exists()


def _own_cgroup() -> Path:
    return CGROUP2 / Path("/proc/self/cgroup").read_text().strip().removeprefix("0::").lstrip("/")


def disk_of(path: Path) -> dict[str, int]:
    """Return major and minor of the disk that a path is on: {} if it is on none, as with tmpfs or overlay.

    Throttles are for whole disks, so for a partition it is the disk that has it.
    """
    number = path.stat().st_dev
    device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not device.exists():
        return {}
    device = device.resolve()
    if (device / "partition").exists():
        device = device.parent
    major, _, minor = (device / "dev").read_text().strip().partition(":")
    return {"major": int(major), "minor": int(minor)}
