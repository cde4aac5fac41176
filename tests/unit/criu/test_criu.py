"""How criu is started and spoken to, with one that only talks."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any, Protocol

import pytest

from pyrunc.errors import HookError, StepError
from pyrunc.host.criu import DUMP, OPTIONS, RESTORE, Criu, Launch, encode_options, find_criu, first_error
from pyrunc.host.protobuf import decode, encode

REPOSITORY = Path(__file__).resolve().parents[3]
OK = ["reply", {"2": True}]
NOISE = "(00.03) Error (criu/util.c:1533): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted\n"
LOG = f"(00.01) Version: 4.1\n{NOISE}(00.04) Error (criu/files.c:12): no such luck\n(00.05) Error (criu/x.c:1): later\n"


class Fake(Protocol):
    def __call__(self, *requests: list[list[Any]]) -> Criu: ...


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Start a criu that does what is said for each request it gets."""
    program = tmp_path / "criu"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.unit.criu.fake_criu "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("FAKE_CRIU_LOG", f"{tmp_path}/log")
    monkeypatch.setenv("FAKE_CRIU_HEARD", f"{tmp_path}/heard")

    def start(*requests: list[list[Any]]) -> Criu:
        monkeypatch.setenv("FAKE_CRIU", json.dumps(requests))
        return Criu(Launch(f"{tmp_path}/log"))

    return start


def heard(folder: Path) -> list[dict[int, list[int | bytes]]]:
    return [decode(bytes.fromhex(each)) for each in json.loads((folder / "heard").read_text())]


def nothing(_script: str, _pid: int, _fds: tuple[int, ...]) -> None:
    return


def test_options_are_numbered_as_criu_s() -> None:
    options = encode_options({"pid": 7, "log_file": "x", "ext_mnt": [("/a", "/b"), ("/c", "/d")], "ps": ("::1", 80)})
    assert decode(options) == {
        2: [7],
        10: [b"x"],
        23: [encode([(1, "/a"), (2, "/b")]), encode([(1, "/c"), (2, "/d")])],
        11: [encode([(1, "::1"), (2, 80)])],
    }


def test_no_two_options_have_one_number() -> None:
    assert len(set(OPTIONS.values())) == len(OPTIONS)


def test_a_dump_that_succeeds(fake: Fake, tmp_path: Path) -> None:
    criu = fake([["notify", "pre-dump", 0, None], OK])
    assert criu.request(DUMP, {"pid": 12}, nothing) == 0
    criu.end()
    assert heard(tmp_path) == [{1: [DUMP], 2: [encode([(2, 12)])]}, {1: [6], 3: [1]}]


def test_a_restore_says_the_pid(fake: Fake) -> None:
    criu = fake([["reply", {"2": True, "4": "#" + encode([(1, 4711)]).hex()}]])
    assert criu.request(RESTORE, {}, nothing) == 4711
    criu.end()


def test_notifications_come_with_pid_and_descriptor(fake: Fake) -> None:
    found: list[tuple[str, int, bool]] = []

    def heed(script: str, pid: int, fds: tuple[int, ...]) -> None:
        found.append((script, pid, bool(fds)))
        for fd in fds:
            assert not os.get_inheritable(fd)
            os.close(fd)

    criu = fake([["notify", "setup-namespaces", 5, None], ["notify", "orphan-pts-master", 0, 1], OK])
    criu.request(RESTORE, {}, heed)
    criu.end()
    assert found == [("setup-namespaces", 5, False), ("orphan-pts-master", 0, True)]


def test_what_the_callee_raises_ends_the_work(fake: Fake, tmp_path: Path) -> None:
    def heed(_script: str, _pid: int, _fds: tuple[int, ...]) -> None:
        raise HookError("hook failed")

    criu = fake([["notify", "setup-namespaces", 5, None], ["reply", {"2": False}]])
    with pytest.raises(HookError, match="hook failed"):
        criu.request(RESTORE, {}, heed)
    criu.end()
    assert heard(tmp_path)[-1] == {1: [6], 3: [0]}


