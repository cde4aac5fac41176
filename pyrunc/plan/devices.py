"""Device nodes and links below /dev (config-linux.md, "Devices" and "Default Devices"; runtime-linux.md)."""

from __future__ import annotations

from pyrunc.plan.steps import BindDevice, MakeDevice, MakeLink, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.spec.linux import Device
    from pyrunc.spec.mounts import Mount

# config-linux.md#default-devices; the numbers are the kernel's (Documentation/admin-guide/devices.txt).
DEFAULT_DEVICES: dict[str, tuple[int, int]] = {
    "/dev/null": (1, 3),
    "/dev/zero": (1, 5),
    "/dev/full": (1, 7),
    "/dev/random": (1, 8),
    "/dev/urandom": (1, 9),
    "/dev/tty": (5, 0),
}
# runtime-linux.md#dev-symbolic-links: each only if what it points to is there once all mounts are made.
LINKS: tuple[tuple[str, str], ...] = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", "/proc/kcore"),
)


def plan_devices(
    devices: tuple[Device, ...], mounts: tuple[Mount, ...], user_namespace: bool
) -> tuple[Step, ...]:
    """Return the steps that fill /dev: default devices, configured ones, ptmx and the links."""
    configured = {device.path for device in devices}
    nodes: list[Step] = []
    if not _dev_is_the_hosts(mounts):
        for path, (major, minor) in DEFAULT_DEVICES.items():
            if path not in configured:
                nodes.append(_node("", path, "c", major, minor, (0o666, 0, 0), user_namespace))
    for index, device in enumerate(devices):
        mode = 0o666 if device.file_mode is None else device.file_mode & 0o7777
        owner = (mode, device.uid or 0, device.gid or 0)
        kind = "c" if device.type == "u" else device.type
        numbers = (device.major or 0, device.minor or 0)
        nodes.append(_node(f".linux.devices[{index}]", device.path, kind, *numbers, owner, user_namespace))
    if not _dev_is_the_hosts(mounts):
        nodes += [MakeLink("", path, target, only_if=target) for path, target in LINKS]
        nodes.append(MakeLink("", "/dev/ptmx", "pts/ptmx", only_if="/dev/pts/ptmx"))
    return tuple(nodes)


def _node(
    where: str, path: str, kind: str, major: int, minor: int, owner: tuple[int, int, int], bind: bool
) -> Step:
    if bind and kind != "p":
        return BindDevice(where, path, kind, major, minor)
    return MakeDevice(where, path, kind, major, minor, *owner)


def _dev_is_the_hosts(mounts: tuple[Mount, ...]) -> bool:
    """True where /dev is a bind mount: its nodes belong to somebody else and are not touched."""
    return any(
        mount.destination.strip("/") == "dev" and ("bind" in mount.options or "rbind" in mount.options)
        for mount in mounts
    )
