"""join: exec in a container, and a second container in the namespaces of a first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bundles.built import Built, paragraphs
from tests.scenario import host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bundles.conftest import Builder

pytestmark = pytest.mark.requires("root", "busybox")


@pytest.fixture(scope="module")
def pod(built: Builder) -> Iterator[Built]:
    """The first container, running; when it is deleted, nothing is kept."""
    box = built("join")
    box.create("first")
    box.start("first")
    yield box
    box.delete("first", "--force")
    assert list((box.dir / "namespaces").iterdir()) == []
    assert host.mounts_of(box.token) == []


@pytest.fixture(scope="module")
def by_exec(pod: Built) -> dict[str, str]:
    return paragraphs(pod.exec("first", "sh", "/look.sh").ok().stdout)


@pytest.fixture(scope="module")
def by_second(pod: Built) -> dict[str, str]:
    return paragraphs(pod.run("second").ok().stdout)


def namespaces(said: dict[str, str]) -> dict[str, str]:
    return dict(line.split() for line in said["namespaces"].splitlines())


def test_exec_shares_everything(by_exec: dict[str, str]) -> None:
    assert set(namespaces(by_exec).values()) == {"shared"}
    assert by_exec["my root"] == "/mark"


def test_the_second_shares_what_was_chosen(by_second: dict[str, str]) -> None:
    assert namespaces(by_second) == {
        **dict.fromkeys(("net", "ipc", "pid", "uts"), "shared"),
        **dict.fromkeys(("mnt", "cgroup"), "own"),
    }


@pytest.mark.parametrize("way", ["by_exec", "by_second"])
def test_both_see_the_name_the_processes_and_the_server(way: str, request: pytest.FixtureRequest) -> None:
    said: dict[str, str] = request.getfixturevalue(way)
    assert said["hostname"] == "pod"
    processes = said["processes"].splitlines()
    assert processes[0] == "1 httpd"
    assert any(line.endswith(" sh") for line in processes)
    assert said["the server of process 1, at 127.0.0.1"].strip().endswith("200 OK")


def test_the_roots_are_two(by_second: dict[str, str]) -> None:
    assert by_second["the root of process 1"] == "/proc/1/root/mark"
    assert by_second["my root"] == "has no file mark"


def test_exec_has_the_limits_of_the_container(pod: Built) -> None:
    """The same cgroup, as the kernel writes it for both."""
    script = "cmp /proc/1/cgroup /proc/self/cgroup && echo the same"
    assert pod.exec("first", "sh", "-c", script).ok().stdout == "the same\n"


def test_exec_passes_the_exit_code_on(pod: Built) -> None:
    assert pod.exec("first", "sh", "-c", "exit 42").returncode == 42


def test_one_can_signal_the_other(pod: Built) -> None:
    pod.change("second", lambda config: config["process"].update(args=["sh", "-c", "kill -0 1 && echo reached"]))
    assert pod.run("second", id="third").ok().stdout == "reached\n"


def test_the_second_dies_with_the_first(built: Builder) -> None:
    box = built("join")
    box.change("second", lambda config: config["process"].update(args=["sleep", "1000"]))
    for of in ("first", "second"):
        box.create(of)
        box.start(of)
    box.kill("first")

    def stopped(of: str) -> bool:
        host.reap()  # the first one's end waits until somebody has collected the second: pid_namespaces(7)
        return bool(box.state(of)["status"] == "stopped")

    assert host.eventually(lambda: stopped("second") and stopped("first"), 20)
    box.delete("second")
    box.delete("first")
    assert list((box.dir / "namespaces").iterdir()) == []
