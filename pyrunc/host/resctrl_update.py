"""Change the schemata of a running container's class of service (Documentation/filesystems/resctrl)."""

from __future__ import annotations

import posix

from pyrunc.cgroups.control import Cgroup
from pyrunc.errors import StepError
from pyrunc.host import resctrl
from pyrunc.plan.resctrl import plan_resctrl
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.host.resctrl import Groups
    from pyrunc.plan.resctrl import JoinClos
    from pyrunc.spec.linux import IntelRdt
    from pyrunc.state.store import State


class SchemataChange(Record):
    """What is going to be done: lines for a class that is there (`clos`), or a class to be made (`groups`)."""

    step: JoinClos
    clos: str
    old: str
    groups: Groups | None = None

    @property
    def made(self) -> tuple[str, ...]:
        """What delete will have to remove besides."""
        return self.groups.made if self.groups else ()

    def carry_out(self, state: State) -> None:
        """Write the lines, or make the class and move the container into it. Raises StepError, perhaps half way."""
        if self.groups is not None:
            resctrl.make(self.groups)
            _move_all(self.groups, state)
        else:
            resctrl.write_lines(self.clos, self.step.lines, self.step)

    def undo(self) -> None:
        """Put the old lines back; a class that was made goes, and its tasks fall back to where they came from.

        Raises StepError, StateError.
        """
        if self.groups is not None:
            resctrl.remove(self.groups.made)
        else:
            resctrl.write_lines(self.clos, tuple(line.strip() for line in self.old.splitlines()), self.step)


def plan_change(state: State, wanted: IntelRdt, shared: str | None, root: str) -> SchemataChange:
    """Look at what there is to be changed, below resctrl's mount point `root`.

    `shared` is the class that config.json named, if it did: others may be in it, so it is not changed here.
    Raises StepError.
    """
    step = plan_resctrl(wanted, state.id)
    if shared is not None:
        tried = f"{step.where}: the class of service {shared} is not the container's own"
        raise StepError(tried, f"write to {root or '/sys/fs/resctrl'}/{shared.strip('/')}/schemata")
    own = next((path for path in state.resctrl_made if "/mon_groups/" not in path), "")
    if own:
        return SchemataChange(step, own, resctrl.read_lines(own))
    return SchemataChange(step, "", "", resctrl.look(step, root))


def _move_all(groups: Groups, state: State) -> None:
    """Put every thread of the container into the class: new ones are born into it, so this comes to an end."""
    cgroup = Cgroup(state.cgroup_leaves, state.cgroup_made)
    moved: set[str] = set()
    while found := {thread for pid in cgroup.processes() for thread in _threads(pid)} - moved:
        for thread in found:
            resctrl.join(groups, int(thread))
        moved |= found


def _threads(pid: int) -> list[str]:
    try:
        return posix.listdir(f"/proc/{pid}/task")
    except (FileNotFoundError, ProcessLookupError):
        return []
