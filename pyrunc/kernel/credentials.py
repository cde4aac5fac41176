"""User and groups of a process, by number only: names would be looked up in the container's files."""

from __future__ import annotations

import errno
import posix


def set_ids(uid: int, gid: int) -> None:
    """setresgid(2), then setresuid(2), real, effective and saved alike, and look that it came out so.

    The group goes first: without uid 0 it could not be changed any more. Clears capabilities unless
    prctl.keep_capabilities was set, and pdeathsig. Raises OSError.
    """
    posix.setresgid(gid, gid, gid)
    posix.setresuid(uid, uid, uid)
    if posix.getresuid() != (uid, uid, uid) or posix.getresgid() != (gid, gid, gid):
        raise OSError(errno.EPERM, f"the kernel did not change to uid {uid} and gid {gid}")


def set_groups(groups: tuple[int, ...]) -> None:
    """setgroups(2): the supplementary groups become exactly these.

    Raises OSError; EPERM if setgroups is denied.
    """
    posix.setgroups(groups)


def set_filesystem_ids(uid: int, gid: int) -> None:
    """setfsuid(2), setfsgid(2), and look that it came out so: they have no way to fail aloud.

    From 0 to another uid the effective capabilities over files go. Raises OSError.
    """
    from pyrunc.kernel import libc

    for name, number in (("setfsgid", gid), ("setfsuid", uid)):
        libc.named(name, number)
        if libc.named(name, number) != number:
            raise OSError(errno.EPERM, f"{name} to {number} was refused")


class FilesystemUser:
    """Another user to filesystems for as long as the `with` lasts, with all the capabilities that we have."""

    def __init__(self, uid: int, gid: int) -> None:
        from pyrunc.kernel.capabilities import get_sets

        self._uid, self._gid = uid, gid
        self._sets = get_sets()

    def __enter__(self) -> None:
        set_filesystem_ids(self._uid, self._gid)
        self._raise()  # setfsuid(2) takes the capabilities over files away

    def __exit__(self, *_: object) -> None:
        set_filesystem_ids(0, 0)
        self._raise()

    def _raise(self) -> None:
        from pyrunc.kernel.capabilities import set_sets

        set_sets(self._sets.effective, self._sets.permitted, self._sets.inheritable)
