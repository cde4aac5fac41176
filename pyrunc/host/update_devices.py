"""Change the devices that a running container may use (config-linux.md#allowed-device-list)."""

from __future__ import annotations

from pyrunc.cgroups.creation import apply
from pyrunc.errors import ConfigError, StateError, StepError
from pyrunc.plan.cgroups_devices import WHERE, program_rules, read_rules
from pyrunc.plan.cgroups_update import change_devices_v1, rules_of_text, rules_text
from pyrunc.plan.steps_cgroups import DeviceRule
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.steps_cgroups import CgroupPlan, Write
    from pyrunc.spec.resources import DeviceCgroup
    from pyrunc.state.store import State


_EVERYTHING = DeviceRule(True, "a", None, None, "rwm")


class DeviceChange(Record):
    """From these rules to those: `forward` and `backward` are v1's files, `unified` is the v2 cgroup, or ""."""

    old: tuple[DeviceRule, ...]
    new: tuple[DeviceRule, ...]
    forward: tuple[Write, ...] = ()
    backward: tuple[Write, ...] = ()
    unified: str = ""

    @property
    def remembered(self) -> tuple[str, ...]:
        """What state.json keeps, for the next change to start from."""
        return rules_text(self.new)

    def add_to(self, limits: CgroupPlan, old: bool) -> CgroupPlan:
        """Return limits with the new rules, or with the old ones, for systemd to be told of both."""
        if not self.unified:
            return limits.but(writes=(*limits.writes, *(self.backward if old else self.forward)))
        rules = program_rules(self.old if old else self.new)
        return limits.but(device_rules=(_EVERYTHING,) if rules is None else rules)

    def carry_out(self) -> None:
        """Make the new rules hold. Raises StepError, with what was written before in force."""
        if not self.unified:
            apply(self.forward)
            return
        from pyrunc.cgroups.v2 import replace_device_program

        replace_device_program(self.unified, program_rules(self.new))

    def undo(self) -> None:
        """Make the old rules hold again, after carry_out has failed half way. Raises StepError.

        What was not changed yet is not hurt. On v2 there is no half way: a program that is not replaced stays.
        """
        apply(self.backward)


def plan_change(
    state: State, entries: tuple[DeviceCgroup, ...], configured: tuple[DeviceCgroup, ...], limits: CgroupPlan
) -> DeviceChange | None:
    """Compare the wanted rules with those that we have set, not with what the kernel has: others may allow more.

    None where nothing is to change: containerd says all of a container's rules again with every change of a limit.
    Raises ConfigError with what these cgroups cannot express.
    """
    new, problems = read_rules(entries)
    if problems:
        raise ConfigError("resources", problems)
    try:
        old = rules_of_text(state.device_rules) or read_rules(configured)[0]
    except ValueError as err:
        raise StateError(f"the state of {state.id} cannot be read: {err}") from err
    if rules_text(old) == rules_text(new):
        return None
    leaf = next((each.path for each in limits.directories if "devices" in each.hierarchy.controllers), "")
    if leaf:
        # systemd, when told of devices, makes the list anew itself, and forgets what it does not know of.
        return DeviceChange(old, new, *change_devices_v1(leaf, old, new, anew=bool(state.unit)))
    if limits.unified is None:
        raise StepError(f"{WHERE}: the container has no cgroup in which devices are limited")
    return DeviceChange(old, new, unified=limits.unified.path)
