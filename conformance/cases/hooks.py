"""config.md, "POSIX-platform Hooks", and runtime.md, "Lifecycle": when hooks run, where, and with what."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from conformance.case import case, check, equal
from conformance.runtime import SLOWNESS

if TYPE_CHECKING:
    from conformance.box import Box

ALL = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
AT_CREATE = ("prestart", "createRuntime", "createContainer")
IN_RUNTIME = ("prestart", "createRuntime", "poststart", "poststop")


def labels(box: Box) -> list[str]:
    """The labels of the hooks that ran, in order."""
    return [record["label"] for record in box.hooks()]


def life(box: Box) -> None:
    """Create, start, wait for the end, delete."""
    box.process(args=["/bin/probe", "exit", "0"])
    box.create().succeeded()
    box.start().succeeded()
    box.await_status("stopped")
    box.delete().succeeded()


def state_of(record: dict[str, Any]) -> dict[str, Any]:
    """The state that a hook got on its stdin."""
    return dict(json.loads(record["stdin"]))


@case(11, 73)
def order_at_create(box: Box) -> None:
    """At create prestart runs, then createRuntime, then createContainer; each list in its order."""
    for kind in AT_CREATE:
        box.hook(kind, f"{kind} 1").hook(kind, f"{kind} 2")
    box.process(args=["/bin/probe", "wait"]).create().succeeded()
    equal(labels(box), [f"{kind} {number}" for kind in AT_CREATE for number in (1, 2)], "hooks after create")


@case(11, 74)
def each_at_its_time(box: Box) -> None:
    """StartContainer and poststart run at start, poststop at delete, and none earlier."""
    for kind in ALL:
        box.hook(kind)
    box.process(args=["/bin/probe", "wait"]).create().succeeded()
    equal(set(labels(box)), set(AT_CREATE), "hooks after create")
    box.start().succeeded()
    box.await_hooks(*set(ALL) - {"poststop"})
    box.kill("KILL").succeeded()
    box.await_status("stopped")
    check("poststop" not in labels(box), "poststop ran before delete")
    box.delete().succeeded()
    check("poststop" in labels(box), "poststop did not run before delete returned")


@case(11)
def start_container_runs_before_the_program(box: Box) -> None:
    """StartContainer has run when the program begins."""
    box.hook("startContainer")
    box.process(args=["/bin/probe", "cat", "/hooks.log"]).create().succeeded()
    box.start().succeeded()
    box.await_status("stopped")
    equal(labels(box), ["startContainer"], "hooks")


@case(70)
def runtime_hooks_are_outside(box: Box) -> None:
    """Prestart, createRuntime, poststart and poststop run in the runtime's namespaces."""
    for kind in IN_RUNTIME:
        box.hook(kind)
    life(box)
    ours = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in ("pid", "net", "ipc", "uts", "user", "cgroup")}
    for record in box.hooks():
        seen = {kind: record["namespaces"][kind] for kind in ours}
        equal(seen, ours, f"namespaces of {record['label']}")


@case(71)
def create_container_is_inside_before_the_root_changes(box: Box) -> None:
    """CreateContainer's path is the runtime's, and it runs in the container's namespaces."""
    box.hook("createContainer").process(args=["/bin/probe", "wait"]).create().succeeded()
    (record,) = box.hooks()
    pid = box.state()["pid"]
    for kind in ("mnt", "net", "ipc", "uts"):
        equal(record["namespaces"][kind], os.readlink(f"/proc/{pid}/ns/{kind}"), f"its {kind} namespace")


@case(72)
def start_container_is_inside(box: Box) -> None:
    """StartContainer's path is the container's, and it runs in the container's namespaces and root."""
    box.file("/etc/conformance", "the container's root")
    box.hook("startContainer").process(args=["/bin/probe", "wait"]).create().succeeded()
    box.start().succeeded()
    (record,) = box.await_hooks("startContainer")
    pid = box.state()["pid"]
    equal(record["root"], "the container's root", "what it sees of the root")
    for kind in ("mnt", "net", "ipc", "uts", "pid"):
        equal(record["namespaces"][kind], os.readlink(f"/proc/{pid}/ns/{kind}"), f"its {kind} namespace")


@case(6, 75, justified="config.md, hooks: the state MUST be passed to hooks on stdin; its status is that of runtime.md")
def state_on_stdin(box: Box) -> None:
    """Each hook gets the state on stdin: id, bundle, and the status of that moment."""
    for kind in ALL:
        box.hook(kind)
    life(box)
    wanted = dict.fromkeys(AT_CREATE, "creating") | {
        "startContainer": "created",
        "poststart": "running",
        "poststop": "stopped",
    }
    for record in box.hooks():
        state = state_of(record)
        equal((state.get("id"), state.get("bundle")), (box.id, str(box.bundle)), f"id and bundle for {record['label']}")
        equal(state.get("status"), wanted[record["label"]], f"status for {record['label']}")


