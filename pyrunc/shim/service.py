"""The calls of the task service (containerd.task.v2 and v3) that change something."""

from __future__ import annotations

import posix
import time

from pyrunc.cgroups.oom import watch_oom
from pyrunc.errors import PyruncError, StatusError, reason
from pyrunc.host.kill import kill
from pyrunc.kernel.processes import exit_status
from pyrunc.shim import ttrpc
from pyrunc.shim.calls import Refusal, refuse
from pyrunc.shim.codec import decode, encode
from pyrunc.shim.options import images_of, options_of
from pyrunc.shim.protos import events, task
from pyrunc.shim.protos.options import CheckpointOptions
from pyrunc.shim.stdio import Places, Stdio
from pyrunc.shim.task import Container, Exit, Process
from pyrunc.shim.turns import Turns
from pyrunc.state.store import open_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrunc.shim.calls import Methods
    from pyrunc.shim.events import Publisher
    from pyrunc.shim.jobs import Jobs
    from pyrunc.shim.loop import Loop
    from pyrunc.shim.task import Tasks
    from pyrunc.shim.ttrpc import Call
    from pyrunc.shim.work import Result, Workers

ROOT = "/run/containerd/pyrunc"
"""Where the state of containers is, one directory for each of containerd's namespaces, unless an option says where."""
_NOT_STARTED = 255
_EXECS_AT_ONCE = 32
"""How many programs are being started at a time: each takes a fork of ours until it runs."""


