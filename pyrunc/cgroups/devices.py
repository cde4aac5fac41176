"""The eBPF program that cgroup v2 has in place of devices.allow and devices.deny.

Pure: from rules to bytes. It is run for every open and mknod of a device node, with struct
bpf_cgroup_dev_ctx (include/uapi/linux/bpf.h): access and type in one u32, then major, then minor.
"""

from __future__ import annotations

import _struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.steps_cgroups import DeviceRule

# BPF_DEVCG_DEV_* and BPF_DEVCG_ACC_*
_TYPES = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}

# linux/bpf_common.h, linux/bpf.h: class | size or source | operation
_LOAD_WORD = 0x61  # BPF_LDX | BPF_MEM | BPF_W
_MOVE = 0xB7  # BPF_ALU64 | BPF_MOV | BPF_K
_MOVE_REGISTER = 0xBF  # BPF_ALU64 | BPF_MOV | BPF_X
_AND = 0x57  # BPF_ALU64 | BPF_AND | BPF_K
_SHIFT_RIGHT = 0x77  # BPF_ALU64 | BPF_RSH | BPF_K
_JUMP_NOT_EQUAL = 0x56  # BPF_JMP32 | BPF_JNE | BPF_K: 32 bits, or major 4294967295 would be -1
_JUMP_EQUAL = 0x16  # BPF_JMP32 | BPF_JEQ | BPF_K
_EXIT = 0x95  # BPF_JMP | BPF_EXIT

_RESULT, _CONTEXT, _TYPE, _PENDING, _MAJOR, _MINOR, _SCRATCH = 0, 1, 2, 3, 4, 5, 6


def device_program(rules: tuple[DeviceRule, ...]) -> bytes:
    """Return the program that denies everything but what the rules, in their order, allow.

    The last rule about a device counts, so the rules are tried from the last to the first. `_PENDING` holds
    the accesses (read, write, mknod) that no rule has decided yet: one that denies any of them ends in 0,
    one that allows takes its own away, and when none is left the answer is 1. So an open for reading and
    writing may be allowed by two rules together.
    """
    parts = [
        _instruction(_LOAD_WORD, _TYPE, _CONTEXT, 0),
        _instruction(_MOVE_REGISTER, _PENDING, _TYPE),
        _instruction(_AND, _TYPE, value=0xFFFF),
        _instruction(_SHIFT_RIGHT, _PENDING, value=16),
        _instruction(_LOAD_WORD, _MAJOR, _CONTEXT, 4),
        _instruction(_LOAD_WORD, _MINOR, _CONTEXT, 8),
    ]
    parts += [_rule(rule) for rule in reversed(rules)]
    parts.append(_return(0))
    return b"".join(parts)


def _rule(rule: DeviceRule) -> bytes:
    """Compare what the rule names, and jump past its verdict where something differs."""
    compared = ((_TYPE, _TYPES.get(rule.type)), (_MAJOR, rule.major), (_MINOR, rule.minor))
    tests = [(register, value) for register, value in compared if value is not None]
    verdict = _allow(rule) if rule.allow else _deny(rule)
    code = b""
    for index, (register, value) in enumerate(tests):
        distance = len(tests) - index - 1 + len(verdict) // 8
        code += _instruction(_JUMP_NOT_EQUAL, register, offset=distance, value=value)
    return code + verdict


def _allow(rule: DeviceRule) -> bytes:
    return (
        _instruction(_AND, _PENDING, value=~_mask(rule.access) & 7)
        + _instruction(_JUMP_NOT_EQUAL, _PENDING, offset=2)
        + _return(1)
    )


def _deny(rule: DeviceRule) -> bytes:
    return (
        _instruction(_MOVE_REGISTER, _SCRATCH, _PENDING)
        + _instruction(_AND, _SCRATCH, value=_mask(rule.access))
        + _instruction(_JUMP_EQUAL, _SCRATCH, offset=2)
        + _return(0)
    )


def _mask(access: str) -> int:
    return sum(_ACCESS[letter] for letter in set(access))


def _return(value: int) -> bytes:
    return _instruction(_MOVE, _RESULT, value=value) + _instruction(_EXIT)


def _instruction(code: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """Encode struct bpf_insn: code, two registers of four bits each, offset, value."""
    return _struct.pack("=BBhI", code, target | source << 4, offset, value)
