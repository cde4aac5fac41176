"""config-linux.md, "Seccomp", listenerPath, and "The Container Process State": what a seccomp agent gets."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from conformance.agent import Agent
from conformance.case import case, check, equal
from conformance.cases.seccomp import NUMBERS, profile, rule

if TYPE_CHECKING:
    from conformance.agent import Delivery
    from conformance.box import Box

CALL = "getpriority"
ANSWER = 4711


def notifying(box: Box, **values: Any) -> Box:
    """Let an agent decide about one harmless system call."""
    return profile(box, rule(CALL, action="SCMP_ACT_NOTIFY"), **values)


def agent_of(box: Box) -> Agent:
    """An agent with a socket beside the bundle."""
    return Agent(box.folder / "agent.sock")


def listener_in(delivery: Delivery) -> int:
    """The descriptor that is named seccompFd. Raises Failure if it is not there."""
    names = delivery.document().get("fds")
    check(isinstance(names, list) and "seccompFd" in names, f"fds is {names!r}")
    sent = [fd for fds in delivery.descriptors for fd in fds]
    equal(len(sent), len(names or []), "descriptors that came")
    return sent[(names or []).index("seccompFd")]


@case(121, needs="seccomp")
def state_of_the_process(box: Box) -> None:
    """The agent gets the names of descriptors, the process's pid, the metadata and the container's state."""
    box.config["annotations"] = {"com.example.key": "value"}
    box.process(args=["/bin/probe", "wait"])
    with agent_of(box) as agent:
        notifying(box, listenerPath=agent.path, listenerMetadata='{"opaque": "text"}').create().succeeded()
        box.start().succeeded()
        document = agent.take().document()
        equal(document.get("fds"), ["seccompFd"], "fds")
        equal(document.get("pid"), box.state()["pid"], "pid")
    equal(document.get("metadata"), '{"opaque": "text"}', "metadata")
    check(isinstance(document.get("ociVersion"), str), f"ociVersion is {document.get('ociVersion')!r}")
    state = document.get("state") or {}
    equal((state.get("id"), state.get("bundle")), (box.id, str(box.bundle)), "id and bundle in state")
    equal(state.get("annotations"), {"com.example.key": "value"}, "annotations in state")
    check(isinstance(state.get("ociVersion"), str), f"ociVersion in state is {state.get('ociVersion')!r}")
    check(state.get("status") in ("creating", "created", "running"), f"status in state is {state.get('status')!r}")


@case(121, needs="seccomp")
def no_metadata_none_sent(box: Box) -> None:
    """Without listenerMetadata the agent gets none."""
    box.process(args=["/bin/probe", "wait"])
    with agent_of(box) as agent:
        notifying(box, listenerPath=agent.path).create().succeeded()
        box.start().succeeded()
        check(not agent.take().document().get("metadata"), "there is metadata that nobody gave")


@case(117, 119, needs="seccomp")
def agent_decides(box: Box) -> None:
    """Through the descriptor that it gets the agent answers the program's system calls, with a value or an error."""
    box.process(args=["/bin/probe", "syscall", str(NUMBERS[CALL]), "0", "0", "--", "syscall", str(NUMBERS[CALL])])
    log = box.bundle / "stdout.log"
    with agent_of(box) as agent, log.open("wb") as out:
        notifying(box, listenerPath=agent.path).create_into(out).succeeded()
        box.start().succeeded()
        listener = listener_in(agent.take())
        asked = [agent.answer(listener, value=ANSWER), agent.answer(listener, errno=95)]
        box.await_status("stopped")
    equal(asked, [NUMBERS[CALL]] * 2, "the system calls that it was asked about")
    wanted = [{"error": None, "value": ANSWER}, {"error": "EOPNOTSUPP"}]
    equal(box.answers(log.read_text()), wanted, "what the program got")


@case(119, 121, needs="seccomp")
def one_state_a_connection(box: Box) -> None:
    """Each process sends one state over a connection of its own, descriptors with its first message, and closes it."""
    with agent_of(box) as agent:
        notifying(box, listenerPath=agent.path).running()
        deliveries = [agent.take()]
        for _ in range(2):
            box.call("exec", box.id, "/bin/probe", "exit", "0").succeeded()
            deliveries.append(agent.take())
        check(not agent.is_called(), "there is one connection more than there were processes")
    pids = set()
    for delivery in deliveries:
        pids.add(delivery.document().get("pid"))
        equal([len(fds) for fds in delivery.descriptors if fds], [1], "descriptors by the message that they came in")
        check(delivery.descriptors[0], "the first message had no descriptor")
    equal(len(pids), 3, "different pids")


@case(120, needs="seccomp")
def agent_that_is_not_there_is_an_error(box: Box) -> None:
    """A state that cannot be sent is an error, whether nobody listens or there is no socket; nothing is left."""
    dead = box.folder / "dead.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(dead))
    for path in (dead, box.folder / "nowhere.sock"):
        box.process(args=["/bin/probe", "write", "/ran", "x"])
        notifying(box, listenerPath=str(path)).run().failed()
        check(not (box.rootfs / "ran").exists(), "the program ran all the same")
        equal(box.left_behind(), [], f"what is left with {path.name}")


@case(120, needs="seccomp")
def listener_without_use_is_ignored(box: Box) -> None:
    """Where no rule is for the agent, listenerPath is not looked at."""
    profile(box, rule(CALL), listenerPath="/nowhere/at/all")
    check(box.ask("open", "/dev/null"), "the program said nothing")


@case(120, needs="seccomp", justified="config-linux.md: listenerMetadata MUST NOT be set if listenerPath is not set")
def metadata_without_a_path_is_an_error(box: Box) -> None:
    """ListenerMetadata without listenerPath is an error."""
    profile(box, rule(CALL), listenerMetadata="x").create().failed()
    equal(box.left_behind(), [], "what is left")


@case(21, 120, needs="seccomp")
def nobody_to_ask_is_an_error(box: Box) -> None:
    """A rule for an agent without listenerPath is an error: nobody would ever answer."""
    notifying(box).create().failed()
    equal(box.left_behind(), [], "what is left")
