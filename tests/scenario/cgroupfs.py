"""A container's cgroups as files, in the words of whichever version the host has."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from tests.scenario import host

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle


def is_v1(controller: str) -> bool:
    """Tell which version has a controller, by its v1 name."""
    return controller in host.hierarchies()


def folder(bundle: Bundle, controller: str = "cgroup2") -> Path:
    """The container's directory in the v1 hierarchy of the controller, or where that is missing in v2."""
    mounts = host.hierarchies()
    path = bundle.config["linux"]["cgroupsPath"].lstrip("/")
    if ":" in path:  # systemd's words: slice:prefix:name
        path = "{}/{}-{}.scope".format(*path.split(":"))
    return Path(mounts.get(controller, mounts.get("cgroup2", "/nowhere")), path)


def text(bundle: Bundle, controller: str, v1: str, v2: str) -> str:
    """What a file says that has another name in each version."""
    return (folder(bundle, controller) / (v1 if is_v1(controller) else v2)).read_text().strip()


def keyed(content: str) -> dict[str, int]:
    """Parse a flat keyed file such as cpu.stat."""
    words = (line.split() for line in content.splitlines())
    return {key: int(value) for key, value in words}


def cpu_usec(bundle: Bundle) -> float:
    """The cpu time that the container has used, in microseconds."""
    if is_v1("cpuacct"):
        return int((folder(bundle, "cpuacct") / "cpuacct.usage").read_text()) / 1000
    return keyed((folder(bundle) / "cpu.stat").read_text())["usage_usec"]


def cpu_stat(bundle: Bundle) -> dict[str, int]:
    """Periods, and in how many of them the quota was used up: the same keys in both versions."""
    return keyed(text(bundle, "cpu", "cpu.stat", "cpu.stat"))


def written(bundle: Bundle, device: str, unit: str) -> int:
    """What was written to a device, in "bytes" or "operations"."""
    if is_v1("blkio"):
        file = {"bytes": "io_service_bytes", "operations": "io_serviced"}[unit]
        lines = (folder(bundle, "blkio") / f"blkio.throttle.{file}").read_text().splitlines()
        return sum(int(line.split()[2]) for line in lines if line.startswith(f"{device} Write "))
    key = {"bytes": "wbytes", "operations": "wios"}[unit]
    lines = (folder(bundle) / "io.stat").read_text().splitlines()
    pairs = itertools.chain(*(line.split()[1:] for line in lines if line.startswith(f"{device} ")))
    return sum(int(pair.partition("=")[2]) for pair in pairs if pair.startswith(f"{key}="))
