"""What a shim says: lines in the FIFO that containerd copies to its own log."""

from __future__ import annotations

import posix
import time

from pyrunc.jsontext import dump


class Log:
    """The FIFO `log` in the bundle, which containerd copies to its own log; what it does not read is lost."""

    def __init__(self, debug: bool) -> None:
        self._debug = debug
        self.fd = posix.open("/dev/null", posix.O_WRONLY | posix.O_CLOEXEC)
        try:
            # Both ways: while containerd is restarted nobody reads.
            fd = posix.open("log", posix.O_RDWR | posix.O_NONBLOCK | posix.O_CLOEXEC)
        except OSError:
            return
        posix.close(self.fd)
        self.fd = fd

    def debug(self, message: str) -> None:
        """Write a line if -debug asks for such."""
        if self._debug:
            self.write("debug", message)

    def warning(self, message: str) -> None:
        """Write a line."""
        self.write("warning", message)

    def write(self, level: str, message: str) -> None:
        """Write a line as logrus does, whose lines are all around."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        try:
            posix.write(self.fd, f"time={dump(now)} level={level} msg={dump(message)}\n".encode())
        except OSError:
            return
