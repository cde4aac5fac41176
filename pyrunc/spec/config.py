"""The top level of config.json (config.md), and `root`."""

from __future__ import annotations

from pyrunc.record import Record
from pyrunc.spec.hooks import read_hooks
from pyrunc.spec.linux import read_linux
from pyrunc.spec.mounts import read_mount
from pyrunc.spec.process import read_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.spec.hooks import Hooks
    from pyrunc.spec.linux import Linux
    from pyrunc.spec.mounts import Mount
    from pyrunc.spec.process import Process
    from pyrunc.spec.read import Reader


class Root(Record):
    """The root filesystem; `path` as written: absolute, or relative to the bundle (config.md#root)."""

    path: str
    readonly: bool = False


class Spec(Record):
    """A whole config.json. load.py makes none without `root`; `process` may be absent (config.md#process)."""

    oci_version: str
    root: Root | None = None
    process: Process | None = None
    hostname: str | None = None
    domainname: str | None = None
    mounts: tuple[Mount, ...] = ()
    hooks: Hooks | None = None
    annotations: dict[str, str] = {}
    linux: Linux | None = None


def _read_root(r: Reader) -> Root:
    return Root(r.required_string("path"), r.boolean("readonly") or False)


def read_spec(r: Reader) -> Spec:
    """Read a whole document (config.md)."""
    return Spec(
        r.required_string("ociVersion"),
        r.object("root", _read_root),
        r.object("process", read_process),
        r.string("hostname"),
        r.string("domainname"),
        r.objects("mounts", read_mount),
        r.object("hooks", read_hooks),
        r.string_map("annotations"),
        r.object("linux", read_linux),
    )
