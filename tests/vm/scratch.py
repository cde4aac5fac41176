"""Directories that last as long as their maker: what one that was killed has left, the next removes."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "pyrunc-guest-"
NOT_YET_LOCKED = "pyrunc-new-guest-"


class Scratch:
    """A new directory in the place for temporary ones. Close it, or use it as a context."""

    def __init__(self) -> None:
        remove_dead()
        new = Path(tempfile.mkdtemp(prefix=NOT_YET_LOCKED))
        self._fd = os.open(new, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        self.path = new.rename(new.with_name(new.name.replace(NOT_YET_LOCKED, PREFIX)))

    def close(self) -> None:
        """Remove it. A second time does nothing."""
        if self._fd >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.close()


def remove_dead() -> None:
    """Remove the directories that nobody holds any more."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # another's, or gone by now
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(fd)
