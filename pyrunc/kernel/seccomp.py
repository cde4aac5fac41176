"""Seccomp filters: compiled by libseccomp on the host side, loaded with one system call inside.

Only compile_filter opens the library, in the process that is still outside: what the container's file
system calls libseccomp must never be loaded. The program is plain bytes, so it can be kept and given to the
inside.
"""

from __future__ import annotations

import _struct
import errno
import posix

from pyrunc.kernel import libc
from pyrunc.kernel.flags import (
    SECCOMP_FILTER_FLAG_LOG,
    SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    SECCOMP_FILTER_FLAG_TSYNC,
    SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
    SECCOMP_GET_ACTION_AVAIL,
    SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO,
    SECCOMP_RET_KILL_PROCESS,
    SECCOMP_RET_KILL_THREAD,
    SECCOMP_RET_LOG,
    SECCOMP_RET_TRACE,
    SECCOMP_RET_TRAP,
    SECCOMP_RET_USER_NOTIF,
    SECCOMP_SET_MODE_FILTER,
)
from pyrunc.kernel.seccomp_newer import prologue
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.kernel.libseccomp import Library

ACTIONS = {
    "SCMP_ACT_KILL": SECCOMP_RET_KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": SECCOMP_RET_KILL_PROCESS,
    "SCMP_ACT_KILL_THREAD": SECCOMP_RET_KILL_THREAD,
    "SCMP_ACT_TRAP": SECCOMP_RET_TRAP,
    "SCMP_ACT_ERRNO": SECCOMP_RET_ERRNO,
    "SCMP_ACT_TRACE": SECCOMP_RET_TRACE,
    "SCMP_ACT_ALLOW": SECCOMP_RET_ALLOW,
    "SCMP_ACT_LOG": SECCOMP_RET_LOG,
    "SCMP_ACT_NOTIFY": SECCOMP_RET_USER_NOTIF,
}
OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": SECCOMP_FILTER_FLAG_TSYNC,
    "SECCOMP_FILTER_FLAG_LOG": SECCOMP_FILTER_FLAG_LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
}

# Default actions of an allow list; the others leave new system calls to the kernel, a tracer or a listener.
_REFUSALS = (
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
)
_WITH_DATA = (SECCOMP_RET_ERRNO, SECCOMP_RET_TRACE)
_DATA_MASK = 0xFFFF
_NR_SCMP_ERROR = -1
_ARCHITECTURE_PREFIX = "SCMP_ARCH_"
# In the spec's list (config-linux.md, "Seccomp"), and not in every libseccomp that is in use.
_NEW_ARCHITECTURES = ("SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB")


class Compare(Record):
    """A condition on one argument of a system call; for SCMP_CMP_MASKED_EQ `value` is the mask."""

    index: int
    value: int
    value_two: int
    op: str


class Rule(Record):
    """What is done for some system calls if all conditions hold; `errno` None means EPERM."""

    names: tuple[str, ...]
    action: str
    errno: int | None = None
    args: tuple[Compare, ...] = ()


class Filter(Record):
    """A profile as linux.seccomp has it (config-linux.md, "Seccomp")."""

    default_action: str
    default_errno: int | None = None
    architectures: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()


def compile_filter(profile: Filter) -> bytes:
    """Return the array of struct sock_filter for a profile: seccomp_init(3), seccomp_export_bpf(3).

    System calls that libseccomp does not know are left out, since profiles are written for many kernels.
    Raises OSError: EINVAL for an unknown architecture, or the library's own reason with the rule it
    refused.
    """
    from pyrunc.kernel.libseccomp import Library  # brings _ctypes

    library = Library()
    default = _action(profile.default_action, profile.default_errno)
    context = library.init(default)
    try:
        for name in profile.architectures:
            _add_architecture(library, context, name)
        for rule in profile.rules:
            action = _action(rule.action, rule.errno)
            if action != default:  # the library refuses to be told what it does anyway
                _add_rule(library, context, action, rule)
        return _prologue(library, profile) + _export(library, context)
    finally:
        library.release(context)


def _prologue(library: Library, profile: Filter) -> bytes:
    """Return what refuses calls newer than the profile; empty where its default lets them pass, or asks somebody."""
    if profile.default_action not in _REFUSALS:
        return b""
    tokens = {library.arch_native()}
    tokens |= {_architecture(library, name) for name in profile.architectures} - {0}
    names = {name for rule in profile.rules for name in rule.names}
    highest = {}
    for token in sorted(tokens):
        number = max((library.syscall_resolve_name_arch(token, name) for name in names), default=_NR_SCMP_ERROR)
        if number >= 0:  # the library has negative numbers for what an architecture lacks
            highest[token] = number
    return prologue(highest)


