"""System calls newer than a profile fail with ENOSYS, all others are left to the program behind."""

from __future__ import annotations

import errno
import struct

import pytest

from pyrunc.kernel.flags import SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO
from pyrunc.kernel.seccomp_newer import X32, X32_BIT, X86_64, prologue
from tests.kernel.simulate import AUDIT_ARCH_I386, simulate

ENOSYS = SECCOMP_RET_ERRNO | errno.ENOSYS
ARM64 = 0xC00000B7
BEHIND = struct.pack("=HBBI", 0x06, 0, 0, SECCOMP_RET_ALLOW)
UNKNOWN_TO_US = 0x15


@pytest.mark.parametrize("highest", [{X86_64: 400}, {X86_64: 400, AUDIT_ARCH_I386: 300}, {ARM64: 9, X86_64: 400}])
def test_the_highest_number_is_the_last_that_is_left_alone(highest: dict[int, int]) -> None:
    program = prologue(highest) + BEHIND
    for token, number in highest.items():
        assert simulate(program, number, architecture=token) == SECCOMP_RET_ALLOW
        assert simulate(program, 0, architecture=token) == SECCOMP_RET_ALLOW
        assert simulate(program, number + 1, architecture=token) == ENOSYS
    assert simulate(program, 5000, architecture=UNKNOWN_TO_US) == SECCOMP_RET_ALLOW


def test_x32_has_a_limit_of_its_own() -> None:
    program = prologue({X86_64: 400, X32: X32_BIT | 550}) + BEHIND
    assert simulate(program, 401) == ENOSYS
    assert simulate(program, X32_BIT | 550) == SECCOMP_RET_ALLOW
    assert simulate(program, X32_BIT | 551) == ENOSYS


def test_x32_that_is_not_in_the_profile_is_for_the_program_behind() -> None:
    assert simulate(prologue({X86_64: 400}) + BEHIND, X32_BIT | 5) == SECCOMP_RET_ALLOW


def test_minus_one_is_what_a_tracer_leaves_of_a_call() -> None:
    assert simulate(prologue({X86_64: 400, AUDIT_ARCH_I386: 300}) + BEHIND, -1) == SECCOMP_RET_ALLOW


def test_without_numbers_there_is_nothing_to_compare() -> None:
    assert prologue({}) == b""
