"""intelRdt on a stand-in for resctrl: directories that do what the filesystem would, as far as files can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pyrunc.errors import StepError
from pyrunc.host import resctrl
from pyrunc.plan.resctrl import JoinClos, plan_resctrl
from pyrunc.spec.linux import IntelRdt

if TYPE_CHECKING:
    from pathlib import Path

SCHEMATA = "    L3:0=00ff;1=0ff0\n    MB:0= 100;1=  50\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    group(tmp_path)
    (tmp_path / "info").mkdir()
    return tmp_path


def group(path: Path) -> Path:
    """What resctrl puts into a new directory."""
    path.mkdir(exist_ok=True)
    (path / "schemata").write_text(SCHEMATA)
    (path / "tasks").write_text("")
    (path / "mon_groups").mkdir()
    return path


def step(**wanted: Any) -> JoinClos:
    return plan_resctrl(IntelRdt(**wanted), "box")


def test_class_without_a_name_is_the_containers_own() -> None:
    assert step() == JoinClos(".linux.intelRdt", "box", True, (), "")
    assert step(clos_id="gold") == JoinClos(".linux.intelRdt", "gold", False, (), "")
    assert step(clos_id="/").clos == ""
    assert step(clos_id="/").describe() == "join the class of service /"


def test_lines_are_in_the_order_of_the_spec() -> None:
    wanted = step(l3_cache_schema="L3:0=f\nMB:0=1", mem_bw_schema="MB:0=70", schemata=("L2:0=3", "L3:1=f"))
    assert wanted.lines == ("L3:0=f", "MB:0=70", "L2:0=3", "L3:1=f")


def test_bandwidth_of_the_cache_schema_is_kept_where_there_is_no_other() -> None:
    assert step(l3_cache_schema="L3:0=f\nMB:0=1").lines == ("L3:0=f", "MB:0=1")


def test_resctrl_that_is_not_mounted_is_an_error() -> None:
    with pytest.raises(StepError, match=r"^\.linux\.intelRdt: resctrl is not mounted"):
        resctrl.look(step(), "")


def test_own_class_is_made_and_removed(root: Path) -> None:
    groups = resctrl.look(step(), str(root))
    assert groups.made == (str(root / "box"),)
    resctrl.make(groups)
    (root / "box/tasks").write_text("")
    resctrl.join(groups, 4711)
    assert (root / "box/tasks").read_text() == "4711"
    (root / "box/tasks").unlink()  # resctrl's own files go with their directory
    resctrl.remove(groups.made)
    assert not (root / "box").exists()
    resctrl.remove(groups.made)  # once more is no error


def test_own_class_that_is_there_is_somebody_elses(root: Path) -> None:
    group(root / "box")
    with pytest.raises(StepError, match="is there already"):
        resctrl.look(step(), str(root))


def test_named_class_is_used_and_stays(root: Path) -> None:
    group(root / "gold")
    groups = resctrl.look(step(clos_id="gold"), str(root))
    assert groups.made == groups.missing == ()
    groups.take(4711)
    assert (root / "gold/tasks").read_text() == "4711"
    assert (root / "gold/schemata").read_text() == SCHEMATA


def test_root_is_a_class_too(root: Path) -> None:
    resctrl.look(step(clos_id="/"), str(root)).take(4711)
    assert (root / "tasks").read_text() == "4711"


def test_named_class_without_schemata_must_be_there(root: Path) -> None:
    with pytest.raises(StepError, match="there is no class of service gold"):
        resctrl.look(step(clos_id="gold"), str(root))


def test_named_class_with_schemata_is_made_and_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posix.mkdir", lambda path, _mode: group(type(root)(path)))
    wanted = step(clos_id="gold", mem_bw_schema="MB:0=70", l3_cache_schema="L3:0=f\nMB:0=1", schemata=("L3:1=f",))
    groups = resctrl.look(wanted, str(root))
    assert groups.missing == (str(root / "gold"),)
    assert groups.made == ()
    groups.take(4711)
    assert (root / "gold/schemata").read_text() == f"{SCHEMATA}L3:0=f\nMB:0=70\nL3:1=f\n"
    assert (root / "gold/tasks").read_text() == "4711"


def test_schemata_that_cannot_be_written_are_named(root: Path) -> None:
    groups = resctrl.look(step(clos_id="gold", schemata=("L3:0=f",)), str(root))
    with pytest.raises(StepError, match="cannot write 'L3:0=f'"):  # a plain directory has no such file
        resctrl.make(groups)


@pytest.mark.parametrize("line", ["L3:0=ff;1=ff0", "L3:1=0FF0", "MB:0=100", "MB:1=50;0=100"])
def test_schemata_that_are_there_are_compared_as_numbers(root: Path, line: str) -> None:
    group(root / "gold")
    resctrl.look(step(clos_id="gold", schemata=(line,)), str(root))


@pytest.mark.parametrize("line", ["L3:0=fe", "L3:2=ff", "L2:0=ff", "MB:0=10"])
def test_other_schemata_are_an_error(root: Path, line: str) -> None:
    group(root / "gold")
    with pytest.raises(StepError, match="has other schemata"):
        resctrl.look(step(clos_id="gold", schemata=(line,)), str(root))


def test_monitoring_group_is_made_in_the_class_and_removed(root: Path) -> None:
    group(root / "gold")
    groups = resctrl.look(step(clos_id="gold", enable_monitoring=True), str(root))
    monitor = root / "gold/mon_groups/box"
    assert groups.made == groups.missing == (str(monitor),)
    resctrl.make(groups)
    (monitor / "tasks").write_text("")
    resctrl.join(groups, 4711)
    assert (monitor / "tasks").read_text() == (root / "gold/tasks").read_text() == "4711"


def test_monitoring_group_goes_before_its_class(root: Path) -> None:
    made = resctrl.look(step(enable_monitoring=True), str(root)).made
    assert made == (str(root / "box/mon_groups/box"), str(root / "box"))


def test_reason_is_resctrls_own(root: Path) -> None:
    group(root / "gold")
    (root / "gold/tasks").unlink()
    (root / "info/last_cmd_status").write_text("moving task failed\n")
    with pytest.raises(StepError, match="moving task failed"):
        resctrl.look(step(clos_id="gold"), str(root)).take(1)
