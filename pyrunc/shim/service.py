"""The task service (containerd.task.v2 and v3): what each call does to the containers of this shim."""

from __future__ import annotations

import posix
import time

from pyrunc.cgroups.oom import watch_oom
from pyrunc.errors import ConfigError, ExistsError, NotFoundError, PyruncError, StatusError
from pyrunc.host.kill import kill
from pyrunc.host.ps import processes
from pyrunc.host.stats import running_state, stats
from pyrunc.kernel.processes import exit_status
from pyrunc.kernel.terminal import set_size
from pyrunc.shim import ttrpc
from pyrunc.shim.codec import Message, decode, encode
from pyrunc.shim.events import wrap
from pyrunc.shim.metrics import metrics
from pyrunc.shim.protos import events, task
from pyrunc.shim.protos.options import CheckpointOptions, Options, ProcessDetails
from pyrunc.shim.stdio import Places, Stdio
from pyrunc.shim.task import Container, Exit, Process
from pyrunc.state.store import open_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.shim.events import Publisher
    from pyrunc.shim.jobs import Jobs
    from pyrunc.shim.loop import Loop
    from pyrunc.shim.protos.types import Any
    from pyrunc.shim.ttrpc import Call, Handler
    from pyrunc.shim.work import Result, Workers

    from typing import TypeVar

    M = TypeVar("M", bound=Message)

NAMES = ("containerd.task.v2.Task", "containerd.task.v3.Task")
ROOT = "/run/containerd/pyrunc"
"""Where the state of containers is, one directory for each of containerd's namespaces, unless an option says where."""

_CODES: tuple[tuple[type[PyruncError], int], ...] = (
    (NotFoundError, ttrpc.NOT_FOUND),
    (ExistsError, ttrpc.ALREADY_EXISTS),
    (StatusError, ttrpc.FAILED_PRECONDITION),
    (ConfigError, ttrpc.INVALID_ARGUMENT),
)


