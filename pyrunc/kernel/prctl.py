"""What a process says about itself with prctl(2)."""

from __future__ import annotations

from pyrunc.kernel import libc
from pyrunc.kernel.flags import (
    PR_GET_DUMPABLE,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    PR_SET_KEEPCAPS,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
)


def no_new_privs() -> None:
    """PR_SET_NO_NEW_PRIVS: no execve(2) from here on gains privileges; cannot be undone. Raises OSError."""
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1)


def set_dumpable(dumpable: bool) -> None:
    """PR_SET_DUMPABLE: without it none of the same uid may ptrace us or open our /proc files (CVE-2016-9962).

    The files in /proc/self then belong to root. execve(2) and changes of ids reset it. Raises OSError.
    """
    libc.prctl(PR_SET_DUMPABLE, int(dumpable))


def dumpable() -> bool:
    """PR_GET_DUMPABLE."""
    return libc.prctl(PR_GET_DUMPABLE) == 1


def set_pdeathsig(signal: int) -> None:
    """PR_SET_PDEATHSIG: the signal we get when our parent dies, 0 for none. Raises OSError.

    Changing ids or capabilities clears it, so set it again after; compare getppid(2), for it may be dead
    already.
    """
    libc.prctl(PR_SET_PDEATHSIG, signal)


def keep_capabilities(keep: bool) -> None:
    """PR_SET_KEEPCAPS: keep the permitted set when all uids become non-zero; execve(2) clears it.

    Raises OSError.
    """
    libc.prctl(PR_SET_KEEPCAPS, int(keep))


def set_child_subreaper(reap: bool) -> None:
    """PR_SET_CHILD_SUBREAPER: orphans among our descendants become our children. Raises OSError."""
    libc.prctl(PR_SET_CHILD_SUBREAPER, int(reap))
