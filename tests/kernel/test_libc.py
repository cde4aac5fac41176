"""Calls into C: nothing is cut, nothing fails silently."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from pyrunc.kernel import libc, library

if TYPE_CHECKING:
    from pathlib import Path


def test_a_failing_call_raises_its_errno() -> None:
    with pytest.raises(OSError, match="No such file") as caught:
        libc.umount2("/nowhere at all", 0)
    assert caught.value.errno == errno.ENOENT


def test_the_errno_is_that_of_the_call_and_not_of_what_came_before() -> None:
    with pytest.raises(FileNotFoundError):
        libc.umount2("/nowhere at all", 0)
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        libc.setns(-1, 0)
    assert caught.value.errno == errno.EBADF


def test_a_nul_is_refused_and_does_not_cut_the_path() -> None:
    with pytest.raises(OSError, match="NUL") as caught:
        libc.umount2("/proc\0/harmless", 0)
    assert caught.value.errno == errno.EINVAL


def test_bytes_that_are_not_utf8_reach_the_kernel_unchanged(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\xfe"
    os.mkdir(name)
    fd = libc.syscall(libc.OPENAT2, -100, os.fsdecode(name), bytes(24), 24)
    assert os.path.samestat(os.fstat(fd), os.stat(name))
    os.close(fd)


def test_a_buffer_is_written_by_the_kernel() -> None:
    limits = bytearray(16)
    libc.prlimit(0, 7, None, limits)
    assert int.from_bytes(limits[:8], "little") > 0


def test_numbers_above_32_bits_are_not_cut() -> None:
    """openat2(2) is told the size of its structure: cut to 32 bits, this one would be right."""
    with pytest.raises(OSError, match="Argument list too long") as caught:
        libc.syscall(libc.OPENAT2, -100, "/", bytes(24), 1 << 32 | 24)
    assert caught.value.errno == errno.E2BIG


def test_negative_numbers_arrive_negative() -> None:
    fd = libc.syscall(libc.OPENAT2, -100, ".", bytes(24), 24)
    assert os.path.samestat(os.fstat(fd), os.stat("."))
    os.close(fd)


def test_an_unknown_function_is_an_error() -> None:
    with pytest.raises((OSError, AttributeError)):
        library.declare("no_such_function_anywhere")


def test_an_unknown_library_is_an_error() -> None:
    with pytest.raises(OSError, match=r"libnowhere\.so\.99"):
        library.open_library("libnowhere.so.99")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "riscv64"])
def test_numbers_of_older_calls_are_those_libseccomp_has(
    machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = library.open_library("libseccomp.so.2")
    resolve_arch = library.declare(
        "seccomp_arch_resolve_name",
        library.c_pointer,
        restype=library.c_uint,
        check=library.unchecked,
        library=handle,
    )
    resolve = library.declare(
        "seccomp_syscall_resolve_name_arch",
        library.c_uint,
        library.c_pointer,
        check=library.unchecked,
        library=handle,
    )
    token = resolve_arch(machine)
    monkeypatch.setattr(libc, "MACHINE", machine)
    for name in libc.NAMES:
        assert libc.number_of(name) == resolve(token, name), name
    for number, name in (
        (libc.OPENAT2, "openat2"),
        (libc.CLONE3, "clone3"),
        (libc.MOUNT_SETATTR, "mount_setattr"),
    ):
        assert number == resolve(token, name)


def test_an_architecture_without_numbers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libc, "MACHINE", "vax")
    with pytest.raises(OSError, match="keyctl on vax") as caught:
        libc.number_of("keyctl")
    assert caught.value.errno == errno.ENOSYS
