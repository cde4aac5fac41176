"""What a seccomp profile says of system calls that are newer than itself: -ENOSYS, and no other refusal.

A C library tries a new call first and falls back to an old one at ENOSYS. EPERM, the usual answer of an allow list
to what it does not name, is taken for the truth: programs broke at clone3, faccessat2 and others (runc #2750). A
few instructions in front of libseccomp's compare each number with the highest that the profile names.
"""

from __future__ import annotations

import _struct
import errno

from pyrunc.kernel.flags import SECCOMP_RET_ERRNO

_LOAD, _EQUAL, _GREATER, _AT_LEAST, _GO, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x05, 0x06  # linux/bpf_common.h
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_ENOSYS = SECCOMP_RET_ERRNO | errno.ENOSYS
_NEVER = 0xFFFFFFFF
X32_BIT = 0x40000000
X86_64, X32 = 0xC000003E, 0x4000003E
"""AUDIT_ARCH_X86_64; x32 is libseccomp's name for those of its calls that have X32_BIT set."""
_BLOCK = 7


def prologue(highest: dict[int, int]) -> bytes:
    """Return instructions that refuse calls above `highest`: AUDIT_ARCH_* -> number; all else goes on behind them.

    A number with X32_BIT is compared with x32's, and without such left to the program behind.
    """
    x32 = highest.get(X32, _NEVER)
    blocks = [(token, number) for token, number in highest.items() if token != X32]
    if not blocks:
        return b""
    program = [(_LOAD, 0, 0, _ARCHITECTURE)]
    for index, (token, number) in enumerate(blocks):
        behind = (len(blocks) - 1 - index) * _BLOCK
        bit = X32_BIT if token == X86_64 else _NEVER
        program += (
            (_EQUAL, 0, _BLOCK - 1, token),
            (_LOAD, 0, 0, _NUMBER),
            (_AT_LEAST, 1, 0, bit),
            (_GREATER, 2, 1, number),
            (_GREATER, 1, 0, x32 if token == X86_64 else _NEVER),
            (_GO, 0, 0, behind + 1),
            (_RETURN, 0, 0, _ENOSYS),
        )
    return b"".join(_struct.pack("=HBBI", *each) for each in program)
