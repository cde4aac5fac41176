"""hello shows what its README says it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bundles.built import paragraphs
from tests.scenario import host

if TYPE_CHECKING:
    from tests.bundles.conftest import Builder

pytestmark = [pytest.mark.requires("root", "busybox"), pytest.mark.vm]


@pytest.fixture(scope="module")
def hello(built: Builder) -> dict[str, str]:
    """What it prints, paragraph by paragraph: title -> text."""
    return paragraphs(built("hello").run().ok().stdout)


def paragraph(shown: dict[str, str], title: str) -> str:
    return next(text for name, text in shown.items() if name.startswith(title))


def test_hello_shows_its_own_name(hello: dict[str, str]) -> None:
    assert paragraph(hello, "hostname") == "hello"


def test_hello_is_pid_1(hello: dict[str, str]) -> None:
    assert paragraph(hello, "pid 1") == "pid 1: /bin/sh /hello.sh"
    assert paragraph(hello, "processes").startswith("1 sh\n")


def test_hello_sees_only_lo(hello: dict[str, str]) -> None:
    assert paragraph(hello, "network").split() == ["lo"]


def test_hello_shows_mounts_and_ids(hello: dict[str, str]) -> None:
    assert "/hello.sh ro" in paragraph(hello, "mounts")
    ids = paragraph(hello, "ids")
    assert "uid=0(root) gid=0(root)" in ids
    assert "CapEff:\t0000000020000420" in ids


def test_hello_shows_its_limits(hello: dict[str, str]) -> None:
    limits = paragraph(hello, "limits")
    assert f"memory, bytes: {64 << 20} " in limits
    assert "cpu, microseconds: 50000 " in limits
    assert "processes: 64 " in limits
    assert "open files: 512 (at most 1024)" in limits


def test_hello_is_kept_from_the_host(hello: dict[str, str]) -> None:
    kept = paragraph(hello, "what is kept")
    assert "/etc/passwd: Read-only file system" in kept
    assert "/proc/keys: empty" in kept
    assert "/proc/sys/kernel/panic: Read-only file system" in kept


def test_step_by_step(built: Builder) -> None:
    box = built("hello")
    box.create()
    assert box.state()["status"] == "created"
    assert box.last_output().read_text() == ""
    box.start()
    assert host.eventually(lambda: box.state()["status"] == "stopped", 20)
    assert paragraph(paragraphs(box.last_output().read_text()), "hostname") == "hello"
    box.delete()
