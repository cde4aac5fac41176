"""Hear of it when the kernel kills a container's processes for want of memory."""

from __future__ import annotations

import posix
import select

from pyrunc.cgroups.control import guard
from pyrunc.cgroups.layout import read_layout
from pyrunc.errors import CgroupError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from pyrunc.plan.facts import CgroupLayout


class OomWatch:
    """A descriptor to poll, and how often memory ran out since it was last asked.

    `fd` is ready for `events` (select.poll) when there may be news. One owner, closed with the `with`.
    """

    events = select.POLLIN

    def __init__(self, fd: int, file: int) -> None:
        self.fd = fd
        self._file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching."""
        for fd in {self.fd, self._file}:
            posix.close(fd)

    def news(self) -> int:
        """Return how many times memory ran out since the last call, without waiting."""
        try:
            count = posix.eventfd_read(self.fd)
        except BlockingIOError:
            return 0
        # The kernel says once more that the cgroup is gone, and that is no news of memory.
        return count if _reads(self._file) else count - 1


class _OomWatchV2(OomWatch):
    events = select.POLLPRI

    def __init__(self, file: int) -> None:
        super().__init__(file, file)
        self._seen = _kills(_read(file))

    def news(self) -> int:
        try:
            now = _kills(_read(self._file))
        except OSError:
            return 0  # the cgroup is gone, and what was to be told with it
        self._seen, before = now, self._seen
        return now - before


def watch_oom(paths: tuple[str, ...], layout: CgroupLayout | None = None) -> OomWatch | None:
    """Watch the cgroup, among those at these paths, that limits memory; None where none does.

    cgroup v1: memory.oom_control and an eventfd (cgroup-v1/memory.rst, 10). v2: memory.events, which poll(2) finds
    changed (cgroup-v2.rst, "Memory"). Raises CgroupError.
    """
    layout = layout or read_layout()
    for path in paths:
        hierarchy = guard(path, layout)
        if "memory" in hierarchy.controllers:
            try:
                return _watch_v1(path) if hierarchy.version == 1 else _watch_v2(path)
            except OSError as err:
                raise CgroupError(f"cannot watch the memory of {path}: {reason(err)}") from err
    return None


def _watch_v1(path: str) -> OomWatch:
    file = posix.open(f"{path}/memory.oom_control", posix.O_RDONLY | posix.O_CLOEXEC)
    fd = -1
    try:
        fd = posix.eventfd(0, posix.EFD_CLOEXEC | posix.EFD_NONBLOCK)
        control = posix.open(f"{path}/cgroup.event_control", posix.O_WRONLY | posix.O_CLOEXEC)
        try:
            posix.write(control, f"{fd} {file}".encode())
        finally:
            posix.close(control)
    except OSError:
        for each in (file, fd):
            if each >= 0:
                posix.close(each)
        raise
    return OomWatch(fd, file)


def _watch_v2(path: str) -> OomWatch | None:
    try:
        file = posix.open(f"{path}/memory.events", posix.O_RDONLY | posix.O_CLOEXEC)
    except FileNotFoundError:
        return None  # the controller is not enabled down here
    try:
        return _OomWatchV2(file)
    except OSError:
        posix.close(file)
        raise


def _reads(file: int) -> bool:
    try:
        return bool(_read(file))
    except OSError:
        return False


def _read(file: int) -> bytes:
    return posix.pread(file, 4096, 0)


def _kills(text: bytes) -> int:
    lines = (line.split() for line in text.splitlines())
    return next((int(words[1]) for words in lines if words and words[0] == b"oom_kill"), 0)
