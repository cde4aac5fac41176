"""The interpreter is not written to: not while it runs, nor by whoever kept it open (CVE-2019-5736)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyrunc import sealing
from pyrunc.errors import PyruncError

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).resolve().parents[2]
INTERPRETER = os.readlink("/proc/self/exe")

WAYS = [
    pytest.param(sealing._open_in_overlay, marks=pytest.mark.requires("root", "overlay"), id="overlay"),
    pytest.param(sealing._copy_into_memory, id="memory"),
]

# Says whether it is sealed, then waits to be told to end.
SCRIPT = f"""
import sys; sys.path.append({str(REPOSITORY)!r})
from pyrunc import sealing
print(sealing.is_sealed(), flush=True)
sys.stdin.read()
"""


class Started:
    """A python that runs from an fd, which nobody but it has any more."""

    def __init__(self, seal: Callable[[str], int]) -> None:
        ours, theirs = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(ours[0], 0)
            os.dup2(theirs[1], 1)
            os.execve(seal(INTERPRETER), [INTERPRETER, "-I", "-S", "-c", SCRIPT], {})
        os.close(ours[0])
        os.close(theirs[1])
        self.input = ours[1]
        self.said = os.read(theirs[0], 100).decode().strip()
        os.close(theirs[0])
        self.exe = os.open(f"/proc/{self.pid}/exe", os.O_PATH)

    def end(self) -> int:
        """Let it end; returns its exit code."""
        os.close(self.input)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def refuses_to_be_written(exe: int) -> bool:
    """Try what an attacker with an fd of an executable would; a byte at its very end, should it work."""
    try:
        fd = os.open(f"/proc/self/fd/{exe}", os.O_WRONLY)
    except OSError:
        return True
    try:
        return fails(lambda: append(fd)) and fails(lambda: cut(fd))
    finally:
        os.close(fd)


def append(fd: int) -> None:
    os.pwrite(fd, b"\0", os.fstat(fd).st_size)


def cut(fd: int) -> None:
    os.ftruncate(fd, os.fstat(fd).st_size - 1)


def fails(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("seal", WAYS)
def test_sealed_interpreter_knows_that_it_is(seal: Callable[[str], int]) -> None:
    started = Started(seal)
    assert started.end() == 0
    assert started.said == "True"


@pytest.mark.parametrize("seal", WAYS)
def test_sealed_interpreter_is_not_written_to(seal: Callable[[str], int]) -> None:
    started = Started(seal)
    assert refuses_to_be_written(started.exe), "while it runs"
    started.end()
    assert refuses_to_be_written(started.exe), "after it has ended"


@pytest.mark.parametrize("seal", WAYS)
def test_sealed_interpreter_is_the_same_program(seal: Callable[[str], int]) -> None:
    started = Started(seal)
    copy = Path(f"/proc/{started.pid}/exe").read_bytes()
    started.end()
    assert copy == Path(INTERPRETER).read_bytes()


def test_ordinary_interpreter_is_not_sealed() -> None:
    assert not sealing.is_sealed()


def test_written_copy_would_be_noticed(tmp_path: Path) -> None:
    """The other tests are worth something: what is not sealed is written to by the same attempts."""
    plain = tmp_path / "python"
    plain.write_bytes(b"not in use")
    held = os.open(plain, os.O_PATH)
    assert not refuses_to_be_written(held)
    os.close(held)


def test_failing_to_seal_twice_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of starting again for ever."""
    monkeypatch.setitem(sys._xoptions, sealing._MARK, True)
    with pytest.raises(PyruncError, match="cannot seal"):
        sealing.ensure(["run"])


def test_no_way_to_seal_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(interpreter: str) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(sealing, "_open_in_overlay", refused)
    monkeypatch.setattr(sealing, "_copy_into_memory", refused)
    with pytest.raises(PyruncError, match="overlay: Operation not permitted; sealed memory: Operation not"):
        sealing.ensure(["run"])
