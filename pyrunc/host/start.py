"""Run the program of a created container (runtime.md, "Start")."""

from __future__ import annotations

import errno
import posix
import select

from pyrunc import sync
from pyrunc.errors import HookError, StateError, StatusError, reason
from pyrunc.host.delete import destroy, kept_hook
from pyrunc.kernel.pidfd import open_process
from pyrunc.state.status import CREATED, RUNNING, STOPPED, status_of
from pyrunc.state.store import RESULT_FIFO, START_FIFO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.host.notify import NotifyProxy
    from pyrunc.state.store import Entry, State

_LONGEST = 65536
_CLOSING_TIMEOUT = 1000  # ms


def start(entry: Entry, warn: Callable[[str], None]) -> State:
    """Let the waiting init run its program; return when it runs, and the poststart hooks have.

    Raises StatusError for a container that is not created, and the init's own error if the program cannot be run;
    after a failing hook the container is destroyed (runtime.md, "Lifecycle", 8 to 10).
    """
    entry.lock()
    state = entry.load()
    status = status_of(entry, state)
    if state is None or status != CREATED:
        raise StatusError(f"cannot start container {entry.id} that is {status}", "start needs a created one")
    proxy = notify_proxy(entry, state)
    start_created(entry, state, warn)
    if proxy is not None:
        entry.unlock()  # it may take long, and nobody shall wait for it
        proxy.until_ready()
    return state


def notify_proxy(entry: Entry, state: State) -> NotifyProxy | None:
    """Open what passes the container's sd_notify(3) messages on, if we were called with a NOTIFY_SOCKET."""
    manager = posix.environ.get(b"NOTIFY_SOCKET", b"").decode("utf-8", "surrogateescape")
    if not manager:
        return None
    from pyrunc.host.notify import open_proxy

    return open_proxy(entry, manager, state.pid)


def start_created(entry: Entry, state: State, warn: Callable[[str], None]) -> None:
    """Start a container that is known to be created and locked by us."""
    try:
        _run_program(entry, state)
        run_poststart(state)
    except HookError:
        destroy(entry, state, poststop=True, warn=warn)
        raise


def _run_program(entry: Entry, state: State) -> None:
    """Say START, and listen until the init's end of the fifo closes: with execve, or with an error before."""
    try:
        pidfd = open_process(state.pid, state.start_time)
        result = entry.open_fifo(RESULT_FIFO, posix.O_RDONLY | posix.O_NONBLOCK)
        go = entry.open_fifo(START_FIFO, posix.O_WRONLY | posix.O_NONBLOCK)
    except OSError as err:
        if err.errno in (errno.ENXIO, errno.ESRCH):
            raise StatusError(f"cannot start container {entry.id} that is {STOPPED}") from err
        raise StateError(f"cannot reach the init of {entry.id}: {reason(err)}") from err
    try:
        posix.write(go, sync.START)
        said = _listen(result, pidfd)
        if not said:
            _await_end(go)
    finally:
        for fd in (pidfd, result, go):
            posix.close(fd)
    if said:
        raise sync.decode_error(said)


def _listen(result: int, pidfd: int) -> bytes:
    poll = select.poll()
    poll.register(result, select.POLLIN)
    poll.register(pidfd, select.POLLIN)
    poll.poll()
    try:
        return posix.read(result, _LONGEST)
    except BlockingIOError:
        # The init has ended with its fifo still being torn down, and without a word: its program ran, or it was
        # killed, which is no error of start's.
        return b""


def _await_end(go: int) -> None:
    """Wait until nobody reads start.fifo any more: execve(2) closes it and result.fifo in no certain order.

    Till then status_of would call the container created.
    """
    poll = select.poll()
    poll.register(go, 0)  # POLLERR is told unasked
    poll.poll(_CLOSING_TIMEOUT)


def run_poststart(state: State) -> None:
    """Run the poststart hooks that state.json keeps (config.md#poststart). Raises HookError."""
    saved = state.hooks.get("poststart", ())
    if not saved:
        return
    from pyrunc.container.hooks import run_hook

    document = sync.state_document(
        state.oci_version, state.id, RUNNING, state.pid, state.bundle, state.annotations
    )
    for each in saved:
        run_hook(kept_hook(each), document)
