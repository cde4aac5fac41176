"""kill -9 at any moment, and races: whatever was begun can be deleted, and an id has one owner.

Only processes that the test itself has started are killed, by their pid.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.scenario import host
from tests.scenario.bundle import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenario.bundle import Bundle

MOMENTS = 25
STATUSES = {"creating", "created", "running", "stopped"}


def launch(bundle: Bundle, command: list[str]) -> subprocess.Popen[bytes]:
    """Start a runtime's command with its output in files."""
    with (bundle.dir / "launched").open("ab") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=bundle.environment()
        )


def finish(process: subprocess.Popen[bytes], seconds: float = TIMEOUT) -> int:
    """Wait for a process of ours and kill it if it takes too long; returns how it ended."""
    host.eventually(lambda: process.poll() is not None, seconds)
    process.kill()
    return process.wait()


def kill_after(bundle: Bundle, command: list[str], seconds: float) -> int:
    """Run a command of the runtime for so long, then SIGKILL it; returns how it ended."""
    process = launch(bundle, command)
    time.sleep(seconds)
    return finish(process, 0)


def deleted_without_a_trace(bundle: Bundle) -> None:
    """One `delete --force` succeeds, and nothing at all is left."""
    bundle.delete("--force")
    host.reap()
    clean = host.eventually(lambda: not host.leftovers(bundle.token, bundle.root), 1.0)
    assert clean, host.leftovers(bundle.token, bundle.root)


def moments(bundle: Bundle, command: list[str]) -> Iterator[float]:
    """Spread over the time that the command takes when nobody kills it."""
    begin = time.monotonic()
    assert finish(launch(bundle, command)) == 0
    whole = time.monotonic() - begin
    yield from (whole * number / MOMENTS for number in range(MOMENTS + 1))


def with_much_to_undo(bundle: Bundle) -> Bundle:
    bundle.resources(memory={"limit": 64 << 20}, pids={"limit": 50})
    bundle.process(args=["/bin/probe", "sleep"]).mount("/data", "tmpfs", "tmpfs").mount(
        "/etc", "tmpfs", "tmpfs", ["tmpcopyup"]
    )
    return bundle.save()


KILLED_CREATE = "leaves cgroups behind, or refuses to delete what it has half made"


@pytest.mark.differs_from_runc(KILLED_CREATE)
@pytest.mark.parametrize("command", ["create", "run"])
def test_killed_at_any_moment_it_can_be_deleted(bundle: Bundle, command: str) -> None:
    words = with_much_to_undo(bundle).command(command, *(["--detach"] if command == "run" else []))
    for moment in moments(bundle, words):
        deleted_without_a_trace(bundle)
        kill_after(bundle, words, moment)
        said = bundle.attempt("state")
        assert "does not exist" in said.stderr or json.loads(said.stdout)["status"] in STATUSES
    deleted_without_a_trace(bundle)


# What changes the host; a runtime may use any of them.
CALLS = "mkdir,mkdirat,rename,renameat,renameat2,write,clone,clone3,fork,vfork,unlink,unlinkat,mount"


def traced(bundle: Bundle, *options: str) -> list[str]:
    return ["strace", "-qq", "-o", str(bundle.dir / "trace"), *options, *bundle.command("create")]


