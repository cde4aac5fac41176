"""Made of options.proto by `make protos`: do not edit."""

from __future__ import annotations

from pyrunc.shim.codec import Message
from pyrunc.shim.protos.types import Any


class Options(Message):
    """containerd.runc.v1.Options."""

    no_pivot_root: bool = False
    no_new_keyring: bool = False
    shim_cgroup: str = ""
    io_uid: int = 0
    io_gid: int = 0
    binary_name: str = ""
    root: str = ""
    criu_path: str = ""
    systemd_cgroup: bool = False
    criu_image_path: str = ""
    criu_work_path: str = ""

    _wire = (
        (1, "no_pivot_root", "bool", ""),
        (2, "no_new_keyring", "bool", ""),
        (3, "shim_cgroup", "str", ""),
        (4, "io_uid", "uint", ""),
        (5, "io_gid", "uint", ""),
        (6, "binary_name", "str", ""),
        (7, "root", "str", ""),
        (8, "criu_path", "str", ""),
        (9, "systemd_cgroup", "bool", ""),
        (10, "criu_image_path", "str", ""),
        (11, "criu_work_path", "str", ""),
    )


class CreateOptions(Message):
    """containerd.runc.v1.CreateOptions."""

    no_pivot_root: bool = False
    no_new_keyring: bool = False
    shim_cgroup: str = ""
    io_uid: int = 0
    io_gid: int = 0

    _wire = (
        (1, "no_pivot_root", "bool", ""),
        (8, "no_new_keyring", "bool", ""),
        (9, "shim_cgroup", "str", ""),
        (10, "io_uid", "uint", ""),
        (11, "io_gid", "uint", ""),
    )


class RuntimeOptions(Message):
    """containerd.runc.v1.RuntimeOptions."""

    type_url: str = ""
    config_path: str = ""
    config_body: bytes = b""

    _wire = (
        (1, "type_url", "str", ""),
        (2, "config_path", "str", ""),
        (3, "config_body", "bytes", ""),
    )


class CheckpointOptions(Message):
    """containerd.runc.v1.CheckpointOptions."""

    exit: bool = False
    open_tcp: bool = False
    external_unix_sockets: bool = False
    terminal: bool = False
    file_locks: bool = False
    empty_namespaces: tuple[str, ...] = ()
    cgroups_mode: str = ""
    image_path: str = ""
    work_path: str = ""

    _wire = (
        (1, "exit", "bool", ""),
        (2, "open_tcp", "bool", ""),
        (3, "external_unix_sockets", "bool", ""),
        (4, "terminal", "bool", ""),
        (5, "file_locks", "bool", ""),
        (6, "empty_namespaces", "str", "list"),
        (7, "cgroups_mode", "str", ""),
        (8, "image_path", "str", ""),
        (9, "work_path", "str", ""),
    )


class ProcessDetails(Message):
    """containerd.runc.v1.ProcessDetails."""

    exec_id: str = ""

    _wire = (
        (1, "exec_id", "str", ""),
    )


class RuntimeVersion(Message):
    """containerd.runc.v1.RuntimeVersion."""

    version: str = ""
    revision: str = ""

    _wire = (
        (1, "version", "str", ""),
        (2, "revision", "str", ""),
    )


class RuntimeInfo(Message):
    """containerd.runc.v1.RuntimeInfo."""

    name: str = ""
    version: RuntimeVersion | None = None
    options: Any | None = None
    features: Any | None = None
    annotations: dict[str, str] = {}

    _wire = (
        (1, "name", "str", ""),
        (2, "version", RuntimeVersion, ""),
        (3, "options", Any, ""),
        (4, "features", Any, ""),
        (5, "annotations", "str", "map"),
    )
