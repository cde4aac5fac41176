"""hooks: the log shows the order of the six, and in which namespaces each ran."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from bundles.folder import HERE

if TYPE_CHECKING:
    from tests.bundles.built import Built
    from tests.bundles.conftest import Builder

pytestmark = pytest.mark.requires("root", "busybox")

EARLY = pytest.mark.differs_from_runc("poststart hooks run before the program is started (runc 1.1)")


def log(box: Built) -> list[str]:
    return (box.dir / "log").read_text().splitlines()


def table_of_the_readme() -> list[str]:
    """The second fenced block."""
    return (HERE / "hooks/README.md").read_text().split("```")[3].strip().splitlines()


@EARLY
def test_the_log_is_that_of_the_readme(built: Builder) -> None:
    box = built("hooks")
    box.run().ok()
    assert log(box)[1:] == table_of_the_readme()


def test_what_it_calls_the_hosts_is_the_hosts(built: Builder) -> None:
    box = built("hooks")
    box.run().ok()
    numbers = [str(os.stat(f"/proc/self/ns/{name}").st_ino) for name in ("mnt", "pid", "net")]
    assert [word for word in log(box)[0].split() if word.isdigit()] == numbers


@EARLY
def test_which_command_runs_which_hook(built: Builder) -> None:
    box = built("hooks")
    kinds: list[list[str]] = []

    def note() -> None:
        kinds.append([line.split()[0] for line in log(box)[2:]])

    box.create()
    note()
    box.start()
    note()
    assert kinds[0] == ["prestart", "createRuntime", "createContainer"]
    assert [kind for kind in kinds[1] if kind != "program"] == [*kinds[0], "startContainer", "poststart"]
    box.delete("", "--force")
    assert log(box)[-1].startswith("poststop ")


@pytest.mark.parametrize("kind", ["createRuntime", "startContainer"])
@pytest.mark.differs_from_runc("does not say where in config.json the hook is")
def test_a_failing_hook_undoes_the_container(built: Builder, kind: str) -> None:
    def fail(config: dict[str, Any]) -> None:
        config["hooks"][kind][0] |= {"path": "/bin/sh", "args": ["sh", "-c", "echo out of cheese; exit 3"]}

    box = built("hooks")
    box.change("", fail)
    result = box.run()
    assert result.returncode == 1
    assert f".hooks.{kind}[0]" in result.stderr
    assert "out of cheese" in result.stderr
    assert box.pyrunc("state", box.id("")).returncode == 1
    assert "program" not in " ".join(log(box))
