"""readonly: each of six fields refuses what the others would let pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.bundles.built import Built, paragraphs

if TYPE_CHECKING:
    from tests.bundles.conftest import Builder

pytestmark = pytest.mark.requires("root", "busybox", "seccomp")

ROFS, EPERM = "Read-only file system", "Operation not permitted"


@pytest.fixture(scope="module")
def box(built: Builder) -> Built:
    return built("readonly")


@pytest.fixture(scope="module")
def shown(box: Built) -> dict[str, str]:
    return paragraphs(box.run().ok().stdout)


def without(built: Builder, *path: str, value: Any) -> dict[str, str]:
    """What is shown when one field of config.json has another value."""
    box = built("readonly")

    def edit(config: dict[str, Any]) -> None:
        for name in path[:-1]:
            config = config[name]
        config[path[-1]] = value

    box.change("", edit)
    return paragraphs(box.run().ok().stdout)


def test_the_root_is_read_only(shown: dict[str, str]) -> None:
    said = shown["the root is read-only, a tmpfs is not"].splitlines()
    assert said == [f"refused: touch /etc/motd: {ROFS}", "allowed: touch /tmp/file"]


def test_read_only_paths(shown: dict[str, str]) -> None:
    assert shown["paths that are read-only"].splitlines() == [
        f"refused: echo 1 > /proc/sys/kernel/panic: {ROFS}",
        f"refused: touch /proc/irq: {ROFS}",
    ]


def test_masked_paths(shown: dict[str, str]) -> None:
    assert shown["paths that are masked"].splitlines() == [
        "/proc/keys: 0 bytes",
        "/proc/timer_list: 0 bytes",
        "/sys/firmware: 0 entries",
    ]


def test_root_without_capabilities(shown: dict[str, str]) -> None:
    said = shown["root without capabilities"].splitlines()
    assert said[:2] == ["0", f"CapEff:\t{'0' * 16}"]
    assert [line.split(": ")[0] for line in said[2:]] == ["refused"] * 3


def test_the_filter_answers(shown: dict[str, str]) -> None:
    assert shown["a seccomp filter"].splitlines() == [
        "Seccomp:\t2",
        "refused: mkdir /tmp/directory: Disk quota exceeded",
        f"refused: unshare -U true: {EPERM}",
    ]


def test_a_set_user_id_program_gives_nothing(shown: dict[str, str]) -> None:
    assert shown["a set-user-ID program"].splitlines() == [
        "NoNewPrivs:\t1",
        "the owner of /bin/id: 1000, mode 4755",
        "whoever runs it is: 0",
    ]


def test_each_field_is_what_refuses(built: Builder) -> None:
    """Without one of them its paragraph is another, and what the others refuse stays refused."""
    said = without(built, "root", "readonly", value=False)
    assert "allowed: touch /etc/motd" in said["the root is read-only, a tmpfs is not"]
    assert "allowed" not in said["paths that are read-only"]
    said = without(built, "linux", "maskedPaths", value=[])
    assert "/proc/timer_list: 0 bytes" not in said["paths that are masked"]
    said = without(built, "process", "noNewPrivileges", value=False)
    assert "whoever runs it is: 1000" in said["a set-user-ID program"]
    said = without(built, "linux", "seccomp", value=None)
    assert "allowed: mkdir /tmp/directory" in said["a seccomp filter"]


def test_one_capability_allows_one_thing(built: Builder) -> None:
    chown = {kind: ["CAP_CHOWN"] for kind in ("bounding", "effective", "permitted")}
    said = without(built, "process", "capabilities", value=chown)["root without capabilities"]
    assert "allowed: chown 1:1 /tmp/file" in said
    assert "refused: mount" in said
