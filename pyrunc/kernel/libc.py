"""The door to the kernel: system calls by number, each of which raises OSError when it fails.

In the image (launcher/image.c) the interpreter itself has a module for that. Any other interpreter goes through the
C library's syscall(2), by way of _ctypes, which takes a millisecond more to load.
"""

from __future__ import annotations

import errno
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    Argument = int | str | bytes | bytearray | None

try:
    from _syscall import address_of as address_of  # noqa: PLC0414 - for others to import from here
    from _syscall import call
except ImportError:
    from pyrunc.kernel.library import address_of as address_of  # noqa: PLC0414
    from pyrunc.kernel.library import syscall as call

# System calls whose numbers, from 424 on, are those of all architectures.
OPEN_TREE = 428
MOVE_MOUNT = 429
FSOPEN = 430
FSCONFIG = 431
FSMOUNT = 432
FSPICK = 433
CLONE3 = 435
CLOSE_RANGE = 436
OPENAT2 = 437
PIDFD_GETFD = 438
MOUNT_SETATTR = 442

_GENERIC = {
    "bpf": 280,
    "capget": 90,
    "capset": 91,
    "fstatfs": 44,
    "ioprio_set": 30,
    "keyctl": 219,
    "mount": 40,
    "personality": 92,
    "pivot_root": 41,
    "prctl": 167,
    "prlimit64": 261,
    "renameat2": 276,
    "rt_sigaction": 134,
    "sched_setattr": 274,
    "seccomp": 277,
    "set_mempolicy": 237,
    "setdomainname": 162,
    "setfsgid": 152,
    "setfsuid": 151,
    "sethostname": 161,
    "setns": 268,
    "umount2": 39,
    "unshare": 97,
}
_X86_64 = {
    "bpf": 321,
    "capget": 125,
    "capset": 126,
    "fstatfs": 138,
    "ioprio_set": 251,
    "keyctl": 250,
    "mount": 165,
    "personality": 135,
    "pivot_root": 155,
    "prctl": 157,
    "prlimit64": 302,
    "renameat2": 316,
    "rt_sigaction": 13,
    "sched_setattr": 314,
    "seccomp": 317,
    "set_mempolicy": 238,
    "setdomainname": 171,
    "setfsgid": 123,
    "setfsuid": 122,
    "sethostname": 170,
    "setns": 308,
    "umount2": 166,
    "unshare": 272,
}
_NUMBERS = {
    "x86_64": _X86_64,
    "i686": _X86_64,  # what uname says to a 64 bit program under the personality LINUX32
    "aarch64": _GENERIC,
    "armv8l": _GENERIC,  # the same on arm64
    "riscv64": _GENERIC,
    "loongarch64": _GENERIC,
}


NAMES = tuple(_GENERIC)
MACHINE = posix.uname().machine


def number_of(name: str) -> int:
    """Return this machine's number of an older system call, one that differs between architectures.

    Raises OSError(ENOSYS) on an architecture we have no numbers for.
    """
    numbers = _NUMBERS.get(MACHINE)
    if numbers is None:
        raise OSError(errno.ENOSYS, f"the number of {name} on {MACHINE} is not known")
    return numbers[name]


def encoded(text: str) -> bytes:
    """Return a path or a string as the bytes the kernel gets; surrogates stand for bytes that are not UTF-8.

    Raises OSError(EINVAL) for a NUL, at which C would silently cut the string (CVE-2021-43784's class).
    """
    if "\0" in text:
        raise OSError(errno.EINVAL, f"{text!r} has a NUL in it")
    return text.encode("utf-8", "surrogateescape")


def syscall(number: int, *arguments: Argument) -> int:
    """syscall(2): ints, None for NULL, str (encoded), bytes, or a bytearray for the kernel to write into.

    Arguments that are not given are 0, which several calls demand of those they do not use. Raises OSError.
    """
    result: int = call(number, *[encoded(each) if isinstance(each, str) else each for each in arguments])
    return result


def named(name: str, *arguments: Argument) -> int:
    """Make a system call by its name, one of those that number_of knows. Raises OSError."""
    return syscall(number_of(name), *arguments)


def mount(source: str | None, target: str, fstype: str | None, flags: int, data: str | None) -> None:
    """mount(2)."""
    named("mount", source, target, fstype, flags, data)


def umount2(target: str, flags: int) -> None:
    """umount2(2)."""
    named("umount2", target, flags)


def setns(fd: int, nstype: int) -> None:
    """setns(2)."""
    named("setns", fd, nstype)


def unshare(flags: int) -> None:
    """unshare(2)."""
    named("unshare", flags)


def prctl(option: int, first: Argument = 0, second: int = 0, third: int = 0, fourth: Argument = 0) -> int:
    """prctl(2)."""
    return named("prctl", option, first, second, third, fourth)


def prlimit(pid: int, resource: int, new: bytes | None, old: bytearray | None) -> None:
    """prlimit(2); both are struct rlimit64."""
    named("prlimit64", pid, resource, new, old)
