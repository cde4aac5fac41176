"""Filters: compiled as the profile says, tried in simulation and on ourselves."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import struct

import pytest

from pyrunc.kernel import prctl, seccomp
from pyrunc.kernel.flags import (
    SECCOMP_FILTER_FLAG_LOG,
    SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    SECCOMP_FILTER_FLAG_TSYNC,
    SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
    SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO,
    SECCOMP_RET_KILL_PROCESS,
    SECCOMP_RET_KILL_THREAD,
    SECCOMP_RET_LOG,
    SECCOMP_RET_TRACE,
    SECCOMP_RET_TRAP,
    SECCOMP_RET_USER_NOTIF,
)
from pyrunc.kernel.seccomp import Compare, Filter, Rule, compile_filter, load_filter, load_flags
from tests.kernel.apart import apart
from tests.kernel.simulate import AUDIT_ARCH_I386, X32_SYSCALL_BIT, simulate

pytestmark = pytest.mark.requires("seccomp")

# Numbers of x86-64; the simulated filters are made for it on whatever machine.
READ, MKDIR, PERSONALITY = 0, 83, 135
MKDIR_I386 = 39
AUDIT_ARCH_MIPS = 8
X86_64 = ("SCMP_ARCH_X86_64",)
REFUSED = SECCOMP_RET_ERRNO | errno.EPERM


def allowing(*rules: Rule) -> Filter:
    return Filter("SCMP_ACT_ALLOW", architectures=X86_64, rules=rules)


def refusing(*rules: Rule) -> Filter:
    return Filter("SCMP_ACT_ERRNO", architectures=X86_64, rules=rules)


def personality(*conditions: Compare) -> bytes:
    """A filter that allows personality(2), and nothing else, under conditions."""
    return compile_filter(refusing(Rule(("personality",), "SCMP_ACT_ALLOW", args=conditions)))


@pytest.mark.parametrize(
    ("action", "number", "expected"),
    [
        ("SCMP_ACT_KILL", None, SECCOMP_RET_KILL_THREAD),
        ("SCMP_ACT_KILL_THREAD", None, SECCOMP_RET_KILL_THREAD),
        ("SCMP_ACT_KILL_PROCESS", None, SECCOMP_RET_KILL_PROCESS),
        ("SCMP_ACT_TRAP", None, SECCOMP_RET_TRAP),
        ("SCMP_ACT_ERRNO", None, SECCOMP_RET_ERRNO | errno.EPERM),
        ("SCMP_ACT_ERRNO", errno.ENOSYS, SECCOMP_RET_ERRNO | errno.ENOSYS),
        ("SCMP_ACT_ERRNO", 0, SECCOMP_RET_ERRNO),
        ("SCMP_ACT_TRACE", None, SECCOMP_RET_TRACE | errno.EPERM),
        ("SCMP_ACT_TRACE", 1234, SECCOMP_RET_TRACE | 1234),
        ("SCMP_ACT_LOG", None, SECCOMP_RET_LOG),
        ("SCMP_ACT_NOTIFY", None, SECCOMP_RET_USER_NOTIF),
    ],
)
def test_each_action_is_the_kernels(action: str, number: int | None, expected: int) -> None:
    program = compile_filter(allowing(Rule(("mkdir",), action, number)))
    assert simulate(program, MKDIR) == expected
    assert simulate(program, READ) == SECCOMP_RET_ALLOW


def test_the_default_is_for_all_that_no_rule_names() -> None:
    program = compile_filter(refusing(Rule(("read",), "SCMP_ACT_ALLOW")).but(default_errno=38))
    assert simulate(program, READ) == SECCOMP_RET_ALLOW
    assert simulate(program, MKDIR) == SECCOMP_RET_ERRNO | 38


def test_a_rule_that_repeats_the_default_does_no_harm() -> None:
    program = compile_filter(allowing(Rule(("read",), "SCMP_ACT_ALLOW"), Rule(("mkdir",), "SCMP_ACT_ERRNO")))
    assert simulate(program, READ) == SECCOMP_RET_ALLOW
    assert simulate(program, MKDIR) == REFUSED


@pytest.mark.parametrize(
    ("op", "value", "value_two", "allowed", "refused"),
    [
        ("SCMP_CMP_NE", 8, 0, [7, 9, 1 << 33], [8]),
        ("SCMP_CMP_LT", 8, 0, [0, 7], [8, 9, 1 << 33]),
        ("SCMP_CMP_LE", 8, 0, [0, 8], [9, 1 << 33]),
        ("SCMP_CMP_EQ", 8, 0, [8], [0, 9, 1 << 33 | 8]),
        ("SCMP_CMP_GE", 8, 0, [8, 9, 1 << 33], [7]),
        ("SCMP_CMP_GT", 8, 0, [9, 1 << 33], [7, 8]),
        ("SCMP_CMP_MASKED_EQ", 0xF0, 0x30, [0x30, 0x3F, 0x130], [0, 0x20, 0x70]),
        ("SCMP_CMP_EQ", 2**64 - 1, 0, [-1], [2**32 - 1]),
        ("SCMP_CMP_GT", 1 << 40, 0, [1 << 41, (1 << 40) + 1], [1 << 40, (1 << 40) - 1, 5]),
    ],
)
def test_each_comparison_is_of_64_bits(
    op: str, value: int, value_two: int, allowed: list[int], refused: list[int]
) -> None:
    program = personality(Compare(0, value, value_two, op))
    assert [simulate(program, PERSONALITY, each) for each in allowed] == [SECCOMP_RET_ALLOW] * len(allowed)
    assert [simulate(program, PERSONALITY, each) for each in refused] == [REFUSED] * len(refused)


def test_conditions_on_different_arguments_must_all_hold() -> None:
    program = personality(Compare(0, 1, 0, "SCMP_CMP_EQ"), Compare(5, 2, 0, "SCMP_CMP_EQ"))
    assert simulate(program, PERSONALITY, 1, 0, 0, 0, 0, 2) == SECCOMP_RET_ALLOW
    assert simulate(program, PERSONALITY, 1, 0, 0, 0, 0, 3) == REFUSED
    assert simulate(program, PERSONALITY, 0, 0, 0, 0, 0, 2) == REFUSED


def test_conditions_on_one_argument_are_alternatives() -> None:
    program = personality(Compare(0, 0, 0, "SCMP_CMP_EQ"), Compare(0, 8, 0, "SCMP_CMP_EQ"))
    assert [simulate(program, PERSONALITY, value) for value in (0, 8)] == [SECCOMP_RET_ALLOW] * 2
    assert simulate(program, PERSONALITY, 1) == REFUSED


def test_rules_for_one_call_add_up() -> None:
    rules = [
        Rule(("personality",), "SCMP_ACT_ALLOW", args=(Compare(0, n, 0, "SCMP_CMP_EQ"),)) for n in (0, 8)
    ]
    program = compile_filter(refusing(*rules))
    assert [simulate(program, PERSONALITY, value) for value in (0, 8)] == [SECCOMP_RET_ALLOW] * 2
    assert simulate(program, PERSONALITY, 4) == REFUSED


def test_calls_the_library_does_not_know_are_left_out() -> None:
    program = compile_filter(allowing(Rule(("no_such_call", "mkdir", "nor_this"), "SCMP_ACT_ERRNO")))
    assert simulate(program, MKDIR) == REFUSED
    assert program == compile_filter(allowing(Rule(("mkdir",), "SCMP_ACT_ERRNO")))


def test_another_architecture_is_killed_unless_it_is_named() -> None:
    rule = Rule(("mkdir",), "SCMP_ACT_ERRNO")
    alone = compile_filter(allowing(rule))
    assert simulate(alone, MKDIR_I386, architecture=AUDIT_ARCH_I386) == SECCOMP_RET_KILL_THREAD
    both = compile_filter(allowing(rule).but(architectures=(*X86_64, "SCMP_ARCH_X86")))
    assert simulate(both, MKDIR) == REFUSED
    assert simulate(both, MKDIR_I386, architecture=AUDIT_ARCH_I386) == REFUSED
    assert simulate(both, READ, architecture=AUDIT_ARCH_I386) == SECCOMP_RET_ALLOW
    assert simulate(both, MKDIR, architecture=AUDIT_ARCH_MIPS) == SECCOMP_RET_KILL_THREAD


def test_x32_is_another_architecture() -> None:
    rule = Rule(("mkdir",), "SCMP_ACT_ERRNO")
    assert simulate(compile_filter(allowing(rule)), MKDIR | X32_SYSCALL_BIT) == SECCOMP_RET_KILL_THREAD
    with_x32 = compile_filter(allowing(rule).but(architectures=(*X86_64, "SCMP_ARCH_X32")))
    assert simulate(with_x32, MKDIR | X32_SYSCALL_BIT) == REFUSED
    assert simulate(with_x32, READ | X32_SYSCALL_BIT) == SECCOMP_RET_ALLOW


def test_an_unknown_architecture_is_named() -> None:
    with pytest.raises(OSError, match="SCMP_ARCH_VAX") as caught:
        compile_filter(Filter("SCMP_ACT_ALLOW", architectures=("SCMP_ARCH_VAX",)))
    assert caught.value.errno == errno.EINVAL


def test_a_rule_that_is_refused_is_named() -> None:
    with pytest.raises(OSError, match="Invalid argument: SCMP_ACT_ERRNO for mkdir"):
        compile_filter(allowing(Rule(("mkdir",), "SCMP_ACT_ERRNO", args=(Compare(6, 0, 0, "SCMP_CMP_EQ"),))))


def test_nothing_is_left_open() -> None:
    before = os.listdir("/proc/self/fd")
    compile_filter(allowing())
    with pytest.raises(OSError, match="VAX"):
        compile_filter(Filter("SCMP_ACT_ALLOW", architectures=("SCMP_ARCH_VAX",)))
    assert os.listdir("/proc/self/fd") == before


def test_flags_by_name() -> None:
    profile = Filter("SCMP_ACT_ALLOW", flags=("SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"))
    assert load_flags(profile) == SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW


def test_a_profile_that_notifies_needs_a_listener() -> None:
    notifying = allowing(Rule(("mkdir",), "SCMP_ACT_NOTIFY"))
    assert load_flags(notifying) == SECCOMP_FILTER_FLAG_NEW_LISTENER
    both = notifying.but(flags=("SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"))
    assert load_flags(both) == (
        SECCOMP_FILTER_FLAG_NEW_LISTENER
        | SECCOMP_FILTER_FLAG_TSYNC
        | SECCOMP_FILTER_FLAG_TSYNC_ESRCH
        | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
    )


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"),
    ],
)
def test_a_loaded_filter_rules_this_process(flags: tuple[str, ...]) -> None:
    profile = allowing(Rule(("mkdir", "mkdirat"), "SCMP_ACT_ERRNO", errno.EXFULL)).but(flags=flags)

    def body() -> tuple[int, int]:
        prctl.no_new_privs()
        result = load_filter(compile_filter(profile), load_flags(profile))
        try:
            os.mkdir("/tmp/never made")
        except OSError as error:
            return result, error.errno or 0
        return result, 0

    assert apart(body, 0) == (0, errno.EXFULL)


def test_a_notifying_filter_gives_a_listener() -> None:
    profile = allowing(Rule(("mkdir", "mkdirat"), "SCMP_ACT_NOTIFY"))

    def body() -> tuple[bool, bool]:
        prctl.no_new_privs()
        fd = load_filter(compile_filter(profile), load_flags(profile))
        return "seccomp notify" in os.readlink(f"/proc/self/fd/{fd}"), os.get_inheritable(fd)

    assert apart(body, 0) == (True, False)


def test_loading_needs_no_new_privs_or_a_right() -> None:
    def body() -> None:
        os.setresuid(1000, 1000, 1000)
        with pytest.raises(PermissionError):
            load_filter(compile_filter(allowing()), 0)

    apart(body, 0)


def test_a_program_that_is_none_is_refused() -> None:
    def body() -> None:
        prctl.no_new_privs()
        with pytest.raises(OSError, match="Invalid argument"):
            load_filter(struct.pack("=HBBI", 0xFFFF, 0, 0, 0), 0)

    apart(body, 0)


def test_a_killing_filter_kills() -> None:
    program = compile_filter(allowing(Rule(("socket",), "SCMP_ACT_KILL_PROCESS")))
    pid = os.fork()
    if pid == 0:
        prctl.no_new_privs()
        load_filter(program, 0)
        socket.socket()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGSYS


def test_actions_are_asked_of_the_kernel() -> None:
    with open("/proc/sys/kernel/seccomp/actions_avail") as file:
        known = {f"SCMP_ACT_{name.upper()}" for name in file.read().replace("user_notif", "notify").split()}
    assert {name for name in seccomp.ACTIONS if seccomp.action_available(name)} == known | {"SCMP_ACT_KILL"}


def test_an_action_the_kernel_lacks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(seccomp.ACTIONS, "SCMP_ACT_NEW", 0x12340000)
    assert not seccomp.action_available("SCMP_ACT_NEW")


def known_calls() -> tuple[str, ...]:
    """All system calls of this machine that libseccomp has a name for."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p
    native = ctypes.c_uint(library.seccomp_arch_native())
    names = (library.seccomp_syscall_resolve_num_arch(native, number) for number in range(500))
    return tuple(name.decode() for name in names if name)


def test_flag_about_listeners_is_left_out_without_one() -> None:
    waiting = Filter("SCMP_ACT_ALLOW", flags=("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SECCOMP_FILTER_FLAG_LOG"))
    assert seccomp.load_flags(waiting) == SECCOMP_FILTER_FLAG_LOG


@pytest.mark.parametrize("name", ["SCMP_ARCH_S390X", "SCMP_ARCH_MIPS", "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_SHEB"])
def test_architectures_that_nothing_here_can_be_of_change_nothing(name: str) -> None:
    profile = allowing(Rule(("mkdir",), "SCMP_ACT_ERRNO")).but(architectures=X86_64)
    assert compile_filter(profile.but(architectures=(*X86_64, name))) == compile_filter(profile)
