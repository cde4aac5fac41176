"""`exec` many times at once, while the container goes away, and killed at any moment.

Only processes that the test itself has started are killed, by their pid.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scenario import host
from tests.scenario.bundle import TIMEOUT
from tests.scenario.test_crash import deleted_without_a_trace, finish, kill_after, launch, moments

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle

AT_ONCE = 20
WORDS = ("does not exist", "stopped", "ended", "cannot", "killed")


def alone(bundle: Bundle, pid: int) -> bool:
    """Tell whether the container's cgroup holds its init and nothing else."""
    host.reap()
    folder = next(each for each in host.cgroups_of(bundle.token) if "/pids/" in each or each.count("/") == 4)
    return Path(folder, "cgroup.procs").read_text().split() == [str(pid)]


def gone(bundle: Bundle) -> bool:
    host.reap()
    return not host.processes_of(bundle.token)


@pytest.mark.vm
def test_many_at_once(bundle: Bundle) -> None:
    bundle.sleeping()
    commands = [bundle.command("exec", operands=["/bin/probe", "exit", str(code)]) for code in range(AT_ONCE)]
    running = [launch(bundle, command) for command in commands]
    assert [finish(process) for process in running] == list(range(AT_ONCE))
    assert alone(bundle, bundle.pid)


def test_many_at_once_in_the_background(bundle: Bundle) -> None:
    bundle.sleeping()
    files = [bundle.dir / f"pid{number}" for number in range(AT_ONCE)]
    flags = [["--detach", "--pid-file", str(file)] for file in files]
    running = [launch(bundle, bundle.command("exec", *each, operands=["/bin/probe", "sleep"])) for each in flags]
    assert {finish(process) for process in running} == {0}
    pids = {int(file.read_text()) for file in files}
    assert len(pids) == AT_ONCE
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        assert bundle.wait(pid) == 128 + signal.SIGKILL
    assert alone(bundle, bundle.pid)


@pytest.mark.parametrize("command", [["kill", "KILL"], ["delete", "--force"]])
@pytest.mark.parametrize("private", [True, False], ids=["own-pids", "host-pids"])
@pytest.mark.differs_from_runc("hangs, or leaves processes behind", strict=False)
def test_container_that_goes_away_meanwhile(bundle: Bundle, command: list[str], private: bool) -> None:
    """Each exec ends well, or says what happened; nothing stays."""
    if not private:
        bundle.without_namespace("pid")
    init = bundle.sleeping().pid
    execs = [launch(bundle, bundle.command("exec", operands=["/bin/probe", "sleep"])) for _ in range(6)]
    assert host.eventually(lambda: not alone(bundle, init))
    name, argument = command
    words = bundle.command(name, argument) if argument.startswith("-") else bundle.command(name, operands=[argument])
    ending = launch(bundle, words)
    more = [launch(bundle, bundle.command("exec", operands=["/bin/probe", "sleep"])) for _ in range(6)]
    assert finish(ending) == 0
    if not private and name == "kill":
        bundle.attempt("kill", "--all", operands=["KILL"])
    codes = {finish(process) for process in (*execs, *more)}
    assert codes <= {128 + signal.SIGKILL, 255, 1}
    deleted_without_a_trace(bundle)


# What changes the host or another process; kills at others would find the same as at these.
CALLS = "write,clone,clone3,fork,vfork,setns,socketpair,pipe2,sendmsg,recvmsg,wait4,rename,renameat"


@pytest.mark.requires("strace")
def test_killed_at_each_system_call_it_leaves_nothing_behind(bundle: Bundle) -> None:
    pid = bundle.sleeping().pid
    command = bundle.command("exec", "--pid-file", str(bundle.dir / "pid"), operands=["/bin/probe", "exit", "0"])
    trace = ["strace", "-qq", "-o", str(bundle.dir / "trace"), "-e", f"trace={CALLS}"]
    assert finish(launch(bundle, [*trace, *command])) == 0
    count = len((bundle.dir / "trace").read_text().splitlines())
    assert count > 5
    for number in range(1, count + 1):
        finish(launch(bundle, [*trace, "-e", f"inject={CALLS}:signal=SIGKILL:when={number}", *command]))
        assert host.eventually(lambda: alone(bundle, pid)), f"killed at call {number} of {count}"
    assert bundle.exec("echo", "still well").stdout == "still well\n"
    assert bundle.status == "running"


def test_killed_at_any_moment_it_leaves_nothing_behind(bundle: Bundle) -> None:
    pid = bundle.sleeping().pid
    command = bundle.command("exec", operands=["/bin/probe", "exit", "0"])
    for moment in moments(bundle, command):
        kill_after(bundle, command, moment)
        assert host.eventually(lambda: alone(bundle, pid))
    assert bundle.status == "running"


def test_killed_exec_lets_its_program_run_on(bundle: Bundle) -> None:
    """As with any program that outlives who started it; it ends with the container."""
    init = bundle.sleeping().pid
    caller = launch(bundle, bundle.command("exec", operands=["/bin/probe", "trap"]))
    assert host.eventually(lambda: "ready" in (bundle.dir / "launched").read_text(), TIMEOUT)
    caller.kill()
    caller.wait()
    assert not alone(bundle, init)
    bundle.kill("KILL")
    assert host.eventually(lambda: gone(bundle))


def test_killed_reader_of_its_output_does_not_matter(bundle: Bundle) -> None:
    bundle.sleeping()
    script = f"({' '.join(bundle.command('exec', operands=['seq', '100000']))}; echo $? >&2) | head -n 1"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.stdout == "1\n"
    assert done.stderr.split()[-1] in ("141", "1")
