"""Classes of service and monitoring groups of resctrl (config-linux.md, "IntelRdt"; Documentation/filesystems/resctrl).

What is made is in state.json before it is made, and delete removes that and nothing else: a class that config.json
names is the administrator's and stays. `root` is where resctrl is mounted, a parameter so that it can be stood in for.
"""

from __future__ import annotations

import posix

from pyrunc.errors import StateError, StepError, reason
from pyrunc.kernel.procfs import own_mounts
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.resctrl import JoinClos

_LONGEST = 1 << 16


class Groups(Record):
    """Where a container goes: its class's directory, its monitoring group's or "", and what of them is to be made."""

    step: JoinClos
    clos: str
    monitor: str
    missing: tuple[str, ...]

    @property
    def made(self) -> tuple[str, ...]:
        """What delete is to remove, deepest first."""
        ours = (self.monitor, self.clos if self.step.own else "")
        return tuple(path for path in ours if path)


    def take(self, pid: int) -> None:
        """Make what is missing and put a process in. Raises StepError."""
        make(self)
        join(self, pid)


def find_root() -> str:
    """Return where resctrl is mounted, "" where it is not."""
    return next((mount.mount_point for mount in own_mounts() if mount.fstype == "resctrl"), "")


def look(step: JoinClos, root: str) -> Groups:
    """Check what is there before anything is made. Raises StepError with the JSON path."""
    if not root:
        raise StepError(f"{step.where}: resctrl is not mounted", "mount -t resctrl resctrl /sys/fs/resctrl")
    clos = f"{root}/{step.clos}".rstrip("/")
    monitor = f"{clos}/mon_groups/{step.monitor}" if step.monitor else ""
    there = posix.access(clos, posix.F_OK)
    if there and step.own:
        tried = f"{step.where}: the class of service {step.clos} is there already"
        raise StepError(tried, "name it as .closID to use it")
    if there and step.lines:
        _compare(step, _read(f"{clos}/schemata"))
    if not there and not step.own and not step.lines:
        tried = f"{step.where}.closID: there is no class of service {step.clos}"
        raise StepError(tried, "give it schemata, or make it")
    if monitor and posix.access(monitor, posix.F_OK):
        raise StepError(f"{step.where}.enableMonitoring: the group {step.monitor} is there already")
    return Groups(step, clos, monitor, tuple(path for path in (monitor, "" if there else clos) if path))


def _compare(step: JoinClos, text: str) -> None:
    """config-linux.md#intelrdt: a class that is there already must have the schemata that are asked for."""
    found = _parse(text)
    for line in step.lines:
        for resource, values in _parse(line).items():
            for domain, value in values.items():
                if found.get(resource, {}).get(domain) != value:
                    raise StepError(f"{step.where}: the class {step.clos or '/'} has other schemata than {line!r}")


def _parse(text: str) -> dict[str, dict[str, str]]:
    """Return resource -> domain -> value; leading zeros, with which the kernel pads, do not count."""
    parsed: dict[str, dict[str, str]] = {}
    for line in text.split("\n"):
        resource, colon, rest = line.strip().partition(":")
        pairs = (pair.partition("=") for pair in rest.split(";") if colon)
        for domain, _, value in pairs:
            plain = value.strip().lower().lstrip("0") or "0"
            parsed.setdefault(resource.strip(), {})[domain.strip()] = plain
    return parsed


def make(groups: Groups) -> None:
    """Make the directories and write the schemata. Raises StepError."""
    step = groups.step
    for path in reversed(groups.missing):
        try:
            posix.mkdir(path, 0o755)
        except OSError as err:
            raise StepError(f"{step.where}: cannot make {path}: {reason(err)}") from err
    if groups.clos not in groups.missing:
        return
    write_lines(groups.clos, step.lines, step)


def read_lines(clos: str) -> str:
    """Return the schemata of a class. Raises StepError."""
    return _read(f"{clos}/schemata")


def write_lines(clos: str, lines: tuple[str, ...], step: JoinClos) -> None:
    """Write lines to the schemata of a class. Raises StepError."""
    for line in lines:
        _write(f"{clos}/schemata", f"{line}\n", step)


def join(groups: Groups, pid: int) -> None:
    """Put a process into the class, then into the monitoring group. Raises StepError."""
    for directory in (groups.clos, groups.monitor):
        if directory:
            _write(f"{directory}/tasks", str(pid), groups.step)


def remove(made: tuple[str, ...]) -> None:
    """Remove what was made, as far as it was. Raises StateError while anything is left."""
    for path in made:
        try:
            posix.rmdir(path)
        except FileNotFoundError:
            continue
        except OSError as err:
            raise StateError(f"cannot remove the resctrl group {path}: {reason(err)}") from err


def _read(path: str) -> str:
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            return posix.read(fd, _LONGEST).decode()
        finally:
            posix.close(fd)
    except OSError as err:
        raise StepError(f".linux.intelRdt: cannot read {path}: {reason(err)}") from err


def _write(path: str, text: str, step: JoinClos) -> None:
    """One write(2) for each line. What the kernel has against it stands in resctrl's own file of errors."""
    try:
        fd = posix.open(path, posix.O_WRONLY | posix.O_APPEND | posix.O_CLOEXEC)
        try:
            posix.write(fd, text.encode())
        finally:
            posix.close(fd)
    except OSError as err:
        root = path.partition(f"/{step.clos}/")[0] if step.clos else path.rpartition("/")[0]
        why = _last_status(root) or reason(err)
        raise StepError(f"{step.where}: cannot write {text.strip()!r} to {path}: {why}") from err


def _last_status(root: str) -> str:
    try:
        fd = posix.open(f"{root}/info/last_cmd_status", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return ""
    try:
        said = posix.read(fd, 4096).decode("utf-8", "replace").strip()
    finally:
        posix.close(fd)
    return "" if said == "ok" else said
