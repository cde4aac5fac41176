"""What goes wrong around pyrunc's shim: it is killed, containerd is, somebody writes nonsense. And what is left."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyrunc.shim import ttrpc
from pyrunc.shim.codec import decode, encode
from pyrunc.shim.protos import task
from pyrunc.shim.protos.options import RuntimeInfo
from pyrunc.shim.protos.ttrpc import Request, Response
from pyrunc.shim.ttrpc import Frame, Frames
from tests.conftest import demand
from tests.engines import containerd, cri
from tests.engines.box import Box
from tests.engines.containerd_shim import RUNTIME, SHIM, ContainerdShim, CriShim
from tests.engines.engine import ARCHIVE, IMAGE, becomes
from tests.engines.image import archive
from tests.scenario import host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.shim.codec import Message

NAME = "pyrunc"
EXECS = 50
TASKS = 100
KILLED = 137


@pytest.fixture(scope="module")
def engine(runtime: str) -> Iterator[ContainerdShim]:
    """containerd in a box, with pyrunc's shim."""
    demand("root", "overlay", "busybox", *ContainerdShim.needs)
    path = Path(runtime)
    if not path.with_name(SHIM).exists():
        pytest.skip(f"{SHIM} is not installed beside {path}")
    with Box.open() as box:
        box.path(ARCHIVE).write_bytes(archive())
        ContainerdShim.start(box, {NAME: path})
        yield ContainerdShim(box, path, NAME)


@pytest.fixture(autouse=True)
def nothing_is_left(engine: ContainerdShim) -> Iterator[None]:
    """Whatever a test does, its containers can be removed, and nothing stays."""
    yield
    engine.clean()
    assert host.eventually(lambda: not engine.leftovers()), engine.leftovers()
    assert host.eventually(lambda: not shims(engine)), "a shim has outlived its containers"
    assert mounts(engine) == []


def shims(engine: ContainerdShim) -> list[int]:
    """The pids, in the box, of all shims."""
    return [int(pid) for pid in engine.box.run("pgrep", "-f", f"shim -namespace {NAME}").stdout.split()]


def shim_of(engine: ContainerdShim, id: str) -> int:
    """The pid of the parent of a container's init."""
    (init,) = containerd.pids(engine, id)
    status = engine.box.run("cat", f"/proc/{init}/status").ok().stdout
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:")))


def mounts(engine: ContainerdShim) -> list[str]:
    """Root file systems that are mounted."""
    text = Path(f"/proc/{engine.box.init}/mounts").read_text()
    return [line for line in text.splitlines() if "io.containerd.runtime.v2.task" in line]


def address_of(engine: ContainerdShim, id: str) -> str:
    """The path, in the box, of a shim's socket."""
    bundle = engine.box.path(f"/run/box/containerd-state/io.containerd.runtime.v2.task/{NAME}/{id}")
    return (bundle / "address").read_text().removeprefix("unix://")


def zombies(engine: ContainerdShim) -> list[str]:
    """Processes of the box that nobody has waited for."""
    lines = engine.box.run("ps", "-eo", "stat=,pid=,args=").ok().stdout.splitlines()
    return [line for line in lines if line.startswith("Z")]


def descriptors(pid: int, engine: ContainerdShim) -> int:
    """How many a process of the box has open."""
    return len(os.listdir(engine.box.path(f"/proc/{pid}/fd")))


def test_a_killed_shim_is_cleaned_up_after(engine: ContainerdShim) -> None:
    id = engine.detached("sh", "-c", "sleep 1000007 & exec sleep 1000000")
    becomes("2", lambda: str(len(containerd.pids(engine, id))))
    (parent,) = {int(pid) for pid in shims(engine)}
    engine.box.run("kill", "-9", str(parent)).ok()
    becomes("", lambda: engine.box.run("pgrep", "-f", "sleep 100000[07]").stdout)
    becomes("STOPPED", lambda: engine.status(id) or "STOPPED")
    assert host.eventually(lambda: not mounts(engine))


