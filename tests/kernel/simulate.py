"""What the kernel would answer to a system call under a filter: an interpreter of classic BPF (seccomp(2)).

Only the instructions that seccomp allows and libseccomp emits. It shares nothing with the compiler, so the
two can disagree.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

AUDIT_ARCH_X86_64 = 0xC000003E
AUDIT_ARCH_I386 = 0x40000003
X32_SYSCALL_BIT = 0x40000000

LOAD_WORD, RETURN, RETURN_A, AND = 0x20, 0x06, 0x16, 0x54
JUMP, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_EQUAL, JUMP_SET = 0x05, 0x15, 0x25, 0x35, 0x45
TESTS: dict[int, Callable[[int, int], bool]] = {
    JUMP_EQUAL: lambda a, k: a == k,
    JUMP_GREATER: lambda a, k: a > k,
    JUMP_GREATER_EQUAL: lambda a, k: a >= k,
    JUMP_SET: lambda a, k: bool(a & k),
}


def simulate(program: bytes, number: int, *arguments: int, architecture: int = AUDIT_ARCH_X86_64) -> int:
    """Return the SECCOMP_RET_* value, with its data, that a program gives for one system call."""
    padded = (*arguments, *(0,) * (6 - len(arguments)))
    data = struct.pack("<iIQ6Q", number, architecture, 0, *(value & (2**64 - 1) for value in padded))
    instructions = list(struct.iter_unpack("<HBBI", program))
    accumulator, at = 0, 0
    while True:
        code, when_true, when_false, k = instructions[at]
        at += 1
        if code == LOAD_WORD:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif code == AND:
            accumulator &= k
        elif code == JUMP:
            at += k
        elif code in TESTS:
            at += when_true if TESTS[code](accumulator, k) else when_false
        elif code in (RETURN, RETURN_A):
            return accumulator if code == RETURN_A else int(k)
        else:
            raise ValueError(f"instruction {code:#x} at {at - 1} is not one of seccomp's")
