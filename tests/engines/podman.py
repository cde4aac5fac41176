"""podman with conmon: no daemon. As root, and as an ordinary user with subordinate ids."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

from tests.engines import documents
from tests.engines.box import HOME, USER_HOME
from tests.engines.engine import ARCHIVE, GREEDY, IMAGE, Engine, becomes, refused
from tests.scenario import host

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.engines.box import Box
    from tests.engines.engine import Operation
    from tests.scenario.bundle import Result

FOREVER = ["sleep", "1000000"]
LISTENS = ["sh", "-c", "trap 'exit 5' USR1; trap 'exit 6' TERM; touch /ready; while :; do sleep 0.02; done"]


class Podman(Engine):
    """`podman` of root."""

    name = "podman"
    needs: ClassVar[tuple[str, ...]] = ("podman",)
    of_user: ClassVar[bool] = False
    home: ClassVar[str] = HOME

    @classmethod
    def operations(cls) -> tuple[Operation[Podman], ...]:
        return OPERATIONS + OF_ROOT

    @classmethod
    def start(cls, box: Box, runtimes: dict[str, Path]) -> str:
        documented = documents.block("engines.md", "toml", str(runtimes["pyrunc"]))
        box.path(f"{cls.home}/containers.conf").write_text(documented)
        cls(box, runtimes["pyrunc"], "pyrunc").podman("load", "--input", ARCHIVE).ok()
        return box.run("podman", "--version").stdout.split()[2]

    def podman(self, *words: str, tty: bool = False, stdin: str = "") -> Result:
        """A podman command. The documented lines make pyrunc its runtime; runc is asked for by name."""
        by_name = ["--runtime", self.runtime] if self.runtime_name != "pyrunc" else []
        places = ["--root", f"{self.home}/podman", "--runroot", f"{self.home}/podman-run"]
        choices = ["--events-backend", "file", "--storage-driver", "vfs"]
        whole = ("podman", *places, *choices, *by_name, *words)
        # podman 5 warns of cgroup v1 in every output.
        env = {"CONTAINERS_CONF": f"{self.home}/containers.conf", "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}
        if tty:
            return self.box.run_on_terminal(*whole, user=self.of_user, env=env)
        return self.box.run(*whole, stdin=stdin, user=self.of_user, env=env)

    def run(self, *command: str, flags: Sequence[str] = (), tty: bool = False, stdin: str = "") -> Result:
        """`podman run --rm`."""
        flags = [*flags, "--tty"] if tty else flags
        words = ["run", "--rm", "--network=none", "--log-driver=k8s-file", *flags, IMAGE, *command]
        return self.podman(*words, tty=tty, stdin=stdin)

    def output(self, *command: str, flags: Sequence[str] = ()) -> str:
        """What `podman run` prints; it must succeed."""
        return self.run(*command, flags=flags).ok().stdout.strip()

    def detached(self, *command: str, flags: Sequence[str] = ()) -> str:
        """`podman run --detach`; returns the id."""
        words = ["run", "--detach", "--network=none", "--log-driver=k8s-file", *flags, IMAGE, *(command or FOREVER)]
        return self.podman(*words).ok().stdout.strip()

    def listening(self) -> str:
        """A container that ends with 5 on USR1, with 6 on TERM, once it is ready to."""
        id = self.detached(*LISTENS)
        assert host.eventually(lambda: self.exec(id, "test", "-e", "/ready").returncode == 0)
        return id

    def exec(self, id: str, *command: str, flags: Sequence[str] = (), tty: bool = False) -> Result:
        """`podman exec`."""
        flags = [*flags, "--tty"] if tty else flags
        return self.podman("exec", *flags, id, *command, tty=tty)

    def inspect(self, id: str, what: str) -> str:
        """A field of `podman inspect`."""
        return self.podman("inspect", "--format", f"{{{{.{what}}}}}", id).ok().stdout.strip()

    def exit_code(self, id: str) -> int:
        """Wait for the end."""
        return int(self.podman("wait", id).ok().stdout)

    def clean(self) -> None:
        self.podman("rm", "--all", "--force", "--time", "0").ok()

    def state_folders(self) -> list[str]:
        name = "pyrunc" if self.runtime_name == "pyrunc" else "runc"
        return [
            f"/run/{name}/[!@]*",
            f"{USER_HOME}/run/{name}/[!@]*",
            "/sys/fs/cgroup/*/libpod_parent/**/libpod-*",
        ]


class PodmanOfUser(Podman):
    """`podman` of an ordinary user."""

    name = "podman of an ordinary user"
    needs = ("podman", "newuidmap")
    of_user = True
    home = USER_HOME

    @classmethod
    def operations(cls) -> tuple[Operation[Podman], ...]:
        return OPERATIONS + OF_USER


def run(engine: Podman) -> None:
    assert engine.output("echo", "hello") == "hello"
    assert engine.run("sh", "-c", "exit 7").returncode == 7
    assert engine.run("cat", flags=["--interactive"], stdin="in and out").ok().stdout == "in and out"


def run_with_a_terminal(engine: Podman) -> None:
    assert engine.run("sh", "-c", "test -t 0 && tty", flags=["-i"], tty=True).ok().stdout.strip() == "/dev/pts/0"


def run_detached(engine: Podman) -> None:
    id = engine.detached("sh", "-c", "echo hello; exec sleep 1000000")
    assert engine.inspect(id, "State.Status") == "running"
    becomes("hello\n", lambda: engine.podman("logs", id).ok().stdout)


def exec_(engine: Podman) -> None:
    id = engine.detached(flags=["--env", "HERE=there"])
    assert engine.exec(id, "readlink", "/proc/1/exe").ok().stdout == "/bin/busybox\n"
    assert engine.exec(id, "sh", "-c", "exit 7").returncode == 7
    flags = ["--user", "1000:1001", "--workdir", "/tmp", "--env", "MORE=less"]
    said = engine.exec(id, "sh", "-c", "id -u; id -g; pwd; echo $HERE $MORE", flags=flags).ok().stdout
    assert said.split() == ["1000", "1001", "/tmp", "there", "less"]


def exec_with_a_terminal(engine: Podman) -> None:
    id = engine.detached()
    result = engine.exec(id, "sh", "-c", "test -t 0 && echo terminal", flags=["-i"], tty=True)
    assert result.ok().stdout.split() == ["terminal"]


def exec_of_a_bad_command(engine: Podman) -> None:
    id = engine.detached()
    assert engine.exec(id, "nosuch").returncode == 127
    assert engine.exec(id, "/etc/not-executable").returncode == 126
    assert engine.inspect(id, "State.Status") == "running"


def top(engine: Podman) -> None:
    id = engine.detached()
    assert "sleep 1000000" in engine.podman("top", id).ok().stdout


def kill(engine: Podman) -> None:
    id = engine.listening()
    engine.podman("kill", "--signal", "USR1", id).ok()
    assert engine.exit_code(id) == 5


def stop(engine: Podman) -> None:
    id = engine.listening()
    engine.podman("stop", id).ok()
    assert engine.exit_code(id) == 6
    id = engine.detached()
    engine.podman("stop", "--time", "1", id).ok()
    assert engine.exit_code(id) == 128 + 9


def restart(engine: Podman) -> None:
    id = engine.detached()
    first = engine.inspect(id, "State.Pid")
    engine.podman("restart", "--time", "0", id).ok()
    assert engine.inspect(id, "State.Status") == "running"
    assert engine.inspect(id, "State.Pid") != first


def remove_by_force(engine: Podman) -> None:
    id = engine.detached()
    engine.podman("rm", "--force", "--time", "0", id).ok()
    assert engine.podman("ps", "--all", "--quiet").ok().stdout == ""


def read_only_root(engine: Podman) -> None:
    result = engine.run("sh", "-c", "touch /scratch/new && touch /new", flags=["--read-only", "--tmpfs", "/scratch"])
    refused(result, "/new: Read-only file system")


def tmpfs(engine: Podman) -> None:
    found = engine.output("sh", "-c", "grep ' /scratch ' /proc/mounts", flags=["--tmpfs", "/scratch:size=1m,noexec"])
    assert found.split()[2] == "tmpfs"
    assert {"size=1024k", "noexec"} <= set(found.split()[3].split(","))


def volumes(engine: Podman) -> None:
    place = f"{engine.home}/shared-{engine.new_id()}"
    engine.box.run("sh", "-c", f"echo from outside > {place}", user=engine.of_user).ok()
    flags = ["--volume", f"{place}:/seen:ro", "--volume", "named:/kept"]
    assert engine.output("sh", "-c", "cat /seen; echo 1 > /kept/file", flags=flags) == "from outside"
    assert engine.output("cat", "/kept/file", flags=flags) == "1"
    refused(engine.run("touch", "/seen", flags=flags), "Read-only file system")


def capabilities(engine: Podman) -> None:
    dropped = engine.output("grep", "CapBnd", "/proc/self/status", flags=["--cap-drop", "ALL"])
    assert dropped.split() == ["CapBnd:", "0" * 16]
    added = engine.output("grep", "CapEff", "/proc/self/status", flags=["--cap-drop=ALL", "--cap-add=CHOWN"])
    assert added.split() == ["CapEff:", "0" * 15 + "1"]


def seccomp(engine: Podman) -> None:
    assert engine.output("grep", "Seccomp:", "/proc/self/status").split() == ["Seccomp:", "2"]
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
    }
    engine.box.path(f"{engine.home}/profile.json").write_text(json.dumps(profile))
    flags = ["--security-opt", f"seccomp={engine.home}/profile.json", "--security-opt", "no-new-privileges"]
    refused(engine.run("mkdir", "/new", flags=flags), "Operation not permitted")
    assert engine.output("grep", "NoNewPrivs", "/proc/self/status", flags=flags).split() == ["NoNewPrivs:", "1"]


def init(engine: Podman) -> None:
    id = engine.detached(flags=["--init"])
    assert "/run/podman-init" in engine.exec(id, "cat", "/proc/1/cmdline").ok().stdout


def user(engine: Podman) -> None:
    flags = ["--user", "1000:1001", "--group-add", "7", "--workdir", "/tmp", "--hostname", "box"]
    said = engine.output("sh", "-c", "id -u; id -g; id -G; pwd; hostname", flags=flags)
    assert said.splitlines() == ["1000", "1001", "1001 7", "/tmp", "box"]


def pod(engine: Podman) -> None:
    made = engine.podman("pod", "create", "--network=none", "--infra-image", IMAGE, "--infra-command", "sleep 1000000")
    name = made.ok().stdout.strip()
    try:
        words = ["run", "--detach", "--pod", name, "--log-driver=k8s-file", IMAGE, *FOREVER]
        ids = [engine.podman(*words).ok().stdout.strip() for _ in range(2)]
        for kind in ("net", "ipc", "uts"):
            links = {engine.exec(id, "readlink", f"/proc/self/ns/{kind}").ok().stdout for id in ids}
            assert len(links) == 1, f"the containers have {kind} namespaces of their own"
    finally:
        engine.podman("pod", "rm", "--force", "--time", "0", name)


def exit_codes_of_what_cannot_start(engine: Podman) -> None:
    assert engine.run("nosuch").returncode == 127
    assert engine.run("/no/such/program").returncode == 127
    assert engine.run("/etc/not-executable").returncode == 126


def checkpoint_and_restore(engine: Podman) -> None:
    id = engine.detached("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i > /count; sleep 0.05; done")
    assert host.eventually(lambda: counted(engine, id) > 10)
    engine.podman("container", "checkpoint", id).ok()
    assert engine.inspect(id, "State.Status") == "exited"
    engine.podman("container", "restore", id).ok()
    before = counted(engine, id)
    assert before > 10
    assert host.eventually(lambda: counted(engine, id) > before)


def counted(engine: Podman, id: str) -> int:
    return int("0" + engine.exec(id, "cat", "/count").stdout.strip())


def pause_and_unpause(engine: Podman) -> None:
    id = engine.detached()
    engine.podman("pause", id).ok()
    assert engine.inspect(id, "State.Status") == "paused"
    refused(engine.exec(id, "true"))
    engine.podman("unpause", id).ok()
    assert engine.inspect(id, "State.Status") == "running"
    engine.exec(id, "true").ok()


def limits(engine: Podman) -> None:
    id = engine.detached(flags=["--memory", "32m", "--cpus", "0.5", "--pids-limit", "50"])
    assert cgroup_value(engine, id, "memory.limit_in_bytes", "memory.max") == str(32 << 20)
    assert cgroup_value(engine, id, "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"
    assert cgroup_value(engine, id, "pids.max", "pids.max") == "50"


def update(engine: Podman) -> None:
    id = engine.detached(flags=["--memory", "32m", "--memory-swap", "32m"])
    engine.podman("update", "--memory", "64m", "--memory-swap", "64m", "--cpus", "0.5", id).ok()
    assert cgroup_value(engine, id, "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert cgroup_value(engine, id, "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"


def cgroup_value(engine: Podman, id: str, v1: str, v2: str) -> str:
    root = engine.box.path("/sys/fs/cgroup")
    places = [*root.glob(f"*/libpod_parent/*{id}/{v1}"), *root.glob(f"libpod_parent/*{id}/{v2}")]
    assert places, f"{id} has no {v1} or {v2}"
    return places[0].read_text().strip()


def stats(engine: Podman) -> None:
    id = engine.detached()
    found = json.loads(engine.podman("stats", "--no-stream", "--format", "json", id).ok().stdout)[0]
    assert found["pids"] == "1"


def out_of_memory(engine: Podman) -> None:
    id = engine.detached(*GREEDY, flags=["--memory", "16m", "--memory-swap", "16m"])
    engine.exec(id, "touch", "/go").ok()
    assert engine.exit_code(id) == 128 + 9


def privileged(engine: Podman) -> None:
    script = "mkdir /m && mount -t tmpfs t /m && ls /dev/loop-control"
    assert engine.output("sh", "-c", script, flags=["--privileged"]) == "/dev/loop-control"
    refused(engine.run("sh", "-c", script))


def user_namespace(engine: Podman) -> None:
    flags = ["--uidmap", "0:200000:65536", "--gidmap", "0:200000:65536"]
    assert engine.output("cat", "/proc/self/uid_map", flags=flags).split() == ["0", "200000", "65536"]


def pids_of_the_host(engine: Podman) -> None:
    id = engine.detached("sh", "-c", "sleep 1000001 & exec sleep 1000000", flags=["--pid=host"])
    engine.podman("rm", "--force", "--time", "0", id).ok()
    becomes("", lambda: engine.box.run("pgrep", "-f", "^sleep 1000001").stdout)


def user_namespace_that_keeps_the_id(engine: Podman) -> None:
    assert engine.output("id", "-u", flags=["--userns", "keep-id"]) == "1000"


def ids_of_the_user(engine: Podman) -> None:
    lines = engine.output("cat", "/proc/self/uid_map").splitlines()
    assert [line.split() for line in lines] == [["0", "1000", "1"], ["1", "200000", "65536"]]


OPERATIONS: tuple[Operation[Podman], ...] = (
    run,
    run_with_a_terminal,
    run_detached,
    exec_,
    exec_with_a_terminal,
    exec_of_a_bad_command,
    top,
    kill,
    stop,
    restart,
    remove_by_force,
    read_only_root,
    tmpfs,
    volumes,
    capabilities,
    seccomp,
    init,
    user,
    pod,
    exit_codes_of_what_cannot_start,
)
OF_ROOT: tuple[Operation[Podman], ...] = (
    pause_and_unpause,
    limits,
    update,
    stats,
    out_of_memory,
    privileged,
    user_namespace,
    pids_of_the_host,
    checkpoint_and_restore,
)
OF_USER: tuple[Operation[Podman], ...] = (ids_of_the_user, user_namespace_that_keeps_the_id, pause_and_unpause)