@pytest.mark.parametrize("tenths", [1, 2, 3, 4, 5, 7, 9])
def test_a_shim_may_be_killed_at_any_moment(engine: ContainerdShim, tenths: int) -> None:
    """While it starts, creates, starts a container or has it run: all is gone then, as the fixture sees."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(engine.run, *containerd.FOREVER)
        assert host.eventually(lambda: shims(engine), 20)
        time.sleep(tenths / 50)
        while not running.done():  # the first may have been the command that starts it, and done with that
            for pid in shims(engine):
                engine.box.run("kill", "-9", str(pid))
            time.sleep(0.2)
        assert running.result().returncode != 0
    becomes("", lambda: engine.box.run("pgrep", "-f", "sleep 1000000").stdout)


def test_containerd_restarted_finds_the_shim_again(engine: ContainerdShim) -> None:
    id = engine.detached()
    parent = shim_of(engine, id)
    engine.box.run("pkill", "-x", "-9", "containerd").ok()
    folders = f"{Path(engine.runtime).parent}"
    containerd.serve(engine.box, containerd.SETTINGS, folders)
    assert engine.status(id) == "RUNNING"
    assert shim_of(engine, id) == parent
    assert engine.exec(id, "echo", "still here").ok().stdout == "still here\n"
    engine.ctr("task", "kill", "--signal", "SIGKILL", id).ok()
    becomes("STOPPED", lambda: engine.status(id))
    assert engine.removed(id) == KILLED


def test_the_end_of_a_container_is_heard_of_after_a_restart(engine: ContainerdShim) -> None:
    """It ends while there is no containerd; its exit code is asked for later."""
    id = engine.detached("sh", "-c", "until [ -e /go ]; do sleep 0.05; done; exit 9")
    (init,) = [pid for pid in containerd.pids(engine, id) if pid][:1]
    engine.box.run("pkill", "-x", "-9", "containerd").ok()
    engine.box.path(f"/proc/{init}/root/go").write_text("")
    assert host.eventually(lambda: not engine.box.path(f"/proc/{init}/cwd").exists())
    containerd.serve(engine.box, containerd.SETTINGS, f"{Path(engine.runtime).parent}")
    if engine.version() < (1, 7):
        becomes("STOPPED", lambda: engine.status(id))
        assert engine.removed(id) == 9
    else:  # containerd takes a shim without processes for one that it has lost, with any runtime
        becomes("", lambda: engine.status(id))


@pytest.mark.parametrize("lines", ['ConfigPath = "/run/box/options.toml"', 'Root = "/run/box/elsewhere"'])
def test_options_of_a_handler_of_pods_arrive(runtime: str, lines: str) -> None:
    """containerd 1.6 passes on no option but ConfigPath."""
    table = 'plugins."io.containerd.grpc.v1.cri".containerd'
    handler = f'[{table}.runtimes.pyrunc]\nruntime_type = "{RUNTIME}"\n[{table}.runtimes.pyrunc.options]\n{lines}\n'
    with Box.open() as box:
        box.path(ARCHIVE).write_bytes(archive())
        box.path("/run/box/options.toml").write_text('Root = "/run/box/elsewhere"\n')
        box.path(cri.NETWORKS).mkdir()
        (box.path(cri.NETWORKS) / "pods.conflist").write_text(json.dumps(cri.NETWORK))
        default = f'[{table}]\ndefault_runtime_name = "pyrunc"\n'
        containerd.serve(box, f"{cri.SETTINGS}{default}{handler}", str(Path(runtime).parent))
        containerd.import_images(box, "k8s.io")
        pods = CriShim(box, Path(runtime), NAME)
        id = pods.pod().id
        arrives = "ConfigPath" in lines or pods.version() >= (1, 7)
        root = "/run/box/elsewhere" if arrives else "/run/containerd/pyrunc"
        assert box.path(f"{root}/k8s.io/{id}/state.json").exists()
        pods.clean()


def test_garbage_on_the_socket_closes_that_connection_only(engine: ContainerdShim) -> None:
    id = engine.detached()
    path = engine.box.path(address_of(engine, id))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    for size in (1, 9, 10, 11, 1000, 100000):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(path))
            peer.settimeout(10)
            try:
                peer.sendall(b"\xff" * 10 + secrets.token_bytes(size))
                assert peer.recv(100) == b""
            except (ConnectionResetError, BrokenPipeError):
                pass
    assert engine.exec(id, "echo", "unharmed").ok().stdout == "unharmed\n"


def test_many_execs_at_once(engine: ContainerdShim) -> None:
    id = engine.detached()
    parent = shim_of(engine, id)
    engine.exec(id, "true").ok()
    before = descriptors(parent, engine)
    with ThreadPoolExecutor(EXECS) as pool:
        done = list(pool.map(lambda number: engine.exec(id, "sh", "-c", f"echo {number}; exit {number}"), range(EXECS)))
    assert [result.stdout for result in done] == [f"{number}\n" for number in range(EXECS)]
    assert [result.returncode for result in done] == list(range(EXECS))
    assert host.eventually(lambda: descriptors(parent, engine) <= before), "descriptors are left"
    assert zombies(engine) == []
    assert len(containerd.pids(engine, id)) == 1


def test_many_tasks_in_a_row_leave_nothing(engine: ContainerdShim) -> None:
    for number in range(TASKS):
        assert engine.run("sh", "-c", f"echo {number}; exit 3").returncode == 3
    assert host.eventually(lambda: not zombies(engine)), zombies(engine)


def test_output_that_nobody_reads_stalls_nobody_else(engine: ContainerdShim) -> None:
    """A detached task's output goes to a FIFO that no client reads any more."""
    id = engine.detached("sh", "-c", "while :; do echo 0123456789012345678901234567890123456789; done")
    assert engine.exec(id, "echo", "free").ok().stdout == "free\n"
    engine.ctr("task", "kill", "--signal", "SIGKILL", id).ok()
    becomes("STOPPED", lambda: engine.status(id))


