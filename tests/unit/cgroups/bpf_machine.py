"""A small interpreter for the few eBPF instructions that a device program uses."""

from __future__ import annotations

import struct

TYPES = {"b": 1, "c": 2}
ACCESS = {"m": 1, "r": 2, "w": 4}
MASK = 2**64 - 1


def allows(program: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    """Run a device program as the kernel does for one open or mknod."""
    wanted = sum(ACCESS[letter] for letter in access)
    context = struct.pack("=3I", wanted << 16 | TYPES[kind], major, minor)
    return run(program, context) == 1


def run(program: bytes, context: bytes) -> int:
    """Run to the exit instruction; loops, wild jumps and unset registers fail, as with the verifier."""
    code = [struct.unpack_from("=BBhi", program, at) for at in range(0, len(program), 8)]
    registers: dict[int, int] = {1: 0}
    at = 0
    while True:
        operation, both, offset, value = code[at]
        target, source = both & 15, both >> 4
        at += 1
        match operation:
            case 0x61:
                assert source == 1
                (registers[target],) = struct.unpack_from("=I", context, offset)
            case 0xB7:
                registers[target] = value & MASK
            case 0xBF:
                registers[target] = registers[source]
            case 0x57:
                registers[target] &= value & MASK
            case 0x77:
                registers[target] >>= value
            case 0x56 | 0x16:
                assert offset >= 0
                equal = registers[target] & 0xFFFFFFFF == value & 0xFFFFFFFF
                at += offset if equal == (operation == 0x16) else 0
            case 0x95:
                return registers[0]
            case _:
                raise AssertionError(f"unknown instruction {operation:#x}")
