"""isolated: what its README says is the container's own, seen from inside while the host has something else."""

from __future__ import annotations

import ctypes
import functools
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bundles.folder import HERE
from tests.bundles.built import Built, paragraphs
from tests.conftest import NOBODY, SUBORDINATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bundles.conftest import Builder

ROOT = [
    pytest.mark.vm,
    pytest.mark.requires("root", "busybox", "cgroup-cpu", "cgroup-memory", "cgroup-blkio"),
]
SUBORDINATES = [
    pytest.mark.requires("root", "busybox", "newuidmap", "unprivileged-user"),
    pytest.mark.differs_from_runc("refuses additional groups to ordinary users, though newgidmap has mapped them"),
]
DELEGATION = [pytest.mark.requires("busybox", "delegation")]


@contextmanager
def message_queue() -> Iterator[None]:
    """Have a System V message queue in our ipc namespace: msgget(2)."""
    ipc_private, ipc_rmid = 0, 0
    libc = ctypes.CDLL(None, use_errno=True)
    queue = libc.msgget(ipc_private, 0o600)
    assert queue >= 0, os.strerror(ctypes.get_errno())
    yield
    libc.msgctl(queue, ipc_rmid, None)


def queues() -> int:
    return len(Path("/proc/sysvipc/msg").read_text().splitlines()) - 1


def users_own(box: Built) -> list[str]:
    """Build it again as an ordinary user with subordinate ids, who runs it; return what makes one."""
    mine = box.dir.parent / "mine"
    mine.mkdir()
    os.chown(mine, NOBODY, NOBODY)
    box.dir, box.root = mine / "isolated", mine / "state"
    build = [sys.executable, "-m", "bundles", "--into", str(mine), "isolated"]
    box.execute(*SUBORDINATE, *build, cwd=HERE.parent).ok()
    return SUBORDINATE


def shown(box: Built, *wrap: str) -> dict[str, str]:
    words = [box.runtime, "--root", str(box.root), "run", "--bundle", str(box.dir), box.id("")]
    with message_queue():
        assert queues() > 0
        return paragraphs(box.execute(*wrap, *words, cwd="/").ok().stdout)


class As:
    """What the container says, by who has started it."""

    def __init__(self, user: str, said: dict[str, str], config: dict[str, Any]) -> None:
        self.user = user
        self.said = said
        self.config = config


@pytest.fixture(scope="module")
def run_as(built: Builder) -> Callable[[str], As]:
    """Run it as root, as an ordinary user ("nobody"), or as one with a cgroup ("delegation"), once for all tests."""

    @functools.cache
    def run(user: str) -> As:
        box = built("isolated")
        wrap = users_own(box) if user == "nobody" else []
        return As(user, shown(box, *wrap), box.config())

    return run


LIMITED = [pytest.param("root", marks=ROOT), pytest.param("delegation", marks=DELEGATION)]


@pytest.fixture(params=[*LIMITED, pytest.param("nobody", marks=SUBORDINATES)])
def isolated(run_as: Callable[[str], As], request: pytest.FixtureRequest) -> As:
    return run_as(request.param)


@pytest.fixture(params=LIMITED)
def limited(run_as: Callable[[str], As], request: pytest.FixtureRequest) -> As:
    return run_as(request.param)


def test_its_name_is_its_own(isolated: As) -> None:
    assert isolated.said["hostname"] == "isolated"
    assert os.uname().nodename != "isolated"


def test_queues_of_the_host_are_not_there(isolated: As) -> None:
    assert isolated.said["message queues of System V"] == "0"


def test_it_sees_only_its_own_processes(isolated: As) -> None:
    names = [line.split() for line in isolated.said["processes"].splitlines()]
    assert names[0] == ["1", "sh"]
    assert {name for _, name in names} <= {"sh", "grep", "cat"}


def test_root_inside_with_groups(isolated: As) -> None:
    assert isolated.said["who am I"].splitlines()[0] == "uid 0, gid 0, groups 0 5 20"


def test_root_inside_is_who_started_it(isolated: As) -> None:
    uid = {"root": 0, "nobody": NOBODY, "delegation": os.getuid()}[isolated.user]
    assert isolated.said["who am I"].splitlines()[2].split()[:2] == ["0", str(uid)]


def test_the_way_out_ends_at_the_containers_root(isolated: As) -> None:
    names = isolated.said["out of the root"].split()
    assert {"isolated.sh", "escape.sh", "data"} <= set(names)
    assert "lost+found" not in names
    assert "boot" not in names


@pytest.mark.vm
@pytest.mark.requires("root", "busybox")
def test_the_way_out_leads_out_of_a_mere_chroot(built: Builder, tmp_path: Path) -> None:
    """Or the test above would show no more than a broken script."""
    box = built("isolated")
    root = box.dir / "rootfs"
    (root / "tmp/escape.sh").write_bytes((box.dir / "escape.sh").read_bytes())
    command = ["unshare", "-m", "chroot", str(root), "sh", "/tmp/escape.sh"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert sorted(found.split()) == sorted([".", "..", *os.listdir("/")])


def numbers(text: str) -> list[int]:
    return [int(word) for word in re.findall(r"\d+", text)]


@pytest.mark.requires("root", "busybox", "newuidmap", "unprivileged-user")
@pytest.mark.differs_from_runc("refuses additional groups to ordinary users, though newgidmap has mapped them")
def test_an_ordinary_user_without_a_cgroup_has_no_limits(run_as: Callable[[str], As]) -> None:
    assert run_as("nobody").said["limits"] == "none: this user has no cgroup"


def test_ten_percent_of_a_processor(limited: As) -> None:
    used, of = numbers(limited.said["10 % of a processor"])
    assert 0 < used <= of * 0.13 + 20


def test_five_mebibytes_kill(limited: As) -> None:
    assert limited.said["5 MiB of memory"].splitlines() == ["3 MiB: there", "20 MiB: exit code 137"]


# Not in the lane, whose disk lets a first burst through; tests/scenario/test_limits.py measures the rate there.
@pytest.mark.requires("root", "busybox", "cgroup-cpu", "cgroup-memory", "cgroup1-blkio", "disk")
def test_one_mebibyte_a_second(run_as: Callable[[str], As]) -> None:
    size, milliseconds = numbers(run_as("root").said["1 MiB a second to the disk"])
    assert size == 4 << 20
    assert milliseconds >= 3000
