"""The container's root: made a mount of its own, entered, and closed behind us (config-linux.md, "Rootfs").

Everything that is made inside the root before it is entered goes through a descriptor of it and openat2(2):
the tree belongs to the image, and any name in it may be a symbolic link to somewhere on the host.
"""

from __future__ import annotations

import errno
import posix

from pyrunc.errors import StepError, reason
from pyrunc.kernel import flags
from pyrunc.kernel.mounts import move_mount, open_tree, pivot_root, set_attributes, umount
from pyrunc.kernel.procfs import own_mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.steps import Rootfs

_OPEN_DIRECTORY = posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC
_PRIVATE = flags.MS_PRIVATE


def prepare(rootfs: Rootfs, tree: int) -> int:
    """Mount the root on itself and return a descriptor of the new mount.

    `tree` is the root as a detached mount where the host side had to open it, else -1.
    """
    try:
        if rootfs.entry != "chroot":  # without a mount namespace the tree is the host's: see host/delete.py
            _quiet(rootfs)
        if tree < 0:
            tree = open_tree(rootfs.path, recursive=True)
        # A slave has to stay one: its master is the host's mount. All others begin private, see finish().
        slave = rootfs.propagation & ~flags.MS_REC == flags.MS_SLAVE
        set_attributes(tree, propagation=flags.MS_SLAVE if slave else _PRIVATE, recursive=True)
        _attach(tree, rootfs.path)
    except OSError as err:
        raise StepError(f".root.path: cannot mount the root {rootfs.path}: {reason(err)}") from err
    return tree


def _quiet(rootfs: Rootfs) -> None:
    """See to it that no mount event of ours reaches the host: slave unless config.json asks for more."""
    root = posix.open("/", _OPEN_DIRECTORY)
    try:
        set_attributes(root, propagation=rootfs.host_propagation & ~flags.MS_REC, recursive=True)
    finally:
        posix.close(root)
    if rootfs.host_propagation & flags.MS_SHARED:
        # pivot_root(2) fails, and our mounts would appear on the host, if the mount below the root were shared.
        _make_parent_private(rootfs.path)


def _make_parent_private(path: str) -> None:
    """Make the mount that a path is on private."""
    points = [mount.mount_point for mount in own_mounts()]
    best = max((each for each in points if f"{path}/".startswith(each.rstrip("/") + "/")), key=len, default="/")
    fd = posix.open(best, _OPEN_DIRECTORY)
    try:
        set_attributes(fd, propagation=_PRIVATE)
    finally:
        posix.close(fd)


def _attach(tree: int, path: str) -> None:
    """Put the root where createContainer hooks look for it.

    In a user namespace its path may lead through directories that are closed to us; then it goes on top of "/",
    from where pivot_root takes it as well.
    """
    try:
        target = posix.open(path, _OPEN_DIRECTORY)
    except OSError as err:
        if err.errno not in (errno.EACCES, errno.EPERM):
            raise
        target = posix.open("/", _OPEN_DIRECTORY)
    try:
        move_mount(tree, target)
    finally:
        posix.close(target)


def enter(rootfs: Rootfs, root: int) -> None:
    """Make the root "/" and leave no way back: not by path, not by mount, not by working directory."""
    try:
        posix.fchdir(root)
        if rootfs.entry == "pivot":
            _pivot()
        else:
            if rootfs.entry == "move":
                _cover_host_kernel_filesystems(rootfs.path)
                _move_to_root(root)
            posix.chroot(".")  # noqa: TID251 - --no-pivot and no mount namespace leave nothing better
        posix.chdir("/")
    except OSError as err:
        raise StepError(f".root.path: cannot enter the root {rootfs.path}: {reason(err)}") from err


def _pivot() -> None:
    old = posix.open("/", _OPEN_DIRECTORY)
    try:
        # pivot_root(2), "pivot_root(".", ".")": the old root ends up on top of the new one, so "." unmounts it.
        pivot_root(".", ".")
        # A shared old tree would take the host's mounts along when it goes.
        set_attributes(old, propagation=flags.MS_SLAVE, recursive=True)
    finally:
        posix.close(old)
    umount(".", flags.MNT_DETACH)


def _move_to_root(root: int) -> None:
    """--no-pivot: put the container's root over the host's, for roots on initramfs that cannot be pivoted."""
    host = posix.open("/", _OPEN_DIRECTORY)
    try:
        move_mount(root, host)
    finally:
        posix.close(host)


def _cover_host_kernel_filesystems(path: str) -> None:
    """Unmount the host's procfs and sysfs, which stay reachable under a moved root.

    An unmasked one lets the container mount its own without the masks (mount_too_revealing in the kernel).
    """
    for mount in reversed(own_mounts()):
        if mount.fstype in ("proc", "sysfs") and not f"{mount.mount_point}/".startswith(f"{path}/"):
            umount(mount.mount_point, flags.MNT_DETACH)


def finish(rootfs: Rootfs) -> None:
    """Give the root its propagation and make it read-only, once nothing more has to be made in it."""
    root = posix.open("/", _OPEN_DIRECTORY)
    try:
        if rootfs.entry != "chroot" and rootfs.propagation & ~flags.MS_REC != _PRIVATE:
            recursive = bool(rootfs.propagation & flags.MS_REC)
            set_attributes(root, propagation=rootfs.propagation & ~flags.MS_REC, recursive=recursive)
        if rootfs.readonly:
            set_attributes(root, set=flags.MOUNT_ATTR_RDONLY)
    except OSError as err:
        raise StepError(f".root.readonly: cannot finish the root {rootfs.path}: {reason(err)}") from err
    finally:
        posix.close(root)
