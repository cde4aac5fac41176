"""The root file system as containerd describes it: mounts below the bundle, made and unmade by the shim."""

from __future__ import annotations

import errno
import posix

from pyrunc.errors import StateError, reason
from pyrunc.kernel.flags import MNT_DETACH
from pyrunc.kernel.mounts import mount, new_filesystem, open_tree, umount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.shim.protos.types import Mount

_UMOUNT_NOFOLLOW = 8
_PAGE = 4096
_MS_REMOUNT, _MS_BIND, _MS_REC = 32, 4096, 16384
_FLAGS = {
    "ro": 1,
    "nosuid": 2,
    "nodev": 4,
    "noexec": 8,
    "sync": 16,
    "mand": 64,
    "dirsync": 128,
    "noatime": 1024,
    "nodiratime": 2048,
    "bind": 4096,
    "rbind": 4096 | 16384,
    "relatime": 1 << 21,
    "strictatime": 1 << 24,
}
_WITHOUT_EFFECT = ("rw", "suid", "dev", "exec", "async", "defaults", "loud", "atime", "diratime")


def mount_all(mounts: tuple[Mount, ...], rootfs: str) -> None:
    """Mount them, one over the other, at `rootfs` or at their targets below it.

    To be called in a fork: it may leave another working directory. Raises StateError, with nothing mounted.
    """
    if not mounts:
        return
    try:
        posix.mkdir(rootfs, 0o711)
    except FileExistsError:
        pass
    for each in mounts:
        try:
            _mount(each, f"{rootfs}/{each.target.strip('/')}" if each.target else rootfs)
        except OSError as err:
            unmount_all(rootfs)
            raise StateError(f"cannot mount {each.type or 'bind'} at {rootfs}: {reason(err)}") from err


def _mount(wanted: Mount, target: str) -> None:
    flags, data, mapped = 0, [], False
    for option in wanted.options:
        if option in _FLAGS:
            flags |= _FLAGS[option]
        elif option.startswith(("uidmap=", "gidmap=")):
            mapped = True
        elif option not in _WITHOUT_EFFECT:
            data.append(option)
    if mapped:
        _mount_mapped(wanted, target, flags, data)
    elif flags & _MS_BIND:
        mount(wanted.source, target, "", flags & (_MS_BIND | _MS_REC))
        _restrict(target, flags)
    else:
        text = ",".join(data)
        mount(wanted.source, target, wanted.type, flags, text if len(text) < _PAGE else _shortened(data))


def _mount_mapped(wanted: Mount, target: str, flags: int, data: list[str]) -> None:
    from pyrunc.shim import mapped

    maps = mapped.maps_of(wanted.options)
    if wanted.type == "overlay":
        mapped.mount_overlay(target, flags, data, maps)
        return
    recursive = bool(flags & _MS_REC)
    if flags & _MS_BIND:
        tree = open_tree(wanted.source, recursive=recursive)
    else:
        tree = new_filesystem(wanted.type, wanted.source, tuple(data), 0)
    mapped.mount_other(tree, target, recursive, maps)
    _restrict(target, flags)


def _restrict(target: str, flags: int) -> None:
    """Give a bind mount flags of its own, which the call that makes it does not take."""
    if flags & ~(_MS_BIND | _MS_REC):
        mount("", target, "", (flags & ~_MS_REC) | _MS_BIND | _MS_REMOUNT)


def _shortened(data: list[str]) -> str:
    """Name many layers relative to their common directory, and enter that: mount(2) takes one page of options."""
    layers = [layer for option in data if option.startswith("lowerdir=") for layer in option[9:].split(":")]
    first, last = min(layers), max(layers)
    length = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), 0)
    common = first[:length].rpartition("/")[0]
    posix.chdir(common or "/")
    shorter = ":".join(layer.removeprefix(f"{common}/") for layer in layers)
    return ",".join(f"lowerdir={shorter}" if option.startswith("lowerdir=") else option for option in data)


def unmount_all(rootfs: str) -> None:
    """Unmount all that is mounted at a place. Raises StateError."""
    while True:
        try:
            umount(rootfs, _UMOUNT_NOFOLLOW)
        except OSError as err:
            if err.errno in (errno.EINVAL, errno.ENOENT):
                return
            if err.errno != errno.EBUSY:
                raise StateError(f"cannot unmount {rootfs}: {reason(err)}") from err
            umount(rootfs, _UMOUNT_NOFOLLOW | MNT_DETACH)
