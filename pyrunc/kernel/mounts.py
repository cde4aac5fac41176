"""Mounts by file descriptor: made detached, given their attributes, then moved to where they are to be seen.

A mount that nobody sees yet cannot be raced, and a target that is an fd cannot be swapped for a symlink
(CVE-2021-30465). The calls by path are for the host side and for places that the runtime itself owns.
"""

from __future__ import annotations

import _struct
import errno
import posix

from pyrunc.kernel import libc
from pyrunc.kernel.flags import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_RECURSIVE,
    AT_SYMLINK_NOFOLLOW,
    FSCONFIG_CMD_CREATE,
    FSCONFIG_CMD_RECONFIGURE,
    FSCONFIG_SET_FLAG,
    FSCONFIG_SET_STRING,
    FSMOUNT_CLOEXEC,
    FSOPEN_CLOEXEC,
    FSPICK_CLOEXEC,
    FSPICK_EMPTY_PATH,
    MOVE_MOUNT_F_EMPTY_PATH,
    MOVE_MOUNT_T_EMPTY_PATH,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
)

VALUE_MAX = 255
"""Longest value of one option, in bytes, that fsconfig(2) takes; mount(2) takes a page of options in all."""


def new_filesystem(fstype: str, source: str, options: tuple[str, ...], attributes: int) -> int:
    """Return an O_PATH fd of a new, detached mount: fsopen(2), fsconfig(2) for each option, fsmount(2).

    Options are "key=value", or "key" alone for a flag; `attributes` are MOUNT_ATTR_*. Raises OSError whose
    text ends with what the filesystem logged; ENODEV means that the kernel does not know the filesystem,
    ENAMETOOLONG that a value is longer than VALUE_MAX (an overlay's lowerdir: use "lowerdir+", or mount).
    """
    context = _open_context(fstype)
    try:
        if source:
            _set_option(context, "source", source)
        _set_options(context, options)
        libc.syscall(libc.FSCONFIG, context, FSCONFIG_CMD_CREATE, None, None, 0)
        return libc.syscall(libc.FSMOUNT, context, FSMOUNT_CLOEXEC, attributes)
    except OSError as error:
        raise _with_log(error, context) from None
    finally:
        posix.close(context)


def open_tree(path: str, dirfd: int = AT_FDCWD, recursive: bool = False, follow: bool = True) -> int:
    """Return an O_PATH fd of a detached copy of a mount, or of what is below a directory: open_tree(2).

    With path "" the copy is of what `dirfd` refers to. Raises OSError; EINVAL for an unbindable mount.
    """
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
    flags |= AT_RECURSIVE if recursive else 0
    flags |= 0 if follow else AT_SYMLINK_NOFOLLOW
    flags |= 0 if path else AT_EMPTY_PATH
    return libc.syscall(libc.OPEN_TREE, dirfd, path, flags)


def set_attributes(
    fd: int,
    set: int = 0,
    clear: int = 0,
    propagation: int = 0,
    recursive: bool = False,
    userns_fd: int = -1,
    path: str = "",
) -> None:
    """mount_setattr(2) of the mount an fd refers to, or of `path` below it; recursive means all or nothing.

    `set` and `clear` are MOUNT_ATTR_* (to change atime put MOUNT_ATTR__ATIME in `clear`), `propagation` one
    of MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE. `userns_fd` belongs to MOUNT_ATTR_IDMAP. Raises
    OSError.
    """
    attributes = _struct.pack("=QQQQ", set, clear, propagation, max(userns_fd, 0))
    flags = (AT_RECURSIVE if recursive else 0) | (0 if path else AT_EMPTY_PATH)
    libc.syscall(libc.MOUNT_SETATTR, fd, path, flags, attributes, len(attributes))


def move_mount(mount_fd: int, target_fd: int) -> None:
    """Attach a detached mount, or move an attached one, onto what `target_fd` refers to: move_mount(2).

    Raises OSError; EINVAL when one of the two is a directory and the other is not.
    """
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    libc.syscall(libc.MOVE_MOUNT, mount_fd, b"", target_fd, b"", flags)


def reconfigure(target_fd: int, options: tuple[str, ...]) -> None:
    """Change options of a mounted filesystem, for all its mounts: fspick(2), fsconfig(2).

    `target_fd` must refer to a mount's root. Options that are not named stay. Raises OSError as
    new_filesystem does.
    """
    context = libc.syscall(libc.FSPICK, target_fd, b"", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH)
    try:
        _set_options(context, options)
        libc.syscall(libc.FSCONFIG, context, FSCONFIG_CMD_RECONFIGURE, None, None, 0)
    except OSError as error:
        raise _with_log(error, context) from None
    finally:
        posix.close(context)


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2), by path. An empty string is passed as NULL. Raises OSError."""
    libc.mount(source or None, target, fstype or None, flags, data or None)


def umount(target: str, flags: int = 0) -> None:
    """umount2(2), by path; `flags` are MNT_* and UMOUNT_NOFOLLOW. Raises OSError."""
    libc.umount2(target, flags)


def pivot_root(new: str, put_old: str) -> None:
    """pivot_root(2); with "." for both the old root is stacked over the new one, to be unmounted.

    Raises OSError.
    """
    libc.syscall(libc.number_of("pivot_root"), new, put_old)


def _open_context(fstype: str) -> int:
    try:
        return libc.syscall(libc.FSOPEN, fstype, FSOPEN_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        raise OSError(errno.ENODEV, f"this kernel has no filesystem {fstype!r}") from None


def _set_options(context: int, options: tuple[str, ...]) -> None:
    for option in options:
        key, equals, value = option.partition("=")
        if equals:
            _set_option(context, key, value)
        else:
            libc.syscall(libc.FSCONFIG, context, FSCONFIG_SET_FLAG, key, None, 0)


def _set_option(context: int, key: str, value: str) -> None:
    data = libc.encoded(value)
    if len(data) > VALUE_MAX:  # the kernel would only say EINVAL
        text = f"{posix.strerror(errno.ENAMETOOLONG)}: option {key} has {len(data)} of {VALUE_MAX} bytes"
        raise OSError(errno.ENAMETOOLONG, text)
    libc.syscall(libc.FSCONFIG, context, FSCONFIG_SET_STRING, key, data, 0)


def _with_log(error: OSError, context: int) -> OSError:
    """Add the messages of a filesystem context: each read(2) gives one line, such as "e tmpfs: Bad value"."""
    messages = []
    try:
        while line := posix.read(context, 4096):
            messages.append(line.decode("utf-8", "replace").strip()[2:])
    except OSError as end:
        if end.errno != errno.ENODATA:  # ENODATA: that was the last one
            messages.append(f"(the log cannot be read: {end.strerror})")
    if not messages:
        return error
    return OSError(error.errno, f"{error.strerror}: {'; '.join(messages)}")
