"""What pyrunc says besides its results: one line an error, on stderr and in the log the engine reads.

containerd reads the log as a stream of JSON objects and takes the last error. podman reads the whole file as one
object, but only after a command that failed. So an error is all that such a command writes to the log, unless
--log-level or --debug ask for more; warnings wait until its end, and then go to stderr. What a command that went
well had to warn of is in the log: engines give the container's own stderr to create and exec, it does not belong
there.
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
    """Where lines go: `fd` is the log's file or stderr, `level` the most detailed that is written.

    `held` are warnings that wait for the end of the command, None where they are written at once.
    """

    fd: int = _STDERR
    json: bool = False
    level: str = "error"
    prefix: str = "pyrunc"
    held: list[str] | None = None

    def error(self, message: str, kind: str = "") -> None:
        """Report why the command failed; a log file gets it besides stderr, for whoever looks at either.

        `kind` is the error's class; a line of JSON says it as `error`.
        """
        if self.fd != _STDERR:
            self._write(self.fd, "error", message, kind)
            stderr = self.but(fd=_STDERR, json=False)
            stderr._write_held()
            stderr._write(_STDERR, "error", message)
        else:
            self._write(_STDERR, "error", message, kind)

    def warning(self, message: str) -> None:
        """Report what went differently from what was asked, without being an error."""
        if self.held is not None:
            self.held.append(message)
        else:
            self._say("warning", message)

    def finish(self) -> None:
        """Write the warnings of a command that went well."""
        self._write_held()

    def _write_held(self) -> None:
        while self.held:
            self._write(self.fd, "warning", self.held.pop(0))

    def debug(self, message: str) -> None:
        """Report a step (--debug)."""
        self._say("debug", message)

    def _say(self, level: str, message: str) -> None:
        if _LEVELS.index(level) <= _LEVELS.index(self.level):
            self._write(self.fd, level, message)

    def _write(self, fd: int, level: str, message: str, kind: str = "") -> None:
        if fd == _STDERR and not self.json and level != "error":
            message = f"{level}: {message}"
        message = " ".join(f"{self.prefix}: {message}".splitlines())
        if self.json:
            document = {"level": level, "msg": message, "time": _now()}
            line = dump({**document, "error": kind} if kind else document)
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
        held: list[str] | None = [] if level == "error" else None
        return Log(posix.open(path, flags, 0o644), form == "json", level, held=held)
    except OSError as err:
        raise UsageError(f"cannot open the log {path}: {reason(err)}") from err
