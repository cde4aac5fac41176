"""Helper programs, and what else is done to processes."""

from __future__ import annotations

import errno
import hashlib
import os
import select
import signal
import struct
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from pyrunc.kernel import libc, processes
from pyrunc.kernel.flags import CLOSE_RANGE_CLOEXEC, PERSONALITY, RLIM_INFINITY, RLIMITS
from tests.kernel.apart import apart

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FOREVER = "while :; do sleep 1; done"


def sh(
    script: str,
    *,
    stdin: bytes = b"",
    timeout: float | None = 10,
    env: Mapping[str, str] | tuple[str, ...] = (),
    cwd: str = "",
) -> processes.Outcome:
    path = {"PATH": os.environ["PATH"]} if env == () else env
    return processes.run_program("/bin/sh", ("sh", "-c", script), path, stdin, timeout, cwd)


def test_status_and_output_come_back() -> None:
    assert sh("echo out; echo err >&2; exit 3") == processes.Outcome(3, "out\nerr\n", False)


def test_a_signal_counts_128_more() -> None:
    assert sh("kill -TERM $$").status == 128 + signal.SIGTERM


def test_stdin_arrives_whole_and_ends() -> None:
    data = os.urandom(1 << 20)
    assert sh("sha256sum", stdin=data).output.split()[0] == hashlib.sha256(data).hexdigest()


def test_empty_stdin_ends_at_once() -> None:
    assert sh("cat; echo end").output == "end\n"


def test_stdin_can_be_opened_again() -> None:
    """Some hooks read /dev/stdin, which cannot be opened if it is a socket."""
    assert sh("cat /dev/stdin", stdin=b"state").output == "state"


def test_a_program_that_does_not_read_is_no_obstacle() -> None:
    start = time.monotonic()
    assert sh("exit 4", stdin=bytes(1 << 20)).status == 4
    assert time.monotonic() - start < 5


def test_a_program_that_closes_stdin_does_not_kill_us() -> None:
    def body() -> tuple[int, str]:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as inside a container, where all signals were reset
        outcome = sh("exec <&-; sleep 0.2; echo on", stdin=bytes(1 << 20))
        return outcome.status, outcome.output

    assert apart(body, 0) == (0, "on\n")


def test_only_the_end_of_much_output_is_kept() -> None:
    outcome = sh("yes x | head -c 300000; echo; echo end")
    assert len(outcome.output) == processes.OUTPUT_KEPT
    assert outcome.output.endswith("x\nx\n\nend\n")


def test_output_that_is_not_text_is_no_obstacle() -> None:
    assert sh(r"printf '\377\n'").output == "\ufffd\n"


def test_a_timeout_kills_the_whole_group(tmp_path: Path) -> None:
    start = time.monotonic()
    outcome = sh(f"echo begun; (sleep 1.5; touch {tmp_path}/alive) & {FOREVER}", timeout=0.5)
    assert outcome == processes.Outcome(128 + signal.SIGKILL, "begun\n", True)
    assert time.monotonic() - start < 1.4
    time.sleep(max(0, start + 2 - time.monotonic()))
    assert not (tmp_path / "alive").exists()


def test_a_timeout_comes_while_output_never_pauses() -> None:
    outcome = sh("yes", timeout=0.3)
    assert outcome.timed_out


def test_a_program_that_left_its_group_is_killed_too() -> None:
    script = (
        "import os, time; os.setpgid(0, os.getpgid(os.getppid())); print('left', flush=True); time.sleep(20)"
    )
    outcome = processes.run_program(sys.executable, ("python", "-I", "-c", script), {}, b"", 1)
    assert outcome == processes.Outcome(128 + signal.SIGKILL, "left\n", True)


@pytest.mark.parametrize("timeout", [None, 1e10])
def test_no_timeout_means_waiting(timeout: float | None) -> None:
    assert sh("sleep 0.3; echo done", timeout=timeout) == processes.Outcome(0, "done\n", False)


def test_a_program_that_closes_its_output_is_waited_for() -> None:
    assert sh("echo done; exec >&- 2>&-; sleep 0.3; exit 5") == processes.Outcome(5, "done\n", False)


