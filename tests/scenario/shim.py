"""containerd's side of a shim, without containerd: it is started, called, and what it tells unasked is kept."""

from __future__ import annotations

import _socket
import contextlib
import json
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pyrunc.shim import ttrpc
from pyrunc.shim.codec import Message, decode, encode
from pyrunc.shim.loop import Loop
from pyrunc.shim.protos import events, task, types
from pyrunc.shim.protos.options import Options
from tests.lanes import SLOWNESS
from tests.scenario import host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyrunc.shim.protos.ttrpc import Status
    from pyrunc.shim.ttrpc import Call
    from tests.scenario.bundle import Bundle

    M = TypeVar("M", bound=Message)

PROGRAM = "containerd-shim-pyrunc-v1"
NAMESPACE = "tests"
TASKS = "containerd.task.v3.Task"
OPTIONS = "containerd.runc.v1.Options"
PATIENCE = 20.0 * SLOWNESS
EVENTS = "containerd.services.events.ttrpc.v1.Events"
STOPPED = 3

# The shim's sockets and the state of its containers, and all that it starts, end with the box.
BOX = "mount -t tmpfs run /run && touch /run/up && trap : TERM && while :; do sleep 1000 & wait; done"


class RefusedError(Exception):
    """A call was answered with an error."""

    def __init__(self, status: Status) -> None:
        super().__init__(f"{status.code}: {status.message}")
        self.code = status.code


