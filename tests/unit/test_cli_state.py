"""What `state` and `list` print."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pyrunc.cli import main
from pyrunc.state import store
from pyrunc.state.store import State
from tests.unit.states import NEVER, state

Captured = pytest.CaptureFixture[str]


def keep(root: Path, *states: State) -> None:
    for each in states:
        store.reserve(str(root), each).close()


def printed(capfd: Captured, root: Path, *words: str) -> str:
    assert main(["--root", str(root), *words]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    return out


def document(capfd: Captured, root: Path, *states: State) -> dict[str, Any]:
    keep(root, *states)
    found: dict[str, Any] = json.loads(printed(capfd, root, "state", states[0].id))
    return found


def test_the_state_of_a_running_container(tmp_path: Path, capfd: Captured) -> None:
    assert document(capfd, tmp_path, state(annotations={"a": "ü"})) == {
        "ociVersion": "1.3.0",
        "id": "box",
        "pid": os.getpid(),
        "status": "running",
        "bundle": "/b",
        "rootfs": "/b/rootfs",
        "created": "2024-01-01T00:00:00.000000000Z",
        "owner": "root" if os.getuid() == 0 else "",
        "annotations": {"a": "ü"},
    }


def test_a_stopped_container_has_no_pid(tmp_path: Path, capfd: Captured) -> None:
    found = document(capfd, tmp_path, state(start_time=NEVER))
    assert (found["status"], found["pid"]) == ("stopped", 0)


def test_a_container_being_created_has_that_status(tmp_path: Path, capfd: Captured) -> None:
    assert document(capfd, tmp_path, state(status="creating"))["status"] == "creating"


def test_no_annotations_are_left_out(tmp_path: Path, capfd: Captured) -> None:
    assert "annotations" not in document(capfd, tmp_path, state())


@pytest.mark.parametrize(("uid", "name"), [(os.getuid() or 65534, None), (4_000_000_000, "4000000000")])
def test_the_owner_has_a_name_or_a_number(tmp_path: Path, capfd: Captured, uid: int, name: str | None) -> None:
    import pwd

    assert document(capfd, tmp_path, state(owner=uid))["owner"] == (name or pwd.getpwuid(uid).pw_name)


def test_an_id_without_a_state_is_no_container_yet(tmp_path: Path, capfd: Captured) -> None:
    keep(tmp_path, state())
    (tmp_path / "box/state.json").unlink()
    assert main(["--root", str(tmp_path), "state", "box"]) == 1
    assert "container box does not exist" in capfd.readouterr().err
    assert printed(capfd, tmp_path, "list", "--format", "json") == "null\n"


# list


def test_the_table_has_aligned_columns(tmp_path: Path, capfd: Captured) -> None:
    keep(tmp_path, state("b", start_time=NEVER), state("a-long-one"))
    title, first, second = printed(capfd, tmp_path, "list").splitlines()
    assert title.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert first.split()[:4] == ["a-long-one", str(os.getpid()), "running", "/b"]
    assert second.split()[:4] == ["b", "0", "stopped", "/b"]
    assert title.index("STATUS") == first.index("running") == second.index("stopped")


def test_an_empty_table_is_its_title(tmp_path: Path, capfd: Captured) -> None:
    assert printed(capfd, tmp_path / "nowhere", "list").split()[0] == "ID"
    assert printed(capfd, tmp_path / "nowhere", "list").count("\n") == 1


def test_json_has_the_documents_of_state_in_order(tmp_path: Path, capfd: Captured) -> None:
    keep(tmp_path, state("b"), state("a", start_time=NEVER))
    listed = json.loads(printed(capfd, tmp_path, "list", "--format", "json"))
    assert listed == [json.loads(printed(capfd, tmp_path, "state", name)) for name in ("a", "b")]


def test_json_of_nothing_is_null(tmp_path: Path, capfd: Captured) -> None:
    assert printed(capfd, tmp_path, "list", "-f=json") == "null\n"


def test_quiet_is_ids_only(tmp_path: Path, capfd: Captured) -> None:
    keep(tmp_path, state("b"), state("a"))
    assert printed(capfd, tmp_path, "list", "-q") == "a\nb\n"


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]"])
def test_one_that_cannot_be_read_is_a_warning_and_hides_no_other(
    tmp_path: Path, capfd: Captured, content: bytes
) -> None:
    keep(tmp_path, state("a"), state("b"), state("c"))
    (tmp_path / "b/state.json").write_bytes(content)
    assert main(["--root", str(tmp_path), "list", "-q"]) == 0
    out, err = capfd.readouterr()
    assert out == "a\nc\n"
    assert err.startswith("pyrunc: list: warning: the state of b cannot be read")


def test_what_is_no_container_is_not_listed(tmp_path: Path, capfd: Captured) -> None:
    keep(tmp_path, state())
    (tmp_path / "@seccomp").mkdir()
    (tmp_path / "file").write_text("")
    assert printed(capfd, tmp_path, "list", "-q") == "box\n"
