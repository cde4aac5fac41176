"""`exec` into a hostile container: it gets no more from the process that joins it than the program's own."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario import host
from tests.scenario.agent import Agent
from tests.scenario.bundle import TIMEOUT
from tests.scenario.execs import background, probe, with_process
from tests.scenario.test_policies import READ_FILE, landlock
from tests.scenario.test_sealing import hostile_image, with_python_traps
from tests.scenario.test_seccomp import GETPGRP, rule, seccomp
from tests.scenario.test_seccomp_notify import GETPGRP_NUMBER, NOTIFY

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle

KEYCTL, GET_KEYRING_ID, SESSION = "250", "0", "-3"
ROUNDS = 40


@pytest.mark.parametrize("privileged", [False, True])
def test_runtime_cannot_be_overwritten_through_proc_self_exe(bundle: Bundle, privileged: bool) -> None:
    """CVE-2019-5736: the image's ld.so keeps hold of what it finds as /proc/self/exe."""
    if privileged:
        bundle.capabilities("CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE")
    result = hostile_image(bundle).sleeping().exec("/evil")
    assert result.stdout, f"the image's ld.so was not run, so nothing is shown: {result.stderr}"
    assert json.loads(result.stdout)["sealed"] is True, result.stdout


def watched(bundle: Bundle) -> set[str]:
    """What the container's own process sees of those that execs send in."""
    pid = bundle.process(args=["/bin/probe", "watch", "/stop"]).create().pid
    bundle.start()
    for _ in range(ROUNDS):
        bundle.exec("true").ok()
    bundle.write("/stop", "")
    bundle.wait(pid, TIMEOUT)
    return set(json.loads(bundle.output()))


def test_entering_process_cannot_be_looked_at(bundle: Bundle) -> None:
    """CVE-2016-9962: not its executable, its root, its directory or its descriptors; the program's alone."""
    assert watched(bundle) <= {"exe /bin/busybox", "root ours", "cwd /"}


def test_tracer_finds_nothing_of_the_host_either(bundle: Bundle) -> None:
    """CAP_SYS_PTRACE sees through what is not dumpable, so nothing may be there to be seen."""
    sights = watched(bundle.capabilities("CAP_SYS_PTRACE"))
    assert any("socket:" in each for each in sights), f"no entering process was met, so nothing is shown: {sights}"
    assert "root another" not in sights
    assert {each for each in sights if each.startswith("cwd ")} <= {"cwd /"}
    files = {each for each in sights if each.startswith("fd /") and not each.startswith("fd /proc/")}
    assert files <= {"fd /", "fd /etc/passwd", "fd /etc/group"}


@pytest.mark.parametrize("flag", [True, False])
def test_working_directory_through_a_leaked_descriptor(bundle: Bundle, flag: bool) -> None:
    """CVE-2024-21626."""
    bundle.sleeping()
    for fd in (*range(3, 20), 63):
        path = f"/proc/self/fd/{fd}"
        command = bundle.command("exec", "--cwd", path if flag else "/link", operands=["cat", "etc/hostname"])
        bundle.symlink("/link", path)
        result = bundle.execute([bundle.template.probe, "leak", "3", "64", "/", *command])
        assert (result.returncode, result.stdout) == (255, "")


def test_leaked_descriptors_do_not_come_in(bundle: Bundle) -> None:
    command = bundle.sleeping().command("exec", operands=["/bin/probe", "fds"])
    said = bundle.execute([bundle.template.probe, "leak", "3", "64", "/", *command]).ok().json()
    assert sorted(said) == ["0", "1", "2"]


@pytest.mark.parametrize("text", [":5", "1:", "-1", "4294967295", "1:4294967295", "1x", "root", "0x1", "1:2:3", " 1"])
def test_user_that_is_no_number(bundle: Bundle, text: str) -> None:
    """CVE-2026-30892: `exec -u 1` was 0:0."""
    result = bundle.sleeping().exec("/bin/probe", "ids", flags=[f"--user={text}"])
    assert (result.returncode != 0, result.stdout) == (True, "")


def test_number_is_never_looked_up_as_a_name(bundle: Bundle) -> None:
    """CVE-2016-3697."""
    bundle.write("/etc/passwd", "1000:x:0:0:root:/root:/bin/sh\n").sleeping()
    assert probe(bundle, "ids", "--user", "1000")["uid"] == [1000] * 3


def test_plain_user_has_no_capabilities(bundle: Bundle) -> None:
    """CVE-2016-8867."""
    said = bundle.sleeping().exec("cat", "/proc/self/status", flags=["--user", "1000:1000"]).ok().stdout
    assert "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n" in said