class Shim:
    """A shim that serves one bundle; `first` is a process in the namespaces that it is in."""

    def __init__(self, bundle: Bundle, first: int, *flags: str) -> None:
        self.bundle = bundle
        self.events: list[tuple[str, bytes]] = []
        self.errors: list[Exception] = []
        self.loop = Loop(self.errors.append)
        self._first = first
        self._ended = False
        listening = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        listening.bind(f"{bundle.dir}/events.sock")
        listening.listen(8)
        self._server = ttrpc.Server(self.loop, listening, {EVENTS: {"Forward": self._hear}}, lambda _: True)
        bundle.save()
        self.environment = bundle.environment(TTRPC_ADDRESS=f"{bundle.dir}/events.sock")
        self.path = self.command("start", *flags).stdout.strip().removeprefix("unix://")
        self._client = self.connection()

    def command(self, action: str, *more: str) -> subprocess.CompletedProcess[str]:
        """Run the shim's program as containerd does, which must succeed."""
        program = Path(self.bundle.runtime).with_name(PROGRAM)
        enter = ["nsenter", f"--target={self._first}", "--mount", "--pid", f"--wd={self.bundle.dir}"]
        flags = ["-namespace", NAMESPACE, "-address", "/a", "-publish-binary", "/b", "-id", self.bundle.id, *more]
        done = subprocess.run(
            [*enter, program, *flags, action], env=self.environment, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done

    def inside(self, *words: str) -> str:
        """What a command says in the shim's namespaces; it must succeed."""
        enter = ["nsenter", f"--target={self._first}", "--mount", "--pid", "--wd=/"]
        return subprocess.run([*enter, *words], check=True, capture_output=True, text=True, timeout=PATIENCE).stdout

    def connection(self) -> ttrpc.Client:
        """One more connection to it."""
        socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        socket.connect(f"/proc/{self._first}/root{self.path}")
        return ttrpc.Client(self.loop, socket)

    def _hear(self, call: Call) -> None:
        envelope = decode(events.ForwardRequest, call.payload).envelope
        assert envelope is not None
        assert envelope.event is not None
        self.events.append((envelope.topic, envelope.event.value))
        call.reply()

    # calls

    def ask(self, method: str, request: Message, done: Callable[[Status, bytes], None], service: str = TASKS) -> None:
        """Call a method, and go on."""
        self._client.call(service, method, encode(request), done, PATIENCE)

    def call(self, method: str, request: Message, answer: type[M], service: str = TASKS) -> M:
        """Call a method and wait for the answer. Raises RefusedError."""
        answers: list[tuple[Status, bytes]] = []
        self.ask(method, request, lambda status, data: answers.append((status, data)), service)
        self.until(lambda: answers)
        status, data = answers[0]
        if status.code:
            raise RefusedError(status)
        return decode(answer, data)

    def tell(self, method: str, request: Message) -> None:
        """Call a method whose answer says nothing. Raises RefusedError."""
        self.call(method, request, types.Empty)

    def until(self, true: Callable[[], object]) -> None:
        """Go on until something is so."""
        end = time.monotonic() + 2 * PATIENCE
        while not true():
            assert time.monotonic() < end, f"it does not come; {self.events}"
            self.loop.turn(0.02)

    # what tests say often

    def create(self, rootfs: tuple[types.Mount, ...] = (), checkpoint: str = "", **fields: Any) -> int:
        """Create the container, with members of Options and of CreateTaskRequest; returns the pid, as it is inside."""
        wanted = {name: fields.pop(name) for name in Options._fields if name in fields}
        options = Options(**{"root": str(self.bundle.root), **wanted})
        request = task.CreateTaskRequest(
            id=self.bundle.id,
            bundle=str(self.bundle.dir),
            rootfs=rootfs,
            checkpoint=checkpoint,
            options=types.Any(OPTIONS, encode(options)),
            **{"stdout": self.output.as_uri(), **fields},
        )
        return self.call("Create", request, task.CreateTaskResponse).pid

    def start(self) -> int:
        """Start what was created."""
        return self.call("Start", task.StartRequest(self.bundle.id), task.StartResponse).pid

    @property
    def output(self) -> Path:
        """Where the container's output goes."""
        return self.bundle.dir / "output"

    def ended(self, exec_id: str = "") -> int:
        """Wait for the end of the container, or of a program in it, and return its exit code."""
        return self.call("Wait", task.WaitRequest(self.bundle.id, exec_id), task.WaitResponse).exit_status

    def add(self, exec_id: str, *args: str, **fields: Any) -> None:
        """Tell it of a program that is to be started in the container."""
        process = json.dumps({**self.bundle.config["process"], "args": args})
        spec = types.Any("types.containerd.io/opencontainers/runtime-spec/1/Process", process.encode())
        self.tell("Exec", task.ExecProcessRequest(id=self.bundle.id, exec_id=exec_id, spec=spec, **fields))

    def run(self, *args: str, **fields: Any) -> str:
        """Have the container run a program to its end, and return what it says."""
        self.bundle.process(args=list(args)).save()
        self.create(**fields)
        self.start()
        code = self.ended()
        self.delete()
        said = self.output.read_text()
        assert code == 0, f"{args}: exit {code}: {said}"
        return said

    def delete(self) -> int:
        """Delete the container; returns its exit code."""
        return self.call("Delete", task.DeleteRequest(self.bundle.id), task.DeleteResponse).exit_status

    def shim_pid(self) -> int:
        """The shim's own pid, as the test's processes are numbered."""
        inside = self.call("Connect", task.ConnectRequest(self.bundle.id), task.ConnectResponse).shim_pid
        for pid in host.processes_of(self.bundle.token):
            status = Path(f"/proc/{pid}/status").read_text()
            numbers = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
            if int(numbers[-1]) == inside:
                return pid
        raise AssertionError("the shim is not there")

    def topics(self) -> list[str]:
        """The events so far."""
        return [topic for topic, _ in self.events]

    def end(self) -> None:
        """Take everything away, once; nothing may have gone wrong in our own loop."""
        if self._ended:
            return
        self._ended = True
        with contextlib.suppress(RefusedError):
            self.tell("Kill", task.KillRequest(self.bundle.id, signal=9, all=True))
            self.ended()
            self.delete()
        with contextlib.suppress(RefusedError):
            self.tell("Shutdown", task.ShutdownRequest(self.bundle.id, now=True))
        assert host.eventually(lambda: not os.path.exists(f"/proc/{self._first}/root{self.path}"), PATIENCE)
        self._server.close()
        self._client.connection.close()
        self.loop.close()
        assert self.errors == []


@contextlib.contextmanager
def box() -> Iterator[int]:
    """A pid and a mount namespace with a /run of its own; gives the pid of the first process."""
    words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", BOX]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as holder:
        try:
            children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children")
            assert host.eventually(lambda: children.read_text().split(), PATIENCE)
            first = int(children.read_text())
            assert host.eventually(lambda: Path(f"/proc/{first}/root/run/up").exists(), PATIENCE)
            yield first
        finally:
            holder.kill()


@contextlib.contextmanager
def serving(bundle: Bundle, *flags: str, boxed: bool = True) -> Iterator[Shim]:
    """A shim for a bundle, started with these flags."""
    with box() if boxed else contextlib.nullcontext(os.getpid()) as first:
        shim = Shim(bundle, first, *flags)
        try:
            yield shim
        finally:
            shim.end()
