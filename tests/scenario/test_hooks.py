"""The six kinds of hooks: when, where, with what on stdin and in the environment, and what a failing one
does.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario import host

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle

AT_CREATE = ["prestart", "createRuntime", "createContainer"]
KINDS = [*AT_CREATE, "startContainer", "poststart", "poststop"]
OUTSIDE = ["prestart", "createRuntime", "poststart", "poststop"]
INSIDE = ["createContainer", "startContainer"]
POSTSTART_EARLY = "runs poststart hooks during create, before the program (mended after 1.5.1)"
STATUS = {
    **dict.fromkeys(AT_CREATE, "creating"),
    "startContainer": "created",
    "poststart": "running",
    "poststop": "stopped",
}


@pytest.fixture
def bundle(bundle: Bundle) -> Bundle:
    """A bundle whose directory has the same path inside, so that all hooks and the program can write to
    one log.
    """
    return bundle.mount(str(bundle.dir), "bind", str(bundle.dir), ["bind"])


def probe_for(bundle: Bundle, kind: str) -> str:
    """startContainer hooks are looked up inside, all others outside."""
    return "/bin/probe" if kind == "startContainer" else str(bundle.template.probe)


def log_hook(bundle: Bundle, kind: str, label: str = "", code: int = 0, **more: Any) -> None:
    bundle.hook(kind, probe_for(bundle, kind), "hook", f"{bundle.dir}/log", label or kind, str(code), **more)


def log(bundle: Bundle) -> list[dict[str, Any]]:
    path = bundle.dir / "log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def labels(bundle: Bundle) -> list[str]:
    return [entry["label"] for entry in log(bundle)]


def logging_program(bundle: Bundle) -> Bundle:
    return bundle.process(args=["sh", "-c", f'echo \'{{"label": "program"}}\' >> {bundle.dir}/log; exec sleep 60'])


def test_each_kind_has_its_time(bundle: Bundle) -> None:
    for kind in (*AT_CREATE, "startContainer", "poststop"):
        log_hook(bundle, kind)
    logging_program(bundle).create()
    assert labels(bundle) == AT_CREATE
    bundle.start()
    assert host.eventually(lambda: len(labels(bundle)) == 5)
    assert labels(bundle)[3:] == ["startContainer", "program"]
    bundle.delete("--force")
    assert labels(bundle)[5:] == ["poststop"]


@pytest.mark.differs_from_runc(POSTSTART_EARLY)
def test_poststart_hooks_run_during_start(bundle: Bundle) -> None:
    log_hook(bundle, "poststart")
    bundle.process(args=["sleep", "60"]).create()
    assert labels(bundle) == []
    bundle.start()
    assert labels(bundle) == ["poststart"]


@pytest.mark.differs_from_runc(POSTSTART_EARLY)
def test_poststart_comes_after_the_start_of_the_program(bundle: Bundle) -> None:
    script = f"pid=$(sed 's/.*\"pid\": *//; s/[^0-9].*//'); tr '\\0' ' ' < /proc/$pid/cmdline > {bundle.dir}/seen"
    bundle.hook("poststart", "/bin/sh", "-c", script)
    bundle.process(args=["/bin/probe", "sleep"]).create().start()
    assert (bundle.dir / "seen").read_text() == "/bin/probe sleep "


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_of_a_kind_run_in_order(bundle: Bundle, kind: str) -> None:
    for number in ("1", "2", "3"):
        log_hook(bundle, kind, number)
    bundle.run("true").ok()
    assert labels(bundle) == ["1", "2", "3"]


def differing(kinds: list[str], which: str, why: str) -> list[Any]:
    """The kinds, one of them marked as a difference of runc."""
    mark = pytest.mark.differs_from_runc(why)
    return [pytest.param(kind, marks=mark) if kind == which else kind for kind in kinds]


@pytest.mark.parametrize("kind", differing(KINDS, "poststart", POSTSTART_EARLY))
def test_state_on_stdin(bundle: Bundle, kind: str) -> None:
    log_hook(bundle.set(annotations={"key": "value"}), kind)
    pid = bundle.process(args=["sleep", "60"]).create().pid
    bundle.start().delete("--force")
    state = json.loads(log(bundle)[0]["stdin"])
    assert state["ociVersion"].startswith("1.")
    assert (state["id"], state["bundle"], state["annotations"]["key"]) == (
        bundle.id,
        str(bundle.dir),
        "value",
    )
    assert state["status"] == STATUS[kind]
    if kind in INSIDE:
        assert state["pid"] == 1
    elif kind != "poststop":
        assert state["pid"] == pid


@pytest.mark.parametrize("kind", OUTSIDE)
def test_outer_hooks_run_in_the_runtimes_namespaces(bundle: Bundle, kind: str) -> None:
    log_hook(bundle, kind)
    bundle.run("true").ok()
    assert log(bundle)[0]["ns"] == {name: os.readlink(f"/proc/self/ns/{name}") for name in log(bundle)[0]["ns"]}


@pytest.mark.parametrize("kind", INSIDE)
def test_inner_hooks_run_in_the_containers_namespaces(bundle: Bundle, kind: str) -> None:
    log_hook(bundle, kind)
    said = bundle.probe("self")
    seen = log(bundle)[0]["ns"]
    own = {name: os.readlink(f"/proc/self/ns/{name}") for name in ("pid", "net", "mnt", "ipc", "uts")}
    assert all(seen[name] == said["ns"][name] != own[name] for name in own if name in seen)
    assert "mnt" in seen


def test_create_container_hook_runs_before_the_root_is_changed(bundle: Bundle) -> None:
    """config.md: it sees the host's files in the container's mount namespace, where the mounts are made
    already.
    """
    look = f"grep -c ' {bundle.rootfs}/proc ' /proc/self/mountinfo > {bundle.dir}/seen"
    script = f"test -e {bundle.dir}/config.json && {look}"
    bundle.hook("createContainer", "/bin/sh", "-c", script).run("true").ok()
    assert int((bundle.dir / "seen").read_text()) >= 1


def test_start_container_hook_is_looked_up_inside(bundle: Bundle) -> None:
    bundle.write("/only-inside", "#!/bin/sh\ntouch /ran\n", mode=0o755).hook("startContainer", "/only-inside").run(
        "true"
    ).ok()
    assert bundle.path("/ran").exists()


@pytest.mark.parametrize("kind", [*OUTSIDE, "createContainer"])
def test_other_hooks_are_looked_up_outside(bundle: Bundle, kind: str) -> None:
    bundle.write("/only-inside", "#!/bin/sh\ntouch /ran\n", mode=0o755).hook(kind, "/only-inside")
    result = bundle.run("true")
    assert (result.returncode == 1) == (kind != "poststop")
    assert not bundle.path("/ran").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_environment_is_that_of_the_hook(bundle: Bundle, kind: str) -> None:
    """CVE-2025-23266: neither the container's nor the caller's environment may reach a hook that has its
    own.
    """
    log_hook(bundle.env("LD_PRELOAD=/evil.so", "PYTHONPATH=/evil"), kind, env=["ONE=1", "TWO=2 3"])
    bundle.run("true").ok()
    assert log(bundle)[0]["env"] == ["ONE=1", "TWO=2 3"]


# A startContainer hook without an environment may be given that of the program: both run inside.
NOT_INSIDE = [kind for kind in KINDS if kind != "startContainer"]


@pytest.mark.parametrize(
    "kind", differing(NOT_INSIDE, "createContainer", "hands on the container's environment (CVE-2025-23266)")
)
def test_container_environment_does_not_reach_hooks(bundle: Bundle, kind: str) -> None:
    log_hook(bundle.env("LD_AUDIT=/evil.so", "PYTHONHOME=/evil", "BASH_ENV=/evil"), kind)
    bundle.run("true").ok()
    assert not {"LD_AUDIT=/evil.so", "PYTHONHOME=/evil", "BASH_ENV=/evil"} & set(log(bundle)[0]["env"])


@pytest.mark.differs_from_runc("hands on an environment of its own choice when the hook has none")
@pytest.mark.parametrize("kind", NOT_INSIDE)
def test_environment_is_empty_if_the_hook_has_none(bundle: Bundle, kind: str) -> None:
    log_hook(bundle, kind)
    bundle.run("true", env=bundle.environment(SECRET="42")).ok()
    assert log(bundle)[0]["env"] == []


@pytest.mark.parametrize("kind", KINDS)
def test_arguments_of_a_hook(bundle: Bundle, kind: str) -> None:
    """args is the whole argv, its first entry included (execv semantics)."""
    bundle.config["hooks"] = {
        kind: [{"path": probe_for(bundle, kind), "args": ["other-name", "hook", f"{bundle.dir}/log", "x y", "0"]}]
    }
    bundle.run("true").ok()
    assert log(bundle)[0]["args"] == ["hook", f"{bundle.dir}/log", "x y", "0"]


@pytest.mark.parametrize(
    "kind",
    [
        *AT_CREATE,
        pytest.param(
            "startContainer",
            marks=pytest.mark.differs_from_runc("start does not notice that the hook failed"),
        ),
        pytest.param("poststart", marks=pytest.mark.differs_from_runc(POSTSTART_EARLY)),
    ],
)
def test_failing_hook_undoes_everything(bundle: Bundle, kind: str) -> None:
    bundle.process(args=["sleep", "60"]).hook(
        kind, "/bin/sh" if kind != "startContainer" else "/bin/false", "-c", "exit 3"
    )
    for phase in ("create", "start"):
        result = bundle.attempt(phase)
        if result.returncode:
            break
    assert result.returncode == 1
    assert phase == ("create" if kind in AT_CREATE else "start")
    assert len(result.stderr.splitlines()) == 1
    if kind not in AT_CREATE:
        assert host.eventually(lambda: host.processes_of(bundle.token) == [])
        bundle.delete("--force")
    assert host.eventually(lambda: host.leftovers(bundle.token, bundle.root) == [])


@pytest.mark.parametrize("kind", [*AT_CREATE, "startContainer", "poststart"])
def test_poststop_runs_after_a_failing_hook(bundle: Bundle, kind: str) -> None:
    log_hook(bundle, kind, "failing", 3)
    log_hook(bundle, "poststop")
    assert bundle.process(args=["sleep", "1"]).attempt("run").returncode == 1
    assert labels(bundle) == ["failing", "poststop"]


def test_failing_hook_is_named(bundle: Bundle) -> None:
    bundle.hook("createRuntime", "/bin/sh", "-c", "echo out of cheese >&2; exit 3")
    said = bundle.run("true").stderr
    assert "out of cheese" in said
    assert "3" in said
    assert "hook" in said


def test_later_hooks_do_not_run_after_a_failing_one(bundle: Bundle) -> None:
    log_hook(bundle, "createRuntime", "first", 1)
    log_hook(bundle, "createRuntime", "second")
    log_hook(bundle, "createContainer", "third")
    assert bundle.run("true").returncode == 1
    assert labels(bundle) == ["first"]


@pytest.mark.differs_from_runc("stops at the first failing poststop hook (runtime.md: MUST log a warning and go on)")
def test_failing_poststop_hook_is_a_warning_and_the_next_one_runs(bundle: Bundle) -> None:
    log_hook(bundle, "poststop", "first", 1)
    log_hook(bundle, "poststop", "second")
    bundle.create().delete()
    assert labels(bundle) == ["first", "second"]


SHELL_ENV = ["PATH=/bin:/usr/bin"]


@pytest.mark.parametrize("kind", [*AT_CREATE, "startContainer"])
def test_hook_that_takes_too_long_is_killed(bundle: Bundle, kind: str) -> None:
    begin = time.monotonic()
    assert bundle.hook(kind, "/bin/sh", "-c", "exec sleep 20", timeout=1, env=SHELL_ENV).run("true").returncode != 0
    assert time.monotonic() - begin < 4


@pytest.mark.differs_from_runc("kills the hook's first process only, and waits for those that have its output")
def test_processes_of_a_hook_that_takes_too_long_are_killed_with_it(bundle: Bundle) -> None:
    begin = time.monotonic()
    env = [*SHELL_ENV, f"{host.TOKEN_VARIABLE}={bundle.token}"]
    assert (
        bundle.hook("createRuntime", "/bin/sh", "-c", "(sleep 4); true", timeout=1, env=env).run("true").returncode != 0
    )
    assert time.monotonic() - begin < 3
    assert host.eventually(lambda: host.processes_of(bundle.token) == [])


def test_hook_that_takes_less_than_its_timeout(bundle: Bundle) -> None:
    bundle.hook("createRuntime", "/bin/sh", "-c", "sleep 0.1", timeout=5, env=SHELL_ENV).run("true").ok()


@pytest.mark.parametrize("kind", KINDS)
def test_hook_that_does_not_read_its_stdin_harms_nobody(bundle: Bundle, kind: str) -> None:
    """A state longer than a pipe holds, and a reader that closes at once: SIGPIPE must kill neither side."""
    bundle.set(annotations={f"key{number}": "x" * 1000 for number in range(100)})
    bundle.hook(kind, "/bin/true" if kind != "startContainer" else "/bin/pwd").run("true").ok()


@pytest.mark.parametrize("kind", OUTSIDE)
def test_output_of_a_hook_does_not_mix_with_the_containers(bundle: Bundle, kind: str) -> None:
    bundle.hook(kind, "/bin/echo", "noise")
    assert bundle.run("echo", "program").ok().stdout == "program\n"


def test_cgroup_is_ready_when_create_runtime_hooks_run(bundle: Bundle) -> None:
    """Engines' hooks look at the container process: it is in its cgroup by then."""
    script = f"pid=$(sed 's/.*\"pid\": *//; s/[^0-9].*//'); cat /proc/$pid/cgroup > {bundle.dir}/seen"
    bundle.hook("createRuntime", "/bin/sh", "-c", script).run("true").ok()
    assert f":pids:/{bundle.token}" in (bundle.dir / "seen").read_text()


def test_hooks_survive_a_change_of_the_config(bundle: Bundle) -> None:
    log_hook(bundle, "poststop")
    bundle.create()
    (bundle.dir / "config.json").write_text("{}")
    bundle.delete()
    assert labels(bundle) == ["poststop"]
