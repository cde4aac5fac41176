"""The `linux.seccomp` object of config.json (config-linux.md, "Seccomp")."""

from __future__ import annotations

from pyrunc.record import Record
from pyrunc.spec.read import UINT32, UINT64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.spec.read import Reader

SYSCALL_ARGUMENTS = (0, 5)
SECCOMP_ACTIONS = (
    "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP", "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY",
)  # fmt: skip
SECCOMP_ARCHITECTURES = (
    "SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE", "SCMP_ARCH_S390", "SCMP_ARCH_S390X", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB",
    "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64",
)  # fmt: skip
SECCOMP_OPERATORS = (
    "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
)  # fmt: skip
SECCOMP_FLAGS = (
    "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
)  # fmt: skip


class SeccompArg(Record):
    """Compare argument `index` (0..5) with `value`; MASKED_EQ: argument & value == value_two."""

    index: int
    value: int
    value_two: int
    op: str


class SeccompSyscall(Record):
    """What to do with these system calls when all `args` match; `errno_ret` None stands for EPERM."""

    names: tuple[str, ...]
    action: str
    errno_ret: int | None = None
    args: tuple[SeccompArg, ...] = ()


class Seccomp(Record):
    """A filter; `flags` is None when absent: only then may a runtime have flags of its own."""

    default_action: str
    default_errno_ret: int | None = None
    architectures: tuple[str, ...] = ()
    flags: tuple[str, ...] | None = None
    listener_path: str | None = None
    listener_metadata: str | None = None
    syscalls: tuple[SeccompSyscall, ...] = ()


def _read_seccomp_arg(r: Reader) -> SeccompArg:
    return SeccompArg(
        r.required_integer("index", SYSCALL_ARGUMENTS),
        r.required_integer("value", UINT64),
        r.integer("valueTwo", UINT64) or 0,
        r.required_one_of("op", SECCOMP_OPERATORS),
    )


def _read_seccomp_syscall(r: Reader) -> SeccompSyscall:
    return SeccompSyscall(
        r.required_strings("names"),
        r.required_one_of("action", SECCOMP_ACTIONS),
        r.integer("errnoRet", UINT32),
        r.objects("args", _read_seccomp_arg),
    )


def read_seccomp(r: Reader) -> Seccomp:
    """Read the `linux.seccomp` object (config-linux.md#seccomp)."""
    return Seccomp(
        r.required_one_of("defaultAction", SECCOMP_ACTIONS),
        r.integer("defaultErrnoRet", UINT32),
        r.each_one_of("architectures", SECCOMP_ARCHITECTURES),
        r.each_one_of("flags", SECCOMP_FLAGS) if r.has("flags") else None,
        r.string("listenerPath"),
        r.string("listenerMetadata"),
        r.objects("syscalls", _read_seccomp_syscall),
    )
