"""C libraries: the only user of _ctypes.

`_ctypes` is the C half of ctypes. Its Python half would import os and cost 3 ms at start-up for
conveniences that a few dozen prototypes do not need. Every function declared here raises OSError(errno,
text) by itself, so that nobody can forget to look at a result. There are no callbacks: those need writable
and executable memory. System calls go through libc.py, which needs this only outside of the image.
"""

from __future__ import annotations

import _ctypes
import errno
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Argument = int | str | bytes | bytearray | None


class c_int(_ctypes._SimpleCData):  # type: ignore[type-arg]
    """An int; out of range Python ints are cut silently, so flags are declared c_ulong."""

    _type_ = "i"


class c_uint(_ctypes._SimpleCData):  # type: ignore[type-arg]
    """An unsigned int."""

    _type_ = "I"


class c_long(_ctypes._SimpleCData):  # type: ignore[type-arg]
    """A long."""

    _type_ = "l"


class c_ulong(_ctypes._SimpleCData):  # type: ignore[type-arg]
    """An unsigned long, as most flag arguments are."""

    _type_ = "L"


class c_pointer(_ctypes._SimpleCData):  # type: ignore[type-arg]
    """Any pointer: bytes, a bytearray, a str (encoded), None for NULL, or an address.

    As a result: an address.
    """

    _type_ = "P"


class _c_char(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "c"


class _Function(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = c_int


def encoded(text: str) -> bytes:
    """Return a path or a string as the bytes the kernel gets; surrogates stand for bytes that are not UTF-8.

    Raises OSError(EINVAL) for a NUL, at which C would silently cut the string (CVE-2021-43784's class).
    """
    if "\0" in text:
        raise OSError(errno.EINVAL, f"{text!r} has a NUL in it")
    return text.encode("utf-8", "surrogateescape")


def _encoded(text: str) -> bytes:
    if "\0" in text:
        raise OSError(errno.EINVAL, f"{text!r} has a NUL in it")
    return text.encode("utf-8", "surrogateescape")


def address_of(buffer: bytearray) -> int:
    """Return the address of a buffer, for structures that hold pointers.

    The caller must keep the bytearray alive, and its size unchanged, until the call is over.
    """
    return _ctypes.addressof(_c_char.from_buffer(buffer))


def open_library(soname: str) -> int:
    """dlopen(3) of a library by its soname, found as the loader finds it; returns a handle for declare.

    Raises OSError with the loader's text. Never inside a container: its libraries are not to be trusted.
    """
    return _ctypes.dlopen(soname, posix.RTLD_NOW)


def _check_errno(result: int, _function: object, _arguments: object) -> int:
    if result == -1:
        number = _ctypes.get_errno()
        raise OSError(number, posix.strerror(number))
    return result


def check_negative(result: int, _function: object, _arguments: object) -> int:
    """Check for the convention of libseccomp and of the kernel itself: a negative result is minus errno."""
    if result < 0:
        raise OSError(-result, posix.strerror(-result))
    return result


def check_pointer(result: int | None, _function: object, _arguments: object) -> int:
    """Check for functions that return NULL when they fail without saying why: ENOMEM."""
    if result is None:
        raise OSError(errno.ENOMEM, posix.strerror(errno.ENOMEM))
    return result


def unchecked(result: int, _function: object, _arguments: object) -> int:
    """Check for functions that cannot fail, or whose result says so in a way of its own."""
    return result


def _argument(value: Argument) -> object:
    if isinstance(value, str):
        return _encoded(value)
    if isinstance(value, bytearray):
        return _ctypes.byref(_c_char.from_buffer(value))  # pins the buffer while the argument lives
    return value


# None: the program itself, whose symbols include those of the C library it is linked with.
_PROGRAM = _ctypes.dlopen(None, posix.RTLD_NOW)  # type: ignore[arg-type]


def declare(
    name: str,
    *argtypes: type,
    restype: type = c_int,
    check: Callable[..., int] = _check_errno,
    library: int = _PROGRAM,
) -> Callable[..., int]:
    """Return a C function that raises OSError when it fails. Arguments are converted as c_pointer says.

    Raises OSError when the library has no such function.
    """
    function = _Function(_ctypes.dlsym(library, name))
    function.argtypes = argtypes
    function.restype = restype
    function.errcheck = check  # type: ignore[assignment]

    def call(*arguments: Argument) -> int:
        result: int = function(*map(_argument, arguments))
        return result

    return call


# Every argument is declared a pointer, which takes ints too, negative ones included, and never cuts them.
_syscall = declare("syscall", c_long, *[c_pointer] * 6, restype=c_long)


def syscall(number: int, *arguments: Argument) -> int:
    """syscall(2). Arguments that are not given are 0, which several calls demand of those they do not use."""
    return _syscall(number, *arguments, *(0,) * (6 - len(arguments)))
