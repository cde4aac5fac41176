"""Made of events.proto by `make protos`: do not edit."""

from __future__ import annotations

from pyrunc.shim.codec import Message
from pyrunc.shim.protos.types import Any, Mount, Timestamp


class Envelope(Message):
    """containerd.events.Envelope."""

    timestamp: Timestamp | None = None
    namespace: str = ""
    topic: str = ""
    event: Any | None = None

    _wire = (
        (1, "timestamp", Timestamp, ""),
        (2, "namespace", "str", ""),
        (3, "topic", "str", ""),
        (4, "event", Any, ""),
    )


class ForwardRequest(Message):
    """containerd.events.ForwardRequest."""

    envelope: Envelope | None = None

    _wire = (
        (1, "envelope", Envelope, ""),
    )


class TaskIO(Message):
    """containerd.events.TaskIO."""

    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    terminal: bool = False

    _wire = (
        (1, "stdin", "str", ""),
        (2, "stdout", "str", ""),
        (3, "stderr", "str", ""),
        (4, "terminal", "bool", ""),
    )


class TaskCreate(Message):
    """containerd.events.TaskCreate."""

    container_id: str = ""
    bundle: str = ""
    rootfs: tuple[Mount, ...] = ()
    io: TaskIO | None = None
    checkpoint: str = ""
    pid: int = 0

    _wire = (
        (1, "container_id", "str", ""),
        (2, "bundle", "str", ""),
        (3, "rootfs", Mount, "list"),
        (4, "io", TaskIO, ""),
        (5, "checkpoint", "str", ""),
        (6, "pid", "uint", ""),
    )


class TaskStart(Message):
    """containerd.events.TaskStart."""

    container_id: str = ""
    pid: int = 0

    _wire = (
        (1, "container_id", "str", ""),
        (2, "pid", "uint", ""),
    )


class TaskDelete(Message):
    """containerd.events.TaskDelete."""

    container_id: str = ""
    pid: int = 0
    exit_status: int = 0
    exited_at: Timestamp | None = None
    id: str = ""

    _wire = (
        (1, "container_id", "str", ""),
        (2, "pid", "uint", ""),
        (3, "exit_status", "uint", ""),
        (4, "exited_at", Timestamp, ""),
        (5, "id", "str", ""),
    )


class TaskExit(Message):
    """containerd.events.TaskExit."""

    container_id: str = ""
    id: str = ""
    pid: int = 0
    exit_status: int = 0
    exited_at: Timestamp | None = None

    _wire = (
        (1, "container_id", "str", ""),
        (2, "id", "str", ""),
        (3, "pid", "uint", ""),
        (4, "exit_status", "uint", ""),
        (5, "exited_at", Timestamp, ""),
    )


class TaskOOM(Message):
    """containerd.events.TaskOOM."""

    container_id: str = ""

    _wire = (
        (1, "container_id", "str", ""),
    )


class TaskExecAdded(Message):
    """containerd.events.TaskExecAdded."""

    container_id: str = ""
    exec_id: str = ""

    _wire = (
        (1, "container_id", "str", ""),
        (2, "exec_id", "str", ""),
    )


class TaskExecStarted(Message):
    """containerd.events.TaskExecStarted."""

    container_id: str = ""
    exec_id: str = ""
    pid: int = 0

    _wire = (
        (1, "container_id", "str", ""),
        (2, "exec_id", "str", ""),
        (3, "pid", "uint", ""),
    )


class TaskPaused(Message):
    """containerd.events.TaskPaused."""

    container_id: str = ""

    _wire = (
        (1, "container_id", "str", ""),
    )


class TaskResumed(Message):
    """containerd.events.TaskResumed."""

    container_id: str = ""

    _wire = (
        (1, "container_id", "str", ""),
    )


class TaskCheckpointed(Message):
    """containerd.events.TaskCheckpointed."""

    container_id: str = ""
    checkpoint: str = ""

    _wire = (
        (1, "container_id", "str", ""),
        (2, "checkpoint", "str", ""),
    )
