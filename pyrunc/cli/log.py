"""What pyrunc says besides its results: one line an error, on stderr and in the log the engine reads.

containerd reads the log as a stream of JSON objects and takes the last error; podman reads the whole file as one
object. So by default errors are all that is written.
"""

from __future__ import annotations

import posix
import time

from pyrunc.errors import UsageError, reason
from pyrunc.jsontext import dump
from pyrunc.record import Record

_LEVELS = ("error", "warning", "info", "debug")
_STDERR = 2


class Log(Record):
    """Where lines go: `fd` is the log's file or stderr, `level` the most detailed that is written."""

    fd: int = _STDERR
    json: bool = False
    level: str = "error"
    prefix: str = "pyrunc"

    def error(self, message: str) -> None:
        """Report why the command failed; a log file gets it besides stderr, for whoever looks at either."""
        if self.fd != _STDERR:
            self._write(self.fd, "error", message)
            self.but(fd=_STDERR, json=False)._write(_STDERR, "error", message)
        else:
            self._write(_STDERR, "error", message)

    def warning(self, message: str) -> None:
        """Report what went differently from what was asked, without being an error."""
        self._say("warning", message)

    def debug(self, message: str) -> None:
        """Report a step (--debug)."""
        self._say("debug", message)

    def _say(self, level: str, message: str) -> None:
        if _LEVELS.index(level) <= _LEVELS.index(self.level):
            self._write(self.fd, level, message)

    def _write(self, fd: int, level: str, message: str) -> None:
        if fd == _STDERR and not self.json and level != "error":
            message = f"{level}: {message}"
        message = " ".join(f"{self.prefix}: {message}".splitlines())
        if self.json:
            line = dump({"level": level, "msg": message, "time": _now()})
        elif fd == _STDERR:
            line = message
        else:
            line = f"time={dump(_now())} level={level} msg={dump(message)}"
        try:
            posix.write(fd, f"{line}\n".encode("utf-8", "backslashreplace"))
        except OSError:
            return  # nobody listens any more; the exit code still tells


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def open_log(path: str, form: str, level: str, debug: bool) -> Log:
    """Open the log that the global flags ask for. Raises UsageError."""
    if form not in ("text", "json"):
        raise UsageError(f"--log-format is text or json, not {form!r}")
    if level not in _LEVELS:
        raise UsageError(f"--log-level is one of {', '.join(_LEVELS)}, not {level!r}")
    level = "debug" if debug else level
    # Standard error shows warnings too: there is no engine that would stumble over them.
    if not path:
        return Log(_STDERR, form == "json", "warning" if level == "error" else level)
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_CLOEXEC
    try:
        return Log(posix.open(path, flags, 0o644), form == "json", level)
    except OSError as err:
        raise UsageError(f"cannot open the log {path}: {reason(err)}") from err
