"""containerd and its shim io.containerd.runc.v2, with `ctr`; each runtime in a containerd namespace of its own."""

from __future__ import annotations

import contextlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.engines import grpcs
from tests.engines.engine import ARCHIVE, IMAGE, Engine, becomes, refused
from tests.scenario import host

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.engines.box import Box
    from tests.engines.engine import Operation
    from tests.scenario.bundle import Result

SOCKET = "/run/box/containerd.sock"
CONFIG = "/run/box/containerd.toml"
FOREVER = ["sleep", "1000000"]
AT_ONCE = 20

# The paths are the box's, the rest is what an installation would have.
SETTINGS = f"""
version = 2
root = "/run/box/containerd-root"
state = "/run/box/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{SOCKET}"
"""


def serve(box: Box, settings: str, folders: str = "") -> str:
    """Start a daemon with these settings, wait until it answers, and return its version.

    It looks for shims in these folders first.
    """
    box.path(CONFIG).write_text(settings)
    path = f"PATH={folders}:{box.environment(False)['PATH']}".replace("=:", "=")
    box.daemon("env", path, "containerd", "--config", CONFIG, log="containerd.log")
    answers = host.eventually(lambda: box.run("ctr", "-a", SOCKET, "version").returncode == 0, 20)
    assert answers, f"containerd does not answer: {box.log('containerd.log')[-2000:]}"
    return box.run("containerd", "--version").stdout.split()[2]


def import_images(box: Box, *namespaces: str) -> None:
    """Make the images known in these namespaces."""
    for name in namespaces:
        box.run("ctr", "-a", SOCKET, "-n", name, "images", "import", ARCHIVE).ok()


class Containerd(Engine):
    """`ctr` with one runtime."""

    name = "containerd"
    needs = ("containerd", "procps")

    @classmethod
    def operations(cls) -> tuple[Operation[Containerd], ...]:
        return OPERATIONS

    @classmethod
    def start(cls, box: Box, runtimes: dict[str, Path]) -> str:
        version = serve(box, SETTINGS)
        import_images(box, *runtimes)
        return version

    def ctr(self, *words: str, tty: bool = False) -> Result:
        """`ctr` in this runtime's namespace."""
        whole = ("ctr", "-a", SOCKET, "-n", self.runtime_name, *words)
        return self.box.run_on_terminal(*whole) if tty else self.box.run(*whole)

    def run(self, *command: str, flags: Sequence[str] = (), tty: bool = False) -> Result:
        """`ctr run --rm`."""
        flags = [*flags, "--tty"] if tty else flags
        words = ("run", "--rm", "--runc-binary", self.runtime, *flags, IMAGE, self.new_id(), *command)
        return self.ctr(*words, tty=tty)

    def detached(self, *command: str, flags: Sequence[str] = ()) -> str:
        """`ctr run --detach`; returns the id."""
        id = self.new_id()
        whole = command or FOREVER
        self.ctr("run", "--detach", "--runc-binary", self.runtime, *flags, IMAGE, id, *whole).ok()
        return id

    def exec(self, id: str, *command: str, flags: Sequence[str] = (), tty: bool = False) -> Result:
        """`ctr task exec`."""
        flags = [*flags, "--tty"] if tty else flags
        return self.ctr("task", "exec", "--exec-id", self.new_id(), *flags, id, *command, tty=tty)

    def status(self, id: str) -> str:
        """RUNNING, PAUSED, STOPPED, or "" for a task that is not there."""
        return self.statuses().get(id, "")

    def statuses(self) -> dict[str, str]:
        """The status of every task."""
        lines = [line.split() for line in self.ctr("task", "ls").ok().stdout.splitlines()[1:]]
        return {line[0]: line[2] for line in lines}

    def removed(self, id: str) -> int:
        """Remove a task that has ended, and return its exit code, which `ctr` only tells in words."""
        said = self.ctr("task", "rm", id).ok().stderr
        found = re.search(r"non-zero exit code (\d+)", said)
        return int(found[1]) if found else 0

    def version(self) -> tuple[int, int]:
        """containerd's own, the first two numbers."""
        words = self.box.run("containerd", "--version").ok().stdout.split()
        major, minor = words[2].lstrip("v").split(".")[:2]
        return int(major), int(minor)

    def clean(self) -> None:
        for id in self.ctr("task", "ls", "--quiet").stdout.split():
            self.ctr("task", "rm", "--force", id)
        for id in self.ctr("container", "ls", "--quiet").stdout.split():
            self.ctr("container", "rm", id)

    def state_folders(self) -> list[str]:
        return [f"/run/containerd/runc/{self.runtime_name}/[!@]*", f"/sys/fs/cgroup/*/{self.runtime_name}/*/"]


def run(engine: Containerd) -> None:
    assert engine.run("echo", "hello").ok().stdout == "hello\n"
    assert engine.run("sh", "-c", "exit 7").returncode == 7