def test_a_daemon_that_keeps_the_pipes_does_not_hold_us(tmp_path: Path) -> None:
    start = time.monotonic()
    outcome = sh(f"(sleep 30; :) & echo $! > {tmp_path}/pid; echo started")
    assert outcome.output == "started\n"
    assert time.monotonic() - start < 5
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_all_output_before_the_end_is_there() -> None:
    for _ in range(50):
        assert sh("printf 123456789").output == "123456789"


def test_the_environment_is_exactly_what_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD_LOOKALIKE", "1")
    run = processes.run_program
    assert run("/usr/bin/env", ("env",), {"A": "b=c"}, b"", 10).output == "A=b=c\n"
    assert run("/usr/bin/env", ("env",), ("A=b=c", "none", "=x", "E="), b"", 10).output == "A=b=c\nE=\n"
    assert run("/usr/bin/env", ("env",), (), b"", 10).output == ""


def test_it_runs_where_it_is_told_and_we_stay(tmp_path: Path) -> None:
    before = os.getcwd()
    assert sh("pwd", cwd=str(tmp_path)).output == f"{tmp_path}\n"
    assert os.getcwd() == before
    with pytest.raises(FileNotFoundError):
        sh("pwd", cwd=f"{tmp_path}/missing")
    assert os.getcwd() == before


def test_signals_are_default_and_unblocked() -> None:
    def body() -> str:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGRTMIN, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGHUP])
        return processes.run_program(
            "/bin/grep", ("grep", "^Sig[BI]", "/proc/self/status"), {}, b"", 10
        ).output

    blocked, ignored = (int(line.split()[1], 16) for line in apart(body, 0).splitlines())
    assert blocked == 0
    # The C library's posix_spawn ignores the two signals it keeps for itself.
    assert ignored & ~(1 << 31 | 1 << 32) == 0


def test_no_descriptor_of_ours_is_inherited_or_left_open() -> None:
    before = os.listdir("/proc/self/fd")
    leaked = {fd for fd in before if fd not in "012" and os.path.exists(f"/proc/self/fd/{fd}")}
    leaked = {fd for fd in leaked if os.get_inheritable(int(fd))}  # by whoever started the tests
    secret = os.open("/", os.O_RDONLY)
    output = processes.run_program("/bin/ls", ("ls", "/proc/self/fd"), {}, b"", 10).output
    os.close(secret)
    assert set(output.split()) - leaked == {"0", "1", "2", "3"}  # 3: the directory that ls reads
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("closed", [(0,), (1,), (0, 1), (0, 1, 2), (0, 2)])
def test_it_works_when_our_standard_streams_are_closed(closed: tuple[int, ...]) -> None:
    def body() -> tuple[int, str]:
        for fd in closed:
            os.close(fd)
        outcome = sh("cat; echo err >&2", stdin=b"in ")
        return outcome.status, outcome.output

    assert apart(body, 0) == (0, "in err\n")


@pytest.mark.parametrize(
    ("path", "number"), [("/nowhere", errno.ENOENT), ("/", errno.EACCES), ("/etc/passwd", errno.EACCES)]
)
def test_a_program_that_cannot_be_started_is_an_error(path: str, number: int) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match=path) as caught:
        processes.run_program(path, ("x",), {}, b"", 10)
    assert caught.value.errno == number
    assert os.listdir("/proc/self/fd") == before


