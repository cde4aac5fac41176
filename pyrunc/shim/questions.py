"""The calls of the task service that ask for something, or are about a process's streams."""

from __future__ import annotations

import posix

from pyrunc.host.ps import processes
from pyrunc.host.stats import running_state, stats
from pyrunc.kernel.terminal import set_size
from pyrunc.shim.codec import encode
from pyrunc.shim.events import wrap
from pyrunc.shim.metrics import metrics
from pyrunc.shim.protos import task
from pyrunc.shim.protos.options import ProcessDetails
from pyrunc.state.store import open_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.shim.calls import Methods
    from pyrunc.shim.task import Tasks
    from pyrunc.shim.ttrpc import Call


class Questions:
    """Answers about the containers of a shim."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def methods(self) -> Methods:
        """Return the methods, each with its request."""
        return {
            "State": (task.StateRequest, self.state),
            "Pids": (task.PidsRequest, self.pids),
            "Stats": (task.StatsRequest, self.stats),
            "Connect": (task.ConnectRequest, self.connect),
            "Wait": (task.WaitRequest, self.wait),
            "ResizePty": (task.ResizePtyRequest, self.resize),
            "CloseIO": (task.CloseIORequest, self.close_input),
        }

    def state(self, call: Call, request: task.StateRequest) -> None:
        """Answer what a process is doing."""
        container, process = self._tasks.find(request.id, request.exec_id)
        call.reply(encode(container.state(process)))

    def pids(self, call: Call, request: task.PidsRequest) -> None:
        """Answer with all processes, and which of them are programs that Exec has started."""
        container, _ = self._tasks.find(request.id)
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
        container, _ = self._tasks.find(request.id)
        with open_entry(container.root, container.id) as entry:
            counted = stats(running_state(entry))
        call.reply(encode(task.StatsResponse(metrics(counted))))

    def connect(self, call: Call, request: task.ConnectRequest) -> None:
        """Answer who we are."""
        container = self._tasks.containers.get(request.id)
        call.reply(encode(task.ConnectResponse(posix.getpid(), container.init.pid if container else 0)))

    def wait(self, call: Call, request: task.WaitRequest) -> None:
        """Answer once the process has ended."""
        _, process = self._tasks.find(request.id, request.exec_id)
        process.wait(lambda ended: call.reply(encode(task.WaitResponse(ended.status, process.exited_at()))))

    def resize(self, call: Call, request: task.ResizePtyRequest) -> None:
        """Set the size of a terminal; a process without one has none to set."""
        _, process = self._tasks.find(request.id, request.exec_id)
        if process.stdio.console >= 0:
            set_size(process.stdio.console, request.height, request.width)
        call.reply()

    def close_input(self, call: Call, request: task.CloseIORequest) -> None:
        """Let a program see the end of its input."""
        _, process = self._tasks.find(request.id, request.exec_id)
        if request.stdin:
            process.stdio.close_input()
        call.reply()
