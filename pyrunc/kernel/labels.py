"""Labels of Linux security modules: /proc/PID/attr of a procfs that nobody can cover (CVE-2019-16884).

apparmor(7), selinux(8); the kernel's Documentation/admin-guide/LSM.
"""

from __future__ import annotations

import errno
import posix

from pyrunc.kernel import paths, procfs
from pyrunc.kernel.flags import PROC_SUPER_MAGIC, RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV

_RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS


def open_attributes(proc_fd: int) -> int:
    """Return an O_PATH fd of this process's attr directory in a procfs from kernel.procfs.

    Raises OSError; ENOTSUP if what was opened is not procfs after all (CVE-2025-62596).
    """
    fd = procfs.open_beneath(proc_fd, f"{posix.getpid()}/attr", posix.O_PATH | posix.O_DIRECTORY)
    if paths.filesystem_type(fd) != PROC_SUPER_MAGIC:
        posix.close(fd)
        raise OSError(errno.ENOTSUP, "what is at /proc is not a procfs")
    return fd


def set_apparmor_exec(attributes: int, profile: str) -> None:
    """Change to an AppArmor profile at the next execve(2); `attributes` is an fd of an attr directory.

    The file of AppArmor's own is newer (5.8) and right where several modules share the machine. Raises OSError.
    """
    data = f"exec {profile}".encode("utf-8", "surrogateescape")
    try:
        _write(attributes, "apparmor/exec", data)
    except FileNotFoundError:
        _write(attributes, "exec", data)


def set_selinux_exec(attributes: int, label: str) -> None:
    """Change to an SELinux context at the next execve(2). Raises OSError."""
    _write(attributes, "exec", label.encode("utf-8", "surrogateescape"))


def set_selinux_key(attributes: int, label: str) -> None:
    """Give the keys made from now on an SELinux context; "" goes back to the default. Raises OSError."""
    _write(attributes, "keycreate", label.encode("utf-8", "surrogateescape"))


def _write(attributes: int, file: str, data: bytes) -> None:
    fd = paths.openat2(attributes, file, posix.O_WRONLY, resolve=_RESOLVE)
    try:
        if posix.write(fd, data) != len(data):  # the kernel takes a label in one piece
            raise OSError(errno.EIO, f"{file} took only a part of the label")
    finally:
        posix.close(fd)


def apparmor_enabled(sys: str = "/sys") -> bool:
    """Tell whether AppArmor confines anything on this machine."""
    try:
        fd = posix.open(f"{sys}/module/apparmor/parameters/enabled", posix.O_RDONLY | posix.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return posix.read(fd, 1) == b"Y"
    finally:
        posix.close(fd)


def selinux_enabled(mounts: tuple[procfs.Mount, ...]) -> bool:
    """Tell whether SELinux is at work: its filesystem is there only then; `mounts` are those of own_mounts()."""
    return any(mount.fstype == "selinuxfs" for mount in mounts)
