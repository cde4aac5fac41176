"""pyrunc spec: write a config.json to begin with."""

from __future__ import annotations

import posix

from pyrunc.cli import SPEC_VERSION, Context, absolute
from pyrunc.errors import StateError, reason
from pyrunc.jsontext import dump

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrunc.cli.arguments import Arguments

_CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
_MASKED = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
]
_READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def main(_: Context, arguments: Arguments) -> int:
    """Write config.json into the bundle; one that is there is never overwritten."""
    path = f"{absolute(arguments.text('bundle'))}/config.json"
    document = rootless(_template()) if arguments.switch("rootless") else _template()
    try:
        fd = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o666)
    except FileExistsError as err:
        raise StateError(f"{path} is there already", "remove it first") from err
    except OSError as err:
        raise StateError(f"cannot write {path}: {reason(err)}") from err
    posix.write(fd, (dump(document, indent=4) + "\n").encode())
    posix.close(fd)
    return 0


def _template() -> dict[str, Any]:
    return {
        "ociVersion": SPEC_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), _CAPABILITIES),
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "pyrunc",
        "mounts": _mounts(),
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": name} for name in _namespaces()],
            "maskedPaths": _MASKED,
            "readonlyPaths": _READONLY,
        },
    }


def _namespaces() -> list[str]:
    names = ["pid", "network", "ipc", "uts", "mount"]
    # On cgroup v1 most programs inside still expect the host's paths in /proc/self/cgroup.
    return [*names, "cgroup"] if posix.access("/sys/fs/cgroup/cgroup.controllers", posix.F_OK) else names


def _mounts() -> list[dict[str, Any]]:
    return [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        _mount("/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k", "tmpfs"),
        _mount("/dev/pts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
        _mount("/dev/shm", "tmpfs", "nosuid,noexec,nodev,mode=1777,size=65536k", "shm"),
        _mount("/dev/mqueue", "mqueue", "nosuid,noexec,nodev"),
        _mount("/sys", "sysfs", "nosuid,noexec,nodev,ro"),
        _mount("/sys/fs/cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
    ]


def _mount(destination: str, kind: str, options: str, source: str = "") -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source or kind, "options": options.split(",")}


def rootless(document: dict[str, Any]) -> dict[str, Any]:
    """Change a config into one for an ordinary user: root inside is the caller outside."""
    linux = document["linux"]
    kept = [each for each in linux["namespaces"] if each["type"] != "network"]
    linux["namespaces"] = [*kept, {"type": "user"}]
    linux["uidMappings"] = [{"containerID": 0, "hostID": posix.geteuid(), "size": 1}]
    linux["gidMappings"] = [{"containerID": 0, "hostID": posix.getegid(), "size": 1}]
    del linux["resources"]
    mounts = []
    for mount in document["mounts"]:
        if mount["destination"] == "/sys":
            # A sysfs of its own needs a network namespace of its own.
            mount = _mount("/sys", "none", "rbind,nosuid,noexec,nodev,ro", "/sys")
        options = [each for each in mount.get("options", ()) if not each.startswith(("uid=", "gid="))]
        mounts.append({**mount, "options": options} if options else mount)
    document["mounts"] = mounts
    return document
