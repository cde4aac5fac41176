"""Containers of an ordinary user: one id mapped to oneself, or more of them through newuidmap and
newgidmap.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import NOBODY, SUBORDINATE
from tests.scenario.agent import Agent
from tests.scenario.test_notify import Manager, background, saying
from tests.scenario.test_seccomp import GETPGRP, rule, seccomp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenario.bundle import Bundle

pytestmark = pytest.mark.requires("unprivileged-user")


@pytest.fixture
def rootless(bundle: Bundle) -> Bundle:
    """A bundle that belongs to nobody, with the changes that `spec --rootless` makes to the default
    config.
    """
    one = [{"containerID": 0, "hostID": NOBODY, "size": 1}]
    unmapped_terminals(bundle.namespace("user").linux(uidMappings=one, gidMappings=one))
    del bundle.config["linux"]["cgroupsPath"]
    give_away(bundle)
    return bundle


def unmapped_terminals(bundle: Bundle) -> Bundle:
    """Group 5, the usual one of terminals, is not mapped."""
    options = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    return bundle.without_mount("/dev/pts").mount("/dev/pts", "devpts", "devpts", options)


def give_away(bundle: Bundle) -> None:
    """Busybox and the probe are shared with other bundles and stay root's: who may execute them need not
    own them.
    """
    for folder, _, names in os.walk(bundle.dir):
        os.chown(folder, NOBODY, NOBODY)
        for name in names:
            if name not in ("busybox", "probe"):
                os.lchown(f"{folder}/{name}", NOBODY, NOBODY)


def as_nobody(bundle: Bundle, *args: str, **more: Any) -> str:
    bundle.process(args=list(args)).save()
    return bundle.attempt("run", user=NOBODY, group=NOBODY, extra_groups=[], cwd="/", **more).ok().stdout


def test_ordinary_user_is_root_inside(rootless: Bundle) -> None:
    assert as_nobody(rootless, "sh", "-c", "id -u; id -g; cat /proc/self/uid_map").split() == [
        "0",
        "0",
        "0",
        str(NOBODY),
        "1",
    ]


def test_files_belong_to_the_ordinary_user(rootless: Bundle) -> None:
    as_nobody(rootless, "touch", "/file")
    assert rootless.path("/file").stat().st_uid == NOBODY


@pytest.mark.vm
def test_setgroups_is_denied(rootless: Bundle) -> None:
    """user_namespaces(7): without privileges a gid map may be written only after that."""
    assert as_nobody(rootless, "cat", "/proc/self/setgroups") == "deny\n"


@pytest.mark.vm
def test_whole_life(rootless: Bundle) -> None:
    user: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    rootless.process(args=["/bin/probe", "sleep"]).create(**user)
    rootless.attempt("start", **user).ok()
    assert rootless.attempt("state", **user).ok().json()["status"] == "running"
    rootless.attempt("kill", operands=["KILL"], **user).ok()
    rootless.attempt("delete", "--force", **user).ok()


@pytest.mark.differs_from_runc("passes on nothing but READY")
def test_what_it_says_reaches_the_users_service_manager(rootless: Bundle) -> None:
    saying(rootless, "STATUS=begins", "READY=1", then="true")
    with Manager(rootless.dir / "manager.sock") as manager:
        os.chown(manager.path, NOBODY, NOBODY)
        running = background(rootless, manager, "run", user=NOBODY, group=NOBODY, extra_groups=[], cwd="/")
        found = manager.messages(3)
        assert running.wait(10) == 0
    assert [message[0] for message in found] == ["STATUS=begins", "READY=1", "BARRIER=1"]


USER: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}


@pytest.fixture
def running(rootless: Bundle) -> Iterator[Bundle]:
    rootless.process(args=["/bin/probe", "sleep"]).create(**USER)
    rootless.attempt("start", **USER).ok()
    yield rootless
    rootless.attempt("delete", "--force", **USER).ok()


def test_exec(running: Bundle) -> None:
    said = running.exec("sh", "-c", "id -u; cat /proc/self/uid_map; cat /proc/1/comm", **USER).ok().stdout
    assert said.split() == ["0", "0", str(NOBODY), "1", "probe"]
    assert running.exec("nosuch", **USER).returncode == 255


@pytest.mark.differs_from_runc("leaves the score as it is in exec")
def test_oom_score_of_exec(running: Bundle) -> None:
    score = int(running.exec("cat", "/proc/self/oom_score_adj", **USER).stdout)
    wanted = {"args": ["cat", "/proc/self/oom_score_adj"], "oomScoreAdj": score + 7}
    file = running.dir / "process.json"
    file.write_text(json.dumps({**running.config["process"], **wanted}))
    assert running.exec(flags=["--process", str(file)], **USER).stdout == f"{score + 7}\n"


def test_devices_are_there(rootless: Bundle) -> None:
    assert as_nobody(rootless, "sh", "-c", "echo x > /dev/null; head -c 3 /dev/zero | wc -c").strip() == "3"


@pytest.fixture
def many_ids(rootless: Bundle) -> Bundle:
    maps = [
        {"containerID": 0, "hostID": NOBODY, "size": 1},
        {"containerID": 1, "hostID": 200000, "size": 1000},
    ]
    return rootless.linux(uidMappings=maps, gidMappings=maps)


@pytest.mark.vm
@pytest.mark.requires("newuidmap")
def test_more_ids_through_newuidmap(many_ids: Bundle) -> None:
    many_ids.process(user={"uid": 5, "gid": 6}, args=["sh", "-c", "probe ids; cat /proc/self/setgroups"])
    said = many_ids.attempt("run", wrap=SUBORDINATE, cwd="/").ok().stdout
    assert '"uid":[5,5,5],"gid":[6,6,6]' in said
    assert said.endswith("allow\n")


@pytest.mark.requires("newuidmap")
@pytest.mark.differs_from_runc("gives no additional groups to a rootless container, whatever is mapped")
def test_additional_groups_through_newgidmap(many_ids: Bundle) -> None:
    many_ids.process(user={"uid": 5, "gid": 6, "additionalGids": [7]}, args=["probe", "ids"])
    assert many_ids.attempt("run", wrap=SUBORDINATE, cwd="/").ok().json()["groups"] == [7]


@pytest.mark.requires("seccomp")
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="system call numbers of x86-64")
def test_seccomp_agent_answers(rootless: Bundle) -> None:
    """The kernel lets an ordinary user take nothing out of an init that others are not to look into."""
    path = rootless.dir / "agent.sock"
    seccomp(rootless, rule("SCMP_ACT_NOTIFY", "getpgrp"), listenerPath=str(path))
    with Agent(path, {int(GETPGRP): (4711, 0)}) as agent:
        path.chmod(0o777)
        said = as_nobody(rootless, "/bin/probe", "syscall", GETPGRP)
    assert json.loads(said) == {"error": None, "value": 4711}
    assert agent.seen == [int(GETPGRP)]
