"""systemd-service: systemd hears from the container when it is ready, knows its main process, restarts and stops it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scenario import host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bundles.built import Built
    from tests.bundles.conftest import Builder

pytestmark = pytest.mark.requires("root", "busybox", "systemd", "cgroup2-memory")

UNIT = "pyrunc-bundle.service"
CGROUP = f"/system.slice/{UNIT}/container"


def systemctl(*words: str) -> str:
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(*names: str) -> list[str]:
    """Properties of the unit."""
    said = systemctl("show", UNIT, *(f"--property={name}" for name in names))
    found = dict(line.partition("=")[::2] for line in said.splitlines())
    return [found[name] for name in names]


def is_serving() -> bool:
    return shown("ActiveState", "SubState") == ["active", "running"]


@pytest.fixture(scope="module")
def service(built: Builder) -> Iterator[Built]:
    """The unit, linked and with the runtime under test in it."""
    box = built("systemd-service")
    unit = box.dir / UNIT
    lines = unit.read_text().splitlines()
    named = next(line.split("=")[1].split()[0] for line in lines if line.startswith("ExecStart="))
    unit.write_text(unit.read_text().replace(named, box.runtime))
    systemctl("link", str(unit))
    yield box
    systemctl("stop", UNIT)
    systemctl("disable", UNIT)
    assert not Path(f"/sys/fs/cgroup{CGROUP}").exists()


def test_ready_when_the_container_says_so(service: Built) -> None:
    systemctl("start", "--no-block", UNIT)
    assert host.eventually(lambda: shown("ActiveState", "StatusText") == ["activating", "warms up"], 20)
    assert host.eventually(is_serving, 20)
    pid, status = shown("MainPID", "StatusText")
    assert status == "serves as pid 1 of service"
    assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sh\0/service.sh\0"
    assert Path(f"/proc/{pid}/cgroup").read_text() == f"0::{CGROUP}\n"
    assert Path(f"/sys/fs/cgroup{CGROUP}/memory.max").read_text() == f"{64 << 20}\n"


def test_restarted_and_stopped(service: Built) -> None:
    systemctl("start", UNIT)
    (first,) = shown("MainPID")
    os.kill(int(first), signal.SIGKILL)
    assert host.eventually(lambda: shown("NRestarts") == ["1"] and is_serving(), 30)
    assert shown("MainPID") != [first]
    systemctl("stop", UNIT)
    assert shown("ActiveState", "Result") == ["inactive", "success"]
    assert subprocess.run([service.runtime, "state", "service"], capture_output=True, check=False).returncode == 1
