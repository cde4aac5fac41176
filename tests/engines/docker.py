"""dockerd with its own containerd, and the `docker` client."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.engines import documents
from tests.engines.engine import ARCHIVE, GREEDY, IMAGE, Engine, becomes, refused
from tests.scenario import host

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.engines.box import Box
    from tests.engines.engine import Operation
    from tests.scenario.bundle import Result

SOCKET = "/run/box/docker.sock"
CONFIG = "/run/box/daemon.json"
EXEC_ROOT = "/run/box/docker-exec"
SETTINGS = {
    "data-root": "/run/box/docker",
    "exec-root": EXEC_ROOT,
    "pidfile": "/run/box/docker.pid",
    "hosts": [f"unix://{SOCKET}"],
    "iptables": False,
    "ip6tables": False,
    "storage-driver": "overlay2",
    "experimental": True,  # checkpoints
}
FOREVER = ["sleep", "1000000"]
LISTENS = ["sh", "-c", "trap 'exit 5' USR1; trap 'exit 6' TERM; touch /ready; while :; do sleep 0.02; done"]


def serve(box: Box, settings: dict[str, Any], folders: str = "") -> str:
    """Start a daemon with these settings, give it the images, and return its version.

    Its containerd looks for shims in these folders first.
    """
    box.path(CONFIG).write_text(json.dumps({**SETTINGS, **settings}))
    path = f"PATH={folders}:{box.environment(False)['PATH']}".replace("=:", "=")
    box.daemon("env", path, "dockerd", "--config-file", CONFIG, log="dockerd.log")
    up = host.eventually(lambda: box.run("docker", "-H", f"unix://{SOCKET}", "version").returncode == 0, 30)
    assert up, f"dockerd does not answer: {box.log('dockerd.log')[-2000:]}"
    box.run("docker", "-H", f"unix://{SOCKET}", "load", "-i", ARCHIVE).ok()
    return box.run("docker", "--version").stdout.split()[2].rstrip(",")


class Docker(Engine):
    """`docker` with one runtime."""

    name = "docker"
    needs = ("docker", "containerd", "procps")

    @classmethod
    def operations(cls) -> tuple[Operation[Docker], ...]:
        return OPERATIONS

    @classmethod
    def start(cls, box: Box, runtimes: dict[str, Path]) -> str:
        documented = json.loads(documents.block("engines.md", "json", str(runtimes["pyrunc"])))
        return serve(box, documented)

    @property
    def chosen(self) -> str:
        """What the runtime is to `docker run`."""
        return self.runtime_name

    def docker(self, *words: str, tty: bool = False, stdin: str = "") -> Result:
        """A command of the client."""
        whole = ("docker", "-H", f"unix://{SOCKET}", *words)
        return self.box.run_on_terminal(*whole) if tty else self.box.run(*whole, stdin=stdin)

    def run(self, *command: str, flags: Sequence[str] = (), tty: bool = False, stdin: str = "") -> Result:
        """`docker run --rm`."""
        flags = [*flags, "--tty"] if tty else flags
        words = ["run", "--rm", "--runtime", self.chosen, *flags, IMAGE, *command]
        return self.docker(*words, tty=tty, stdin=stdin)

    def output(self, *command: str, flags: Sequence[str] = ()) -> str:
        """What `docker run` prints; it must succeed."""
        return self.run(*command, flags=flags).ok().stdout.strip()

    def detached(self, *command: str, flags: Sequence[str] = ()) -> str:
        """`docker run --detach`; returns the id."""
        words = ["run", "--detach", "--runtime", self.chosen, *flags, IMAGE, *(command or FOREVER)]
        return self.docker(*words).ok().stdout.strip()

    def listening(self) -> str:
        """A container that ends with 5 on USR1, with 6 on TERM, once it is ready to."""
        id = self.detached(*LISTENS)
        assert host.eventually(lambda: self.exec(id, "test", "-e", "/ready").returncode == 0)
        return id

    def exec(self, id: str, *command: str, flags: Sequence[str] = (), tty: bool = False) -> Result:
        """`docker exec`."""
        flags = [*flags, "--tty"] if tty else flags
        return self.docker("exec", *flags, id, *command, tty=tty)

    def inspect(self, id: str, what: str) -> str:
        """A field of `docker inspect`."""
        return self.docker("inspect", "--format", f"{{{{.{what}}}}}", id).ok().stdout.strip()

    def exit_code(self, id: str) -> int:
        """Wait for the end."""
        return int(self.docker("wait", id).ok().stdout)

    def clean(self) -> None:
        ids = self.docker("ps", "--all", "--quiet").ok().stdout.split()
        if ids:
            self.docker("rm", "--force", *ids).ok()

    def state_folders(self) -> list[str]:
        return [f"{EXEC_ROOT}/runtime-{self.runtime_name}/moby/[!@]*", "/sys/fs/cgroup/*/docker/*/"]


def run(engine: Docker) -> None:
    assert engine.output("echo", "hello") == "hello"
    assert engine.run("sh", "-c", "exit 7").returncode == 7
    assert engine.run("sh", "-c", "sh -c 'kill -9 $$'; exit $?").returncode == 128 + 9
    assert engine.run("cat", flags=["--interactive"], stdin="in and out").ok().stdout == "in and out"


def run_with_a_terminal(engine: Docker) -> None:
    assert engine.run("sh", "-c", "test -t 0 && tty", flags=["-i"], tty=True).ok().stdout.strip() == "/dev/pts/0"


def run_detached(engine: Docker) -> None:
    id = engine.detached("sh", "-c", "echo hello; exec sleep 1000000")
    assert engine.inspect(id, "State.Status") == "running"
    becomes("hello\n", lambda: engine.docker("logs", id).ok().stdout)


def exec_(engine: Docker) -> None:
    id = engine.detached(flags=["--env", "HERE=there"])
    assert engine.exec(id, "readlink", "/proc/1/exe").ok().stdout == "/bin/busybox\n"
    assert engine.exec(id, "sh", "-c", "exit 7").returncode == 7
    flags = ["--user", "1000:1001", "--workdir", "/tmp", "--env", "MORE=less"]
    said = engine.exec(id, "sh", "-c", "id -u; id -g; pwd; echo $HERE $MORE", flags=flags).ok().stdout
    assert said.split() == ["1000", "1001", "/tmp", "there", "less"]


def exec_with_a_terminal(engine: Docker) -> None:
    id = engine.detached()
    assert engine.exec(id, "sh", "-c", "test -t 0 && echo tty", flags=["-i"], tty=True).ok().stdout.split() == ["tty"]


def exec_privileged(engine: Docker) -> None:
    id = engine.detached()
    script = "grep CapBnd /proc/self/status"
    usual, all_of_them = (
        engine.exec(id, "sh", "-c", script, flags=flags).ok().stdout for flags in ([], ["--privileged"])
    )
    assert usual != all_of_them


def exec_of_a_bad_command(engine: Docker) -> None:
    id = engine.detached()
    refused(engine.exec(id, "nosuch"), "executable file not found in $PATH")
    assert engine.exec(id, "nosuch").returncode in (126, 127)
    assert engine.exec(id, "/etc/not-executable").returncode == 126
    assert engine.inspect(id, "State.Status") == "running"


def top(engine: Docker) -> None:
    id = engine.detached("sh", "-c", "sleep 1000001 & exec sleep 1000000")
    assert host.eventually(lambda: engine.docker("top", id).ok().stdout.count("sleep 100000") == 2)


def stats(engine: Docker) -> None:
    id = engine.detached()
    found = json.loads(engine.docker("stats", "--no-stream", "--format", "{{json .}}", id).ok().stdout)
    assert found["PIDs"] == "1"
    assert not found["MemUsage"].startswith("0B")


def pause_and_unpause(engine: Docker) -> None:
    id = engine.detached()
    engine.docker("pause", id).ok()
    assert engine.inspect(id, "State.Status") == "paused"
    refused(engine.exec(id, "true"), "paused")
    engine.docker("unpause", id).ok()
    assert engine.inspect(id, "State.Status") == "running"
    engine.exec(id, "true").ok()


def update(engine: Docker) -> None:
    id = engine.detached(flags=["--memory", "32m", "--memory-swap", "32m"])
    limits = ["--memory", "64m", "--memory-swap", "64m", "--pids-limit", "50", "--cpus", "0.5"]
    engine.docker("update", *limits, id).ok()
    assert cgroup_value(engine, id, "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert cgroup_value(engine, id, "pids.max", "pids.max") == "50"
    assert cgroup_value(engine, id, "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"


def cgroup_value(engine: Docker, id: str, v1: str, v2: str) -> str:
    root = engine.box.path("/sys/fs/cgroup")
    places = [*root.glob(f"*/docker/{id}/{v1}"), *root.glob(f"docker/{id}/{v2}")]
    assert places, f"{id} has no {v1} or {v2}"
    return places[0].read_text().strip()


def limits(engine: Docker) -> None:
    id = engine.detached(flags=["--memory", "32m", "--cpus", "0.5", "--pids-limit", "50", "--cpuset-cpus", "0"])
    assert cgroup_value(engine, id, "memory.limit_in_bytes", "memory.max") == str(32 << 20)
    assert cgroup_value(engine, id, "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"
    assert cgroup_value(engine, id, "pids.max", "pids.max") == "50"
    assert cgroup_value(engine, id, "cpuset.cpus", "cpuset.cpus") == "0"


def out_of_memory(engine: Docker) -> None:
    id = engine.detached(*GREEDY, flags=["--memory", "16m", "--memory-swap", "16m"])
    engine.exec(id, "touch", "/go").ok()
    assert engine.exit_code(id) == 128 + 9
    assert engine.inspect(id, "State.OOMKilled") == "true"


def kill(engine: Docker) -> None:
    id = engine.listening()
    engine.docker("kill", "--signal", "USR1", id).ok()
    assert engine.exit_code(id) == 5


def stop(engine: Docker) -> None:
    id = engine.listening()
    engine.docker("stop", id).ok()
    assert engine.exit_code(id) == 6
    id = engine.detached()
    engine.docker("stop", "--time", "1", id).ok()
    assert engine.exit_code(id) == 128 + 9


def restart(engine: Docker) -> None:
    id = engine.detached("sh", "-c", "echo again; exec sleep 1000000")
    first = engine.inspect(id, "State.Pid")
    engine.docker("restart", "--time", "0", id).ok()
    assert engine.inspect(id, "State.Status") == "running"
    assert engine.inspect(id, "State.Pid") != first
    becomes("again again", lambda: " ".join(engine.docker("logs", id).ok().stdout.split()))


def restart_policy(engine: Docker) -> None:
    id = engine.detached("sh", "-c", "exit 1", flags=["--restart", "on-failure:2"])
    becomes("2 exited", lambda: f"{engine.inspect(id, 'RestartCount')} {engine.inspect(id, 'State.Status')}")


def health(engine: Docker) -> None:
    flags = ["--health-cmd", "test -e /well", "--health-interval", "300ms", "--health-retries", "1"]
    id = engine.detached(flags=flags)
    becomes("unhealthy", lambda: engine.inspect(id, "State.Health.Status"))
    engine.exec(id, "touch", "/well").ok()
    becomes("healthy", lambda: engine.inspect(id, "State.Health.Status"))


def privileged(engine: Docker) -> None:
    script = "mkdir /m && mount -t tmpfs t /m && ls /dev/loop-control"
    assert engine.output("sh", "-c", script, flags=["--privileged"]) == "/dev/loop-control"
    refused(engine.run("sh", "-c", script))


def init(engine: Docker) -> None:
    assert "docker-init" in engine.output("cat", "/proc/1/cmdline", flags=["--init"])


def read_only_root(engine: Docker) -> None:
    script = "touch /tmp/new && touch /new"
    result = engine.run("sh", "-c", script, flags=["--read-only", "--tmpfs", "/tmp"])
    refused(result, "/new: Read-only file system")


def volumes(engine: Docker) -> None:
    engine.box.path("/run/box/shared").write_text("from outside\n")
    flags = ["--volume", "/run/box/shared:/seen:ro", "--volume", "named:/kept"]
    assert engine.output("sh", "-c", "cat /seen; echo 1 > /kept/file", flags=flags) == "from outside"
    assert engine.output("cat", "/kept/file", flags=flags) == "1"
    refused(engine.run("touch", "/seen", flags=flags), "Read-only file system")


def copy(engine: Docker) -> None:
    id = engine.detached(flags=["--tmpfs", "/run"])
    engine.box.path("/run/box/copied").write_text("in and out\n")
    engine.docker("cp", "/run/box/copied", f"{id}:/etc/copied").ok()
    assert engine.exec(id, "cat", "/etc/copied").ok().stdout == "in and out\n"


def capabilities(engine: Docker) -> None:
    dropped = engine.output("grep", "CapBnd", "/proc/self/status", flags=["--cap-drop", "ALL"])
    assert dropped.split() == ["CapBnd:", "0" * 16]
    added = engine.output("grep", "CapEff", "/proc/self/status", flags=["--cap-drop=ALL", "--cap-add=CHOWN"])
    assert added.split() == ["CapEff:", "0" * 15 + "1"]


def seccomp(engine: Docker) -> None:
    assert engine.output("grep", "Seccomp:", "/proc/self/status").split() == ["Seccomp:", "2"]
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
    }
    engine.box.path("/run/box/profile.json").write_text(json.dumps(profile))
    flags = ["--security-opt", "seccomp=/run/box/profile.json", "--security-opt", "no-new-privileges"]
    refused(engine.run("mkdir", "/new", flags=flags), "Operation not permitted")
    assert engine.output("grep", "NoNewPrivs", "/proc/self/status", flags=flags).split() == ["NoNewPrivs:", "1"]


def user(engine: Docker) -> None:
    flags = ["--user", "1000:1001", "--group-add", "7", "--workdir", "/there", "--hostname", "box"]
    said = engine.output("sh", "-c", "id -u; id -g; id -G; pwd; hostname", flags=flags)
    assert said.splitlines() == ["1000", "1001", "1001 7", "/there", "box"]


def namespaces_of_another(engine: Docker) -> None:
    id = engine.detached(flags=["--ipc", "shareable"])
    flags = [f"--{kind}=container:{id}" for kind in ("pid", "network", "ipc")]
    script = "for kind in pid net ipc; do readlink /proc/self/ns/$kind; done"
    assert engine.output("sh", "-c", script, flags=flags) == engine.exec(id, "sh", "-c", script).ok().stdout.strip()


def namespaces_of_the_host(engine: Docker) -> None:
    script = "for kind in pid net ipc uts; do readlink /proc/self/ns/$kind; done"
    flags = ["--pid=host", "--network=host", "--ipc=host", "--uts=host"]
    assert engine.output("sh", "-c", script, flags=flags) == engine.box.run("sh", "-c", script).ok().stdout.strip()


def bridge_network(engine: Docker) -> None:
    one = engine.detached()
    address = engine.inspect(one, "NetworkSettings.IPAddress")
    assert "1 packets received" in engine.output("ping", "-c", "1", "-W", "5", address)


def exit_codes_of_what_cannot_start(engine: Docker) -> None:
    assert engine.run("nosuch").returncode == 127
    assert engine.run("/no/such/program").returncode == 127
    assert engine.run("/etc/not-executable").returncode == 126
    assert engine.run("true", flags=["--sysctl", "kernel.msgmax=nonsense"]).returncode == 125


def remove_by_force(engine: Docker) -> None:
    id = engine.detached()
    engine.docker("rm", "--force", id).ok()
    assert engine.docker("ps", "--all", "--quiet").ok().stdout == ""


COUNTER = "i=0; while :; do i=$((i+1)); echo $i > /count; sleep 0.05; done"


def checkpoint_and_restore(engine: Docker) -> None:
    id = engine.detached("sh", "-c", COUNTER, flags=["--network=none", "--security-opt=seccomp=unconfined"])
    assert host.eventually(lambda: counted(engine, id) > 10)
    engine.docker("checkpoint", "create", id, "one").ok()
    assert engine.inspect(id, "State.Status") == "exited"
    engine.docker("start", "--checkpoint", "one", id).ok()
    before = counted(engine, id)
    assert before > 10
    assert host.eventually(lambda: counted(engine, id) > before)


def counted(engine: Docker, id: str) -> int:
    return int("0" + engine.exec(id, "cat", "/count").stdout.strip())


OPERATIONS: tuple[Operation[Docker], ...] = (
    run,
    run_with_a_terminal,
    run_detached,
    exec_,
    exec_with_a_terminal,
    exec_privileged,
    exec_of_a_bad_command,
    top,
    stats,
    pause_and_unpause,
    update,
    limits,
    out_of_memory,
    kill,
    stop,
    restart,
    restart_policy,
    health,
    privileged,
    init,
    read_only_root,
    volumes,
    copy,
    capabilities,
    seccomp,
    user,
    namespaces_of_another,
    namespaces_of_the_host,
    bridge_network,
    exit_codes_of_what_cannot_start,
    remove_by_force,
    checkpoint_and_restore,
)