@pytest.mark.requires("tty")
def test_callers_terminal_cannot_be_typed_into(bundle: Bundle) -> None:
    """CVE-2017-5226: TIOCSTI."""
    master, slave = os.openpty()
    result = bundle.sleeping().exec("/bin/probe", "tiocsti", stdin_fd=slave)
    os.close(slave)
    os.close(master)
    assert result.ok().json()["error"]


@pytest.mark.requires("seccomp")
@pytest.mark.parametrize("no_new_privileges", [False, True])
@pytest.mark.parametrize("uid", [0, 1000])
def test_seccomp_filter_is_the_containers(bundle: Bundle, no_new_privileges: bool, uid: int) -> None:
    bundle.process(noNewPrivileges=no_new_privileges, user={"uid": uid, "gid": uid})
    seccomp(bundle, rule("SCMP_ACT_ERRNO", "mkdir")).sleeping()
    assert "Seccomp_filters:\t1\n" in bundle.exec("cat", "/proc/self/status").stdout
    result = bundle.exec("mkdir", "/tmp/x")
    assert (result.returncode, "Operation not permitted" in result.stderr) == (1, True)
    assert with_process(bundle, args=["mkdir", "/tmp/x"]).returncode == 1


@pytest.mark.requires("seccomp")
def test_seccomp_agent_gets_a_listener_of_its_own(bundle: Bundle) -> None:
    path = bundle.dir / "agent.sock"
    with Agent(path, {GETPGRP_NUMBER: (4711, 0)}) as agent:
        pid = seccomp(bundle, rule(NOTIFY, "getpgrp"), listenerPath=str(path)).sleeping().pid
        assert probe(bundle, f"syscall {GETPGRP}") == {"error": None, "value": 4711}
        with background(bundle, "/bin/probe", "sleep") as program:
            assert [state["pid"] for state in agent.states][::2] == [pid, program]
        assert {state["state"]["pid"] for state in agent.states} == {pid}


@pytest.mark.requires("landlock")
@pytest.mark.differs_from_runc("Landlock is pyrunc's own")
def test_landlock_holds_for_it_too(bundle: Bundle) -> None:
    landlock(bundle, READ_FILE, {"access": READ_FILE, "paths": ["/bin", "/proc"]}).sleeping()
    assert "denied" in bundle.exec("cat", "/etc/passwd").stderr
    assert bundle.exec("cat", "/proc/self/comm").ok().stdout == "cat\n"


@pytest.mark.skipif(not os.path.exists("/proc/keys"), reason="this kernel has no keys")
@pytest.mark.parametrize("flags", [[], ["--no-new-keyring"]])
def test_session_keyring_is_the_containers(bundle: Bundle, flags: list[str]) -> None:
    question = ["syscall", KEYCTL, GET_KEYRING_ID, SESSION]
    pid = bundle.process(args=["sh", "-c", f"probe {' '.join(question)}; sleep 99"]).create(*flags).pid
    bundle.start()
    assert host.eventually(bundle.output)
    theirs, ours = json.loads(bundle.output()), probe(bundle, " ".join(question))
    assert theirs["error"] is None
    assert theirs == ours
    assert bundle.exec("/bin/probe", *question).ok().json() == ours
    os.kill(pid, 9)


@pytest.mark.skipif(not os.path.exists("/proc/keys"), reason="this kernel has no keys")
def test_session_keyring_is_not_that_of_an_earlier_container_of_the_name(bundle: Bundle) -> None:
    found = set()
    for _ in range(3):
        bundle.sleeping()
        found.add(probe(bundle, f"syscall {KEYCTL} {GET_KEYRING_ID} {SESSION}")["value"])
        bundle.delete("--force")
        host.reap()
    assert len(found) == 3


FAILURES: list[dict[str, Any]] = [
    {"args": ["true"]},
    {"args": ["nosuchprogram"]},
    {"args": ["true"], "cwd": "/etc/passwd"},
    {"args": ["echo", "\u00e4\U0001f600"], "env": ["PATH=/bin", "\u00fc=\u00f6"], "user": {"uid": 4711, "gid": 4711}},
]


@pytest.mark.parametrize("fields", FAILURES)
def test_modules_of_the_image_are_never_imported(bundle: Bundle, fields: dict[str, Any]) -> None:
    with_process(with_python_traps(bundle).sleeping(), **fields)
    assert not bundle.path("/python-was-here").exists()