def load_flags(profile: Filter) -> int:
    """Return seccomp(2)'s flags for load_filter: those a profile names, and what SCMP_ACT_NOTIFY needs."""
    flags = 0
    for name in profile.flags:
        flags |= FLAGS[name]
    if "SCMP_ACT_NOTIFY" in (profile.default_action, *(rule.action for rule in profile.rules)):
        flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER
        if flags & SECCOMP_FILTER_FLAG_TSYNC:  # or the result could be an fd as well as a thread's id
            flags |= SECCOMP_FILTER_FLAG_TSYNC_ESRCH
    else:
        # It is about waiting for a listener; without one the kernel has EINVAL for it.
        flags &= ~SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
    return flags


def load_filter(program: bytes, flags: int) -> int:
    """Load a filter into this thread: seccomp(2), SECCOMP_SET_MODE_FILTER. Returns the listener's fd, or 0.

    Needs no_new_privs or CAP_SYS_ADMIN (EACCES). From here on every system call is subject to the
    program, ours too. Raises OSError; EINVAL for a bad program or an unknown flag.
    """
    code = bytearray(program)
    # struct sock_fprog: the number of instructions, of eight bytes each, and where they are
    call = _struct.pack("H6xQ", len(program) // 8, libc.address_of(code))
    result = libc.syscall(libc.number_of("seccomp"), SECCOMP_SET_MODE_FILTER, flags, call)
    del code  # only now: the kernel has its copy
    return result


def action_available(name: str) -> bool:
    """Tell whether the kernel knows an action: seccomp(2), SECCOMP_GET_ACTION_AVAIL. Raises OSError."""
    try:
        action = _struct.pack("I", ACTIONS[name])
        libc.syscall(libc.number_of("seccomp"), SECCOMP_GET_ACTION_AVAIL, 0, action)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return False
    return True


def _action(name: str, number: int | None) -> int:
    """Return an action as the library and the kernel have it, with its data where it takes any."""
    action = ACTIONS[name]
    if action in _WITH_DATA:
        action |= (errno.EPERM if number is None else number) & _DATA_MASK
    return action


def _architecture(library: Library, name: str) -> int:
    """Return the library's token, 0 for one of the spec's that only newer libraries know."""
    token = library.arch_resolve_name(name.removeprefix(_ARCHITECTURE_PREFIX).lower())
    if token == 0 and name not in _NEW_ARCHITECTURES:
        raise OSError(errno.EINVAL, f"libseccomp does not know the architecture {name}")
    return token


def _add_architecture(library: Library, context: int, name: str) -> None:
    """Add an architecture. What no program on this machine can be of needs no rules: profiles list many."""
    token = _architecture(library, name)
    if token == 0:  # the library knows its own machine's, so it is another's
        return
    try:
        library.arch_add(context, token)
    except FileExistsError:  # the native one is there from the start
        pass
    except OSError as error:
        if error.errno != errno.EDOM:  # seccomp_arch_add(3): of the other byte order
            raise


def _add_rule(library: Library, context: int, action: int, rule: Rule) -> None:
    alternatives = _alternatives(rule.args)
    for name in rule.names:
        number = library.syscall_resolve_name(name)
        if number == _NR_SCMP_ERROR:
            continue
        try:
            for count, conditions in alternatives:
                library.rule_add_array(context, action, number, count, conditions)
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror}: {rule.action} for {name}") from None


def _alternatives(args: tuple[Compare, ...]) -> tuple[tuple[int, bytes | None], ...]:
    """Return arrays of struct scmp_arg_cmp, each with its length, of which one must hold.

    The library takes one condition for each argument. Where a profile has two for one argument, all its
    conditions become alternatives: runc does so, and profiles in use (clone's flags) rely on it.
    """
    packed = [_struct.pack("=IIQQ", arg.index, OPERATORS[arg.op], arg.value, arg.value_two) for arg in args]
    if not packed:
        return ((0, None),)
    if len({arg.index for arg in args}) < len(args):
        return tuple((1, each) for each in packed)
    return ((len(packed), b"".join(packed)),)


def _export(library: Library, context: int) -> bytes:
    fd = posix.memfd_create("seccomp", posix.MFD_CLOEXEC)
    try:
        library.export_bpf(context, fd)
        return posix.pread(fd, posix.fstat(fd).st_size, 0)
    finally:
        posix.close(fd)
