"""Id maps of an ordinary user are written by newuidmap(1) and newgidmap(1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyrunc.errors import StepError
from pyrunc.host import idmap
from pyrunc.host.idmap import write_id_maps
from pyrunc.plan.facts import Facts
from pyrunc.plan.steps import IdMap, IdMaps

USER = Facts(euid=1000, egid=100, privileged=False)
MAPS = IdMaps((IdMap(0, 1000, 1), IdMap(1, 100000, 65535)), (IdMap(0, 100, 1), IdMap(1, 200000, 9)))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where the two programs are looked for."""
    monkeypatch.setattr(idmap, "_HELPER_PLACES", (f"{tmp_path}/nowhere", str(tmp_path)))
    return tmp_path


def program(place: Path, name: str, script: str) -> None:
    (place / name).write_text(f"#!/bin/sh\n{script}\n")
    (place / name).chmod(0o755)


def failure(maps: IdMaps = MAPS) -> StepError:
    with pytest.raises(StepError) as caught:
        write_id_maps(4711, maps, USER)
    return caught.value


def test_each_program_is_given_the_pid_and_its_map(place: Path) -> None:
    for name in ("newuidmap", "newgidmap"):
        program(place, name, f'echo "$@" > {place}/{name}.args; env > {place}/{name}.env')
    write_id_maps(4711, MAPS, USER)
    assert (place / "newuidmap.args").read_text() == "4711 0 1000 1 1 100000 65535\n"
    assert (place / "newgidmap.args").read_text() == "4711 0 100 1 1 200000 9\n"
    assert "HOME=" not in (place / "newuidmap.env").read_text(), "nothing of the caller's environment"


@pytest.mark.parametrize("line", [IdMap(0, 1001, 1), IdMap(0, 1000, 2)])
def test_one_line_that_is_not_our_own_id_needs_the_program_too(place: Path, line: IdMap) -> None:
    program(place, "newuidmap", "exit 1")
    assert "newuidmap failed" in failure(IdMaps((line,), (line,))).message


def test_without_the_program_there_is_a_hint(place: Path) -> None:
    error = failure()
    assert error.message == ".linux.uidMappings: an ordinary user needs newuidmap for this map"
    assert "uidmap" in error.hint


def test_what_the_program_says_is_passed_on_in_one_line(place: Path) -> None:
    program(place, "newuidmap", "exit 0")
    program(place, "newgidmap", "echo 'gid range [1-10)'; echo 'not allowed' >&2; exit 1")
    error = failure()
    assert error.message == ".linux.gidMappings: newgidmap failed: gid range [1-10) not allowed"
    assert error.hint == "see /etc/subgid"


def test_a_process_that_is_gone_is_an_error_with_its_place() -> None:
    root = Facts()
    with pytest.raises(StepError) as caught:
        write_id_maps(0, MAPS, root)
    expected = ".linux.uidMappings: cannot write '0 1000 1' to /proc/0/uid_map: not found"
    assert caught.value.message == expected
