"""The processes of a container: their pids, and what ps(1) of the host says about them."""

from __future__ import annotations

import posix

from pyrunc.errors import PyruncError, StateError, UsageError, reason
from pyrunc.kernel.processes import run_program
from pyrunc.state.status import CREATING, STOPPED, status_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.state.store import Entry

_TIMEOUT = 60.0  # seconds
_LONGEST = 1 << 26  # bytes of a table: 64 MiB are some hundred thousand processes
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def processes(entry: Entry) -> tuple[int, ...]:
    """Return the pids of a container's processes in our pid namespace, sorted; none of one that has stopped.

    Raises StateError where they cannot be known, CgroupError.
    """
    state = entry.load()
    if state is None or status_of(entry, state) in (STOPPED, CREATING):
        return ()
    if not state.cgroup_leaves:
        raise StateError(f"container {entry.id} has no cgroup: its processes cannot be found")
    from pyrunc.cgroups.control import Cgroup

    return Cgroup(state.cgroup_leaves, state.cgroup_made).processes()


def table(entry: Entry, options: tuple[str, ...]) -> str:
    """Return the heading and the container's lines of what ps prints with these options, or with -ef.

    Raises UsageError for options that ps does not take or that leave out its column PID, PyruncError without a ps.
    """
    pids = processes(entry)
    said = _run_ps(options or ("-ef",))
    heading, *lines = said.rstrip("\n").split("\n")
    if "PID" not in heading.split():
        raise UsageError("cannot tell the container's lines: ps printed no column PID", "add pid to its options")
    # The pids are looked up first: a process that was born since is not in the table, and not missed.
    return "".join(f"{line}\n" for line in (heading, *(line for line in lines if pid_of(line, heading) in pids)))


def pid_of(line: str, heading: str) -> int:
    """Return the pid in a line of ps, 0 if none can be found.

    Numbers end below the end of their heading, whatever words come before them. Where a column before has spilled
    over it is the word of the same number as the heading.
    """
    words = heading.split()
    index = words.index("PID")
    end = _end_of_word(heading, index)
    aligned = line[:end].split()[-1:] if line[end : end + 1] in ("", " ") else []
    counted = line.split()[index : index + 1]
    return next((int(word) for word in (*aligned, *counted) if word.isascii() and word.isdigit()), 0)


def _end_of_word(text: str, index: int) -> int:
    end = 0
    for word in text.split()[: index + 1]:
        end = text.index(word, end) + len(word)
    return end


def _run_ps(options: tuple[str, ...]) -> str:
    path = _find_ps()
    environment = {
        key.decode("utf-8", "surrogateescape"): value.decode("utf-8", "surrogateescape")
        for key, value in posix.environ.items()
    }
    try:
        outcome = run_program(path, ("ps", *options), environment, b"", _TIMEOUT, kept=_LONGEST)
    except OSError as err:
        raise PyruncError(f"cannot run {path}: {reason(err)}") from err
    if outcome.status:
        said = " ".join(outcome.output.split()) or f"exit code {outcome.status}"
        raise UsageError(f"ps {' '.join(options)} failed: {said[:500]}")
    return outcome.output


def _find_ps() -> str:
    search = posix.environ.get(b"PATH", b"").decode("utf-8", "surrogateescape") or _SYSTEM_PATH
    for directory in search.split(":"):
        path = f"{directory}/ps"
        if directory.startswith("/") and posix.access(path, posix.X_OK):
            return path
    raise PyruncError("there is no program ps in PATH", "install procps, or use --format json")