@case(6)
def pid_as_the_hook_sees_it(box: Box) -> None:
    """Hooks outside get the pid of the host; hooks in the container's namespaces that of its own."""
    for kind in ("createRuntime", "createContainer", "startContainer", "poststart"):
        box.hook(kind)
    box.process(args=["/bin/probe", "wait"]).create().succeeded()
    box.start().succeeded()
    pid = box.state()["pid"]
    seen = {record["label"]: state_of(record).get("pid") for record in box.hooks()}
    equal((seen["createRuntime"], seen["poststart"]), (pid, pid), "pid for createRuntime and poststart")
    equal((seen["createContainer"], seen["startContainer"]), (1, 1), "pid for createContainer and startContainer")


@case(11, 12)
def a_hook_that_fails_at_create(box: Box) -> None:
    """When a hook of create fails, create is an error, nothing is left, and poststop hooks have run."""
    for kind in AT_CREATE:
        box.config.pop("hooks", None)
        box.hook(kind, status=3).hook("poststop", f"after {kind}")
        box.process(args=["/bin/probe", "wait"]).create().failed()
        equal(box.left_behind(), [], f"what is left after a failing {kind}")
        equal(labels(box).count(f"after {kind}"), 1, f"poststop hooks run after a failing {kind}")


@case(12)
def later_hooks_do_not_run_after_a_failure(box: Box) -> None:
    """After a hook that failed the next ones of its list and of its operation do not run."""
    box.hook("createRuntime", "fails", status=1).hook("createRuntime", "next").hook("createContainer", "later")
    box.process(args=["/bin/probe", "wait"]).create().failed()
    equal(labels(box), ["fails"], "hooks")


@case(12, justified="runtime.md, lifecycle: a startContainer hook that fails MUST be an error")
def a_hook_that_fails_at_start(box: Box) -> None:
    """When startContainer fails, start is an error and the program does not run."""
    box.hook("startContainer", status=3)
    box.process(args=["/bin/probe", "write", "/ran", "x"]).create().succeeded()
    box.start().failed()
    check(not (box.rootfs / "ran").exists(), "the program ran all the same")
    box.until(lambda: box.call("state", box.id).status != 0 or box.status() == "stopped", "it is still there")


@case(12, justified="runtime.md, step 9 of the lifecycle: a failing poststart hook stops the container")
def a_poststart_hook_that_fails(box: Box) -> None:
    """When poststart fails, start is an error and the container is stopped."""
    box.hook("poststart", status=3).process(args=["/bin/probe", "wait"]).create().succeeded()
    box.start().failed()
    box.until(lambda: box.call("state", box.id).status != 0 or box.status() == "stopped", "the program still runs")


@case(13, justified="runtime.md, step 13: a failing poststop hook is logged, and the lifecycle goes on")
def a_poststop_hook_that_fails(box: Box) -> None:
    """When a poststop hook fails, the next one runs as well and delete goes well."""
    box.hook("poststop", "fails", status=3).hook("poststop", "next")
    box.process(args=["/bin/probe", "exit", "0"]).create().succeeded()
    box.start().succeeded()
    box.await_status("stopped")
    box.delete().succeeded()
    equal(labels(box), ["fails", "next"], "poststop hooks")
    equal(box.left_behind(), [], "what is left")


@case(53)
def environment_of_a_hook(box: Box) -> None:
    """A hook has the environment and arguments of its entry."""
    box.hook("createRuntime", env=["ONE=1", "TWO="]).process(args=["/bin/probe", "wait"]).create().succeeded()
    (record,) = box.hooks()
    equal(record["env"], ["ONE=1", "TWO="], "env")
    equal(record["args"][0], "hook", "args")


@case(68, justified="config.md, hooks: path MUST be absolute")
def relative_path_is_an_error(box: Box) -> None:
    """A hook whose path is not absolute is an error."""
    for kind in ALL:
        box.config["hooks"] = {kind: [{"path": "bin/true"}]}
        box.create().failed()


@case(69)
def timeout_must_be_positive(box: Box) -> None:
    """A timeout of 0 or less is an error."""
    for timeout in (0, -1):
        box.config["hooks"] = {"createRuntime": [{"path": str(box.probe), "timeout": timeout}]}
        box.create().failed()


@case(69)
def timeout_ends_a_hook(box: Box) -> None:
    """A hook that takes longer than its timeout is stopped, and is a failure."""
    box.config["hooks"] = {"createRuntime": [{"path": str(box.probe), "args": ["probe", "wait"], "timeout": 1}]}
    began = time.monotonic()
    box.create().failed()
    check(time.monotonic() - began < 8 * SLOWNESS, "the hook was not stopped in time")
    equal(box.left_behind(), [], "what is left")


@case(level="BEYOND")
def a_hook_that_does_not_read(box: Box) -> None:
    """A hook that ends without reading its stdin does no harm, however long the state is."""
    box.config["annotations"] = {f"com.example.{number}": "x" * 1000 for number in range(200)}
    box.config["hooks"] = {kind: [{"path": str(box.probe), "args": ["probe", "exit", "0"]}] for kind in IN_RUNTIME}
    life(box)