def run_with_a_terminal(engine: Containerd) -> None:
    result = engine.run("sh", "-c", "test -t 0 && tty", tty=True)
    assert result.ok().stdout.strip() == "/dev/pts/0"


def run_detached(engine: Containerd) -> None:
    id = engine.detached()
    assert engine.status(id) == "RUNNING"


def exec_(engine: Containerd) -> None:
    id = engine.detached()
    assert engine.exec(id, "hostname").ok().stdout == engine.exec(id, "cat", "/proc/sys/kernel/hostname").stdout
    assert engine.exec(id, "readlink", "/proc/1/exe").ok().stdout == "/bin/busybox\n"
    assert engine.exec(id, "sh", "-c", "exit 7").returncode == 7
    assert engine.exec(id, "id", "-u", flags=["--user", "1000"]).ok().stdout == "1000\n"
    assert engine.exec(id, "pwd", flags=["--cwd", "/tmp"]).ok().stdout == "/tmp\n"


def exec_with_a_terminal(engine: Containerd) -> None:
    id = engine.detached()
    result = engine.exec(id, "sh", "-c", "test -t 0 && echo terminal; sleep 0.3", tty=True)
    assert result.ok().stdout.split() == ["terminal"]


def exec_of_a_bad_command(engine: Containerd) -> None:
    id = engine.detached()
    refused(engine.exec(id, "nosuch"), "executable file not found in $PATH")
    refused(engine.exec(id, "/nosuch"), "no such file or directory")
    refused(engine.exec(id, "/etc/not-executable"), "permission denied")
    assert engine.status(id) == "RUNNING"


def pause_and_resume(engine: Containerd) -> None:
    id = engine.detached()
    engine.ctr("task", "pause", id).ok()
    assert engine.status(id) == "PAUSED"
    refused(engine.exec(id, "true"))
    engine.ctr("task", "resume", id).ok()
    assert engine.status(id) == "RUNNING"
    engine.exec(id, "true").ok()


def kill(engine: Containerd) -> None:
    id = engine.detached("sh", "-c", "trap 'exit 5' USR1; touch /ready; while :; do sleep 0.02; done")
    assert host.eventually(lambda: engine.exec(id, "test", "-e", "/ready").returncode == 0)
    engine.ctr("task", "kill", "--signal", "SIGUSR1", id).ok()
    becomes("STOPPED", lambda: engine.status(id))
    assert engine.removed(id) == 5


def kill_all(engine: Containerd) -> None:
    """In a pid namespace that is not the container's own, the rest of it outlives its init."""
    shared = ["--with-ns", "pid:/proc/1/ns/pid"]
    id = engine.detached("sh", "-c", "sleep 1000001 & exec sleep 1000000", flags=shared)
    becomes("2", lambda: str(len(pids(engine, id))))
    engine.ctr("task", "kill", "--all", "--signal", "SIGKILL", id).ok()
    becomes("STOPPED", lambda: engine.status(id))
    assert engine.box.run("pgrep", "-f", "sleep 1000001").stdout == ""


def pids(engine: Containerd, id: str) -> list[int]:
    lines = engine.ctr("task", "ps", id).ok().stdout.splitlines()[1:]
    return [int(line.split()[0]) for line in lines]


def ps(engine: Containerd) -> None:
    id = engine.detached("sh", "-c", "sleep 1000001 & exec sleep 1000000")
    becomes("2", lambda: str(len(pids(engine, id))))
    ours = engine.box.run("pgrep", "-f", "sleep 100000[01]").stdout.split()
    assert sorted(pids(engine, id)) == sorted(map(int, ours))


def metrics(engine: Containerd) -> None:
    id = engine.detached()
    found = json.loads(engine.ctr("task", "metrics", "--format", "json", id).ok().stdout)
    assert int(found["pids"]["current"]) == 1
    assert int(found["memory"]["usage"]["usage"]) > 0