def test_an_interrupt_ends_the_program_too(tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def body() -> tuple[bool, bool]:
        signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            sh(f"echo $$ > {tmp_path}/pid; {FOREVER}")
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True, os.path.exists(f"/proc/{(tmp_path / 'pid').read_text().strip()}")
        return False, True

    assert apart(body, 0) == (True, False)


@pytest.mark.requires("root")
def test_limits_are_64_bits_wide() -> None:
    def body() -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        processes.set_rlimit(0, RLIMITS["RLIMIT_CORE"], 1 << 40, RLIM_INFINITY)
        wide = processes.get_rlimit(0, RLIMITS["RLIMIT_CORE"])
        processes.set_rlimit(0, RLIMITS["RLIMIT_NOFILE"], 100, 200)
        child = subprocess.Popen(["sleep", "10"])
        processes.set_rlimit(child.pid, RLIMITS["RLIMIT_NOFILE"], 50, 60)
        other = processes.get_rlimit(child.pid, RLIMITS["RLIMIT_NOFILE"])
        child.kill()
        child.wait()
        return wide, processes.get_rlimit(0, RLIMITS["RLIMIT_NOFILE"]), other

    assert apart(body, 0) == ((1 << 40, RLIM_INFINITY), (100, 200), (50, 60))


def test_a_soft_limit_above_the_hard_one_is_refused() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        processes.set_rlimit(0, RLIMITS["RLIMIT_CORE"], 2, 1)


def test_close_range_closes_or_marks() -> None:
    def body() -> tuple[list[bool], bool]:
        fds = [os.open("/", os.O_RDONLY) for _ in range(3)]
        for fd in fds:
            os.set_inheritable(fd, True)
        processes.close_range(fds[0], fds[1], CLOSE_RANGE_CLOEXEC)
        marked = [os.get_inheritable(fd) for fd in fds]
        processes.close_range(fds[2])
        return marked, os.path.exists(f"/proc/self/fd/{fds[2]}")

    assert apart(body, 0) == ([False, False, True], False)


def test_reset_signals_leaves_nothing_ignored_caught_or_blocked() -> None:
    def body() -> tuple[int, int, int]:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGRTMAX, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        processes.reset_signals()
        with open("/proc/self/status") as lines:
            fields = dict(line.split(":", 1) for line in lines)
        blocked, ignored, caught = (int(fields[name], 16) for name in ("SigBlk", "SigIgn", "SigCgt"))
        return blocked, ignored, caught

    assert apart(body, 0) == (0, 0, 0)


def test_signals_of_the_c_library_are_reset_too() -> None:
    def body() -> tuple[int, int]:
        ignore = struct.pack("=QQQQ", signal.SIG_IGN, 0, 0, 0)
        for number in (32, 33):
            libc.syscall(libc.number_of("rt_sigaction"), number, ignore, None, 8)
        before = ignored_signals()
        processes.reset_signals()
        return before, ignored_signals()

    before, after = apart(body, 0)
    assert before >> 31 & 0b11 == 0b11
    assert after == 0


def ignored_signals() -> int:
    with open("/proc/self/status") as lines:
        return next(int(line.split(":")[1], 16) for line in lines if line.startswith("SigIgn:"))


def test_oom_score_adj_is_written_and_checked() -> None:
    def body() -> str:
        processes.set_oom_score_adj(700)
        with pytest.raises(OSError, match="Invalid argument"):
            processes.set_oom_score_adj(1001)
        with open("/proc/self/oom_score_adj") as file:
            return file.read()

    assert apart(body, 0) == "700\n"


def test_personality_changes_what_uname_says() -> None:
    def body() -> str:
        processes.personality(PERSONALITY["LINUX32"])
        return processes.run_program("/bin/cat", ("cat", "/proc/self/personality"), {}, b"", 10).output

    assert apart(body, 0) == "00000008\n"


def test_a_session_keyring_of_our_own() -> None:
    def body() -> tuple[bool, bool]:
        serial = processes.join_session_keyring("pyrunc-test")
        with open("/proc/keys") as keys:
            return serial > 0, any("keyring   pyrunc-test" in line for line in keys)

    assert apart(body, 0) == (True, True)


@pytest.mark.parametrize("joinable", [True, False])
def test_a_session_keyring_that_others_may_join(joinable: bool) -> None:
    """Without the permission a second process of the name gets one of its own."""
    name = f"pyrunc-test-{joinable}"

    def joins() -> int:
        processes.join_session_keyring("pyrunc-test-other")
        return processes.join_session_keyring(name)

    def body() -> bool:
        first = processes.join_session_keyring(name)
        if joinable:
            processes.let_keyring_be_joined(first)
        return apart(joins, 0) == first

    assert apart(body, 0) is joinable


def test_pidfd_getfd_duplicates_a_descriptor_of_another() -> None:
    reader, writer = os.pipe()
    child = subprocess.Popen(["sleep", "10"], stdin=reader)
    pidfd = os.pidfd_open(child.pid)
    fd = processes.pidfd_getfd(pidfd, 0)
    os.write(writer, b"x")
    assert select.select([fd], [], [], 5)[0] == [fd]
    assert not os.get_inheritable(fd)
    child.kill()
    child.wait()
    for each in (reader, writer, pidfd, fd):
        os.close(each)
