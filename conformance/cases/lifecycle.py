"""runtime.md: operations, states, and what they may not do."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from conformance.case import case, check, equal

if TYPE_CHECKING:
    from conformance.box import Box

PROGRAM_RAN = "/ran"


@case(1, 3, 28)
def whole_life(box: Box) -> None:
    """A container is created, started, ends, and is deleted, and state tells each step."""
    box.process(args=["/bin/probe", "wait"])
    box.create().succeeded()
    equal(box.status(), "created", "status after create")
    box.start().succeeded()
    equal(box.status(), "running", "status after start")
    box.kill("KILL").succeeded()
    box.await_status("stopped")
    box.delete().succeeded()
    box.call("state", box.id).failed()


@case(3, 6)
def state_names_the_process(box: Box) -> None:
    """While it runs, state has the pid of the container's process as the host sees it."""
    box.running()
    pid = box.state().get("pid")
    check(isinstance(pid, int), f"pid is {pid!r}")
    inside = os.stat(f"/proc/{pid}/root/bin/probe")
    check(os.path.samestat(inside, os.stat(box.rootfs / "bin/probe")), "its root is not the container's")


@case(3, 5)
def state_has_what_it_must(box: Box) -> None:
    """State has ociVersion, id, status and an absolute bundle, whatever the bundle was called by."""
    box.save()
    box.process(args=["/bin/probe", "wait"]).save()
    box.call("create", "--bundle", ".", box.id, cwd=box.bundle).succeeded()
    state = box.state()
    equal(state.get("id"), box.id, "id")
    equal(state.get("bundle"), str(box.bundle), "bundle")
    check(isinstance(state.get("ociVersion"), str), f"ociVersion is {state.get('ociVersion')!r}")


@case(7)
def state_keeps_annotations(box: Box) -> None:
    """Annotations of config.json are in state, as strings, and nothing else becomes one."""
    box.config["annotations"] = {"com.example.one": "1", "com.example.empty": ""}
    box.process(args=["/bin/probe", "wait"]).create().succeeded()
    annotations = box.state().get("annotations")
    equal(annotations, {"com.example.one": "1", "com.example.empty": ""}, "annotations")


@case(4)
def stopped_by_itself(box: Box) -> None:
    """A container whose program has ended is stopped, and stays so until it is deleted."""
    box.process(args=["/bin/probe", "exit", "0"]).create().succeeded()
    box.start().succeeded()
    box.await_status("stopped")
    time.sleep(0.1)
    equal(box.status(), "stopped", "status")


@case(8, 11)
def program_waits_for_start(box: Box) -> None:
    """Create does not run the program; start does."""
    box.process(args=["/bin/probe", "write", PROGRAM_RAN, "yes"]).create().succeeded()
    time.sleep(0.2)
    check(not (box.rootfs / "ran").exists(), "the program ran before start")
    box.start().succeeded()
    box.until((box.rootfs / "ran").exists, "the program did not run after start")


@case(8, 20)
def environment_is_there_before_start(box: Box) -> None:
    """After create the process is in the namespaces, the root and the host name that were asked for."""
    box.config["hostname"] = "before-start"
    box.process(args=["/bin/probe", "wait"]).create().succeeded()
    pid = box.state()["pid"]
    for kind in ("mnt", "uts", "ipc", "net"):
        ours, theirs = os.readlink(f"/proc/self/ns/{kind}"), os.readlink(f"/proc/{pid}/ns/{kind}")
        check(ours != theirs, f"no {kind} namespace of its own after create")
    check(Path(f"/proc/{pid}/root/bin/probe").exists(), "its root is not the container's after create")


@case(10)
def config_is_read_once(box: Box) -> None:
    """What is changed in config.json after create has no effect on start."""
    box.process(args=["/bin/probe", "write", "/first", "x"]).create().succeeded()
    box.process(args=["/bin/probe", "write", "/second", "x"]).save()
    box.start().succeeded()
    box.await_status("stopped")
    check((box.rootfs / "first").exists(), "the program of create did not run")
    check(not (box.rootfs / "second").exists(), "the program of the changed config.json ran")


@case(10)
def config_may_be_gone_after_create(box: Box) -> None:
    """Start, kill and delete need no config.json any more."""
    box.process(args=["/bin/probe", "wait"]).create().succeeded()
    (box.bundle / "config.json").unlink()
    box.start().succeeded()
    box.kill("KILL").succeeded()
    box.await_status("stopped")
    box.delete().succeeded()


@case(2, 19)
def used_id_is_refused(box: Box) -> None:
    """Create with an id that is in use is an error, and the container that has it is untouched."""
    box.running()
    pid = box.state()["pid"]
    box.call("create", "--bundle", str(box.bundle), box.id).failed()
    equal(box.status(), "running", "status of the first")
    equal(box.state()["pid"], pid, "pid of the first")


@case(19)
def strange_ids_are_refused(box: Box) -> None:
    """Ids that are no names of a directory are refused, and nothing is made of them."""
    box.save()
    for strange in ("", ".", "..", "a/b", "../a", "a\nb", "a" * 1025):
        box.call("create", "--bundle", str(box.bundle), strange).failed()
    made = [path.name for path in box.state_root.glob("*")] if box.state_root.exists() else []
    equal(made, [], "in the state directory")


