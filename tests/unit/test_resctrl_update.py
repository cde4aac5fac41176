"""Changes of schemata on a stand-in for resctrl: directories whose files remember what was written to them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pyrunc.errors import StepError
from pyrunc.host import resctrl_update
from pyrunc.host.resctrl_stats import Domain, L3CacheInfo, MemBwInfo, read_resctrl
from pyrunc.spec.linux import IntelRdt
from tests.unit.states import state

if TYPE_CHECKING:
    from pathlib import Path

OLD = "    L3:0=00ff;1=0ff0\n    MB:0= 100;1=  50\n"


def group(path: Path) -> Path:
    """What resctrl puts into a new directory."""
    path.mkdir(exist_ok=True)
    (path / "schemata").write_text(OLD)
    (path / "tasks").write_text("")
    return path


def written(path: Path) -> list[str]:
    """The lines that were written to a class since."""
    return (path / "schemata").read_text().removeprefix(OLD).splitlines()


def test_the_containers_own_class_gets_the_lines_and_back(tmp_path: Path) -> None:
    own = group(group(tmp_path) / "box")
    ours = state(resctrl_made=(f"{own}/mon_groups/box", str(own)))
    change = resctrl_update.plan_change(ours, IntelRdt(l3_cache_schema="L3:0=f"), None, str(tmp_path))
    assert (change.made, written(own)) == ((), [])
    change.carry_out(ours)
    assert written(own) == ["L3:0=f"]
    change.undo()
    assert written(own) == ["L3:0=f", "L3:0=00ff;1=0ff0", "MB:0= 100;1=  50"]


def test_a_line_that_is_refused_is_an_error_with_its_place(tmp_path: Path) -> None:
    own = group(group(tmp_path) / "box")
    ours = state(resctrl_made=(str(own),))
    change = resctrl_update.plan_change(ours, IntelRdt(l3_cache_schema="L3:0=f"), None, str(tmp_path))
    (own / "schemata").unlink()
    (own / "schemata").mkdir()
    with pytest.raises(StepError, match=r"^\.linux\.intelRdt: cannot write"):
        change.carry_out(ours)


def test_a_class_that_config_json_names_is_not_changed(tmp_path: Path) -> None:
    group(group(tmp_path) / "gold")
    with pytest.raises(StepError, match="the class of service gold is not the container's own"):
        resctrl_update.plan_change(state(), IntelRdt(mem_bw_schema="MB:0=50"), "gold", str(tmp_path))


def test_without_resctrl_there_is_nothing_to_change() -> None:
    with pytest.raises(StepError, match="resctrl is not mounted"):
        resctrl_update.plan_change(state(), IntelRdt(mem_bw_schema="MB:0=50"), None, "")


def test_a_container_without_a_class_is_given_one(tmp_path: Path) -> None:
    group(tmp_path)
    change = resctrl_update.plan_change(state(), IntelRdt(mem_bw_schema="MB:0=50"), None, str(tmp_path))
    assert change.made == (f"{tmp_path}/box",)
    assert not (tmp_path / "box").exists()


def test_a_class_that_cannot_be_joined_is_taken_away_again(tmp_path: Path) -> None:
    """Here making the directory gives no files: so writing the schemata fails, as a full resctrl would."""
    group(tmp_path)
    change = resctrl_update.plan_change(state(), IntelRdt(mem_bw_schema="MB:0=50"), None, str(tmp_path))
    with pytest.raises(StepError, match=r"cannot write 'MB:0=50'"):
        change.carry_out(state())
    assert (tmp_path / "box").exists()
    change.undo()
    assert not (tmp_path / "box").exists()


# statistics


def monitored(tmp_path: Path) -> Path:
    """A root with information, and a class with a monitoring group of two sockets."""
    group(tmp_path)
    own = group(tmp_path / "box")
    for folder, files in (
        ("info/L3", {"cbm_mask": "fff\n", "min_cbm_bits": "2\n", "num_closids": "16\n"}),
        ("info/MB", {"bandwidth_gran": "10\n", "delay_linear": "1\n", "min_bandwidth": "10\n", "num_closids": "8\n"}),
        ("box/mon_groups/box/mon_data/mon_L3_00", {"llc_occupancy": "1\n", "mbm_total_bytes": "2\n"}),
        ("box/mon_groups/box/mon_data/mon_L3_01", {"llc_occupancy": "4\n", "mbm_total_bytes": "Unavailable\n"}),
    ):
        os.makedirs(tmp_path / folder)
        for name, text in files.items():
            (tmp_path / folder / name).write_text(text)
    return own


def test_statistics_of_a_class_and_its_monitoring_group(tmp_path: Path) -> None:
    own = monitored(tmp_path)
    found = read_resctrl((f"{own}/mon_groups/box", str(own)))
    assert found is not None
    assert (found.l3, found.mb) == (L3CacheInfo("fff", 2, 16), MemBwInfo(10, 1, 10, 8))
    assert found.schemata == found.root_schemata == ("L3:0=00ff;1=0ff0", "MB:0= 100;1=  50")
    assert found.domains == (Domain(1, 2, 0), Domain(4, 0, 0))


def test_what_is_not_monitored_is_none(tmp_path: Path) -> None:
    own = monitored(tmp_path)
    found = read_resctrl((str(own),))
    assert found is not None
    assert found.domains is None


def test_a_container_without_a_class_has_no_statistics_of_it() -> None:
    assert read_resctrl(()) is None
