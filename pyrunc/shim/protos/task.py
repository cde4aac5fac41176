"""Made of task.proto by `make protos`: do not edit."""

from __future__ import annotations

from pyrunc.shim.codec import Message
from pyrunc.shim.protos.types import Any, Mount, Timestamp


class CreateTaskRequest(Message):
    """containerd.task.CreateTaskRequest."""

    id: str = ""
    bundle: str = ""
    rootfs: tuple[Mount, ...] = ()
    terminal: bool = False
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    checkpoint: str = ""
    parent_checkpoint: str = ""
    options: Any | None = None

    _wire = (
        (1, "id", "str", ""),
        (2, "bundle", "str", ""),
        (3, "rootfs", Mount, "list"),
        (4, "terminal", "bool", ""),
        (5, "stdin", "str", ""),
        (6, "stdout", "str", ""),
        (7, "stderr", "str", ""),
        (8, "checkpoint", "str", ""),
        (9, "parent_checkpoint", "str", ""),
        (10, "options", Any, ""),
    )


class CreateTaskResponse(Message):
    """containerd.task.CreateTaskResponse."""

    pid: int = 0

    _wire = (
        (1, "pid", "uint", ""),
    )


class DeleteRequest(Message):
    """containerd.task.DeleteRequest."""

    id: str = ""
    exec_id: str = ""

    _wire = (
        (1, "id", "str", ""),
        (2, "exec_id", "str", ""),
    )


class DeleteResponse(Message):
    """containerd.task.DeleteResponse."""

    pid: int = 0
    exit_status: int = 0
    exited_at: Timestamp | None = None

    _wire = (
        (1, "pid", "uint", ""),
        (2, "exit_status", "uint", ""),
        (3, "exited_at", Timestamp, ""),
    )


class ExecProcessRequest(Message):
    """containerd.task.ExecProcessRequest."""

    id: str = ""
    exec_id: str = ""
    terminal: bool = False
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    spec: Any | None = None

    _wire = (
        (1, "id", "str", ""),
        (2, "exec_id", "str", ""),
        (3, "terminal", "bool", ""),
        (4, "stdin", "str", ""),
        (5, "stdout", "str", ""),
        (6, "stderr", "str", ""),
        (7, "spec", Any, ""),
    )


class ResizePtyRequest(Message):
    """containerd.task.ResizePtyRequest."""

    id: str = ""
    exec_id: str = ""
    width: int = 0
    height: int = 0

    _wire = (
        (1, "id", "str", ""),
        (2, "exec_id", "str", ""),
        (3, "width", "uint", ""),
        (4, "height", "uint", ""),
    )


class StateRequest(Message):
    """containerd.task.StateRequest."""

    id: str = ""
    exec_id: str = ""

    _wire = (
        (1, "id", "str", ""),
        (2, "exec_id", "str", ""),
    )


class StateResponse(Message):
    """containerd.task.StateResponse."""

    id: str = ""
    bundle: str = ""
    pid: int = 0
    status: int = 0
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    terminal: bool = False
    exit_status: int = 0
    exited_at: Timestamp | None = None
    exec_id: str = ""

    _wire = (
        (1, "id", "str", ""),
        (2, "bundle", "str", ""),
        (3, "pid", "uint", ""),
        (4, "status", "uint", ""),
        (5, "stdin", "str", ""),
        (6, "stdout", "str", ""),
        (7, "stderr", "str", ""),
        (8, "terminal", "bool", ""),
        (9, "exit_status", "uint", ""),
        (10, "exited_at", Timestamp, ""),
        (11, "exec_id", "str", ""),
    )


class KillRequest(Message):
    """containerd.task.KillRequest."""

    id: str = ""
    exec_id: str = ""
    signal: int = 0
    all: bool = False

    _wire = (
        (1, "id", "str", ""),
        (2, "exec_id", "str", ""),
        (3, "signal", "uint", ""),
        (4, "all", "bool", ""),
    )


class CloseIORequest(Message):
    """containerd.task.CloseIORequest."""

    id: str = ""
    exec_id: str = ""
    stdin: bool = False

    _wire = (
        (1, "id", "str", ""),
        (2, "exec_id", "str", ""),
        (3, "stdin", "bool", ""),
    )


class PidsRequest(Message):
    """containerd.task.PidsRequest."""

    id: str = ""

    _wire = (
        (1, "id", "str", ""),
    )


class ProcessInfo(Message):
    """containerd.task.ProcessInfo."""

    pid: int = 0
    info: Any | None = None

    _wire = (
        (1, "pid", "uint", ""),
        (2, "info", Any, ""),
    )


class PidsResponse(Message):
    """containerd.task.PidsResponse."""

    processes: tuple[ProcessInfo, ...] = ()

    _wire = (
        (1, "processes", ProcessInfo, "list"),
    )


class CheckpointTaskRequest(Message):
    """containerd.task.CheckpointTaskRequest."""

    id: str = ""
    path: str = ""
    options: Any | None = None

    _wire = (
        (1, "id", "str", ""),
        (2, "path", "str", ""),
        (3, "options", Any, ""),
    )


class UpdateTaskRequest(Message):
    """containerd.task.UpdateTaskRequest."""

    id: str = ""
    resources: Any | None = None
    annotations: dict[str, str] = {}

    _wire = (
        (1, "id", "str", ""),
        (2, "resources", Any, ""),
        (3, "annotations", "str", "map"),
    )


class StartRequest(Message):
    """containerd.task.StartRequest."""

    id: str = ""
    exec_id: str = ""

    _wire = (
        (1, "id", "str", ""),
        (2, "exec_id", "str", ""),
    )


class StartResponse(Message):
    """containerd.task.StartResponse."""

    pid: int = 0

    _wire = (
        (1, "pid", "uint", ""),
    )


class WaitRequest(Message):
    """containerd.task.WaitRequest."""

    id: str = ""
    exec_id: str = ""

    _wire = (
        (1, "id", "str", ""),
        (2, "exec_id", "str", ""),
    )


class WaitResponse(Message):
    """containerd.task.WaitResponse."""

    exit_status: int = 0
    exited_at: Timestamp | None = None

    _wire = (
        (1, "exit_status", "uint", ""),
        (2, "exited_at", Timestamp, ""),
    )


class StatsRequest(Message):
    """containerd.task.StatsRequest."""

    id: str = ""

    _wire = (
        (1, "id", "str", ""),
    )


class StatsResponse(Message):
    """containerd.task.StatsResponse."""

    stats: Any | None = None

    _wire = (
        (1, "stats", Any, ""),
    )


class ConnectRequest(Message):
    """containerd.task.ConnectRequest."""

    id: str = ""

    _wire = (
        (1, "id", "str", ""),
    )


class ConnectResponse(Message):
    """containerd.task.ConnectResponse."""

    shim_pid: int = 0
    task_pid: int = 0
    version: str = ""

    _wire = (
        (1, "shim_pid", "uint", ""),
        (2, "task_pid", "uint", ""),
        (3, "version", "str", ""),
    )


class ShutdownRequest(Message):
    """containerd.task.ShutdownRequest."""

    id: str = ""
    now: bool = False

    _wire = (
        (1, "id", "str", ""),
        (2, "now", "bool", ""),
    )


class PauseRequest(Message):
    """containerd.task.PauseRequest."""

    id: str = ""

    _wire = (
        (1, "id", "str", ""),
    )


class ResumeRequest(Message):
    """containerd.task.ResumeRequest."""

    id: str = ""

    _wire = (
        (1, "id", "str", ""),
    )