@pytest.mark.parametrize("end", [["reply", {"2": False}], ["die"]])
def test_the_reason_is_in_the_log(fake: Fake, tmp_path: Path, end: list[Any]) -> None:
    criu = fake([["log", LOG], end])
    with pytest.raises(StepError) as raised:
        criu.request(DUMP, {}, nothing)
    criu.end()
    assert str(raised.value) == f"criu failed: no such luck (see {tmp_path}/log)"


def test_the_reason_is_in_the_answer(fake: Fake) -> None:
    criu = fake([["reply", {"2": False, "9": "out of luck"}]])
    with pytest.raises(StepError, match=r"^criu failed: out of luck$"):
        criu.request(DUMP, {}, nothing)
    criu.end()


def test_the_reason_was_printed(fake: Fake) -> None:
    """As by a criu that does not know the kernel's vdso: it is gone before it has a log."""
    criu = fake([["print", "Error (criu/vdso.c:381): vdso: Unexpected rt vDSO area bounds"], ["die"]])
    with pytest.raises(StepError, match=r"^criu failed: vdso: Unexpected rt vDSO area bounds$"):
        criu.check_version()
    criu.end()


def test_it_just_died(fake: Fake) -> None:
    criu = fake([["die"]])
    with pytest.raises(StepError, match=r"^criu failed: it died$"):
        criu.request(DUMP, {}, nothing)
    criu.end()


def version(major: int, minor: int) -> list[list[Any]]:
    return [["reply", {"2": True, "10": "#" + encode([(1, major), (2, minor)]).hex()}]]


@pytest.mark.parametrize(("major", "minor"), [(3, 16), (3, 17), (4, 0)])
def test_new_enough(fake: Fake, tmp_path: Path, major: int, minor: int) -> None:
    criu = fake(version(major, minor))
    criu.check_version()
    criu.end()
    assert heard(tmp_path) == [{1: [10], 4: [1]}]


def test_too_old(fake: Fake) -> None:
    criu = fake(version(3, 15))
    with pytest.raises(StepError, match=r"^criu 3\.15 is too old: 3\.16 or newer is needed$"):
        criu.check_version()
    criu.end()


@pytest.mark.parametrize("there", [True, False])
def test_features(fake: Fake, there: bool) -> None:
    criu = fake([["reply", {"2": True, "8": "#" + encode([(1, there)]).hex()}]])
    if there:
        criu.check_feature("mem_track", "--pre-dump", "a hint")
    else:
        with pytest.raises(StepError, match=r"--pre-dump: .*\(a hint\)"):
            criu.check_feature("mem_track", "--pre-dump", "a hint")
    criu.end()


def test_several_requests_to_one_criu(fake: Fake) -> None:
    criu = fake(version(4, 1), [OK])
    criu.check_version()
    criu.request(DUMP, {}, nothing)
    criu.end()


def test_no_criu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:relative")
    with pytest.raises(StepError, match="need criu, which is not in PATH"):
        find_criu()


def test_a_relative_path_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory is the bundle's: a program there is not ours to run."""
    (tmp_path / "criu").write_text("#!/bin/sh\n")
    (tmp_path / "criu").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ":.:")
    with pytest.raises(StepError):
        find_criu()


def test_a_program_that_cannot_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "criu").write_text("#!/nowhere/at/all\n")
    (tmp_path / "criu").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    criu = Criu(Launch(f"{tmp_path}/log"))
    with pytest.raises(StepError, match=r"cannot start .*/criu: not found"):
        criu.check_version()
    criu.end()


def what_is_open(pid: int) -> set[str]:
    """Behind its standard streams; it may be about to close its own file."""
    there = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            there.add(os.readlink(fd) if int(fd.name) > 2 else "socket")
    return there


def test_no_descriptor_leaks_to_criu(fake: Fake, tmp_path: Path) -> None:
    leaked = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    criu = fake(version(4, 1), [OK])
    criu.check_version()
    there = what_is_open(criu.pid)
    criu.request(DUMP, {}, nothing)
    criu.end()
    os.close(leaked)
    assert {each.partition(":")[0] for each in there} - {f"{tmp_path}/heard"} == {"socket"}


@pytest.mark.parametrize("text", ["", "all is well\n", NOISE, "(00.1) Error (broken"])
def test_no_error(text: str) -> None:
    assert first_error(text) == ""
