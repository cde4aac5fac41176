"""What a host full of containers does to a runtime: many at once, killed at any moment, started by careless callers."""

from __future__ import annotations

import operator
import os
import signal
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING

from conformance import host
from conformance.case import case, check, equal
from conformance.cases.hooks import AT_CREATE
from conformance.runtime import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from conformance.box import Box

CREATES = 32
KILLS = 12


def start_create(box: Box) -> subprocess.Popen[bytes]:
    """Begin to create a container."""
    box.process(args=["/bin/probe", "wait"]).save()
    environment = {"PATH": os.environ.get("PATH", ""), host.TOKEN_VARIABLE: box.token}
    words = [box.runtime.path, "--root", str(box.state_root), "create", "--bundle", str(box.bundle), box.id]
    return subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )


@case(level="BEYOND", time_limit=90)
def many_at_once(box: Box) -> None:
    """32 containers that are created at once are all created, and all can be deleted."""
    boxes = [box.sibling() for _ in range(CREATES)]
    started = [start_create(each) for each in boxes]
    codes = [each.wait(60) for each in started]
    equal(codes, [0] * CREATES, "exit codes")
    equal({each.status() for each in boxes}, {"created"}, "statuses")
    for each in boxes:
        each.delete("--force").succeeded()
    equal(box.left_behind(), [], "what is left")


@case(2, time_limit=60)
def one_of_many_gets_the_id(box: Box) -> None:
    """Of 16 creates of one id at once exactly one wins."""
    started = [start_create(box) for _ in range(16)]
    codes = [each.wait(40) for each in started]
    equal(codes.count(0), 1, "creates that went well")
    equal(box.status(), "created", "status")


def killed(box: Box, reached: Callable[[float], object]) -> None:
    """Kill a create with SIGKILL as soon as something holds, given the seconds since its start; delete it by force."""
    began = time.monotonic()
    process = start_create(box)
    while not reached(passed := time.monotonic() - began) and process.poll() is None and passed < PATIENCE:
        time.sleep(0.0002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for pid in host.processes(waiting_hook(box)):  # a hook outlives who waits for it, and is not the runtime's to find
        os.kill(pid, signal.SIGKILL)
    box.delete("--force").succeeded()


def waiting_hook(box: Box) -> str:
    """An argument by which a hook of the case is known."""
    return f"hook-of-{box.token}"


@case(
    level="BEYOND",
    time_limit=90,
    justified="who starts a runtime may kill it, and nothing else would ever take away what it made",
)
def killed_create(box: Box) -> None:
    """Whenever create is killed with SIGKILL, in each of its hooks for one, delete --force leaves nothing behind."""
    for kind in AT_CREATE:
        box.config["hooks"] = {}
        waits = {"path": str(box.probe), "args": ["probe", "wait", waiting_hook(box)]}
        box.hook(kind).config["hooks"][kind].append(waits)
        (box.bundle / "hooks.log").unlink(missing_ok=True)
        killed(box, lambda _: box.hooks())
        check(box.hooks(), f"the {kind} hook did not run")
        equal(box.left_behind(), [], f"what is left after a create that was killed in its {kind} hook")
    box.config["hooks"] = {}
    moments: list[Callable[[float], object]] = [
        lambda _: any(box.state_root.glob("*")),
        lambda _: host.cgroups(box.token),
        *(partial(operator.lt, 0.001 * number) for number in range(2, 2 + 5 * KILLS, 5)),
    ]
    for moment in moments:
        killed(box, moment)
        equal(box.left_behind(), [], "what is left after a killed create")


@case(level="BEYOND", time_limit=60)
def killed_process(box: Box) -> None:
    """A container whose process is killed from outside is stopped, and can be deleted."""
    for _ in range(3):
        pid = box.running().state()["pid"]
        os.kill(pid, signal.SIGKILL)
        host.reap()
        box.await_status("stopped")
        box.delete().succeeded()
    equal(box.left_behind(), [], "what is left")


@case(level="BEYOND", time_limit=60)
def a_hundred_states(box: Box) -> None:
    """State answers while start, kill and delete are at work."""
    box.process(args=["/bin/probe", "wait"]).create().succeeded()
    seen = []
    for number in range(40):
        if number == 10:
            box.start().succeeded()
        if number == 30:
            box.kill("KILL").succeeded()
        seen.append(box.status())
    box.await_status("stopped")
    check(set(seen) <= {"created", "running", "stopped"}, f"statuses: {set(seen)}")
    equal(seen, sorted(seen, key=["created", "running", "stopped"].index), "the order of statuses")


@case(15, time_limit=60)
def every_failure_leaves_nothing(box: Box) -> None:
    """Configurations that fail at different stages of create all leave the host as it was."""
    faults = (
        {"mounts": [{"destination": "/x", "type": "nothingfs", "source": "x"}]},
        {"mounts": [{"destination": "/x", "type": "bind", "source": "/nowhere", "options": ["bind"]}]},
        {"hooks": {"createRuntime": [{"path": "/nowhere/hook"}]}},
        {"hooks": {"createContainer": [{"path": "/nowhere/hook"}]}},
        {"root": {"path": "nowhere"}},
        {"hostname": "x" * 70},
    )
    valid = dict(box.config)
    for fault in faults:
        box.config = {**valid, **fault}
        box.create().failed()
        equal(box.left_behind(), [], f"what is left after {fault}")


@case(level="BEYOND")
def output_that_nobody_reads(box: Box) -> None:
    """A caller that closes the pipe of stdout does not keep the container from being made and removed."""
    reader, writer = os.pipe()
    os.close(reader)
    box.process(args=["/bin/probe", "exit", "0"])
    box.create(stdout=writer).succeeded()
    os.close(writer)
    box.start().succeeded()
    box.await_status("stopped")
    box.delete().succeeded()
