"""What each command loads. A module here and a module there, and a command takes twice as long."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pyrunc.cli.table import all_commands
from tests.house.modules import LIGHT, heavy, modules_loaded

if TYPE_CHECKING:
    from pathlib import Path

HOT = ["create", "run", "start", "state", "kill", "delete", "exec"]


def loaded_by(command: str) -> frozenset[str]:
    return modules_loaded(f"import pyrunc.cli.{command}")


@pytest.mark.parametrize("command", HOT)
def test_hot_command_loads_nothing_heavy(command: str) -> None:
    assert heavy(loaded_by(command)) == set()


@pytest.mark.parametrize("command", HOT)
def test_hot_command_loads_only_what_is_known_to_be_light(command: str) -> None:
    others = {name for name in loaded_by(command) if name.split(".")[0] != "pyrunc"}
    assert others <= set(LIGHT)


def rooms(modules: frozenset[str]) -> set[str]:
    return {name.split(".")[1] for name in modules if name.startswith("pyrunc.")}


@pytest.mark.parametrize("command", ["state", "list"])
def test_state_is_light(command: str) -> None:
    """Engines ask for it all the time."""
    modules = loaded_by(command)
    assert rooms(modules).isdisjoint({"spec", "plan", "container", "host", "cgroups", "sync", "sealing"})
    assert modules.isdisjoint({"_ctypes", "_socket"})


@pytest.mark.parametrize("command", ["start", "kill", "delete"])
def test_commands_after_create_do_not_load_what_reads_the_config(command: str) -> None:
    modules = loaded_by(command)
    assert rooms(modules).isdisjoint({"spec", "container"})
    assert {name for name in modules if name.startswith("pyrunc.plan.")} <= {"pyrunc.plan.facts"}
    assert "_ctypes" not in modules


@pytest.mark.parametrize("command", HOT)
def test_command_loads_no_other_command(command: str) -> None:
    """`run` is create and more; everyone may use what is no command."""
    commands = {each.module for each in all_commands().values()}
    found = {name.removeprefix("pyrunc.cli.") for name in loaded_by(command) if name.startswith("pyrunc.cli.")}
    assert found & commands <= {command, *({"create"} if command == "run" else set())}


def test_the_shim_loads_nothing_heavy() -> None:
    """One for each pod, and each starts as often as `create` does."""
    assert heavy(loaded_by("shim")) == set()


NOT_THERE = {
    "state": ["state", "nosuch"],
    "start": ["start", "nosuch"],
    "kill": ["kill", "nosuch", "TERM"],
    "delete": ["delete", "--force", "nosuch"],
    "list": ["list"],
    "list-json": ["list", "--format", "json"],
}


@pytest.mark.parametrize("name", NOT_THERE)
def test_running_a_command_loads_nothing_heavy_either(name: str, tmp_path: Path) -> None:
    """Lazy imports would not show above: here the command is run, on a container that does not exist."""
    words = json.dumps(["--root", str(tmp_path), *NOT_THERE[name]])
    assert heavy(modules_loaded(f"from pyrunc.cli import main; main({words})")) == set()
