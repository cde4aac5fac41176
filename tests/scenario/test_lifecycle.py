"""create, start, state, kill, delete: runtime.md, "Lifecycle" and "Operations"."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scenario import cgroupfs, host
from tests.scenario.host import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scenario.bundle import Bundle

SLEEP = ["/bin/probe", "sleep"]


@pytest.fixture
def sleeping(bundle: Bundle) -> Bundle:
    """A running container whose program waits for ever."""
    return bundle.process(args=SLEEP).create().start()


@pytest.fixture
def trapping(bundle: Bundle) -> Bundle:
    """A running container whose program writes down the number of each signal it gets."""
    bundle.process(args=["/bin/probe", "trap"]).create().start()
    assert eventually(lambda: "ready" in bundle.output())
    return bundle


def stopped(bundle: Bundle) -> Bundle:
    pid = bundle.process(args=["true"]).create().pid
    bundle.start().wait(pid)
    return bundle


def test_created_container_has_not_run_its_program(bundle: Bundle) -> None:
    bundle.process(args=["touch", "/ran"]).create()
    assert bundle.status == "created"
    assert not bundle.path("/ran").exists()


def test_start_runs_the_program(bundle: Bundle) -> None:
    pid = bundle.process(args=["touch", "/ran"]).create().pid
    assert bundle.start().wait(pid) == 0
    assert bundle.path("/ran").exists()
    assert bundle.status == "stopped"


@pytest.mark.vm
def test_whole_life(bundle: Bundle) -> None:
    pid = bundle.process(args=SLEEP).create().pid
    bundle.start()
    assert bundle.status == "running"
    assert bundle.pid == pid
    bundle.kill("KILL")
    assert bundle.wait(pid) == 137
    assert bundle.status == "stopped"
    bundle.delete()
    assert bundle.attempt("state").returncode != 0


def test_environment_is_there_after_create(bundle: Bundle) -> None:
    """Everything but the program is applied by create: here a mount, seen through the waiting process."""
    pid = bundle.mount("/data", "tmpfs", "tmpfs").create().pid
    assert " /data " in Path(f"/proc/{pid}/mountinfo").read_text()


@pytest.mark.parametrize("status", ["created", "running", "stopped"])
def test_state_has_what_the_spec_and_callers_need(bundle: Bundle, status: str) -> None:
    bundle.set(annotations={"org.example.key": "value"}).process(
        args=SLEEP if status == "running" else ["true"]
    ).create()
    pid = bundle.pid
    if status != "created":
        bundle.start()
    if status == "stopped":
        bundle.wait(pid)
    state = bundle.state()
    assert state["ociVersion"].startswith("1.")
    assert (state["id"], state["status"], state["bundle"]) == (bundle.id, status, str(bundle.dir))
    assert state["annotations"]["org.example.key"] == "value"
    assert state["rootfs"] == str(bundle.rootfs)
    assert {"created", "owner"} <= state.keys()
    assert state.get("pid", 0) == (0 if status == "stopped" else pid)


def test_state_without_annotations(bundle: Bundle) -> None:
    assert bundle.create().state().get("annotations", {}) in ({}, None)


def test_relative_bundle_is_reported_as_absolute(bundle: Bundle) -> None:
    bundle.create("--bundle", ".", cwd=bundle.dir)
    assert bundle.state()["bundle"] == str(bundle.dir)


def test_bundle_defaults_to_the_working_directory(bundle: Bundle) -> None:
    bundle.save().execute([bundle.runtime, "--root", bundle.root, "create", bundle.id], cwd=bundle.dir).ok()
    assert bundle.status == "created"


def test_pid_file_holds_a_bare_number(bundle: Bundle) -> None:
    bundle.create("--pid-file", "pid", cwd=bundle.dir)
    assert (bundle.dir / "pid").read_text() == str(bundle.pid)
    assert [name for name in os.listdir(bundle.dir) if name.startswith(".")] == []


@pytest.mark.parametrize("id", ["", ".", "..", "a/b", "../a", "a b", "a\nb", "é", "a" * 1025])
def test_invalid_id_is_refused(bundle: Bundle, id: str) -> None:
    bundle.save()
    assert bundle.attempt("create", id=id).returncode != 0
    assert not bundle.root.exists() or os.listdir(bundle.root) == []


@pytest.mark.parametrize("suffix", ["_A", "-9", "+x", ".y", "..z"])
def test_valid_id_is_accepted(bundle: Bundle, suffix: str) -> None:
    bundle.id += suffix
    assert bundle.create().state()["id"] == bundle.id


def test_used_id_is_refused_and_the_first_is_untouched(bundle: Bundle, new_bundle: Callable[[], Bundle]) -> None:
    pid = bundle.process(args=SLEEP).create().pid
    second = new_bundle()
    second.root, second.id = bundle.root, bundle.id
    assert second.attempt("create").returncode != 0
    assert (bundle.status, bundle.pid) == ("created", pid)
    assert bundle.start().status == "running"


def test_id_can_be_used_again_after_delete(bundle: Bundle) -> None:
    bundle.create().delete()
    assert bundle.create().status == "created"


def test_changes_to_config_after_create_have_no_effect(bundle: Bundle) -> None:
    pid = bundle.process(args=["touch", "/first"]).create().pid
    bundle.process(args=["touch", "/second"]).save()
    bundle.start().wait(pid)
    assert bundle.path("/first").exists()
    assert not bundle.path("/second").exists()


def test_config_may_be_gone_after_create(bundle: Bundle) -> None:
    pid = bundle.process(args=["touch", "/ran"]).create().pid
    (bundle.dir / "config.json").unlink()
    bundle.start().wait(pid)
    bundle.delete()
    assert bundle.path("/ran").exists()


def test_start_of_a_running_container_is_refused(sleeping: Bundle) -> None:
    assert sleeping.attempt("start").returncode != 0
    assert sleeping.status == "running"


def test_start_of_a_stopped_container_is_refused(bundle: Bundle) -> None:
    assert stopped(bundle).attempt("start").returncode != 0
    assert bundle.status == "stopped"


@pytest.mark.differs_from_runc("create already fails when .process is absent; runtime.md leaves the error to start")
def test_container_without_a_process_can_be_created_but_not_started(bundle: Bundle) -> None:
    del bundle.config["process"]
    assert bundle.create().status == "created"
    assert bundle.attempt("start").returncode != 0


@pytest.mark.parametrize("command", ["start", "state", "kill", "delete"])
def test_unknown_id_is_an_error(bundle: Bundle, command: str) -> None:
    result = bundle.attempt(command)
    assert result.returncode != 0
    assert "does not exist" in result.stderr


@pytest.mark.parametrize("name", ["TERM", "SIGTERM", "term", "sigterm", "SigTerm", "15"])
def test_kill_takes_names_and_numbers_in_any_case(trapping: Bundle, name: str) -> None:
    trapping.kill(name)
    assert eventually(lambda: trapping.output() == "ready\n15\n"), trapping.output()


def test_kill_sends_term_by_default(trapping: Bundle) -> None:
    trapping.kill()
    assert eventually(lambda: trapping.output() == "ready\n15\n"), trapping.output()


def test_every_signal_arrives(trapping: Bundle) -> None:
    catchable = [number for number in (*range(1, 32), 34, 50, 64) if number not in (9, 19)]
    for count, number in enumerate(catchable):
        trapping.kill(str(number))
        assert eventually(lambda: len(trapping.output().split()) == count + 2), f"signal {number}"  # noqa: B023
    assert trapping.output().split() == ["ready", *map(str, catchable)]


@pytest.mark.differs_from_runc("knows no names for real-time signals")
def test_real_time_signals_have_names(trapping: Bundle) -> None:
    trapping.kill("SIGRTMIN+1")
    assert eventually(lambda: trapping.output() == "ready\n35\n"), trapping.output()


@pytest.mark.parametrize("name", ["NOSUCH", "SIG", "0x9", "-5", "1000"])
def test_unknown_signal_is_refused(sleeping: Bundle, name: str) -> None:
    assert sleeping.attempt("kill", operands=["--", name] if name.startswith("-") else [name]).returncode != 0
    assert sleeping.status == "running"


def test_kill_of_a_stopped_container_is_refused_in_words_that_engines_know(bundle: Bundle) -> None:
    result = stopped(bundle).attempt("kill", operands=["KILL"])
    assert result.returncode != 0
    assert any(
        words in result.stderr for words in ("container not running", "process already finished", "no such process")
    )


def test_kill_all_of_a_stopped_container_is_no_error(bundle: Bundle) -> None:
    stopped(bundle).kill("--all", "KILL")


def test_kill_of_a_created_container(bundle: Bundle) -> None:
    pid = bundle.process(args=["touch", "/ran"]).create().pid
    bundle.kill("KILL")
    assert bundle.wait(pid) == 137
    assert bundle.status == "stopped"
    assert not bundle.path("/ran").exists()


@pytest.mark.vm
def test_kill_all_reaches_every_process_of_a_shared_pid_namespace(bundle: Bundle) -> None:
    script = "sleep 1000 & sleep 1000 & echo $$ >&1; wait"
    bundle.without_namespace("pid").process(args=["sh", "-c", script]).create().start()
    pid = bundle.pid
    procs = cgroupfs.folder(bundle, "pids") / "cgroup.procs"
    assert eventually(lambda: len(procs.read_text().split()) == 3)
    bundle.kill("--all", "KILL")
    assert bundle.wait(pid) == 137
    assert eventually(lambda: procs.read_text() == "")


@pytest.mark.vm
def test_forced_delete_reaches_every_process_of_a_shared_pid_namespace(bundle: Bundle) -> None:
    script = "sleep 1000 & sleep 1000 & echo ready; wait"
    bundle.without_namespace("pid").process(args=["sh", "-c", script]).create().start()
    assert eventually(lambda: "ready" in bundle.output())
    bundle.delete("--force")


def test_delete_of_a_created_container_kills_it(bundle: Bundle) -> None:
    pid = bundle.process(args=["touch", "/ran"]).create().pid
    bundle.delete()
    bundle.wait(pid)
    assert not bundle.path("/ran").exists()
    assert bundle.attempt("state").returncode != 0


@pytest.mark.differs_from_runc("an option of pyrunc")
def test_strict_delete_of_a_created_container_is_refused(bundle: Bundle) -> None:
    """runtime.md, "Delete": of a container that is not stopped MUST generate an error, and have no effect."""
    bundle.create()
    bundle.options = ["--strict"]
    result = bundle.attempt("delete")
    assert result.returncode == 1
    assert "created" in result.stderr
    assert bundle.status == "created"
    bundle.delete("--force")


def test_delete_of_a_running_container_is_refused(sleeping: Bundle) -> None:
    assert sleeping.attempt("delete").returncode != 0
    assert sleeping.status == "running"


def test_forced_delete_of_a_running_container(sleeping: Bundle) -> None:
    pid = sleeping.pid
    sleeping.delete("--force")
    assert sleeping.wait(pid) == 137
    assert sleeping.attempt("state").returncode != 0


def test_forced_delete_of_an_unknown_container_succeeds(bundle: Bundle) -> None:
    bundle.delete("--force")


def test_forced_delete_of_a_stopped_container(bundle: Bundle) -> None:
    stopped(bundle).delete("--force")


@pytest.mark.vm
def test_delete_leaves_a_cgroup_that_was_there_before(bundle: Bundle) -> None:
    """runtime.md, delete: what the container did not make stays; here the parent of its cgroup."""
    bundle.linux(cgroupsPath=f"/{bundle.token}-parent/{bundle.token}")
    parent = cgroupfs.folder(bundle, "pids").parent
    parent.mkdir()
    bundle.create().delete()
    assert parent.is_dir()
    for hierarchy in set(host.hierarchies().values()):
        if (made := Path(hierarchy, parent.name)).is_dir():
            made.rmdir()


def test_state_file_is_valid_json_for_its_owner_only(bundle: Bundle) -> None:
    bundle.create()
    folder = bundle.root / bundle.id
    assert folder.stat().st_mode & 0o066 == 0
    for entry in folder.glob("*.json"):
        json.loads(entry.read_text())
        assert entry.stat().st_mode & 0o022 == 0


def test_container_of_another_root_is_unknown(bundle: Bundle) -> None:
    bundle.create()
    bundle.root = bundle.dir / "elsewhere"
    assert bundle.attempt("state").returncode != 0
    bundle.root = bundle.dir / "state"
