"""Which of the caller's descriptors a container gets: LISTEN_FDS and --preserve-fds."""

from __future__ import annotations

import posix

from pyrunc.container.exec import hide_descriptors
from pyrunc.errors import UsageError


def environ(name: bytes) -> str:
    """Return a variable of the caller's environment, "" where it is not set."""
    return posix.environ.get(name, b"").decode("utf-8", "surrogateescape")


def listen_fds() -> int:
    """sd_listen_fds(3): how many sockets systemd, or an engine for it, passes on through us."""
    text = environ(b"LISTEN_FDS")
    return int(text) if text.isascii() and text.isdigit() else 0


def pass_on(count: int) -> None:
    """Keep so many descriptors from 3 on for the container; what else was leaked to us goes to nobody.

    Raises UsageError for one that is not open: its number would be taken by the next file we open ourselves.
    """
    for fd in range(3, 3 + count):
        try:
            posix.fstat(fd)
        except OSError as err:
            raise UsageError(f"file descriptor {fd} is to be passed on but is not open") from err
    # Hooks and helpers would inherit the others.
    hide_descriptors(count)