def test_much_output_arrives_whole(engine: ContainerdShim) -> None:
    result = engine.run("sh", "-c", "dd if=/dev/zero bs=1000 count=5000 2>/dev/null | tr '\\0' x")
    assert result.ok().stdout == "x" * 5000000


def test_input_arrives_and_ends(engine: ContainerdShim) -> None:
    id = engine.detached()
    words = ("ctr", "-a", containerd.SOCKET, "-n", NAME, "task", "exec", "--exec-id", engine.new_id(), id, "cat")
    text = "a line\n" * 20000
    assert engine.box.run(*words, stdin=text).ok().stdout == text


def test_output_into_a_file(engine: ContainerdShim) -> None:
    id = engine.new_id()
    words = ("run", "--detach", *engine.chosen, "--log-uri", "file:///run/box/tmp/logs/one.log")
    engine.ctr(*words, IMAGE, id, "sh", "-c", "echo out; echo err >&2").ok()
    becomes("STOPPED", lambda: engine.status(id))
    log = engine.box.path("/run/box/tmp/logs/one.log")
    assert sorted(log.read_text().split()) == ["err", "out"]


def test_output_into_a_program(engine: ContainerdShim) -> None:
    script = engine.box.path("/run/box/tmp/logger")
    script.write_text(
        "#!/bin/sh\nexec 5>&-\necho $CONTAINER_ID $CONTAINER_NAMESPACE $* > /run/box/tmp/who\n"
        "cat <&3 > /run/box/tmp/said\n"
    )
    script.chmod(0o755)
    id = engine.new_id()
    words = ("run", "--detach", *engine.chosen, "--log-uri", "binary:///run/box/tmp/logger?key=a%20b")
    engine.ctr(*words, IMAGE, id, "echo", "to a program").ok()
    becomes("STOPPED", lambda: engine.status(id))
    becomes("to a program\n", lambda: engine.box.path("/run/box/tmp/said").read_text())
    assert engine.box.path("/run/box/tmp/who").read_text().split() == [id, NAME, "key", "a", "b"]


def started(engine: ContainerdShim, name: str, annotations: dict[str, str], **env: str) -> str:
    """What the shim's `start` answers in a bundle of this name, as a version of containerd calls it that sets `env`."""
    bundle = f"/run/box/tmp/{name}"
    engine.box.path(bundle).mkdir(exist_ok=True)
    engine.box.path(f"{bundle}/config.json").write_text(json.dumps({"annotations": annotations}))
    shim = Path(engine.runtime).with_name(SHIM)
    words = f"cd {bundle} && exec {shim} -namespace {NAME} -address /a -publish-binary /b -id {name} start"
    return engine.box.run("sh", "-c", words, env=env).ok().stdout