class Service:
    """The calls that change something."""

    def __init__(
        self,
        loop: Loop,
        workers: Workers,
        jobs: Jobs,
        publisher: Publisher,
        tasks: Tasks,
        shutdown: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._workers = workers
        self._jobs = jobs
        self._publisher = publisher
        self._tasks = tasks
        self._shutdown = shutdown
        self._turns = Turns(_EXECS_AT_ONCE)

    def methods(self) -> Methods:
        """Return the methods that change something, each with its request."""
        return {
            "Create": (task.CreateTaskRequest, self.create),
            "Start": (task.StartRequest, self.start),
            "Delete": (task.DeleteRequest, self.delete),
            "Pause": (task.PauseRequest, self.pause),
            "Resume": (task.ResumeRequest, self.resume),
            "Checkpoint": (task.CheckpointTaskRequest, self.checkpoint),
            "Kill": (task.KillRequest, self.kill),
            "Exec": (task.ExecProcessRequest, self.exec),
            "Update": (task.UpdateTaskRequest, self.update),
            "Shutdown": (task.ShutdownRequest, self.shutdown),
        }

    # life

    def create(self, call: Call, request: task.CreateTaskRequest) -> None:
        """Create a container; one that is to be restored only gets its root."""
        if request.id in self._tasks.containers:
            raise Refusal(ttrpc.ALREADY_EXISTS, f"task {request.id} already exists")
        options = options_of(request.options)
        if options.shim_cgroup:
            from pyrunc.shim import place

            place.enter(options.shim_cgroup)
        places = Places(request.stdin, request.stdout, request.stderr, request.terminal)
        init = Process("", Stdio(self._loop, places, (options.io_uid, options.io_gid)))
        root = f"{(options.root or ROOT).rstrip('/')}/{self._tasks.namespace}"
        container = Container(request.id, request.bundle, root, options, init, request.rootfs)
        container.checkpoint = request.checkpoint
        self._tasks.containers[request.id] = container

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
            del self._tasks.containers[request.id]
            init.stdio.close()
            refuse(call, err, "create")

        self._workers.run(lambda: self._jobs.create(container), done, failed, init.stdio.streams())

    def _adopt(self, container: Container, process: Process, result: Result) -> None:
        """Take over what a fork has made: a process that is our child now, and its terminal."""
        facts: dict[str, Any] = result.facts
        process.pid = facts["pid"]
        if process is container.init:
            container.private_pids = facts["private_pids"]
            container.cgroups, container.made = tuple(facts["cgroups"]), tuple(facts["made"])
        process.stdio.attach(*result.fds)
        self._loop.on_end(process.pid, lambda status: self._ended(container, process, status))

    def start(self, call: Call, request: task.StartRequest) -> None:
        """Run the program of a container, or one that Exec has told of."""
        container, process = self._tasks.find(request.id, request.exec_id)
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
                process.end(Exit(_NOT_STARTED, time.time_ns()))
                process.stdio.close()  # clients wait for the end of output first
            refuse(call, err, "start" if is_init else "exec")
            self._settle(container, process)

        if is_init:
            streams = process.stdio.streams() if container.checkpoint else ()
            self._workers.run(lambda: self._jobs.start(container), done, failed, streams)
        else:
            self._turns.take(lambda: self._exec(call, container, process, done, failed))

    def _exec(
        self,
        call: Call,
        container: Container,
        process: Process,
        done: Callable[[Result], None],
        failed: Callable[[PyruncError], None],
    ) -> None:
        """Run a program when its turn has come; its container may be gone by then, or whoever has asked for it."""

        def end(act: Callable[[Any], None], value: Result | PyruncError) -> None:
            self._turns.give()
            act(value)

        if self._tasks.containers.get(container.id) is not container or call.answered:
            late = StatusError(f"the program {process.exec_id} has waited too long for its turn")
            self._loop.soon(lambda: end(failed, late))
            return
        job = lambda: self._jobs.exec(container, process)  # noqa: E731 - done in a fork
        done_then, failed_then = (lambda value, act=act: end(act, value) for act in (done, failed))
        try:
            self._workers.run(job, done_then, failed_then, process.stdio.streams())
        except OSError as err:
            end(failed, PyruncError(f"cannot start a process: {reason(err)}"))

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
        container, process = self._tasks.find(request.id, request.exec_id)
        if process.exit is None and (process.started or process.starting):
            raise Refusal(ttrpc.FAILED_PRECONDITION, "cannot delete a process that runs")
        if process is not container.init:
            del container.execs[process.exec_id]
            process.stdio.close()
            call.reply(encode(_deleted(process)))
            return

        def done(_: Result) -> None:
            if self._tasks.containers.pop(container.id, None) is None:
                call.fail(ttrpc.NOT_FOUND, f"task {container.id} was deleted by another call")
                return
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

        self._workers.run(lambda: self._jobs.delete(container), done, lambda err: refuse(call, err, "delete"))

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
        if not self._tasks.containers or request.now:
            self._shutdown()

    # programs

    def exec(self, call: Call, request: task.ExecProcessRequest) -> None:
        """Note a program that is to be started."""
        container, _ = self._tasks.find(request.id)
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
        container, process = self._tasks.find(request.id, request.exec_id)
        if process.exit is not None and not request.all:
            raise Refusal(ttrpc.NOT_FOUND, "process already finished")
        if not process.pid:
            raise Refusal(ttrpc.FAILED_PRECONDITION, "process not created")
        if process is not container.init:
            posix.kill(process.pid, request.signal)  # our child: its pid is nobody else's before we have waited for it
        elif request.all:
            job = lambda: self._jobs.kill_all(container, request.signal)  # noqa: E731 - it may take a while
            self._workers.run(job, lambda _: call.reply(), lambda err: refuse(call, err, "kill"))
            return
        else:
            try:
                with open_entry(container.root, container.id) as entry:
                    kill(entry, request.signal)
            except StatusError as err:
                raise Refusal(ttrpc.NOT_FOUND, f"process already finished: {err}") from err
        call.reply()

    # the container

    def pause(self, call: Call, request: task.PauseRequest) -> None:
        """Freeze it."""
        container, _ = self._tasks.find(request.id)

        def done(_: Result) -> None:
            container.paused = True
            self._publisher.publish("paused", events.TaskPaused(container.id))
            call.reply()

        self._workers.run(lambda: self._jobs.pause(container), done, lambda err: refuse(call, err, "pause"))

    def resume(self, call: Call, request: task.ResumeRequest) -> None:
        """Let it go on."""
        container, _ = self._tasks.find(request.id)

        def done(_: Result) -> None:
            container.paused = False
            self._publisher.publish("resumed", events.TaskResumed(container.id))
            call.reply()

        self._workers.run(lambda: self._jobs.resume(container), done, lambda err: refuse(call, err, "resume"))

    def update(self, call: Call, request: task.UpdateTaskRequest) -> None:
        """Change its limits: LinuxResources of config.json, as JSON."""
        container, _ = self._tasks.find(request.id)
        resources = request.resources.value.decode() if request.resources else "{}"
        self._workers.run(
            lambda: self._jobs.update(container, resources),
            lambda _: call.reply(),
            lambda err: refuse(call, err, "update"),
        )

    def checkpoint(self, call: Call, request: task.CheckpointTaskRequest) -> None:
        """Save it to a directory."""
        container, _ = self._tasks.find(request.id)
        asked = decode(CheckpointOptions, request.options.value) if request.options else CheckpointOptions()
        images = images_of(request.path, asked, container.options)

        def done(_: Result) -> None:
            self._publisher.publish("checkpointed", events.TaskCheckpointed(container.id, images.image_path))
            call.reply()

        self._workers.run(
            lambda: self._jobs.checkpoint(container, images, not asked.exit),
            done,
            lambda err: refuse(call, err, "checkpoint"),
        )

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


def _deleted(process: Process) -> task.DeleteResponse:
    return task.DeleteResponse(process.pid, process.exit.status if process.exit else 0, process.exited_at())
