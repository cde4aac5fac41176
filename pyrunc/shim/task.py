"""A container and its processes as containerd sees them: what it is told when it asks, and what it has to be told."""

from __future__ import annotations

from pyrunc.record import Record
from pyrunc.shim import ttrpc
from pyrunc.shim.calls import Refusal
from pyrunc.shim.events import timestamp
from pyrunc.shim.protos.options import Options
from pyrunc.shim.protos.task import StateResponse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.cgroups.oom import OomWatch
    from pyrunc.shim.protos.types import Mount, Timestamp
    from pyrunc.shim.stdio import Stdio

CREATED, RUNNING, STOPPED, PAUSED = 1, 2, 3, 4
"""Status of a task (containerd.v1.types.Status)."""


class Exit(Record):
    """How a process ended: its exit code, 128 + n for signal n, and when, in nanoseconds since 1970."""

    status: int
    at: int


class Process:
    """The init of a container, whose `exec_id` is "", or a program that was run in it."""

    def __init__(self, exec_id: str, stdio: Stdio, spec: str = "") -> None:
        self.exec_id = exec_id
        self.stdio = stdio
        self.spec = spec
        self.pid = 0
        self.exit: Exit | None = None
        self.starting = False
        self.started = False
        self._waiters: list[Callable[[Exit], None]] = []

    def wait(self, act: Callable[[Exit], None]) -> None:
        """Call `act` when it has ended, or now."""
        if self.exit is not None:
            act(self.exit)
        else:
            self._waiters.append(act)

    def end(self, ended: Exit) -> None:
        """Note that it has ended."""
        self.exit = ended
        self.stdio.end()
        waiters, self._waiters = self._waiters, []
        for act in waiters:
            act(ended)

    def exited_at(self) -> Timestamp | None:
        """Return when it ended, as messages have it."""
        return timestamp(self.exit.at) if self.exit else None


class Container:
    """A container of the shim; `root` is where its state is, and `checkpoint` what it is to be restored from."""

    def __init__(
        self, container_id: str, bundle: str, root: str, options: Options, init: Process, mounts: tuple[Mount, ...]
    ) -> None:
        self.id = container_id
        self.bundle = bundle
        self.root = root
        self.options = options
        self.init = init
        self.mounts = mounts
        self.checkpoint = ""
        self.paused = False
        self.private_pids = True
        self.cgroups: tuple[str, ...] = ()
        self.made: tuple[str, ...] = ()
        self.execs: dict[str, Process] = {}
        self.oom: OomWatch | None = None

    @property
    def rootfs(self) -> str:
        """Where containerd wants the root file system mounted."""
        return f"{self.bundle}/rootfs"

    def process(self, exec_id: str) -> Process | None:
        """Return the init, or the program of that id."""
        return self.execs.get(exec_id) if exec_id else self.init

    def status(self, process: Process) -> int:
        """Return a process's status."""
        if process.exit is not None:
            return STOPPED
        if not process.started:
            return CREATED
        return PAUSED if self.paused else RUNNING

    def state(self, process: Process) -> StateResponse:
        """Return all that containerd may ask of a process."""
        places = process.stdio.places
        return StateResponse(
            id=self.id,
            bundle=self.bundle,
            pid=process.pid,
            status=self.status(process),
            stdin=places.stdin,
            stdout=places.stdout,
            stderr=places.stderr,
            terminal=places.terminal,
            exit_status=process.exit.status if process.exit else 0,
            exited_at=process.exited_at(),
            exec_id=process.exec_id,
        )


class Tasks:
    """All containers of a shim, by their ids, in one of containerd's namespaces."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.containers: dict[str, Container] = {}

    def find(self, container_id: str, exec_id: str = "") -> tuple[Container, Process]:
        """Return a container and one of its processes. Raises Refusal."""
        container = self.containers.get(container_id)
        process = container.process(exec_id) if container else None
        if container is None or process is None:
            what = f"process {exec_id}" if container and exec_id else f"task {container_id}"
            raise Refusal(ttrpc.NOT_FOUND, f"{what} does not exist: not found")
        return container, process