def asked(engine: ContainerdShim, address: str, service: str, method: str, request: Message) -> tuple[int, bytes]:
    """Call a method of a shim; returns the code and the answer."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(engine.box.path(address.removeprefix("unix://"))))
        peer.settimeout(10)
        peer.sendall(Frame(1, ttrpc.REQUEST, 0, encode(Request(service, method, encode(request)))).encode())
        frames: list[Frame] = []
        reader = Frames()
        while not frames:
            data = peer.recv(65536)
            assert data, "the shim closes the connection"
            frames = reader.feed(data)
    response = decode(Response, frames[0].payload)
    return response.status.code if response.status else 0, response.payload


def test_newer_versions_get_a_document_and_both_services(engine: ContainerdShim) -> None:
    answers = [json.loads(started(engine, "newer", {}, MAX_SHIM_VERSION=most)) for most in ("2", "3", "4")]
    assert [(each["version"], each["protocol"]) for each in answers] == [(2, "ttrpc"), (3, "ttrpc"), (3, "ttrpc")]
    (address,) = {each["address"] for each in answers}
    (pid,) = shims(engine)
    for version in ("v2", "v3"):
        code, data = asked(engine, address, f"containerd.task.{version}.Task", "Connect", task.ConnectRequest("newer"))
        assert (code, decode(task.ConnectResponse, data).shim_pid) == (ttrpc.OK, pid)
    assert asked(engine, address, "containerd.task.v2.Task", "Nothing", task.PauseRequest())[0] == ttrpc.UNIMPLEMENTED
    missing = asked(engine, address, "containerd.task.v2.Task", "State", task.StateRequest("nosuch"))
    assert missing[0] == ttrpc.NOT_FOUND
    assert asked(engine, address, "containerd.task.v2.Task", "Shutdown", task.ShutdownRequest("newer"))[0] == ttrpc.OK
    assert host.eventually(lambda: not shims(engine))


def test_a_pod_has_one_shim(engine: ContainerdShim) -> None:
    pod = {"io.kubernetes.cri.sandbox-id": "the-pod"}
    with ThreadPoolExecutor(5) as pool:
        answers = set(pool.map(lambda name: started(engine, name, pod), ("one", "two", "three", "four", "five")))
    assert len(answers) == 1
    assert len(shims(engine)) == 1
    assert engine.box.path("/run/box/tmp/three/address").read_text() in answers
    (address,) = answers
    asked(engine, address, "containerd.task.v2.Task", "Shutdown", task.ShutdownRequest("one"))


def test_what_it_can_do_is_told(engine: ContainerdShim) -> None:
    shim = Path(engine.runtime).with_name(SHIM)
    assert SHIM in engine.box.run(str(shim), "-v").ok().stdout
    told = subprocess.run([shim, "-info"], input=b"", capture_output=True, check=True).stdout
    information = decode(RuntimeInfo, told)
    assert information.name == "io.containerd.pyrunc.v1"
    assert information.features is not None
    assert json.loads(information.features.value)["ociVersionMax"]


def test_a_wrong_command_line_is_refused_in_a_line(engine: ContainerdShim) -> None:
    shim = str(Path(engine.runtime).with_name(SHIM))
    for words in (["start"], ["-namespace", "n", "-id", "i", "nonsense"], ["-nonsense"]):
        result = engine.box.run(shim, *words)
        assert result.returncode != 0
        assert len(result.stderr.splitlines()) == 1


def test_events_come_in_order(engine: ContainerdShim) -> None:
    engine.box.daemon("ctr", "-a", containerd.SOCKET, "-n", NAME, "events", log="events.log")
    assert engine.run("sh", "-c", "exit 4").returncode == 4
    topics = ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]

    def seen() -> str:
        words = engine.box.log("events.log").split()
        return " ".join(word for word in words if word.startswith("/tasks/"))

    becomes(" ".join(topics), seen)
    engine.box.run("pkill", "-x", "ctr")
