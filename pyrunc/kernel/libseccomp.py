"""libseccomp, as far as seccomp.py needs it; only ever opened outside of containers."""

from __future__ import annotations

import _struct

from pyrunc.kernel.library import (
    c_int,
    c_pointer,
    c_uint,
    c_ulong,
    check_negative,
    check_pointer,
    declare,
    open_library,
    unchecked,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_SONAME = "libseccomp.so.2"


class Library:
    """libseccomp's functions; opened by soname, since looking for a library by name would run ldconfig."""

    def __init__(self) -> None:
        handle = open_library(_SONAME)

        def function(
            name: str, *argtypes: type, restype: type = c_int, check: Callable[..., int] = check_negative
        ) -> Callable[..., int]:
            return declare(f"seccomp_{name}", *argtypes, restype=restype, check=check, library=handle)

        self.init = function("init", c_uint, restype=c_pointer, check=check_pointer)
        self.release = function("release", c_pointer, check=unchecked)
        self.arch_add = function("arch_add", c_pointer, c_uint)
        self.arch_resolve_name = function(
            "arch_resolve_name", c_pointer, restype=c_uint, check=unchecked
        )
        self.arch_native = function("arch_native", restype=c_uint, check=unchecked)
        self.syscall_resolve_name_arch = function(
            "syscall_resolve_name_arch", c_uint, c_pointer, check=unchecked
        )
        self.syscall_resolve_name = function("syscall_resolve_name", c_pointer, check=unchecked)
        self.rule_add_array = function("rule_add_array", c_pointer, c_uint, c_int, c_uint, c_pointer)
        self.export_bpf = function("export_bpf", c_pointer, c_int)


def library_version() -> str:
    """Return libseccomp's version, "2.5.4": another may know more system calls, or compile differently."""
    handle = open_library(_SONAME)
    version = declare("seccomp_version", restype=c_pointer, check=check_pointer, library=handle)
    copy = declare("memcpy", c_pointer, c_pointer, c_ulong, restype=c_pointer, check=check_pointer)
    numbers = bytearray(12)
    copy(numbers, version(), 12)
    return ".".join(str(number) for number in _struct.unpack("=3I", numbers))