class Refusal(Exception):  # noqa: N818 - a verdict on a call, which is answered with it
    """Why a call is refused, and the code of it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Service:
    """All containers of a shim, and the calls about them."""

    def __init__(
        self,
        loop: Loop,
        workers: Workers,
        jobs: Jobs,
        publisher: Publisher,
        namespace: str,
        shutdown: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._workers = workers
        self._jobs = jobs
        self._publisher = publisher
        self._namespace = namespace
        self._shutdown = shutdown
        self._containers: dict[str, Container] = {}

    def handlers(self, trace: Callable[[str], None] | None = None) -> dict[str, Handler]:
        """Return a handler for each method; `trace` hears of each call, its code and how long it took."""
        found: dict[str, Handler] = {}
        for method, (request, act) in self._methods().items():
            found[method] = _handler(request, act, trace)
        return found

    def _methods(self) -> dict[str, tuple[type[Message], Callable[[Call, Any], None]]]:
        return {
            "State": (task.StateRequest, self.state),
            "Create": (task.CreateTaskRequest, self.create),
            "Start": (task.StartRequest, self.start),
            "Delete": (task.DeleteRequest, self.delete),
            "Pids": (task.PidsRequest, self.pids),
            "Pause": (task.PauseRequest, self.pause),
            "Resume": (task.ResumeRequest, self.resume),
            "Checkpoint": (task.CheckpointTaskRequest, self.checkpoint),
            "Kill": (task.KillRequest, self.kill),
            "Exec": (task.ExecProcessRequest, self.exec),
            "ResizePty": (task.ResizePtyRequest, self.resize),
            "CloseIO": (task.CloseIORequest, self.close_input),
            "Update": (task.UpdateTaskRequest, self.update),
            "Wait": (task.WaitRequest, self.wait),
            "Stats": (task.StatsRequest, self.stats),
            "Connect": (task.ConnectRequest, self.connect),
            "Shutdown": (task.ShutdownRequest, self.shutdown),
        }

    # life

    def create(self, call: Call, request: task.CreateTaskRequest) -> None:
        """Create a container; one that is to be restored only gets its root."""
        if request.id in self._containers:
            raise Refusal(ttrpc.ALREADY_EXISTS, f"task {request.id} already exists")
        options = _unwrap(Options, request.options)
        places = Places(request.stdin, request.stdout, request.stderr, request.terminal)
        init = Process("", Stdio(self._loop, places, (options.io_uid, options.io_gid)))
        root = f"{(options.root or ROOT).rstrip('/')}/{self._namespace}"
        container = Container(request.id, request.bundle, root, options, init, request.rootfs)
        container.checkpoint = request.checkpoint
        self._containers[request.id] = container

        def done(result: Result) -> None:
            if not container.checkpoint:
                self._adopt(container, init, result)
            told = events.TaskIO(*init.stdio.places.__dict__.values())
            self._publisher.publish(
                "create",
                events.TaskCreate(request.id, request.bundle, request.rootfs, told, request.checkpoint, init.pid),
            )
            call.reply(encode(task.CreateTaskResponse(init.pid)))

        def failed(err: PyruncError) -> None:
            del self._containers[request.id]
            init.stdio.close()
            _refuse(call, err, "create")

        self._workers.run(lambda: self._jobs.create(container), done, failed, init.stdio.streams())

    def _adopt(self, container: Container, process: Process, result: Result) -> None:
        """Take over what a fork has made: a process that is our child now, and its terminal."""
        facts: dict[str, Any] = dict(result.facts)
        process.pid = facts["pid"]
        if process is container.init:
            container.private_pids = facts["private_pids"]
            container.cgroups, container.made = tuple(facts["cgroups"]), tuple(facts["made"])
        process.stdio.attach(*result.fds)
        self._loop.on_end(process.pid, lambda status: self._ended(container, process, status))

    def start(self, call: Call, request: task.StartRequest) -> None:
        """Run the program of a container, or one that Exec has told of."""
        container, process = self._find(request.id, request.exec_id)
        if process.started or process.exit is not None:
            raise Refusal(ttrpc.FAILED_PRECONDITION, "cannot start a process that was started before")
        process.starting = True
        is_init = process is container.init

        def done(result: Result) -> None:
            process.started = True
            if result.facts:
                self._adopt(container, process, result)
            if is_init:
                self._watch_memory(container)
                self._publisher.publish("start", events.TaskStart(container.id, process.pid))
            else:
                told = events.TaskExecStarted(container.id, process.exec_id, process.pid)
                self._publisher.publish("exec-started", told)
            call.reply(encode(task.StartResponse(process.pid)))
            self._settle(container, process)

        def failed(err: PyruncError) -> None:
            if not process.pid:
                process.end(Exit(255, time.time_ns()))
            _refuse(call, err, "start" if is_init else "exec")
            self._settle(container, process)

        if is_init:
            job = lambda: self._jobs.start(container)  # noqa: E731 - one of two
        else:
            job = lambda: self._jobs.exec(container, process)  # noqa: E731
        streams = process.stdio.streams() if not is_init or container.checkpoint else ()
        self._workers.run(job, done, failed, streams)

    def _settle(self, container: Container, process: Process) -> None:
        """A start is answered: now its end may be told, if it has ended meanwhile."""
        process.starting = False
        if process.exit is not None and process.pid:
            self._publish_exit(container, process, process.exit)

    def _ended(self, container: Container, process: Process, status: int) -> None:
        ended = Exit(exit_status(status), time.time_ns())
        if process is container.init:
            self._hear_of_memory(container)
            if not container.private_pids:
                self._workers.run(lambda: self._jobs.kill_rest(container), lambda _: None, lambda _: None)
        process.end(ended)
        if not process.starting:
            self._publish_exit(container, process, ended)

    def _publish_exit(self, container: Container, process: Process, ended: Exit) -> None:
        told = events.TaskExit(
            container.id, process.exec_id or container.id, process.pid, ended.status, process.exited_at()
        )
        self._publisher.publish("exit", told)

    def delete(self, call: Call, request: task.DeleteRequest) -> None:
        """Remove a container that has ended, or was never started, or one of its programs."""
        container, process = self._find(request.id, request.exec_id)
        if process.exit is None and (process.started or process.starting):
            raise Refusal(ttrpc.FAILED_PRECONDITION, "cannot delete a process that runs")
        if process is not container.init:
            del container.execs[process.exec_id]
            process.stdio.close()
            call.reply(encode(_deleted(process)))
            return

        def done(_: Result) -> None:
            if self._containers.pop(container.id, None) is None:
                raise Refusal(ttrpc.NOT_FOUND, f"task {container.id} does not exist")
            self._forget(container)
            if process.exit is None and process.pid:
                process.wait(lambda _: answer())  # it was killed just now
            else:
                answer()

        def answer() -> None:
            ended = process.exit or Exit(0, time.time_ns())
            self._publisher.publish(
                "delete", events.TaskDelete(container.id, process.pid, ended.status, process.exited_at())
            )
            call.reply(encode(_deleted(process)))

        self._workers.run(lambda: self._jobs.delete(container), done, lambda err: _refuse(call, err, "delete"))

    def _forget(self, container: Container) -> None:
        if container.oom is not None:
            self._loop.forget(container.oom.fd)
            container.oom.close()
            container.oom = None
        for process in (container.init, *container.execs.values()):
            process.stdio.close()

    def shutdown(self, call: Call, request: task.ShutdownRequest) -> None:
        """End the shim, unless it still has containers."""
        call.reply()
        if not self._containers or request.now:
            self._shutdown()

    # programs

    def exec(self, call: Call, request: task.ExecProcessRequest) -> None:
        """Note a program that is to be started."""
        container, _ = self._find(request.id)
        if request.exec_id in container.execs:
            raise Refusal(ttrpc.ALREADY_EXISTS, f"program {request.exec_id} already exists")
        places = Places(request.stdin, request.stdout, request.stderr, request.terminal)
        spec = request.spec.value.decode() if request.spec else ""
        owner = (container.options.io_uid, container.options.io_gid)
        container.execs[request.exec_id] = Process(request.exec_id, Stdio(self._loop, places, owner), spec)
        self._publisher.publish("exec-added", events.TaskExecAdded(container.id, request.exec_id))
        call.reply()

    def kill(self, call: Call, request: task.KillRequest) -> None:
        """Send a signal to one process, or to all of the container."""
        container, process = self._find(request.id, request.exec_id)
        if process.exit is not None and not request.all:
            raise Refusal(ttrpc.NOT_FOUND, "process already finished")
        if not process.pid:
            raise Refusal(ttrpc.FAILED_PRECONDITION, "process not created")
        if process is not container.init:
            posix.kill(process.pid, request.signal)  # our child: its pid is nobody else's before we have waited for it
        else:
            try:
                with open_entry(container.root, container.id) as entry:
                    kill(entry, request.signal, request.all)
            except StatusError as err:
                raise Refusal(ttrpc.NOT_FOUND, f"process already finished: {err}") from err
        call.reply()

    def wait(self, call: Call, request: task.WaitRequest) -> None:
        """Answer once the process has ended."""
        _, process = self._find(request.id, request.exec_id)
        process.wait(lambda ended: call.reply(encode(task.WaitResponse(ended.status, process.exited_at()))))

    def resize(self, call: Call, request: task.ResizePtyRequest) -> None:
        """Set the size of a terminal; a process without one has none to set."""
        _, process = self._find(request.id, request.exec_id)
        if process.stdio.console >= 0:
            set_size(process.stdio.console, request.height, request.width)
        call.reply()

    def close_input(self, call: Call, request: task.CloseIORequest) -> None:
        """Let a program see the end of its input."""
        _, process = self._find(request.id, request.exec_id)
        if request.stdin:
            process.stdio.close_input()
        call.reply()

    # the container

    def pause(self, call: Call, request: task.PauseRequest) -> None:
        """Freeze it."""
        container, _ = self._find(request.id)

        def done(_: Result) -> None:
            container.paused = True
            self._publisher.publish("paused", events.TaskPaused(container.id))
            call.reply()

        self._workers.run(lambda: self._jobs.pause(container), done, lambda err: _refuse(call, err, "pause"))

    def resume(self, call: Call, request: task.ResumeRequest) -> None:
        """Let it go on."""
        container, _ = self._find(request.id)

        def done(_: Result) -> None:
            container.paused = False
            self._publisher.publish("resumed", events.TaskResumed(container.id))
            call.reply()

        self._workers.run(lambda: self._jobs.resume(container), done, lambda err: _refuse(call, err, "resume"))

    def update(self, call: Call, request: task.UpdateTaskRequest) -> None:
        """Change its limits: LinuxResources of config.json, as JSON."""
        container, _ = self._find(request.id)
        resources = request.resources.value.decode() if request.resources else "{}"
        self._workers.run(
            lambda: self._jobs.update(container, resources),
            lambda _: call.reply(),
            lambda err: _refuse(call, err, "update"),
        )

    def checkpoint(self, call: Call, request: task.CheckpointTaskRequest) -> None:
        """Save it to a directory."""
        container, _ = self._find(request.id)
        options = _unwrap(CheckpointOptions, request.options)

        def done(_: Result) -> None:
            self._publisher.publish("checkpointed", events.TaskCheckpointed(container.id, request.path))
            call.reply()

        self._workers.run(
            lambda: self._jobs.checkpoint(container, request.path, options),
            done,
            lambda err: _refuse(call, err, "checkpoint"),
        )

    # questions

    def state(self, call: Call, request: task.StateRequest) -> None:
        """Answer what a process is doing."""
        container, process = self._find(request.id, request.exec_id)
        call.reply(encode(container.state(process)))

    def pids(self, call: Call, request: task.PidsRequest) -> None:
        """Answer with all processes, and which of them are programs that Exec has started."""
        container, _ = self._find(request.id)
        with open_entry(container.root, container.id) as entry:
            pids = processes(entry)
        ids = {process.pid: exec_id for exec_id, process in container.execs.items()}
        found = tuple(
            task.ProcessInfo(
                pid, wrap(ProcessDetails(ids[pid]), "containerd.runc.v1.ProcessDetails") if pid in ids else None
            )
            for pid in pids
        )
        call.reply(encode(task.PidsResponse(found)))

    def stats(self, call: Call, request: task.StatsRequest) -> None:
        """Answer with what was counted."""
        container, _ = self._find(request.id)
        with open_entry(container.root, container.id) as entry:
            counted = stats(running_state(entry))
        call.reply(encode(task.StatsResponse(metrics(counted))))

    def connect(self, call: Call, request: task.ConnectRequest) -> None:
        """Answer who we are."""
        container = self._containers.get(request.id)
        call.reply(encode(task.ConnectResponse(posix.getpid(), container.init.pid if container else 0)))

    def _find(self, container_id: str, exec_id: str = "") -> tuple[Container, Process]:
        container = self._containers.get(container_id)
        process = container.process(exec_id) if container else None
        if container is None or process is None:
            what = f"process {exec_id}" if container and exec_id else f"task {container_id}"
            raise Refusal(ttrpc.NOT_FOUND, f"{what} does not exist: not found")
        return container, process

    # memory

    def _watch_memory(self, container: Container) -> None:
        try:
            container.oom = watch_oom(container.cgroups) if container.cgroups else None
        except PyruncError:
            return  # it has ended already, and its cgroup is gone
        if container.oom is not None:
            self._loop.watch(container.oom.fd, container.oom.events, lambda _: self._hear_of_memory(container))

    def _hear_of_memory(self, container: Container) -> None:
        for _ in range(container.oom.news() if container.oom is not None else 0):
            self._publisher.publish("oom", events.TaskOOM(container.id))


def _handler(
    request: type[Message], act: Callable[[Call, Any], None], trace: Callable[[str], None] | None
) -> Handler:
    def handle(call: Call) -> None:
        begin = time.monotonic()
        if trace is not None:
            call.on_answer(lambda code: trace(f"{call.method}: {code} ({(time.monotonic() - begin) * 1000:.1f} ms)"))
        try:
            act(call, decode(request, call.payload))
        except Refusal as err:
            call.fail(err.code, str(err))
        except PyruncError as err:
            _refuse(call, err, call.method.lower())
        except ValueError as err:
            call.fail(ttrpc.INVALID_ARGUMENT, f"{call.method}: {err}")
        except OSError as err:
            call.fail(ttrpc.INTERNAL, f"{call.method}: {err}")

    return handle


def _refuse(call: Call, err: PyruncError, what: str) -> None:
    """Answer with an error of ours, in the words that engines look for."""
    code = next((code for kind, code in _CODES if isinstance(err, kind)), ttrpc.UNKNOWN)
    call.fail(code, f"OCI runtime {what} failed: {err}")


def _deleted(process: Process) -> task.DeleteResponse:
    return task.DeleteResponse(process.pid, process.exit.status if process.exit else 0, process.exited_at())


def _unwrap(cls: type[M], packed: Any | None) -> M:
    return decode(cls, packed.value) if packed else cls()
