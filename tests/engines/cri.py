"""Pods, as the kubelet makes them: containerd's CRI plugin over its gRPC socket, with a runtime handler for pyrunc."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.engines import containerd, documents, grpcs
from tests.engines.engine import GREEDY, IMAGE, PAUSE_IMAGE, Engine, ImpossibleError, becomes
from tests.scenario import host

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.box import Box
    from tests.engines.engine import Operation

HANDLER = "pyrunc"
NETWORKS = "/run/box/networks"
LOGS = "/run/box/pod-logs"
RUNNING, EXITED = 1, 2
POD, CONTAINER, NODE = 0, 1, 2
HOST_TO_CONTAINER, BIDIRECTIONAL = 1, 2
RUNTIME_DEFAULT, UNCONFINED = 0, 1

SETTINGS = f"""
version = 2
root = "/run/box/containerd-root"
state = "/run/box/containerd-state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{containerd.SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Without CAP_SYS_RESOURCE nobody can lower an OOM score, and a pause container's is low.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{NETWORKS}"
"""

NETWORK = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "pods0",
            "ipam": {"type": "host-local", "subnet": "10.99.0.0/24", "dataDir": "/run/box/addresses"},
        }
    ],
}


class Pod(NamedTuple):
    """A pod that runs."""

    id: str
    config: dict[str, Any]


class Cri(Engine):
    """The CRI's client, with one runtime handler."""

    name = "kubernetes"
    needs = ("containerd", "procps", "cni")

    def __init__(self, box: Box, runtime: Path, runtime_name: str) -> None:
        super().__init__(box, runtime, runtime_name)
        self._client = grpcs.Cri(box.path(containerd.SOCKET))
        self.call = self._client.call

    @classmethod
    def operations(cls) -> tuple[Operation[Cri], ...]:
        return OPERATIONS

    @classmethod
    def start(cls, box: Box, runtimes: dict[str, Path]) -> str:
        # runc gets the same lines, and another name.
        handlers = [
            documents.block("kubernetes.md", "toml", str(path)).replace(f"runtimes.{HANDLER}", f"runtimes.{name}")
            for name, path in runtimes.items()
        ]
        box.path(NETWORKS).mkdir()
        (box.path(NETWORKS) / "pods.conflist").write_text(json.dumps(NETWORK))
        version = containerd.serve(box, "\n".join([SETTINGS, *handlers]))
        containerd.import_images(box, "k8s.io")
        return version

    def version(self) -> tuple[int, int]:
        """containerd's own, the first two numbers."""
        major, minor = self.call("Version").runtime_version.lstrip("v").split(".")[:2]
        return int(major), int(minor)

    def pod(self, sysctls: dict[str, str] | None = None, privileged: bool = False, **namespaces: Any) -> Pod:
        """Start a pod."""
        name = self.new_id()
        config = {
            "metadata": {"name": name, "uid": name, "namespace": "default"},
            # The node's hostname namespace comes with its network.
            "hostname": "" if namespaces.get("network") == NODE else name,
            "log_directory": f"{LOGS}/{name}",
            "linux": {
                "cgroup_parent": f"/{self.runtime_name}-pods",
                "security_context": {"namespace_options": namespaces, "privileged": privileged},
                "sysctls": sysctls or {},
            },
        }
        self.box.path(f"{LOGS}/{name}").mkdir(parents=True)
        made = self.call("RunPodSandbox", config=config, runtime_handler=self.runtime_name)
        return Pod(made.pod_sandbox_id, config)

    def container(self, pod: Pod, *command: str, resources: Any = None, mounts: Any = (), **security: Any) -> str:
        """Create and start a container in a pod; returns its id."""
        name = self.new_id()
        namespaces = pod.config["linux"]["security_context"]["namespace_options"]
        config = {
            "metadata": {"name": name},
            "image": {"image": IMAGE},
            "command": command or containerd.FOREVER,
            "mounts": mounts,
            "log_path": f"{name}.log",
            "linux": {
                "resources": resources or {},
                "security_context": {
                    "namespace_options": namespaces,
                    "seccomp": {"profile_type": UNCONFINED},
                    **security,
                },
            },
        }
        made = self.call("CreateContainer", pod_sandbox_id=pod.id, config=config, sandbox_config=pod.config)
        self.call("StartContainer", container_id=made.container_id)
        return str(made.container_id)

    def trapping_term(self, action: str) -> str:
        """A container that does so on TERM, once it is ready to."""
        pod = self.pod()
        id = self.container(pod, "sh", "-c", f"trap '{action}' TERM; echo ready; while :; do sleep 0.02; done")
        assert host.eventually(lambda: "ready" in self.log(pod))
        return id

    def exec(self, id: str, *command: str, timeout: int = 10) -> Any:
        """ExecSync."""
        return self.call("ExecSync", container_id=id, cmd=command, timeout=timeout)

    def output(self, id: str, *command: str) -> str:
        """What a command in a container prints; it must succeed."""
        done = self.exec(id, *command)
        assert done.exit_code == 0, f"{' '.join(command)}: exit {done.exit_code}: {done.stderr.decode()}"
        return str(done.stdout.decode().strip())

    def status(self, id: str) -> Any:
        """A container's status."""
        return self.call("ContainerStatus", container_id=id).status

    def ends(self, id: str) -> Any:
        """Wait for a container's end and return its status."""
        assert host.eventually(lambda: self.status(id).state == EXITED, 20), "the container does not end"
        return self.status(id)

    def log(self, pod: Pod) -> str:
        """All logs of a pod."""
        folder = self.box.path(pod.config["log_directory"])
        return "".join(file.read_text() for file in sorted(folder.iterdir()))

    def clean(self) -> None:
        for pod in self.call("ListPodSandbox").items:
            if pod.runtime_handler == self.runtime_name:
                self.call("StopPodSandbox", pod_sandbox_id=pod.id)
                self.call("RemovePodSandbox", pod_sandbox_id=pod.id)

    def state_folders(self) -> list[str]:
        return ["/run/containerd/runc/k8s.io/[!@]*", f"/sys/fs/cgroup/*/{self.runtime_name}-pods/*/"]


