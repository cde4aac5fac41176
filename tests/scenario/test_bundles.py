"""The bundles that show something: each runs, and shows it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bundles import rootfs

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
ID = "pyrunc-test-hello"


@pytest.fixture(scope="module")
def hello(runtime: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the hello bundle prints, paragraph by paragraph: title -> text."""
    folder = tmp_path_factory.mktemp("hello")
    folder.parent.chmod(0o755)
    for name in ("config.json", "hello.sh"):
        shutil.copy(BUNDLES / "hello" / name, folder)
    rootfs.build(folder / "rootfs", [])
    command = [runtime, "--root", str(folder / "state"), "run", "--bundle", str(folder), ID]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return dict(part.split("\n", 1) for part in done.stdout.split("\n== ")[1:])


def paragraph(shown: dict[str, str], title: str) -> str:
    return next(text.strip() for name, text in shown.items() if name.startswith(title))


@pytest.mark.requires("root", "busybox")
def test_hello_shows_its_own_name(hello: dict[str, str]) -> None:
    assert paragraph(hello, "hostname") == "hello"


@pytest.mark.requires("root", "busybox")
def test_hello_is_pid_1(hello: dict[str, str]) -> None:
    assert paragraph(hello, "pid 1") == "pid 1: /bin/sh /hello.sh"
    assert paragraph(hello, "processes").startswith("1 sh\n")


@pytest.mark.requires("root", "busybox")
def test_hello_sees_only_lo(hello: dict[str, str]) -> None:
    assert paragraph(hello, "network").split() == ["lo"]


@pytest.mark.requires("root", "busybox")
def test_hello_shows_mounts_and_ids(hello: dict[str, str]) -> None:
    assert "/hello.sh ro" in paragraph(hello, "mounts")
    ids = paragraph(hello, "ids")
    assert "uid=0(root) gid=0(root)" in ids
    assert "CapEff:\t0000000020000420" in ids


@pytest.mark.requires("root", "busybox")
def test_hello_shows_its_limits(hello: dict[str, str]) -> None:
    limits = paragraph(hello, "limits")
    assert f"memory, bytes: {64 << 20} " in limits
    assert "cpu, microseconds: 50000 " in limits
    assert "processes: 64 " in limits
    assert "open files: 512 (at most 1024)" in limits


@pytest.mark.requires("root", "busybox")
def test_hello_is_kept_from_the_host(hello: dict[str, str]) -> None:
    kept = paragraph(hello, "what is kept")
    assert "/etc/passwd: Read-only file system" in kept
    assert "/proc/keys: empty" in kept
    assert "/proc/sys/kernel/panic: Read-only file system" in kept
