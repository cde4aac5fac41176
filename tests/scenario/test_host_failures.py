"""The host has no room, no /proc, or a parent that reaps nobody: one clear line, and nothing is left."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scenario import host
from tests.scenario.test_crash import finish, launch

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle, Result

IGNORING = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
PROGRAM = ["/bin/probe", "sleep"]


def one_line(result: Result, *words: str) -> None:
    assert result.returncode == 1, result
    assert result.stderr.count("\n") == 1, result.stderr
    assert "internal error" not in result.stderr
    assert all(word in result.stderr for word in words), result.stderr


@pytest.mark.requires("root")
@pytest.mark.differs_from_runc("needs other files for its state")
@pytest.mark.parametrize("option", [*(f"nr_inodes={count}" for count in range(2, 7)), "size=4k", "size=8k"])
def test_state_that_has_no_room(bundle: Bundle, option: str) -> None:
    bundle.save().root.mkdir()
    script = 'mount -t tmpfs -o "$0" t "$1" && shift && "$@"; code=$?; ls "$STATE" | grep -v @ >&2; exit $code'
    words = ["unshare", "--mount", "sh", "-c", script, option, str(bundle.root), *bundle.command("create")]
    one_line(bundle.execute(words, env=bundle.environment(STATE=str(bundle.root))), "No space left on device")


@pytest.mark.requires("root")
@pytest.mark.differs_from_runc("says what failed without what to do")
def test_no_proc(bundle: Bundle) -> None:
    bundle.save()
    words = ["unshare", "--mount", "sh", "-c", 'umount -l /proc; exec "$@"', "sh", *bundle.command("create")]
    one_line(bundle.execute(words), "/proc")


@pytest.mark.differs_from_runc("says it in several lines")
def test_state_root_that_is_too_long(bundle: Bundle) -> None:
    bundle.options = ["--root", "/x" * 3000]
    one_line(bundle.attempt("create"), "state root", "--root")


@pytest.mark.differs_from_runc("makes a part of them")
def test_cgroup_whose_path_is_too_long(bundle: Bundle) -> None:
    """None is made: what has no path cannot be removed by it either."""
    bundle.linux(cgroupsPath=f"/{bundle.token}" * 400)
    one_line(bundle.attempt("create"), ".linux.cgroupsPath")
    assert not host.cgroups_of(bundle.token)


@pytest.mark.differs_from_runc("does not look whether it could write")
def test_output_that_cannot_be_written(bundle: Bundle) -> None:
    with Path("/dev/full").open("w") as full:
        one_line(bundle.execute([bundle.runtime, "--help"], stdout=full), "cannot write the output")


@pytest.mark.differs_from_runc("waits in vain, and leaves all")
def test_zombie_in_the_pid_namespace_that_nobody_reaps(bundle: Bundle) -> None:
    """What an exec that was killed leaves to us; pid_namespaces(7): the init cannot end before that is reaped."""
    bundle.sleeping()
    running = launch(bundle, bundle.command("exec", operands=PROGRAM))
    assert host.eventually(lambda: len(host.processes_of(bundle.token)) >= 3)
    running.send_signal(signal.SIGKILL)
    finish(running)
    bundle.delete("--force")
    assert not host.cgroups_of(bundle.token)
    host.reap()
    assert host.eventually(lambda: not host.leftovers(bundle.token, bundle.root))


def test_caller_that_ignores_its_children(bundle: Bundle) -> None:
    """SIGCHLD's disposition survives execve(2)."""
    bundle.process(args=["sh", "-c", "exit 7"]).hook("prestart", "/bin/true").save()
    words = [sys.executable, "-c", IGNORING, *bundle.command("run")]
    assert bundle.execute(words).returncode == 7


@pytest.mark.differs_from_runc("says it in other words")
def test_working_directory_that_is_gone(bundle: Bundle) -> None:
    bundle.save()
    script = 'mkdir "$0/gone" && cd "$0/gone" && rmdir "$0/gone" && exec "$@"'
    words = ["sh", "-c", script, str(bundle.dir), bundle.runtime, "--root", "state", "create", bundle.id]
    one_line(bundle.execute(words), "working directory", "absolute")


@pytest.mark.differs_from_runc("is given what its threads need")
@pytest.mark.parametrize("count", [5, 8, 16])
def test_too_few_descriptors(bundle: Bundle, count: int) -> None:
    words = ["sh", "-c", f'ulimit -n {count}; exec "$@"', "sh", *bundle.save().command("run")]
    one_line(bundle.execute(words), "Too many open files")
    bundle.delete("--force")
