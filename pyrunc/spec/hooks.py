"""The `hooks` object of config.json (config.md, "POSIX-platform Hooks")."""

from __future__ import annotations

from pyrunc.record import Record
from pyrunc.spec.read import INT64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.spec.read import Reader


class Hook(Record):
    """One program to run: `args` includes argv[0] (empty: the path alone), `timeout` is in seconds."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int | None = None


class Hooks(Record):
    """The six lists, in the order in which a container gets to them (config.md#posix-platform-hooks)."""

    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()


def _read_hook(r: Reader) -> Hook:
    return Hook(r.required_string("path"), r.strings("args"), r.strings("env"), r.integer("timeout", INT64))


def read_hooks(r: Reader) -> Hooks:
    """Read the `hooks` object (config.md#posix-platform-hooks)."""
    return Hooks(
        r.objects("prestart", _read_hook),
        r.objects("createRuntime", _read_hook),
        r.objects("createContainer", _read_hook),
        r.objects("startContainer", _read_hook),
        r.objects("poststart", _read_hook),
        r.objects("poststop", _read_hook),
    )
