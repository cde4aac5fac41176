"""What a case may need of the host, each found out by trying. A missing one is reported as such, never as a pass."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@functools.cache
def host_has(name: str) -> bool:
    """Tell whether the host has something; `cgroup-X` asks for a controller, under its name in either version.

    Raises KeyError for a name that nobody knows: a misspelt need must not skip a case for ever.
    """
    if name in PROBES:
        return PROBES[name]()
    kind, _, controller = name.partition("-")
    if kind in ("cgroup", "cgroup1", "cgroup2") and controller:
        versions = {"cgroup1": (1,), "cgroup2": (2,)}.get(kind, (1, 2))
        return any(_has_controller(version, controller) for version in versions)
    raise KeyError(name)


SELINUX = Path("/sys/fs/selinux/enforce")
RESCTRL = Path("/sys/fs/resctrl/schemata")
NAMES_ON_V2 = {"blkio": "io", "cpuacct": "cpu", "devices": "", "freezer": ""}


def _has_controller(version: int, controller: str) -> bool:
    if version == 2:
        controller = NAMES_ON_V2.get(controller, controller)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split()[:3]
        if version == 1 and kind == "cgroup" and controller in options.split(","):
            return True
        if version == 2 and kind == "cgroup2":
            known = Path(fields.split()[4], "cgroup.controllers").read_text().split()
            if controller in known or (not controller and "memory" in known):
                return True
    return False


def _namespace(name: str) -> Callable[[], bool]:
    return Path("/proc/self/ns", name).exists


def _program(name: str) -> Callable[[], bool]:
    return lambda: shutil.which(name) is not None


def _all_capabilities() -> bool:
    """Tell whether we may do what root usually may: some hosts keep CAP_SYS_RESOURCE."""
    return _bounding() & (1 << 24) != 0


def _bounding() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return int(line.split()[1], 16)
    return 0


def _kernel(major: int, minor: int) -> Callable[[], bool]:
    def is_newer() -> bool:
        here = os.uname().release.split(".")
        return (int(here[0]), int("".join(filter(str.isdigit, here[1])))) >= (major, minor)

    return is_newer


def _veth() -> bool:
    """Tell whether a pair of network devices can be made, in a network namespace of its own."""
    if not (shutil.which("ip") and shutil.which("unshare")):
        return False
    command = ["unshare", "-n", "ip", "link", "add", "conf0", "type", "veth", "peer", "name", "conf1"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _apparmor() -> bool:
    """Tell whether it is switched on; its files are elsewhere, and only where securityfs is mounted."""
    try:
        return Path("/sys/module/apparmor/parameters/enabled").read_text().startswith("Y")
    except OSError:
        return False


def _memory_policy() -> bool:
    numbers = {"x86_64": 239, "aarch64": 236}
    number = numbers.get(os.uname().machine)
    return number is not None and ctypes.CDLL(None).syscall(number, None, None, 0, None, 0) == 0


def disk() -> str:
    """Return the number of a block device that has a size, as major:minor, or "": what can be throttled."""
    for folder in sorted(Path("/sys/block").glob("*"), key=lambda folder: folder.name.startswith(("loop", "ram"))):
        if int((folder / "size").read_text()) > 0:
            return (folder / "dev").read_text().strip()
    return ""


def _user_namespaces() -> bool:
    try:
        return int(Path("/proc/sys/user/max_user_namespaces").read_text()) > 0
    except OSError:
        return False


def _seccomp() -> bool:
    return "Seccomp:" in Path("/proc/self/status").read_text()


def _two_processors() -> bool:
    return len(os.sched_getaffinity(0)) > 1


def _core_scheduling() -> bool:
    result: int = ctypes.CDLL(None, use_errno=True).prctl(62, 0, 0, 0, ctypes.byref(ctypes.c_ulong()))
    return result == 0


PROBES: dict[str, Callable[[], bool]] = {
    "root": lambda: os.geteuid() == 0,
    "seccomp": _seccomp,
    "user-namespaces": _user_namespaces,
    "time-namespaces": _namespace("time"),
    "cgroup-namespaces": _namespace("cgroup"),
    "cap-sys-resource": _all_capabilities,
    "two-processors": _two_processors,
    "idmapped-mounts": _kernel(5, 12),
    "apparmor": _apparmor,
    "apparmor-parser": _program("apparmor_parser"),
    "selinux": SELINUX.exists,
    "resctrl": RESCTRL.exists,
    "resctrl-monitoring": RESCTRL.with_name("mon_groups").exists,
    "without-apparmor": lambda: not _apparmor(),
    "without-selinux": lambda: not SELINUX.exists(),
    "without-resctrl": lambda: not RESCTRL.exists(),
    "memory-policy": _memory_policy,
    "disk": lambda: bool(disk()),
    "veth": _veth,
    "core-scheduling": _core_scheduling,
    "unified": Path("/sys/fs/cgroup/cgroup.controllers").exists,
    "strace": _program("strace"),
}
