"""The bundle that is measured: a busybox program in what every engine asks for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bundles import rootfs

if TYPE_CHECKING:
    from pathlib import Path

CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "cgroup")


def mount(destination: str, fstype: str, *options: str) -> dict[str, Any]:
    """One entry of .mounts."""
    return {"destination": destination, "type": fstype, "source": fstype, "options": list(options)}


MOUNTS = [
    mount("/proc", "proc"),
    mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
    mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
    mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
    mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
    mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
    mount("/sys/fs/cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"),
]

LINUX = {
    "namespaces": [{"type": kind} for kind in NAMESPACES],
    "resources": {
        "devices": [{"allow": False, "access": "rwm"}],
        "memory": {"limit": 256 << 20},
        "cpu": {"shares": 512},
        "pids": {"limit": 64},
    },
    "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
    "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
}


def config(root: Path, *arguments: str) -> dict[str, Any]:
    """The config.json that runs `arguments` in the root file system."""
    return {
        "ociVersion": "1.0.2",
        "hostname": "bench",
        "root": {"path": str(root), "readonly": True},
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": list(arguments),
            "env": ["PATH=/bin:/usr/bin"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES),
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "mounts": MOUNTS,
        "linux": LINUX,
    }


def make(folder: Path) -> tuple[Path, Path]:
    """Make two bundles over one root file system, `true` and `sleep`, and return their directories."""
    rootfs.build(folder / "rootfs", [])
    made = []
    for name, arguments in (("true", ["/bin/true"]), ("sleep", ["/bin/sleep", "1000"])):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(config(folder / "rootfs", *arguments)))
        made.append(folder / name)
    return made[0], made[1]
