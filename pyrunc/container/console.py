"""The container's terminal (config.md, process.terminal): a pty of its own devpts, as /dev/console and stdio."""

from __future__ import annotations

import errno
import posix

from pyrunc.errors import StepError, reason
from pyrunc.kernel import mounts, paths, terminal
from pyrunc.sync import CONSOLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.steps import Process
    from pyrunc.sync import Channel

_NODE = posix.O_RDONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC


def set_up_console(process: Process, root: int, channel: Channel, bind: bool) -> None:
    """Make a pty, send its master to the host side, and make its slave the standard streams.

    With `bind` it becomes /dev/console too. The caller makes it the controlling terminal: the session's leader.
    """
    master, slave = _open_pty(root)
    if process.console_size is not None:
        terminal.set_size(slave, *process.console_size)
    if bind:
        _bind_console(slave, root)
    channel.say(CONSOLE, (master,))
    posix.close(master)
    if process.uid:
        # The program's user owns its terminal, as login(1) would have it; the group stays devpts's own (gid=5).
        posix.fchown(slave, process.uid, -1)
    for fd in (0, 1, 2):
        posix.dup2(slave, fd, True)
    posix.close(slave)


def _open_pty(root: int) -> tuple[int, int]:
    """CVE-2025-52565: what becomes the terminal comes from the kernel (TIOCGPTPEER), not from a name in the image."""
    try:
        devpts = paths.open_in(root, "/dev/pts", posix.O_PATH | posix.O_DIRECTORY)
        master, slave, _ = terminal.open_pty(devpts)
        posix.close(devpts)
    except OSError as err:
        raise StepError(
            f".process.terminal: cannot open a pty in the container: {reason(err)}", "mount devpts on /dev/pts"
        ) from err
    return master, slave


def _bind_console(slave: int, root: int) -> None:
    """Make /dev/console the pty's slave: through descriptors on both sides, never following a link.

    CVE-2025-52565, CVE-2026-88264: /dev/console as a link had the terminal mounted, or a file made, elsewhere.
    """
    parent, name = paths.parent_in(root, "/dev/console")
    try:
        try:
            posix.close(posix.open(name, _NODE, 0o600, dir_fd=parent))
        except FileExistsError:
            pass  # an image's own node or file will do as a mount point; a link is refused just below
        target = posix.open(name, posix.O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=parent)
        try:
            if posix.fstat(target).st_mode & 0o170000 == 0o120000:
                raise OSError(errno.ELOOP, "it is a symbolic link")
            tree = mounts.open_tree("", dirfd=slave)
            mounts.move_mount(tree, target)
            posix.close(tree)
        finally:
            posix.close(target)
    except OSError as err:
        raise StepError(f".process.terminal: cannot make /dev/console: {err.strerror}") from err
    finally:
        posix.close(parent)