def ready(engine: Cri) -> None:
    fulfilled = {each.type for each in engine.call("Status").status.conditions if each.status}
    assert fulfilled >= {"RuntimeReady", "NetworkReady"}


def pod_with_two_containers(engine: Cri) -> None:
    pod = engine.pod(pid=POD)
    one, other = engine.container(pod), engine.container(pod, "sleep", "1000001")
    for kind in ("net", "ipc", "uts", "pid"):
        links = {engine.output(id, "readlink", f"/proc/self/ns/{kind}") for id in (one, other)}
        assert len(links) == 1, f"the containers have {kind} namespaces of their own"
    assert "sleep 1000001" in engine.output(one, "ps"), "one container does not see the other's processes"
    mounts = {engine.output(id, "readlink", "/proc/self/ns/mnt") for id in (one, other)}
    assert len(mounts) == 2
    assert engine.output(one, "hostname") == pod.config["hostname"]


def containers_with_their_own_pids(engine: Cri) -> None:
    pod = engine.pod(pid=CONTAINER)
    one, other = engine.container(pod), engine.container(pod)
    links = {engine.output(id, "readlink", "/proc/self/ns/pid") for id in (one, other)}
    assert len(links) == 2
    assert engine.output(one, "readlink", "/proc/1/exe") == "/bin/busybox"


def network_of_a_pod(engine: Cri) -> None:
    pod = engine.pod()
    address = engine.call("PodSandboxStatus", pod_sandbox_id=pod.id).status.network.ip
    id = engine.container(pod)
    assert f"{address}/24" in engine.output(id, "ip", "addr", "show", "eth0")
    assert engine.output(id, "ping", "-c", "1", "127.0.0.1")


def network_of_the_host(engine: Cri) -> None:
    id = engine.container(engine.pod(network=NODE))
    ours = engine.box.run("readlink", "/proc/self/ns/net").stdout.strip()
    assert engine.output(id, "readlink", "/proc/self/ns/net") == ours


def pids_of_the_host(engine: Cri) -> None:
    id = engine.container(engine.pod(pid=NODE))
    ours = engine.box.run("readlink", "/proc/self/ns/pid").stdout.strip()
    assert engine.output(id, "readlink", "/proc/self/ns/pid") == ours


def logs(engine: Cri) -> None:
    pod = engine.pod()
    engine.ends(engine.container(pod, "sh", "-c", "echo out; echo err >&2"))
    lines = {tuple(line.split()[1:]) for line in engine.log(pod).splitlines()}
    assert lines == {("stdout", "F", "out"), ("stderr", "F", "err")}


def exec_(engine: Cri) -> None:
    id = engine.container(engine.pod())
    done = engine.exec(id, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.exit_code) == (b"out\n", b"err\n", 7)


def exec_of_a_bad_command(engine: Cri) -> None:
    id = engine.container(engine.pod())
    fails(lambda: engine.exec(id, "nosuch"), "executable file not found in $PATH")
    assert engine.status(id).state == RUNNING


def fails(act: Any, words: str) -> None:
    try:
        act()
    except AssertionError as err:
        assert words in str(err), f"{words!r} is not in {err!s}"
        return
    raise AssertionError(f"was to fail: {words}")


