"""Profiles are compiled once and kept below the state root, where only the owner can write."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from pyrunc.errors import ConfigError
from pyrunc.host.seccomp import compile_for
from pyrunc.kernel.flags import SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW
from pyrunc.spec.config import Root, Spec
from pyrunc.spec.linux import Linux
from pyrunc.spec.process import Process, User
from pyrunc.spec.seccomp import Seccomp, SeccompSyscall

PROCESS = Process(False, None, User(), ("sh",), (), "/")
MKDIR = SeccompSyscall(("mkdir", "mkdirat"), "SCMP_ACT_ERRNO", 1)
PLANTED = b"planted!"


def profile(**members: Any) -> Seccomp:
    return Seccomp(**{"default_action": "SCMP_ACT_ALLOW", "syscalls": (MKDIR,), **members})


def compiled(root: Path, seccomp: Seccomp | None = None) -> tuple[bytes, int]:
    spec = Spec("1.3.0", Root("r"), PROCESS, linux=Linux(seccomp=seccomp or profile()))
    found = compile_for(spec, str(root))
    assert found is not None
    return found


def kept(root: Path) -> list[Path]:
    return sorted((root / "@seccomp").iterdir())


def test_a_program_is_kept_for_the_owner_only(tmp_path: Path) -> None:
    program, _ = compiled(tmp_path)
    (file,) = kept(tmp_path)
    assert file.read_bytes() == program
    assert len(program) % 8 == 0 < len(program)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file.parent, file)] == [0o700, 0o600]


def test_what_is_kept_is_used(tmp_path: Path) -> None:
    compiled(tmp_path)
    kept(tmp_path)[0].write_bytes(PLANTED)
    assert compiled(tmp_path)[0] == PLANTED


def test_another_profile_is_another_program(tmp_path: Path) -> None:
    first, _ = compiled(tmp_path)
    second, _ = compiled(tmp_path, profile(syscalls=(MKDIR.but(errno_ret=2),)))
    assert first != second
    assert len(kept(tmp_path)) == 2
    assert compiled(tmp_path)[0] == first


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_not_used(tmp_path: Path, mode: int) -> None:
    program, _ = compiled(tmp_path)
    kept(tmp_path)[0].write_bytes(PLANTED)
    kept(tmp_path)[0].chmod(mode)
    assert compiled(tmp_path)[0] == program
    assert kept(tmp_path)[0].read_bytes() == program, "it is replaced"


@pytest.mark.parametrize("content", [b"", b"1234567", PLANTED + b"x"])
def test_a_file_that_is_no_program_is_not_used(tmp_path: Path, content: bytes) -> None:
    program, _ = compiled(tmp_path)
    kept(tmp_path)[0].write_bytes(content)
    assert compiled(tmp_path)[0] == program


def test_a_link_is_not_used(tmp_path: Path) -> None:
    program, _ = compiled(tmp_path)
    (tmp_path / "planted").write_bytes(PLANTED)
    (file,) = kept(tmp_path)
    file.unlink()
    file.symlink_to(tmp_path / "planted")
    assert compiled(tmp_path)[0] == program
    assert (tmp_path / "planted").read_bytes() == PLANTED


def test_without_a_state_root_nothing_is_kept(tmp_path: Path) -> None:
    assert compiled(tmp_path / "none")[0] == compiled(tmp_path)[0]
    assert os.listdir(tmp_path) == ["@seccomp"]


def test_flags_that_are_absent_are_the_usual_ones(tmp_path: Path) -> None:
    assert compiled(tmp_path)[1] == SECCOMP_FILTER_FLAG_SPEC_ALLOW
    assert compiled(tmp_path, profile(flags=()))[1] == 0
    assert compiled(tmp_path, profile(flags=("SECCOMP_FILTER_FLAG_LOG",)))[1] == SECCOMP_FILTER_FLAG_LOG


@pytest.mark.parametrize(
    "spec",
    [
        Spec("1.3.0", Root("r"), PROCESS),
        Spec("1.3.0", Root("r"), PROCESS, linux=Linux()),
        Spec("1.3.0", Root("r"), None, linux=Linux(seccomp=profile())),
    ],
)
def test_where_there_is_nothing_to_filter_nothing_is_compiled(tmp_path: Path, spec: Spec) -> None:
    assert compile_for(spec, str(tmp_path)) is None
    assert os.listdir(tmp_path) == []


def test_a_profile_that_the_library_refuses_is_a_fault_of_the_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        compiled(tmp_path, profile(syscalls=(MKDIR.but(errno_ret=99_999),)))
    assert [problem.path for problem in caught.value.problems] == [".linux.seccomp"]
    assert os.listdir(tmp_path) == []
