"""The few exceptions a user can meet, each with the exit code of its command.

A message is one line, lower case, without a full stop: what we tried, on what, why. What to do about it
goes into `hint`. The cause is kept with `raise ... from`.
"""

from __future__ import annotations


class PyruncError(Exception):
    """Base of all errors that cli prints as one line; anything else that arrives there is a bug of ours."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(PyruncError):
    """The command line is off: an unknown flag, a missing argument."""


class SpecError(PyruncError):
    """One thing that is wrong in config.json, at one JSON path such as `.mounts[3].destination`."""

    def __init__(self, path: str, problem: str, hint: str = "") -> None:
        super().__init__(f"{path}: {problem}", hint)
        self.path = path
        self.problem = problem


class ConfigError(PyruncError):
    """config.json was refused; carries every SpecError found, so that a user mends the file in one go."""

    def __init__(self, file: str, problems: tuple[SpecError, ...]) -> None:
        self.file = file
        self.problems = problems
        super().__init__(f"{file}: " + "; ".join(str(problem) for problem in problems))


class StepError(PyruncError):
    """A step of a plan failed; the message is the step's own describe() and the kernel's reason."""


class SyncError(PyruncError):
    """The two sides of create did not hear what they expected; usually one of them died."""


class NotFoundError(PyruncError):
    """No container has this id. Engines look for the words "does not exist"."""


class ExistsError(PyruncError):
    """The id is taken."""


class StatusError(PyruncError):
    """The operation is not allowed in the container's present status (runtime.md, "Operations")."""


class StateError(PyruncError):
    """The state directory cannot be used: unreadable, not ours, or locked by a running command."""


class CgroupError(PyruncError):
    """A cgroup cannot be made, used, set or removed."""


class HookError(PyruncError):
    """A hook could not be run, failed, or exceeded its timeout."""


class ProgramError(PyruncError):
    """The container's program cannot be executed. Engines turn its words into exit codes 126 and 127."""


class ExecError(ProgramError):
    """The program of `exec` cannot be started."""

    exit_code = 255


def reason(err: OSError) -> str:
    """Return the kernel's reason in words.

    Engines read "no such file or directory" as "the container's program is missing" and make exit code 127 of
    it, so a missing anything else is "not found".
    """
    missing = 2  # ENOENT; the errno module is not worth a load for one number
    if err.errno == missing:
        return "not found"
    return err.strerror or str(err)