@case(27)
def id_is_free_after_delete(box: Box) -> None:
    """After delete the same id can be used again."""
    for _ in range(2):
        box.process(args=["/bin/probe", "exit", "0"]).create().succeeded()
        box.start().succeeded()
        box.await_status("stopped")
        box.delete().succeeded()


@case(17, 22, 24, 26)
def unknown_id_is_an_error(box: Box) -> None:
    """State, start, kill and delete of a container that is not there are errors."""
    for words in (("state", box.id), ("start", box.id), ("kill", box.id, "TERM"), ("delete", box.id)):
        box.call(*words).failed()


@case(17, 18, 22, 24, 26)
def missing_id_is_an_error(box: Box) -> None:
    """Every operation without an id is an error."""
    box.save()
    for words in (("state",), ("start",), ("kill",), ("delete",), ("create", "--bundle", str(box.bundle))):
        box.call(*words).failed()


@case(22)
def start_twice_is_an_error(box: Box) -> None:
    """Start of a running container is an error and has no effect on it."""
    box.running()
    pid = box.state()["pid"]
    box.start().failed()
    equal((box.status(), box.state()["pid"]), ("running", pid), "status and pid")


@case(22)
def start_of_a_stopped_one_is_an_error(box: Box) -> None:
    """Start of a stopped container is an error, and it stays stopped."""
    box.process(args=["/bin/probe", "exit", "0"]).create().succeeded()
    box.start().succeeded()
    box.await_status("stopped")
    box.start().failed()
    equal(box.status(), "stopped", "status")


@case(23, justified='runtime.md, "Start": "This operation MUST generate an error if process was not set"')
def container_without_process(box: Box) -> None:
    """Without .process create succeeds, and start is the error."""
    del box.config["process"]
    box.create().succeeded()
    equal(box.status(), "created", "status")
    box.start().failed()


@case(24)
def kill_of_a_stopped_one_is_an_error(box: Box) -> None:
    """Kill of a container that is neither created nor running is an error."""
    box.process(args=["/bin/probe", "exit", "0"]).create().succeeded()
    box.start().succeeded()
    box.await_status("stopped")
    box.kill("TERM").failed()


@case(24, 25)
def kill_of_a_created_one(box: Box) -> None:
    """A created container can be killed, and is stopped then."""
    box.process(args=["/bin/probe", "wait"]).create().succeeded()
    box.kill("KILL").succeeded()
    box.await_status("stopped")


def _traps(box: Box, named: dict[str, int]) -> None:
    """Send signals by name; the probe writes each number to its stdout, which is a file that create was given."""
    box.process(args=["/bin/probe", "trap"])
    log = box.bundle / "stdout.log"
    with log.open("wb") as out:
        box.create_into(out).succeeded()
    box.start().succeeded()
    box.until(lambda: "ready" in log.read_text(), "the program is not ready")

    def arrived(number: int) -> bool:
        return str(number) in log.read_text().split()

    for name, number in named.items():
        box.kill(name).succeeded()
        box.until(partial(arrived, number), f"{name} did not arrive")


@case(25)
def signals_by_name(box: Box) -> None:
    """Kill sends the signal that was named, with SIG or without."""
    _traps(box, {"TERM": 15, "SIGHUP": 1, "USR1": 10, "SIGUSR2": 12, "WINCH": 28, "SIGCONT": 18, "QUIT": 3, "ALRM": 14})


@case(25)
def signals_by_number(box: Box) -> None:
    """Kill sends the signal of that number, also a real-time one."""
    _traps(box, {"1": 1, "2": 2, "31": 31, "34": 34, "64": 64})


@case(25)
def unknown_signal_is_an_error(box: Box) -> None:
    """A signal that does not exist is an error, and the container runs on."""
    box.running()
    for signal in ("NOPE", "99", "-3"):
        box.kill(signal).failed()
    equal(box.status(), "running", "status")


@case(26)
def running_one_is_not_deleted(box: Box) -> None:
    """Delete of a running container is an error and has no effect on it."""
    box.running()
    box.delete().failed()
    equal(box.status(), "running", "status")


@case(14)
def delete_leaves_nothing(box: Box) -> None:
    """After delete no process, cgroup, mount or state of the container is left on the host."""
    box.process(args=["/bin/probe", "exit", "0"]).create().succeeded()
    box.start().succeeded()
    box.await_status("stopped")
    box.delete().succeeded()
    equal(box.left_behind(), [], "what is left")


@case(28, level="BEYOND")
def force_deletes_a_running_one(box: Box) -> None:
    """delete --force kills and deletes, and does not mind if there is nothing."""
    box.running()
    box.delete("--force").succeeded()
    equal(box.left_behind(), [], "what is left")
    box.delete("--force").succeeded()


@case(28, level="BEYOND")
def run_gives_the_exit_code(box: Box) -> None:
    """Run in the foreground returns the program's exit code, or 128 and the signal that killed it."""
    box.process(args=["/bin/probe", "exit", "42"])
    equal(box.run().status, 42, "exit code")
    box.process(args=["/bin/probe", "exit", "0"])
    equal(box.run().status, 0, "exit code")
