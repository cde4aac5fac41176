"""Hooks: what they are given, and what becomes of one that fails."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pyrunc.container.hooks import run_hook, run_hooks
from pyrunc.errors import HookError
from pyrunc.plan.steps import Hook

STATE = '{"id":"box"}'


def shell(script: str, *args: str, env: tuple[str, ...] = (), timeout: int | None = 20, index: int = 0) -> Hook:
    where = f".hooks.createRuntime[{index}]"
    return Hook(where, "/bin/sh", ("sh", "-c", script, "sh", *args), env, timeout)


def failure(hook: Hook) -> HookError:
    with pytest.raises(HookError) as caught:
        run_hook(hook, STATE)
    return caught.value


def test_it_gets_the_state_on_stdin_to_its_end(tmp_path: Path) -> None:
    run_hook(shell('cat > "$1"', f"{tmp_path}/out"), STATE)
    assert (tmp_path / "out").read_text() == STATE


def test_it_gets_its_own_environment_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CVE-2025-23266."""
    monkeypatch.setenv("LD_PRELOAD_OF_THE_CALLER", "evil.so")
    run_hook(shell('cat /proc/$$/environ > "$1"', f"{tmp_path}/out", env=("A=1",)), STATE)
    assert (tmp_path / "out").read_bytes() == b"A=1\0"


def test_its_arguments_begin_with_its_name(tmp_path: Path) -> None:
    hook = Hook("w", "/bin/sh", ("other name", "-c", f'echo "$0 $1" > {tmp_path}/out', "a b", "c"), (), 9)
    run_hook(hook, STATE)
    assert (tmp_path / "out").read_text() == "a b c\n"


def test_one_that_does_not_read_the_state_is_no_failure() -> None:
    run_hook(shell("exec 0<&-; exit 0"), "x" * 1_000_000)


def test_hooks_run_in_their_order(tmp_path: Path) -> None:
    run_hooks(tuple(shell(f"echo {number} >> {tmp_path}/out") for number in range(3)), STATE)
    assert (tmp_path / "out").read_text() == "0\n1\n2\n"


def test_after_one_that_fails_no_other_runs(tmp_path: Path) -> None:
    hooks = (shell("exit 1", index=0), shell(f"touch {tmp_path}/out", index=1))
    with pytest.raises(HookError, match=r"^\.hooks\.createRuntime\[0\]: "):
        run_hooks(hooks, STATE)
    assert os.listdir(tmp_path) == []


def test_a_failure_says_the_place_the_status_and_the_last_words() -> None:
    error = failure(shell("echo no such; echo 'network >&2'; exit 3"))
    assert error.message == ".hooks.createRuntime[0]: hook /bin/sh failed with exit status 3"
    assert error.hint == "no such network >&2"
    assert "\n" not in str(error)


def test_a_signal_is_a_failure_too() -> None:
    assert failure(shell("kill -TERM $$")).message.endswith("failed with exit status 143")


def test_one_that_is_missing_is_not_found() -> None:
    """Engines would take "no such file" for the container's program (exit code 127)."""
    error = failure(Hook(".hooks.poststop[2]", "/nowhere/hook", ("hook",), (), None))
    assert str(error) == ".hooks.poststop[2]: hook /nowhere/hook cannot be run: not found"


def test_at_its_timeout_it_is_killed_with_all_it_started(tmp_path: Path) -> None:
    began = time.monotonic()
    error = failure(shell(f"sleep 60 & echo $! > {tmp_path}/pid; echo waiting; sleep 60", timeout=1))
    assert 1 <= time.monotonic() - began < 10
    assert "did not end within its timeout of 1 s and was killed" in error.message
    assert error.hint == "waiting"
    wait_for_the_end_of(int((tmp_path / "pid").read_text()))


def wait_for_the_end_of(pid: int) -> None:
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z":
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.01)
    pytest.fail(f"process {pid} outlives the hook that started it")
