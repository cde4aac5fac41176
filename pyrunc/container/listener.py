"""Load a seccomp filter that has a listener, and see to it that the host side gets that (config-linux.md#seccomp).

The host's root takes the listener out of us (host/listener.py). An ordinary user may not, although the user namespace
is his: we were forked in it and have not executed anything since, so to the kernel our memory is still the host's, and
pidfd_getfd(2) looks at that. So then a helper brings it. It shares our descriptors, but not the filter: it is there
before, and no call of its own can wait for an agent that does not have the listener yet.
"""

from __future__ import annotations

import errno
import fcntl
import posix
import time

from pyrunc import sync
from pyrunc.container.process import load_listened
from pyrunc.errors import StepError, reason
from pyrunc.kernel.flags import CLONE_FILES, SECCOMP_IOCTL_NOTIF_ID_VALID, SIGNALS
from pyrunc.kernel.namespaces import clone3
from pyrunc.kernel.prctl import set_pdeathsig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from pyrunc.plan.steps import Process
    from pyrunc.sync import Channel

_PAUSE = 0.001  # seconds


def load(process: Process, seccomp: tuple[bytes, int], channel: Channel, brought: bool) -> int:
    """Load the filter and return its listener, which the caller closes once the host side has it. Raises StepError."""
    channel.say(sync.LOADING_FILTER)
    if not brought:
        return load_listened(process, seccomp)
    helper = _start_helper(channel)
    listener = load_listened(process, seccomp)
    try:
        posix.waitpid(helper, 0)
    except ChildProcessError:
        pass  # reaped already, where the caller ignores SIGCHLD
    return listener


def _start_helper(channel: Channel) -> int:
    """Fork with a shared table of descriptors; the listener will have the lowest number that is free."""
    number = posix.dup(channel.fileno())
    posix.close(number)
    try:
        pid, pidfd = clone3(CLONE_FILES)
    except OSError as err:
        raise StepError(f".linux.seccomp: cannot start who brings the listener: {reason(err)}") from err
    if pid == 0:
        _bring(number, channel)
    posix.close(pidfd)
    return pid


def _bring(number: int, channel: Channel) -> NoReturn:
    """Wait until the descriptor is a listener and send it; should the filter fail to load, our parent's end is ours."""
    try:
        set_pdeathsig(SIGNALS["SIGKILL"])
        while not _is_listener(number):
            time.sleep(_PAUSE)
        channel.say(sync.LISTENER, (number,))
    finally:
        posix._exit(0)


def _is_listener(number: int) -> bool:
    """seccomp_unotify(2): of a notification that is not there, only a listener says that it is not there."""
    try:
        fcntl.ioctl(number, SECCOMP_IOCTL_NOTIF_ID_VALID, bytes(8))
    except OSError as err:
        return err.errno == errno.ENOENT
    return True