@pytest.mark.requires("strace")
@pytest.mark.differs_from_runc(f"{KILLED_CREATE}; nor does it ever remove the parents of a cgroup")
def test_killed_at_each_system_call_it_can_be_deleted(bundle: Bundle) -> None:
    """The calls of the first process are listed, and at every few of them the next run is killed there.

    strace counts each call by itself: `when=N` is the Nth of that name.
    """
    with_much_to_undo(bundle).linux(cgroupsPath=f"/{bundle.token}/deep").save()
    assert finish(launch(bundle, traced(bundle, "-e", f"trace={CALLS}"))) == 0
    calls = [line.partition("(")[0] for line in (bundle.dir / "trace").read_text().splitlines() if "(" in line]
    points = [(call, calls[: number + 1].count(call)) for number, call in enumerate(calls)]
    assert len(points) > 5
    deleted_without_a_trace(bundle)
    for call, number in points[:: 1 + len(points) // MOMENTS]:
        finish(
            launch(
                bundle,
                traced(bundle, "-e", f"trace={CALLS}", "-e", f"inject={call}:signal=SIGKILL:when={number}"),
            )
        )
        deleted_without_a_trace(bundle)


@pytest.mark.parametrize("command", ["start", "kill", "state"])
def test_killed_command_does_not_spoil_the_container(bundle: Bundle, command: str) -> None:
    bundle.process(args=["/bin/probe", "sleep"])
    for moment in (0.0, 0.002, 0.005, 0.01, 0.02):
        bundle.create()
        kill_after(bundle, bundle.command(command), moment)
        assert bundle.status in STATUSES - {"creating"}
        deleted_without_a_trace(bundle)


def test_killed_delete_can_be_repeated(bundle: Bundle) -> None:
    with_much_to_undo(bundle)
    for number in range(MOMENTS):
        bundle.create()
        kill_after(bundle, bundle.command("delete", "--force"), number * 0.001)
        deleted_without_a_trace(bundle)


def test_killed_foreground_run_leaves_something_that_can_be_deleted(bundle: Bundle) -> None:
    bundle.process(args=["/bin/probe", "sleep"]).save()
    process = launch(bundle, bundle.command("run"))
    assert host.eventually(lambda: bundle.attempt("state").returncode == 0 and bundle.status == "running")
    finish(process, 0)
    deleted_without_a_trace(bundle)


@pytest.mark.parametrize("started", [False, True])
def test_init_that_was_killed_is_stopped(bundle: Bundle, started: bool) -> None:
    pid = bundle.process(args=["/bin/probe", "sleep"]).create().pid
    if started:
        bundle.start()
    os.kill(pid, signal.SIGKILL)
    assert host.eventually(lambda: bundle.status == "stopped")
    assert bundle.state().get("pid", 0) == 0
    assert bundle.attempt("start").returncode != 0
    deleted_without_a_trace(bundle)


def race(bundle: Bundle, *words: str, number: int = 16) -> list[int]:
    """So many of the same command at once; returns their exit codes, sorted. Who takes too long is killed."""
    racers = [launch(bundle, bundle.command(*words)) for _ in range(number)]
    host.eventually(lambda: all(process.poll() is not None for process in racers), 5)
    return sorted(finish(process, 0) for process in racers)


@pytest.mark.differs_from_runc("now and then has several winners, or none", strict=False)
def test_one_of_sixteen_creates_wins(bundle: Bundle) -> None:
    bundle.process(args=["/bin/probe", "sleep"]).save()
    for _ in range(3):
        assert race(bundle, "create") == [0] + [1] * 15
        assert bundle.status == "created"
        assert bundle.start().status == "running"
        deleted_without_a_trace(bundle)


@pytest.mark.differs_from_runc("now and then a start that lost waits for ever, or several win", strict=False)
def test_one_of_eight_starts_wins(bundle: Bundle) -> None:
    bundle.process(args=["sh", "-c", "echo started; exec sleep 60"]).create()
    assert race(bundle, "start", number=8) == [0] + [1] * 7
    assert host.eventually(lambda: bundle.output() == "started\n")


def test_deletes_at_once_all_succeed(bundle: Bundle) -> None:
    bundle.process(args=["/bin/probe", "sleep"]).create().start()
    assert race(bundle, "delete", "--force", number=8) == [0] * 8
    deleted_without_a_trace(bundle)


def test_create_and_delete_at_once(bundle: Bundle) -> None:
    """Whoever comes first: in the end it can be deleted."""
    bundle.process(args=["/bin/probe", "sleep"]).save()
    for _ in range(5):
        racers = [
            launch(bundle, bundle.command("create")),
            launch(bundle, bundle.command("delete", "--force")),
        ]
        for process in racers:
            finish(process)
        deleted_without_a_trace(bundle)
