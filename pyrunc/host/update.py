"""Change the limits of a running container: all that is asked for, or nothing.

What holds is read before the first write. Each part that has been changed leaves behind how to undo it, and an error
anywhere undoes them, the last first.
"""

from __future__ import annotations

from pyrunc.cgroups.control import guard
from pyrunc.cgroups.creation import apply
from pyrunc.cgroups.update import read_old, read_present, undoing
from pyrunc.errors import PyruncError, StateError, StepError
from pyrunc.host.facts import look
from pyrunc.host.stats import running_state
from pyrunc.plan.cgroups import plan_update
from pyrunc.plan.cgroups_update import PRESENT, complete, ordered
from pyrunc.plan.steps_cgroups import Write
from pyrunc.record import Record
from pyrunc.spec.load import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.host.resctrl_update import SchemataChange
    from pyrunc.host.update_devices import DeviceChange
    from pyrunc.plan.steps_cgroups import CgroupPlan
    from pyrunc.spec.config import Spec
    from pyrunc.spec.linux import IntelRdt
    from pyrunc.spec.resources import Resources
    from pyrunc.state.store import Entry, State

    Undo = list[Callable[[], None]]

# What systemd writes when it is told of any limit of the same controller: as it last heard of it, and rounded.
_SYSTEMD_WRITES = (
    *("cpu.max", "cpu.weight", "memory.max", "memory.low", "memory.high", "memory.swap.max", "io.weight"),
    *("cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.shares", "memory.limit_in_bytes", "blkio.weight"),
    *("pids.max", "cpuset.cpus", "cpuset.mems"),
)


class Change(Record):
    """All that is going to be changed, planned before anything is."""

    limits: CgroupPlan
    devices: DeviceChange | None
    schemata: SchemataChange | None


def update(entry: Entry, resources: Resources, rdt: IntelRdt | None = None) -> None:
    """Make new limits hold; what `resources` does not speak of stays as it is.

    Raises StatusError for a container that does not run (a paused one may be changed), ConfigError with everything
    that cannot be, and StepError, CgroupError or StateError, with the old limits in force, when something fails.
    """
    entry.lock()
    state = running_state(entry)
    if any(resources.__dict__.values()) and not state.cgroup_leaves:
        raise StateError(f"container {entry.id} has no cgroup, and so no limits")
    planned = _plan(entry, state, resources, rdt)
    undo: Undo = []
    try:
        _change_limits(state, planned, undo)
        _change_the_rest(entry, state, planned, undo)
    except PyruncError as err:
        _undo_all(undo, err)
        raise


def _plan(entry: Entry, state: State, resources: Resources, rdt: IntelRdt | None) -> Change:
    facts = look()
    for leaf in state.cgroup_leaves:
        guard(leaf, facts.layout)
    present = read_present(state.cgroup_leaves, PRESENT)
    entries, resources = resources.devices, resources.but(devices=())
    limits = plan_update(complete(resources, present), state.cgroup_leaves, facts.layout)
    limits = limits.but(writes=ordered(limits.writes, present))
    devices = schemata = None
    if entries and facts.privileged:  # of an ordinary user's containers create sets none
        from pyrunc.host import update_devices

        linux = _config(entry).linux
        configured = linux.resources.devices if linux and linux.resources else ()
        devices = update_devices.plan_change(state, entries, configured, limits)
    if rdt is not None:
        from pyrunc.host import resctrl, resctrl_update

        linux = _config(entry).linux
        shared = linux.intel_rdt.clos_id if linux and linux.intel_rdt else None
        schemata = resctrl_update.plan_change(state, rdt, shared, resctrl.find_root())
    return Change(limits, devices, schemata)


def _config(entry: Entry) -> Spec:
    """Return config.json as it was at create. Raises StateError, ConfigError."""
    return parse(entry.kept_config(), "config.json")


def _change_limits(state: State, planned: Change, undo: Undo) -> None:
    writes = planned.limits.writes
    olds = read_old(writes)
    if state.unit:
        _tell_systemd(state, planned, undoing(olds), undo)
    for write, old in zip(writes, olds, strict=True):
        apply((write,))
        undo.append(_writing(*old))


def _writing(*writes: Write) -> Callable[[], None]:
    return lambda: apply(writes)


def _tell_systemd(state: State, planned: Change, olds: tuple[Write, ...], undo: Undo) -> None:
    """Let the unit have the limits before the files do: it rounds, and not all of its values are asked to change."""
    from pyrunc.host import scope

    told, before = planned.limits, planned.limits.but(writes=olds)
    if planned.devices is not None:
        told, before = planned.devices.add_to(told, old=False), planned.devices.add_to(before, old=True)
    asked = {write.path for write in told.writes}
    files = (f"{leaf}/{name}" for leaf in state.cgroup_leaves for name in _SYSTEMD_WRITES)
    others = undoing(read_old(tuple(Write(file, "", ".linux.resources") for file in files if file not in asked)))

    undo += map(_writing, reversed((*before.writes, *others)))
    undo.append(lambda: scope.update(state.unit, before))
    scope.update(state.unit, told)
    apply(others)


def _change_the_rest(entry: Entry, state: State, planned: Change, undo: Undo) -> None:
    """Schemata and devices; what they need to be undone, or gone on from, is in state.json before it is done."""
    new = state
    if planned.schemata is not None:
        new = new.but(resctrl_made=(*planned.schemata.made, *new.resctrl_made))
    if planned.devices is not None:
        new = new.but(device_rules=planned.devices.remembered)
    if new != state:
        undo.append(lambda: entry.save(state))
        entry.save(new)
    if planned.schemata is not None:
        undo.append(planned.schemata.undo)
        planned.schemata.carry_out(new)
    if planned.devices is not None:
        undo.append(planned.devices.undo)
        planned.devices.carry_out()


def _undo_all(undo: Undo, cause: PyruncError) -> None:
    """Undo what was done, the last first. Raises StepError with what could not be, after trying all of it."""
    failed = []
    for act in reversed(undo):
        try:
            act()
        except PyruncError as err:
            failed.append(str(err))
    if failed:
        raise StepError(f"{cause}; and then the old limits could not be put back: {'; '.join(failed)}") from cause
