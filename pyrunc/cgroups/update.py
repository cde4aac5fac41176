"""What limits a cgroup in use has, and what would have to be written to have them back after a change."""

from __future__ import annotations

from pyrunc.cgroups.layout import read_file
from pyrunc.plan.steps_cgroups import Write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# Files of a line a device, and what is written for one that has no line: no limit.
_LIFTED = {"io.max": "rbps=max wbps=max riops=max wiops=max"}
_THROTTLE = "blkio.throttle."
_WEIGHTS = ("cpu.shares", "cpu.weight")


def read_present(leaves: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Return what some files say now, by their names; without those that no cgroup here has."""
    present = {}
    for name in names:
        for leaf in leaves:
            try:
                present[name] = read_file(f"{leaf}/{name}")
            except OSError:
                continue
    return present


def read_old(writes: tuple[Write, ...]) -> tuple[tuple[Write, ...], ...]:
    """Return for each write those that undo it, as things are now; () where nothing does."""
    return tuple(map(_old, writes))


def undoing(olds: tuple[tuple[Write, ...], ...]) -> tuple[Write, ...]:
    """Return the writes that undo a whole change: the last first, so that each is as possible as it was before."""
    return tuple(write for old in reversed(olds) for write in old)


def _old(write: Write) -> tuple[Write, ...]:
    folder, _, name = write.path.rpartition("/")
    try:
        text = read_file(write.path)
    except FileNotFoundError:
        return _old(write.otherwise) if write.otherwise else ()
    except OSError:
        return ()  # a file that only takes, as cgroup.kill
    if name in _WEIGHTS and _is_idle(folder):
        return ()  # it has none, whatever the file says
    value = old_value(name, write.value, text)
    if value is None:
        return ()
    old = (Write(write.path, value, write.where),)
    if name == "cpu.idle":
        # Being idle, be it for a moment, makes a group forget its weight.
        weights = (Write(f"{folder}/{file}", "", write.where) for file in _WEIGHTS)
        return (*old, *(each for weight in weights for each in _old(weight)))
    return old


def _is_idle(folder: str) -> bool:
    try:
        return read_file(f"{folder}/cpu.idle").strip() == "1"
    except OSError:
        return False


def old_value(name: str, value: str, text: str) -> str | None:
    """Return what has to be written to a file that says `text` now to undo the writing of `value`.

    None where the file does not tell, or no write brings it about.
    """
    lines = text.strip("\n").split("\n")
    key = value.partition(" ")[0]
    keyed = [line.strip() for line in lines if line.partition(" ")[0] == key and " " in line.strip()]
    if name == "memory.oom_control":
        return lines[0].partition(" ")[2]
    if keyed:
        return keyed[0]
    if " " in value and ":" in key:
        return _lifted(name, key)
    if len(lines) > 1 or lines[0].startswith("default "):
        # io.weight: the line of all devices that have none of their own.
        return next((line.strip() for line in lines if line.startswith("default ")), None)
    return lines[0].strip() or "\n"  # an empty write would be none


def _lifted(name: str, device: str) -> str:
    if name in _LIFTED:
        return f"{device} {_LIFTED[name]}"
    return f"{device} 0" if name.startswith((_THROTTLE, "blkio.weight", "blkio.leaf")) else f"{device} default"
