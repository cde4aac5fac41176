"""plan/exec.py: what the caller of exec says over what config.json said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pyrunc.errors import ConfigError
from pyrunc.plan.exec import ExecRequest, plan_exec
from pyrunc.plan.facts import Facts
from pyrunc.plan.steps import IdMap
from pyrunc.plan.steps_exec import Entering
from pyrunc.plan.steps_process import SetIoPriority
from pyrunc.spec.load import parse, parse_process
from tests.unit.plan.hosts import document

FACTS = Facts(last_capability=40)


def plan(request: ExecRequest, **members: Any) -> Entering:
    spec = parse(json.dumps(document(**members)), "config.json")
    return plan_exec("box", spec, request, FACTS)[1]


def own(**members: Any) -> dict[str, Any]:
    user = {"uid": 7, "gid": 8, "additionalGids": [9]}
    return {"user": user, "args": ["sh"], "cwd": "/own", "env": ["A=1"], **members}


def argv(**more: Any) -> ExecRequest:
    return ExecRequest(args=("ls", "-l"), **more)


def whole(**members: Any) -> ExecRequest:
    return ExecRequest(process=parse_process(json.dumps({"args": ["ls"], "cwd": "/", **members}), "process.json"))


def test_what_is_not_said_is_the_containers() -> None:
    process = plan(argv(), process=own(noNewPrivileges=True, terminal=True)).process
    assert (process.args, process.cwd, process.env) == (("ls", "-l"), "/own", ("A=1",))
    assert (process.uid, process.gid, process.additional_gids) == (7, 8, (9,))
    assert process.no_new_privileges
    assert not process.terminal


def test_what_is_said_goes_over_it() -> None:
    request = argv(
        cwd="/other", env=("A=2", "B=3"), uid=1, gid=2, additional_gids=(3,), terminal=True, no_new_privileges=False
    )
    process = plan(request, process=own(noNewPrivileges=True)).process
    assert (process.cwd, process.env, process.uid, process.gid) == ("/other", ("A=2", "B=3"), 1, 2)
    assert (process.additional_gids, process.terminal, process.no_new_privileges) == ((9, 3), True, False)


def test_a_user_without_a_group_keeps_the_group() -> None:
    process = plan(argv(uid=0), process=own()).process
    assert (process.uid, process.gid) == (0, 8)


def test_a_whole_process_takes_nothing_from_the_containers() -> None:
    process = plan(whole(), process=own(noNewPrivileges=True, rlimits=[])).process
    assert (process.args, process.cwd, process.env, process.uid) == (("ls",), "/", (), 0)
    assert not process.no_new_privileges


def test_capabilities_are_added_but_never_inheritable() -> None:
    """CVE-2022-29162."""
    named = {"bounding": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"], "inheritable": ["CAP_KILL"], "ambient": []}
    request = argv(capabilities=("CAP_SYS_TIME", "CAP_KILL"))
    found = plan(request, process=own(capabilities=named)).process.capabilities
    assert found is not None
    sets = [found.bounding, found.effective, found.permitted, found.inheritable, found.ambient]
    assert [sorted(each) for each in sets] == [[0, 5, 25], [5, 25], [0, 5, 25], [5], [5]]


def test_without_any_capabilities_those_added_are_all() -> None:
    found = plan(argv(capabilities=("CAP_KILL",)), process=own()).process.capabilities
    assert found is not None
    sets = [found.bounding, found.effective, found.permitted, found.inheritable, found.ambient]
    assert [sorted(each) for each in sets] == [[5], [5], [5], [], []]


def test_a_config_without_a_process_needs_a_whole_one() -> None:
    config = document()
    del config["process"]
    spec = parse(json.dumps(config), "config.json")
    with pytest.raises(ConfigError, match=r"\.process: is missing.*--process"):
        plan_exec("box", spec, argv(), FACTS)
    assert plan_exec("box", spec, whole(), FACTS)[1].process.args == ("ls",)


@pytest.mark.parametrize(("request_", "place"), [(argv(cwd="here"), r"\.cwd"), (ExecRequest(), r"\.args")])
def test_rules_of_the_spec_hold_for_flags_too(request_: ExecRequest, place: str) -> None:
    with pytest.raises(ConfigError, match=place):
        plan(request_, process=own())


def test_cpu_affinity() -> None:
    affinity = {"initial": "0-1,3", "final": ""}
    found = plan(whole(execCPUAffinity=affinity), process=own(execCPUAffinity={"initial": "5"}))
    assert (found.initial_cpus, found.final_cpus) == ((0, 1, 3), None)


@pytest.mark.parametrize("request_", [argv(), whole()])
def test_cpu_affinity_of_the_container_is_for_its_execs(request_: ExecRequest) -> None:
    found = plan(request_, process=own(execCPUAffinity={"final": "1"}))
    assert (found.initial_cpus, found.final_cpus) == (None, (1,))


def test_what_fork_undoes_comes_late() -> None:
    """sched(7): neither the reset flag nor a deadline is passed on to a child."""
    priority = {"class": "IOPRIO_CLASS_IDLE"}
    plain, resetting, deadline = (
        plan(whole(scheduler=scheduler, ioPriority=priority))
        for scheduler in (
            {"policy": "SCHED_BATCH"},
            {"policy": "SCHED_BATCH", "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
            {"policy": "SCHED_DEADLINE", "runtime": 1, "deadline": 2, "period": 2},
        )
    )
    assert plain.late_scheduler is None
    assert len(plain.process.policies) == 2
    for found in (resetting, deadline):
        assert found.late_scheduler is not None
        assert [type(step) for step in found.process.policies] == [SetIoPriority]


def test_core_cookie_is_shared_and_not_made() -> None:
    found = plan(argv(), process=own(), annotations={"org.pyrunc.core-sched": "new"})
    assert found.shares_core
    assert found.process.policies == ()
    assert not plan(argv(), process=own()).shares_core


def test_what_config_json_says_of_all_processes() -> None:
    maps = [{"containerID": 0, "hostID": 5, "size": 1}]
    linux = {"namespaces": [{"type": "user"}], "uidMappings": maps, "gidMappings": maps}
    found = plan(argv(), process=own(), linux={**linux, "personality": {"domain": "LINUX32"}})
    assert found.id_maps is not None
    assert found.id_maps.uids == (IdMap(0, 5, 1),)
    assert found.process.personality is not None


def test_create_has_warned_of_the_containers_own_capabilities() -> None:
    unknown = {"bounding": ["CAP_FLY"]}
    assert plan(argv(), process=own(capabilities=unknown)).warnings == ()
    (warning,) = plan(argv(capabilities=("CAP_SWIM",)), process=own(capabilities=unknown)).warnings
    assert "CAP_SWIM" in warning


def test_sockets_of_a_service_manager() -> None:
    process = plan(argv(listen_fds=2, listen_fdnames="a:b", preserve_fds=1), process=own()).process
    assert process.env == ("A=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=a:b")
    assert (process.listen_fds, process.preserve_fds) == (2, 1)
