"""Device programs in a real cgroup v2."""

from __future__ import annotations

import os
import struct

import pytest

from pyrunc.kernel import bpf, mounts, namespaces
from tests.kernel.apart import apart

pytestmark = [pytest.mark.vm, pytest.mark.requires("root")]


def instruction(code: int, registers: int, offset: int, value: int) -> bytes:
    return struct.pack("=BBhi", code, registers, offset, value)


EXIT = instruction(0x95, 0, 0, 0)
ALLOW_ALL = instruction(0xB7, 0, 0, 1) + EXIT
DENY_ALL = instruction(0xB7, 0, 0, 0) + EXIT


class Cgroup:
    """A cgroup v2 of our own, reached through a mount that nobody else sees."""

    def __enter__(self) -> Cgroup:
        self.root = mounts.new_filesystem("cgroup2", "", (), 0)
        self.name = f"pyrunc-test-{os.getpid()}"
        os.mkdir(self.name, dir_fd=self.root)
        self.fd = os.open(self.name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.root)
        return self

    def __exit__(self, *_: object) -> None:
        os.rmdir(self.name, dir_fd=self.root)

    def can_open_null(self) -> bool:
        pid, _ = namespaces.clone3(0, cgroup_fd=self.fd)
        if pid == 0:
            try:
                os.open("/dev/null", os.O_RDWR)
            except PermissionError:
                os._exit(1)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_program_decides_what_can_be_opened() -> None:
    def body() -> list[bool]:
        with Cgroup() as cgroup:
            program = bpf.load_device_program(DENY_ALL)
            results = [cgroup.can_open_null()]
            bpf.attach(cgroup.fd, program)
            results.append(cgroup.can_open_null())
            bpf.detach(cgroup.fd, program)
            results.append(cgroup.can_open_null())
            return results

    assert apart(body, 0) == [True, False, True]


def test_programs_are_found_again_and_all_must_agree() -> None:
    def body() -> tuple[tuple[int, ...], int, bool, bool]:
        with Cgroup() as cgroup:
            allowing, denying = bpf.load_device_program(ALLOW_ALL), bpf.load_device_program(DENY_ALL)
            before = bpf.query(cgroup.fd)
            bpf.attach(cgroup.fd, allowing)
            bpf.attach(cgroup.fd, denying)
            ids = bpf.query(cgroup.fd)
            first = cgroup.can_open_null()
            bpf.detach(cgroup.fd, bpf.open_program(ids[1]))
            return before, len(ids), first, cgroup.can_open_null()

    assert apart(body, 0) == ((), 2, False, True)


def test_a_program_is_replaced_in_one_step() -> None:
    def body() -> tuple[int, bool, bool]:
        with Cgroup() as cgroup:
            old, new = bpf.load_device_program(DENY_ALL), bpf.load_device_program(ALLOW_ALL)
            bpf.attach(cgroup.fd, old)
            (old_id,) = bpf.query(cgroup.fd)
            bpf.attach(cgroup.fd, new, replace=old)
            (new_id,) = bpf.query(cgroup.fd)
            return len(bpf.query(cgroup.fd)), old_id != new_id, cgroup.can_open_null()

    assert apart(body, 0) == (1, True, True)


def test_what_is_not_attached_cannot_be_replaced_or_detached() -> None:
    def body() -> None:
        with Cgroup() as cgroup:
            program, other = bpf.load_device_program(DENY_ALL), bpf.load_device_program(DENY_ALL)
            with pytest.raises(FileNotFoundError):
                bpf.detach(cgroup.fd, program)
            with pytest.raises(FileNotFoundError):
                bpf.attach(cgroup.fd, program, replace=other)

    apart(body, 0)


def test_the_verifier_says_what_is_wrong() -> None:
    with pytest.raises(OSError, match="last insn is not an exit"):
        bpf.load_device_program(ALLOW_ALL[:8])
    with pytest.raises(OSError, match="R3 !read_ok"):
        bpf.load_device_program(instruction(0xBF, 0x30, 0, 0) + EXIT)


def test_an_unknown_program_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        bpf.open_program(2**31)


def test_programs_are_close_on_exec() -> None:
    fd = bpf.load_device_program(ALLOW_ALL)
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_only_a_cgroup_takes_a_program() -> None:
    program, directory = bpf.load_device_program(ALLOW_ALL), os.open("/", os.O_RDONLY)
    with pytest.raises(OSError, match="Bad file descriptor"):
        bpf.attach(directory, program)
    os.close(program)
    os.close(directory)


def test_programs_of_others_are_told_from_ours() -> None:
    def body() -> list[bool]:
        ours = bpf.load_device_program(ALLOW_ALL)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bpf, "_NAME", b"sd_devices")
            other = bpf.load_device_program(ALLOW_ALL)
        return [bpf.is_ours(ours), bpf.is_ours(other)]

    assert apart(body, 0) == [True, False]