def exec_that_takes_too_long(engine: Cri) -> None:
    id = engine.container(engine.pod())
    fails(lambda: engine.exec(id, "sleep", "1000002", timeout=1), "timeout 1s exceeded")
    becomes("", lambda: engine.box.run("pgrep", "-f", "^sleep 1000002").stdout)


def fifty_probes(engine: Cri) -> None:
    """What readiness and liveness probes of a pod come to."""
    id = engine.container(engine.pod())
    assert {engine.exec(id, "true").exit_code for _ in range(50)} == {0}


def stats(engine: Cri) -> None:
    id = engine.container(engine.pod(), "sh", "-c", "while :; do :; done")

    def used() -> list[int]:
        try:
            found = engine.call("ContainerStats", container_id=id).stats
        except AssertionError:  # a busy shim answers with none at all
            return [0]
        return [found.cpu.usage_core_nano_seconds.value, found.memory.working_set_bytes.value]

    assert host.eventually(lambda: all(used()), 20), "the statistics stay at 0"


def limits(engine: Cri) -> None:
    limit = {"memory_limit_in_bytes": 32 << 20, "cpu_quota": 50000, "cpu_period": 100000}
    id = engine.container(engine.pod(), resources=limit)
    assert cgroup_value(engine, id, "memory.limit_in_bytes", "memory.max") == str(32 << 20)
    assert cgroup_value(engine, id, "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"


def update(engine: Cri) -> None:
    id = engine.container(engine.pod(), resources={"memory_limit_in_bytes": 32 << 20})
    more = {"memory_limit_in_bytes": 64 << 20, "cpu_quota": 70000, "cpu_period": 100000}
    engine.call("UpdateContainerResources", container_id=id, linux=more)
    assert cgroup_value(engine, id, "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert cgroup_value(engine, id, "cpu.cfs_quota_us", "cpu.max").split()[0] == "70000"


def cgroup_value(engine: Cri, id: str, v1: str, v2: str) -> str:
    root, parent = engine.box.path("/sys/fs/cgroup"), f"{engine.runtime_name}-pods"
    places = [*root.glob(f"*/{parent}/{id}/{v1}"), *root.glob(f"{parent}/{id}/{v2}")]
    assert places, f"{id} has no {v1} or {v2}"
    return places[0].read_text().strip()


def out_of_memory(engine: Cri) -> None:
    id = engine.container(engine.pod(), *GREEDY, resources={"memory_limit_in_bytes": 16 << 20})
    engine.output(id, "touch", "/go")
    assert engine.ends(id).exit_code == 128 + 9
    becomes("OOMKilled", lambda: str(engine.status(id).reason))


def stop(engine: Cri) -> None:
    id = engine.trapping_term("exit 5")
    engine.call("StopContainer", container_id=id, timeout=10)
    assert engine.status(id).exit_code == 5


def stop_of_what_does_not_listen(engine: Cri) -> None:
    id = engine.trapping_term("")
    engine.call("StopContainer", container_id=id, timeout=1)
    assert engine.status(id).exit_code == 128 + 9


def end(engine: Cri) -> None:
    pod = engine.pod()
    ended = engine.ends(engine.container(pod, "true"))
    assert (ended.exit_code, ended.reason) == (0, "Completed")
    ended = engine.ends(engine.container(pod, "sh", "-c", "exit 3"))
    assert (ended.exit_code, ended.reason) == (3, "Error")


def remove(engine: Cri) -> None:
    pod = engine.pod()
    id = engine.container(pod)
    engine.call("RemoveContainer", container_id=id)
    fails(lambda: engine.status(id), "not found")
    engine.call("StopPodSandbox", pod_sandbox_id=pod.id)
    engine.call("RemovePodSandbox", pod_sandbox_id=pod.id)
    assert [each.id for each in engine.call("ListPodSandbox").items] == []


def bad_command(engine: Cri) -> None:
    pod = engine.pod()
    fails(lambda: engine.container(pod, "nosuch"), "executable file not found in $PATH")
    fails(lambda: engine.container(pod, "/etc/not-executable"), "permission denied")


def security_context(engine: Cri) -> None:
    security = {
        "run_as_user": {"value": 1000},
        "readonly_rootfs": True,
        "no_new_privs": True,
        "seccomp": {"profile_type": RUNTIME_DEFAULT},
        "capabilities": {"drop_capabilities": ["ALL"]},
    }
    id = engine.container(engine.pod(), **security)
    assert engine.output(id, "id", "-u") == "1000"
    fields = dict(line.split()[:2] for line in engine.output(id, "cat", "/proc/self/status").splitlines()[:60] if line)
    assert (fields["Seccomp:"], fields["NoNewPrivs:"], fields["CapBnd:"]) == ("2", "1", "0" * 16)
    assert "ro" in engine.output(id, "sh", "-c", "grep ' / ' /proc/mounts").split()[3].split(",")


def privileged(engine: Cri) -> None:
    id = engine.container(engine.pod(privileged=True), privileged=True)
    engine.output(id, "sh", "-c", "mkdir /m && mount -t tmpfs t /m")
    assert engine.output(id, "ls", "/dev/loop-control") == "/dev/loop-control"


def sysctls(engine: Cri) -> None:
    id = engine.container(engine.pod(sysctls={"kernel.shm_rmid_forced": "1", "net.ipv4.ip_forward": "1"}))
    found = engine.output(id, "cat", "/proc/sys/kernel/shm_rmid_forced", "/proc/sys/net/ipv4/ip_forward")
    assert found.split() == ["1", "1"]


def mounts_that_follow(engine: Cri) -> None:
    """HostToContainer shows what is mounted later; Bidirectional shows the host what the container mounts."""
    place = f"/run/box/volume-{engine.new_id()}"
    engine.box.run("mkdir", "-p", f"{place}/later", f"{place}/inner").ok()
    pod = engine.pod(privileged=True)
    volume = {"container_path": "/volume", "host_path": place}
    follows = engine.container(pod, mounts=[{**volume, "propagation": HOST_TO_CONTAINER}])
    shares = engine.container(pod, mounts=[{**volume, "propagation": BIDIRECTIONAL}], privileged=True)
    alone = engine.container(pod, mounts=[volume])
    engine.box.run("mount", "-t", "tmpfs", "later", f"{place}/later").ok()
    seen = [engine.output(id, "grep", "-c", "^later ", "/proc/mounts") for id in (follows, shares)]
    assert seen == ["1", "1"]
    assert engine.exec(alone, "grep", "-c", "^later ", "/proc/mounts").stdout.strip() == b"0"
    engine.output(shares, "mount", "-t", "tmpfs", "inner", "/volume/inner")
    assert engine.box.run("grep", "-c", "^inner ", "/proc/mounts").stdout == "1\n"
    engine.box.run("umount", f"{place}/later", f"{place}/inner").ok()


def read_only_mount(engine: Cri) -> None:
    engine.box.run("mkdir", "-p", "/run/box/readable").ok()
    id = engine.container(
        engine.pod(), mounts=[{"container_path": "/m", "host_path": "/run/box/readable", "readonly": True}]
    )
    assert b"Read-only file system" in engine.exec(id, "touch", "/m/new").stderr


def recursive_read_only_mount(engine: Cri) -> None:
    if engine.version() < (2, 0):
        raise ImpossibleError("containerd 2.0 is the first to have it")
    handlers = {each.name: each for each in engine.call("Status").runtime_handlers}
    if not handlers[engine.runtime_name].HasField("features"):  # the kubelet looks there; containerd 2.1 dies of it
        raise ImpossibleError("containerd asks io.containerd.runc.v2 only what it can do")
    place = f"/run/box/below-{engine.new_id()}"
    engine.box.run("mkdir", "-p", f"{place}/deep").ok()
    engine.box.run("mount", "-t", "tmpfs", "deep", f"{place}/deep").ok()
    mount = {"container_path": "/m", "host_path": place, "readonly": True, "recursive_read_only": True}
    id = engine.container(engine.pod(), mounts=[mount])
    assert b"Read-only file system" in engine.exec(id, "touch", "/m/deep/new").stderr
    engine.box.run("umount", f"{place}/deep").ok()


def pod_with_a_user_namespace(engine: Cri) -> None:
    if engine.version() < (2, 0):
        raise ImpossibleError("containerd 2.0 is the first to have it")
    ids = [{"host_id": 200000, "container_id": 0, "length": 65536}]
    id = engine.container(engine.pod(userns_options={"mode": POD, "uids": ids, "gids": ids}))
    assert engine.output(id, "cat", "/proc/self/uid_map").split() == ["0", "200000", "65536"]


OPERATIONS: tuple[Operation[Cri], ...] = (
    ready,
    pod_with_two_containers,
    containers_with_their_own_pids,
    network_of_a_pod,
    network_of_the_host,
    pids_of_the_host,
    logs,
    exec_,
    exec_of_a_bad_command,
    exec_that_takes_too_long,
    fifty_probes,
    stats,
    limits,
    update,
    out_of_memory,
    stop,
    stop_of_what_does_not_listen,
    end,
    remove,
    bad_command,
    security_context,
    privileged,
    sysctls,
    mounts_that_follow,
    read_only_mount,
    recursive_read_only_mount,
    pod_with_a_user_namespace,
)
