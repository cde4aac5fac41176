"""SCMP_ACT_NOTIFY with a working agent (config-linux.md, "Seccomp", "The Container Process State")."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario import host
from tests.scenario.agent import Agent
from tests.scenario.profiles import engine_profile
from tests.scenario.test_seccomp import GETPGRP, rule, seccomp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenario.bundle import Bundle

pytestmark = [
    pytest.mark.requires("seccomp"),
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="system call numbers of x86-64"),
]
EXECVE, GETPGRP_NUMBER = 59, int(GETPGRP)
NOTIFY = "SCMP_ACT_NOTIFY"


@pytest.fixture
def agent(bundle: Bundle) -> Iterator[Agent]:
    with Agent(bundle.dir / "agent.sock", {GETPGRP_NUMBER: (4711, 0)}) as agent:
        yield agent


def notifying(bundle: Bundle, *names: str, **more: Any) -> Bundle:
    path = str(bundle.dir / "agent.sock")
    return seccomp(bundle, rule(NOTIFY, *names), **{"listenerPath": path, **more})


@pytest.mark.parametrize("no_new_privileges", [False, True])
@pytest.mark.parametrize("uid", [0, 1000])
def test_agent_answers(bundle: Bundle, agent: Agent, no_new_privileges: bool, uid: int) -> None:
    bundle.process(noNewPrivileges=no_new_privileges, user={"uid": uid, "gid": uid})
    assert notifying(bundle, "getpgrp").probe("syscall", GETPGRP) == {"error": None, "value": 4711}
    assert agent.seen == [GETPGRP_NUMBER]


def test_agent_refuses(bundle: Bundle, agent: Agent) -> None:
    agent.answers[GETPGRP_NUMBER] = (0, errno.EXDEV)
    assert notifying(bundle, "getpgrp").probe("syscall", GETPGRP)["error"] == "EXDEV"


def test_state_that_the_agent_gets(bundle: Bundle, agent: Agent) -> None:
    notifying(bundle, "getpgrp", listenerMetadata="what it is for").set(annotations={"key": "value"})
    bundle.process(args=["sleep", "60"]).create()
    assert host.eventually(lambda: agent.connections_closed == 1)
    (state,) = agent.states
    container = state.pop("state")
    assert state.pop("ociVersion")
    assert state == {"fds": ["seccompFd"], "pid": bundle.pid, "metadata": "what it is for"}
    assert container.pop("ociVersion")
    wanted = {"id": bundle.id, "status": "creating", "pid": bundle.pid, "bundle": str(bundle.dir)}
    assert container == {**wanted, "annotations": {"key": "value"}}


def test_no_metadata(bundle: Bundle, agent: Agent) -> None:
    notifying(bundle, "getpgrp").run("true").ok()
    assert not agent.states[0].get("metadata")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("write", marks=pytest.mark.differs_from_runc("refused: its init would wait for itself")),
        *("sendmsg", "recvmsg", "close", "execve", "read", "mmap", "capset"),
    ],
)
def test_calls_of_the_init_wait_for_the_agent_like_any_other(bundle: Bundle, agent: Agent, name: str) -> None:
    assert notifying(bundle, name, "getpgrp").probe("syscall", GETPGRP)["value"] == 4711
    assert GETPGRP_NUMBER in agent.seen


@pytest.mark.differs_from_runc("SCMP_ACT_NOTIFY as the default is refused")
def test_agent_for_everything(bundle: Bundle, agent: Agent) -> None:
    path = str(bundle.dir / "agent.sock")
    seccomp(bundle, default=NOTIFY, listenerPath=path)
    assert bundle.probe("syscall", GETPGRP)["value"] == 4711
    assert EXECVE in agent.seen


def test_profile_of_an_engine_with_an_agent(bundle: Bundle, agent: Agent) -> None:
    profile = engine_profile()
    profile["syscalls"][0]["names"].remove("getpgrp")
    profile["syscalls"].append(rule(NOTIFY, "getpgrp"))
    bundle.linux(seccomp={**profile, "listenerPath": agent.path})
    assert bundle.probe("syscall", GETPGRP)["value"] == 4711


@pytest.mark.differs_from_runc("linux.seccomp.flags is newer than runc 1.1.5")
def test_flags_with_a_listener(bundle: Bundle, agent: Agent) -> None:
    flags = ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SECCOMP_FILTER_FLAG_LOG"]
    assert notifying(bundle, "getpgrp", flags=flags).probe("syscall", GETPGRP)["value"] == 4711


def test_listener_is_not_the_programs(bundle: Bundle, agent: Agent) -> None:
    assert sorted(notifying(bundle, "getpgrp").probe("fds")) == ["0", "1", "2"]


def test_nobody_else_holds_the_listener(bundle: Bundle) -> None:
    """Were a copy open anywhere, the container would wait for an agent that is gone."""
    with Agent(bundle.dir / "agent.sock", {}):
        notifying(bundle, "getpgrp").process(args=["/bin/probe", "syscall", GETPGRP]).create()
        pid = bundle.pid
    bundle.start().wait(pid)
    assert "ENOSYS" in bundle.output()


def test_dead_socket_is_an_error(bundle: Bundle) -> None:
    result = notifying(bundle, "getpgrp").attempt("create")
    assert result.returncode == 1
    assert bundle.attempt("state").returncode == 1


def test_error_names_the_path_and_what_to_do(bundle: Bundle) -> None:
    result = notifying(bundle, "getpgrp").attempt("create")
    assert result.returncode == 1
    assert "agent" in result.stderr


def test_listener_that_nobody_asked_for_is_ignored(bundle: Bundle) -> None:
    path = "/nowhere/at/all"
    seccomp(bundle, rule("SCMP_ACT_ERRNO", "getpgrp"), listenerPath=path, listenerMetadata="x").run("true").ok()


@pytest.mark.parametrize(
    "more", [{"listenerPath": None}, {"listenerPath": None, "listenerMetadata": "x"}], ids=["path", "metadata"]
)
def test_what_needs_a_path_is_refused_without(bundle: Bundle, more: dict[str, Any]) -> None:
    wanted = {key: value for key, value in more.items() if value}
    result = seccomp(bundle, rule(NOTIFY, "getpgrp"), **wanted).run("true")
    assert result.returncode == 1
    assert "listener" in result.stderr


def test_hooks_of_start_are_under_the_filter_too(bundle: Bundle, agent: Agent) -> None:
    bundle.hook("startContainer", "/bin/cp", "/etc/passwd", "/copy")
    assert notifying(bundle, "getpgrp").probe("syscall", GETPGRP)["value"] == 4711
    assert bundle.path("/copy").exists()
