"""What a process says about itself with prctl(2)."""

from __future__ import annotations

import _struct

from pyrunc.kernel import libc
from pyrunc.kernel.flags import (
    PR_GET_CHILD_SUBREAPER,
    PR_GET_DUMPABLE,
    PR_GET_NAME,
    PR_GET_NO_NEW_PRIVS,
    PR_GET_PDEATHSIG,
    PR_GET_SECUREBITS,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    PR_SET_KEEPCAPS,
    PR_SET_NAME,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    PR_SET_SECUREBITS,
)


def no_new_privs() -> None:
    """PR_SET_NO_NEW_PRIVS: no execve(2) from here on gains privileges; cannot be undone. Raises OSError."""
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1)


def has_no_new_privs() -> bool:
    """PR_GET_NO_NEW_PRIVS."""
    return bool(libc.prctl(PR_GET_NO_NEW_PRIVS))


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


def pdeathsig() -> int:
    """PR_GET_PDEATHSIG."""
    return _told(PR_GET_PDEATHSIG)


def keep_capabilities(keep: bool) -> None:
    """PR_SET_KEEPCAPS: keep the permitted set when all uids become non-zero; execve(2) clears it.

    Raises OSError.
    """
    libc.prctl(PR_SET_KEEPCAPS, int(keep))


def set_securebits(bits: int) -> None:
    """PR_SET_SECUREBITS, see capabilities(7); needs CAP_SETPCAP. Raises OSError."""
    libc.prctl(PR_SET_SECUREBITS, bits)


def securebits() -> int:
    """PR_GET_SECUREBITS."""
    return libc.prctl(PR_GET_SECUREBITS)


def set_name(name: str) -> None:
    """PR_SET_NAME: the name of this thread in /proc/PID/comm, cut at 15 bytes. Raises OSError."""
    libc.prctl(PR_SET_NAME, name)


def name() -> str:
    """PR_GET_NAME."""
    buffer = bytearray(16)
    libc.prctl(PR_GET_NAME, buffer)
    return bytes(buffer).rstrip(b"\0").decode("utf-8", "surrogateescape")


def set_child_subreaper(reap: bool) -> None:
    """PR_SET_CHILD_SUBREAPER: orphans among our descendants become our children. Raises OSError."""
    libc.prctl(PR_SET_CHILD_SUBREAPER, int(reap))


def child_subreaper() -> bool:
    """PR_GET_CHILD_SUBREAPER."""
    return bool(_told(PR_GET_CHILD_SUBREAPER))


def _told(option: int) -> int:
    """Ask with one of the options that answer into an int of ours."""
    answer = bytearray(4)
    libc.prctl(option, answer)
    return int(_struct.unpack("i", answer)[0])
