"""ps: which processes a container has, as pids and as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scenario import host

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle


def family(bundle: Bundle) -> list[int]:
    """Start a container with an init and two children; return their pids on the host."""
    bundle.process(args=["sh", "-c", "sleep 111 & sleep 222 & wait"]).create().start()
    assert host.eventually(lambda: len(bundle.attempt("ps", "--format", "json").ok().json()) == 3)
    found: list[int] = bundle.attempt("ps", "--format", "json").ok().json()
    return found


@pytest.mark.vm
def test_json_is_a_list_of_pids(bundle: Bundle) -> None:
    pids = family(bundle)
    assert bundle.pid in pids
    commands = {Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip() for pid in pids}
    assert commands == {"sh -c sleep 111 & sleep 222 & wait", "sleep 111", "sleep 222"}


def test_short_flag_before_the_id(bundle: Bundle) -> None:
    family(bundle)
    assert len(bundle.attempt("ps", "-f", "json").ok().json()) == 3


@pytest.mark.requires("procps")
def test_the_table_has_the_heading_of_ps_and_these_processes(bundle: Bundle) -> None:
    pids = family(bundle)
    heading, *lines = bundle.attempt("ps").ok().stdout.splitlines()
    assert heading.split()[:3] == ["UID", "PID", "PPID"]
    assert sorted(int(line.split()[1]) for line in lines) == sorted(pids)


@pytest.mark.requires("procps")
def test_what_follows_the_id_is_for_ps(bundle: Bundle) -> None:
    pids = family(bundle)
    heading, *lines = bundle.attempt("ps", operands=["-e", "-o", "pid,args"]).ok().stdout.splitlines()
    assert heading.split() == ["PID", "COMMAND"]
    assert {int(line.split()[0]) for line in lines} == set(pids)
    assert f"{bundle.pid} sh -c sleep 111 & sleep 222 & wait" in [line.strip() for line in lines]


@pytest.mark.requires("procps")
def test_bsd_options(bundle: Bundle) -> None:
    pids = family(bundle)
    heading, *lines = bundle.attempt("ps", operands=["aux"]).ok().stdout.splitlines()
    assert heading.split()[:2] == ["USER", "PID"]
    assert {int(line.split()[1]) for line in lines} == set(pids)


@pytest.mark.requires("procps")
@pytest.mark.differs_from_runc("takes the word at the place of PID for the pid, whatever words come before it")
def test_words_before_the_pid_do_not_matter(bundle: Bundle) -> None:
    pids = family(bundle)
    _, *lines = bundle.attempt("ps", operands=["-e", "-o", "args,pid"]).ok().stdout.splitlines()
    assert {int(line.split()[-1]) for line in lines} == set(pids)


@pytest.mark.requires("procps")
def test_options_without_a_pid_are_refused(bundle: Bundle) -> None:
    family(bundle)
    refused = bundle.attempt("ps", operands=["-e", "-o", "args"])
    assert refused.returncode == 1
    assert "PID" in refused.stderr


@pytest.mark.requires("procps")
def test_what_ps_has_against_its_options_is_passed_on(bundle: Bundle) -> None:
    family(bundle)
    refused = bundle.attempt("ps", operands=["--no-such-option"])
    assert refused.returncode == 1
    assert "unknown gnu long option" in refused.stderr


@pytest.mark.differs_from_runc("says: executable file not found in $PATH")
def test_without_a_ps_it_is_said_what_to_install(bundle: Bundle) -> None:
    family(bundle)
    refused = bundle.attempt("ps", env={**bundle.environment(), "PATH": "/nowhere"})
    assert refused.returncode == 1
    assert "procps" in refused.stderr
    assert "not found in $PATH" not in refused.stderr, "engines make exit code 127 of these words"


def test_unknown_format_is_refused(bundle: Bundle) -> None:
    family(bundle)
    assert bundle.attempt("ps", "--format", "yaml").returncode == 1


def test_a_paused_container_has_its_processes(bundle: Bundle) -> None:
    pids = family(bundle)
    bundle.attempt("pause").ok()
    assert bundle.attempt("ps", "--format", "json").ok().json() == pids


@pytest.mark.differs_from_runc("prints null")
def test_a_stopped_container_has_none(bundle: Bundle) -> None:
    family(bundle)
    pid = bundle.pid
    bundle.kill("KILL")
    bundle.wait(pid)
    assert bundle.attempt("ps", "--format", "json").ok().json() == []


def test_a_container_that_is_not_there_is_an_error(bundle: Bundle) -> None:
    refused = bundle.attempt("ps", "--format", "json")
    assert refused.returncode == 1
    assert "does not exist" in refused.stderr
