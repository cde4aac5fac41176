"""Foreground run: create, start, relay, wait, destroy; the container's exit code is ours."""

from __future__ import annotations

from pyrunc.errors import NotFoundError
from pyrunc.host.create import Created, Order, create
from pyrunc.kernel.processes import exit_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.cgroups.control import Cgroup
    from pyrunc.host.foreground import Foreground
    from pyrunc.host.notify import NotifyProxy

_KILLED = 137


def run(order: Order, keep: bool, subreaper: bool, say: Callable[[str], None], warn: Callable[[str], None]) -> int:
    """Run a container in the foreground and return its exit code, 128 + n if signal n ended it.

    With `keep` its state and cgroups stay for a later delete.
    """
    from pyrunc.host.foreground import Foreground

    with Foreground(lambda: wants_terminal(order), subreaper) as foreground:
        created = create(order, say, warn, lambda: _get_ready(foreground))
        return attend(foreground, created, lambda: _start(created, warn), keep, warn)


def attend(
    foreground: Foreground,
    created: Created,
    begin: Callable[[], NotifyProxy | None],
    keep: bool,
    warn: Callable[[str], None],
) -> int:
    """Relay for a container from its beginning to its end, and return its exit code.

    `begin` lets it go, and other commands at it.
    """
    cgroup = None
    try:
        foreground.attach(created.state.pid, created.console)
        proxy = begin()
        if proxy is not None:
            foreground.add(proxy)
        cgroup = _cgroup_of(created)
        status = exit_status(foreground.wait(created.state.pid))
        if status == _KILLED and cgroup is not None and cgroup.oom_kills():
            warn(f"container {created.state.id} was killed by the kernel: it exceeded its memory limit (OOM)")
    finally:
        if not keep:
            _finish(created, warn, cgroup)
    return status


def wants_terminal(order: Order) -> bool:
    """Say whether the config asks for a terminal. Raises ConfigError."""
    from pyrunc.spec.load import load

    process = load(order.request.bundle).process
    return process is not None and process.terminal


def _get_ready(foreground: Foreground) -> None:
    foreground.listen()
    _load_the_rest()


def _load_the_rest() -> None:
    """Import what comes after create, while the container is being made on another cpu."""
    import pyrunc.cgroups.control
    import pyrunc.host.delete
    import pyrunc.host.start  # noqa: F401 - loaded for later, not used here


def _cgroup_of(created: Created) -> Cgroup | None:
    """Look at the cgroups while the program runs: whether it was the memory limit that killed it, they alone tell."""
    from pyrunc.cgroups.control import Cgroup

    state = created.state
    return Cgroup(state.cgroup_leaves, state.cgroup_made) if state.cgroup_leaves else None


def _start(created: Created, warn: Callable[[str], None]) -> NotifyProxy | None:
    """Start what create has just made, under the lock that it holds; then let other commands at it."""
    from pyrunc.host.start import notify_proxy, start_created

    proxy = notify_proxy(created.entry, created.state)
    start_created(created.entry, created.state, warn)
    created.entry.unlock()
    return proxy


def _finish(created: Created, warn: Callable[[str], None], cgroup: Cgroup | None = None) -> None:
    """Destroy what is left; somebody else may have deleted it already."""
    from pyrunc.host.delete import destroy

    try:
        created.entry.lock()
        destroy(created.entry, created.state, poststop=True, warn=warn, cgroup=cgroup)
    except NotFoundError:
        return


def detach(order: Order, say: Callable[[str], None], warn: Callable[[str], None]) -> None:
    """create and start in one command (`run --detach`); a start that fails leaves nothing."""
    created = create(order, say, warn, _load_the_rest)
    try:
        proxy = _start(created, warn)
        if proxy is not None:
            proxy.until_ready()
    except BaseException:
        _finish(created, warn)
        raise