def update(engine: Containerd) -> None:
    """`ctr` has no command for it: the call is made as the CRI plugin makes it."""
    id = engine.detached()
    resources = {"memory": {"limit": 64 << 20}, "pids": {"limit": 50}, "cpu": {"shares": 512}}
    grpcs.Tasks(engine.box.path(SOCKET), engine.runtime_name).update(id, resources)
    assert cgroup_value(engine, id, "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert cgroup_value(engine, id, "pids.max", "pids.max") == "50"


def cgroup_value(engine: Containerd, id: str, v1: str, v2: str) -> str:
    """The content of a file of the container's cgroup, under its name in either version."""
    root = engine.box.path("/sys/fs/cgroup")
    places = [*root.glob(f"*/{engine.runtime_name}/{id}/{v1}"), *root.glob(f"{engine.runtime_name}/{id}/{v2}")]
    assert places, f"{id} has no {v1} or {v2}"
    return places[0].read_text().strip()


def limits(engine: Containerd) -> None:
    id = engine.detached(flags=["--memory-limit", str(32 << 20), "--cpu-quota", "50000", "--cpu-period", "100000"])
    assert cgroup_value(engine, id, "memory.limit_in_bytes", "memory.max") == str(32 << 20)
    assert cgroup_value(engine, id, "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"


def read_only_root(engine: Containerd) -> None:
    result = engine.run("touch", "/new", flags=["--read-only"])
    refused(result, "Read-only file system")


def bind_mount(engine: Containerd) -> None:
    engine.box.path("/run/box/shared").write_text("from outside\n")
    mount = "type=bind,src=/run/box/shared,dst=/seen,options=rbind:ro"
    assert engine.run("cat", "/seen", flags=["--mount", mount]).ok().stdout == "from outside\n"


def privileged(engine: Containerd) -> None:
    script = "mkdir /m && mount -t tmpfs t /m && ls /dev/null"
    engine.run("sh", "-c", script, flags=["--privileged"]).ok()
    refused(engine.run("sh", "-c", script))


def seccomp(engine: Containerd) -> None:
    script = "grep Seccomp: /proc/self/status"
    assert engine.run("sh", "-c", script, flags=["--seccomp"]).ok().stdout.split() == ["Seccomp:", "2"]
    assert engine.run("sh", "-c", script).ok().stdout.split() == ["Seccomp:", "0"]


def user_namespace(engine: Containerd) -> None:
    flags = ["--uidmap", "0:200000:65536", "--gidmap", "0:200000:65536"]
    result = engine.run("sh", "-c", "id -u; cat /proc/self/uid_map", flags=flags)
    assert result.ok().stdout.split() == ["0", "0", "200000", "65536"]


def bad_command(engine: Containerd) -> None:
    refused(engine.run("nosuch"), "executable file not found in $PATH")


def missing_binary(engine: Containerd) -> None:
    refused(engine.run("/no/such/program"), "no such file or directory")


def not_executable(engine: Containerd) -> None:
    refused(engine.run("/etc/not-executable"), "permission denied")


def remove(engine: Containerd) -> None:
    id = engine.detached()
    refused(engine.ctr("task", "rm", id))
    engine.ctr("task", "kill", "--signal", "SIGKILL", id).ok()
    becomes("STOPPED", lambda: engine.status(id))
    assert engine.removed(id) == 128 + 9
    engine.ctr("container", "rm", id).ok()
    assert engine.ctr("container", "ls", "--quiet").stdout == ""


def remove_by_force(engine: Containerd) -> None:
    id = engine.detached()
    engine.ctr("task", "rm", "--force", id)
    assert engine.status(id) == ""


def twenty_at_once(engine: Containerd) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ids = list(pool.map(lambda _: engine.detached(), range(AT_ONCE)))
        assert engine.statuses() == dict.fromkeys(ids, "RUNNING")
        for done in pool.map(lambda id: engine.exec(id, "echo", id), ids):
            done.ok()
        list(pool.map(lambda id: engine.ctr("task", "kill", "--signal", "SIGKILL", id).ok(), ids))
        becomes("STOPPED", lambda: " ".join(set(engine.statuses().values())))
        codes = list(pool.map(engine.removed, ids))
    assert codes == [128 + 9] * AT_ONCE


COUNTER = "i=0; while :; do i=$((i+1)); echo $i > /count; sleep 0.05; done"


def checkpoint_and_restore(engine: Containerd) -> None:
    """The counter's file is in the layer that a checkpoint keeps; it must go on from there, in a new container."""
    # criu cannot dump a network namespace on every kernel: the container shares the box's.
    shared = ["--net-host"]
    id = engine.detached("sh", "-c", COUNTER, flags=shared)
    assert host.eventually(lambda: int("0" + counted(engine, id)) > 10)
    name = f"pyrunc.test/checkpoint:{id}"
    engine.ctr("container", "checkpoint", "--rw", "--task", id, name).ok()
    before = int(counted(engine, id))
    engine.clean()
    with contextlib.ExitStack() as stack:
        stack.callback(engine.ctr, "images", "rm", name)
        engine.ctr("container", "restore", "--rw", "--live", id, name).ok()
        assert host.eventually(lambda: int("0" + counted(engine, id)) > before), "the counter does not go on"


def counted(engine: Containerd, id: str) -> str:
    return engine.exec(id, "cat", "/count").stdout.strip()


OPERATIONS: tuple[Operation[Containerd], ...] = (
    run,
    run_with_a_terminal,
    run_detached,
    exec_,
    exec_with_a_terminal,
    exec_of_a_bad_command,
    pause_and_resume,
    kill,
    kill_all,
    ps,
    metrics,
    update,
    limits,
    read_only_root,
    bind_mount,
    privileged,
    seccomp,
    user_namespace,
    bad_command,
    missing_binary,
    not_executable,
    remove,
    remove_by_force,
    twenty_at_once,
    checkpoint_and_restore,
)
