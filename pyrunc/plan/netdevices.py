"""Interfaces of the host that the container gets (config-linux.md, "Network Devices")."""

from __future__ import annotations

from pyrunc.errors import ConfigError, SpecError
from pyrunc.plan.namespaces import has_own
from pyrunc.plan.steps import Step
from pyrunc.spec.read import member_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.spec.linux import Linux


class MoveNetDevice(Step):
    """Move an interface into the container's network namespace; "%d" in `target` is the first free number."""

    name: str
    target: str

    def describe(self) -> str:
        renamed = f" as {self.target}" if self.target != self.name else ""
        return f"move network device {self.name} into the container{renamed}"


def plan_net_devices(linux: Linux) -> tuple[MoveNetDevice, ...]:
    """Return a step for each interface.

    Raises ConfigError for what cannot be carried out, before anything is moved: nothing is ever moved back.
    """
    steps = tuple(
        MoveNetDevice(member_path(".linux.netDevices", name), name, device.name or name)
        for name, device in linux.net_devices.items()
    )
    problems = tuple(_problems(linux, steps))
    if problems:
        raise ConfigError("config.json", problems)
    return steps


def _problems(linux: Linux, steps: tuple[MoveNetDevice, ...]) -> Iterator[SpecError]:
    if not has_own(linux.namespaces, "network"):
        yield SpecError(".linux.netDevices", "needs a network entry in .linux.namespaces")
    seen: dict[str, str] = {}
    for step in steps:
        if "%" in step.target:
            if step.target.count("%") > 1 or "%d" not in step.target:
                yield SpecError(f"{step.where}.name", 'may have one "%d" and no other "%"')
            continue
        first = seen.setdefault(step.target, step.where)
        if first != step.where:
            yield SpecError(f"{step.where}.name", f"is the same as that of {first}")
