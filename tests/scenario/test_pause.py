"""pause and resume: nothing in the container runs on, and whoever asks is told."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scenario import host

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle

TICKS = "while true; do echo .; sleep 0.01; done"


def ticking(bundle: Bundle) -> Bundle:
    """A running container that writes a line every 10 ms."""
    bundle.process(args=["sh", "-c", TICKS]).create().start()
    assert host.eventually(lambda: bundle.output() != "")
    return bundle


@pytest.mark.vm
def test_a_paused_container_stands_still_and_a_resumed_one_goes_on(bundle: Bundle) -> None:
    ticking(bundle).attempt("pause").ok()
    assert bundle.status == "paused"
    before = bundle.output()
    time.sleep(0.3)
    assert bundle.output() == before
    bundle.attempt("resume").ok()
    assert bundle.status == "running"
    assert host.eventually(lambda: bundle.output() != before)


def test_a_created_container_can_be_paused_and_is_created_again(bundle: Bundle) -> None:
    bundle.create().attempt("pause").ok()
    assert bundle.status == "paused"
    refused = bundle.attempt("start")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "paused" in refused.stderr
    bundle.attempt("resume").ok()
    assert bundle.status == "created"
    bundle.start()


@pytest.mark.parametrize(("command", "words"), [("pause", "not running"), ("resume", "not paused")])
def test_the_wrong_status_is_refused_in_the_words_that_engines_know(bundle: Bundle, command: str, words: str) -> None:
    pid = bundle.process(args=["sleep", "100"]).create().start().pid
    if command == "pause":
        bundle.attempt("pause").ok()
    refused = bundle.attempt(command)
    assert refused.returncode == 1
    assert f"container {words}" in refused.stderr
    bundle.kill("KILL")
    assert bundle.wait(pid) == 137
    refused = bundle.attempt(command)
    assert refused.returncode == 1
    assert f"container {words}" in refused.stderr


def test_a_paused_container_is_not_deleted_without_force(bundle: Bundle) -> None:
    ticking(bundle).attempt("pause").ok()
    refused = bundle.attempt("delete")
    assert refused.returncode == 1
    assert "paused" in refused.stderr
    assert bundle.status == "paused"


@pytest.mark.vm
def test_a_paused_container_is_deleted_with_force(bundle: Bundle) -> None:
    ticking(bundle).attempt("pause").ok()
    began = time.monotonic()
    bundle.delete("--force")
    assert time.monotonic() - began < 5
    assert host.cgroups_of(bundle.token) == []


@pytest.mark.vm
def test_sigkill_ends_a_paused_container(bundle: Bundle) -> None:
    pid = ticking(bundle).pid
    bundle.attempt("pause").ok()
    bundle.kill("KILL")
    assert bundle.wait(pid) == 137
    assert bundle.status == "stopped"


def test_any_other_signal_waits_until_a_paused_container_goes_on(bundle: Bundle) -> None:
    pid = bundle.process(args=["sleep", "100"]).create().start().pid
    bundle.attempt("pause").ok()
    bundle.kill("HUP")
    time.sleep(0.2)
    assert bundle.status == "paused"
    bundle.attempt("resume").ok()
    # As process 1 of its namespace it hears only what it has a handler for.
    assert bundle.status == "running"
    bundle.kill("KILL")
    assert bundle.wait(pid) == 137


def test_all_processes_are_paused_not_only_the_init(bundle: Bundle) -> None:
    script = "(while true; do echo child; sleep 0.01; done) & exec sleep 100"
    bundle.process(args=["sh", "-c", script]).create().start()
    assert host.eventually(lambda: "child" in bundle.output())
    bundle.attempt("pause").ok()
    before = bundle.output()
    time.sleep(0.3)
    assert bundle.output() == before


def test_a_container_that_is_not_there_cannot_be_paused(bundle: Bundle) -> None:
    for command in ("pause", "resume"):
        refused = bundle.attempt(command)
        assert refused.returncode == 1
        assert "does not exist" in refused.stderr


def test_the_log_of_the_kernel_agrees(bundle: Bundle) -> None:
    """The file that a user would look at: v1 and v2 have different ones."""
    ticking(bundle).attempt("pause").ok()
    places = host.hierarchies()
    v1, v2 = places.get("freezer", ""), places.get("cgroup2", "")
    file = Path(v1, bundle.token, "freezer.state") if v1 else Path(v2, bundle.token, "cgroup.events")
    assert ("FROZEN" if v1 else "frozen 1") in file.read_text()
