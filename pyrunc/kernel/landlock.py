"""Landlock: give up rights over the filesystem for good (landlock(7)); rights are the kernel's own numbers."""

from __future__ import annotations

import _struct
import errno
import posix

from pyrunc.kernel import libc

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on all architectures
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1


def version() -> int:
    """Return the kernel's Landlock ABI version, 0 where it is not compiled in or not enabled. Raises OSError."""
    try:
        return libc.syscall(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        return 0


def create_ruleset(handled: int) -> int:
    """Return an fd of a ruleset that denies all `handled` LANDLOCK_ACCESS_FS_*; EINVAL for unknown ones."""
    return libc.syscall(_CREATE_RULESET, _struct.pack("=Q", handled), 8, 0)


def allow_beneath(ruleset: int, parent: int, access: int) -> None:
    """Allow `access` below what the fd `parent` is open on.

    Raises OSError; EINVAL for rights that are not handled, or that only directories have, on a file.
    """
    libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, _struct.pack("=Qi", access, parent), 0)


def restrict_self(ruleset: int) -> None:
    """Enforce a ruleset on this thread and all that it will start; closes it.

    Raises OSError; EPERM without no_new_privs and without CAP_SYS_ADMIN.
    """
    try:
        libc.syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        posix.close(ruleset)
