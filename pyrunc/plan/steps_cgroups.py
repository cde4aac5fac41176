"""The vocabulary of cgroups: which directories a container gets, and what is written into their files.

`where` is the JSON path in config.json that asked for it; for defaults, the one that would change them.
"""

from __future__ import annotations

from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrunc.plan.facts import Hierarchy


# What stands in pids.max while hooks run in a container whose own limit would leave them no process.
PIDS_OF_HOOKS = 64


class Directory(Record):
    """The container's cgroup in one hierarchy; `path` is absolute on the host.

    `controllers` are those that the plan writes to, which a v2 hierarchy must have enabled there.
    """

    hierarchy: Hierarchy
    path: str
    where: str = ".linux.cgroupsPath"
    controllers: tuple[str, ...] = ()

    def describe(self) -> str:
        """Say the act in words that follow "cannot ..."."""
        return f"make the cgroup {self.path}"


class Write(Record):
    """One value for one cgroup file.

    `optional` is for what a kernel may lack without harm: a missing file and EOPNOTSUPP are let pass.
    `otherwise` is written instead where the file is missing, because kernels name it differently. `usage` is a
    file with what is used now: a value below that is refused (config-linux.md#memory, checkBeforeUpdate).
    """

    path: str
    value: str
    where: str
    optional: bool = False
    otherwise: Write | None = None
    usage: str = ""

    def describe(self) -> str:
        """Say the act in words that follow "cannot ..."."""
        return f"write '{self.value}' to {self.path}"


class DeviceRule(Record):
    """One entry of the allow list (config-linux.md#allowed-device-list), with its defaults filled in.

    `type` is a, b or c; `major` and `minor` None mean any; `access` is of the letters r, w, m.
    """

    allow: bool
    type: str
    major: int | None
    minor: int | None
    access: str
    where: str = ".linux.resources.devices"

    def describe(self) -> str:
        """Say the rule as "allow c 1:3 rwm"."""
        return f"{'allow' if self.allow else 'deny'} {self.match}"

    @property
    def match(self) -> str:
        """What the rule is about, in the words of the v1 files devices.allow and devices.deny."""
        numbers = ("*" if number is None else str(number) for number in (self.major, self.minor))
        return f"{self.type} {':'.join(numbers)} {self.access}"


class Scope(Record):
    """The transient scope unit that systemd makes for a container, and with it the container's cgroup.

    A property is its name, its type as a D-Bus signature, and its value. `place` is the scope's cgroup as
    /proc/PID/cgroup names it, `description` how we know the unit as ours. What is `late` limits memory too
    tightly for the interpreter that waits, and is set once it has settled.
    """

    unit: str
    place: str
    description: str
    properties: tuple[tuple[str, str, Any], ...]
    late: tuple[tuple[str, str, Any], ...] = ()
    late_writes: tuple[Write, ...] = ()
    where: str = ".linux.cgroupsPath"

    def describe(self) -> str:
        """Say the act in words that follow "cannot ..."."""
        return f"start the systemd unit {self.unit}"


class CgroupPlan(Record):
    """All that is to be done to cgroups for one container, in order.

    `device_rules` are for the eBPF program of cgroup v2: everything is denied, then these apply in order;
    None is no program. `small_memory`: the memory limit is too low for the interpreter that waits for
    `start`, so that cgroup is entered last. `private`: a new cgroup namespace is asked for. `late_pids` is a
    limit in whose place `writes` has PIDS_OF_HOOKS until the container's own hooks have run. `born_inside` is
    false where clone3(CLONE_INTO_CGROUP) into the v2 cgroup would fail or kill. `owner` is the host uid that a
    delegated v2 cgroup is given to. With `scope` it is systemd that makes the cgroups it knows of, around the
    container's process.
    """

    directories: tuple[Directory, ...]
    writes: tuple[Write, ...] = ()
    device_rules: tuple[DeviceRule, ...] | None = None
    small_memory: bool = False
    private: bool = False
    late_pids: Write | None = None
    born_inside: bool = True
    owner: int | None = None
    scope: Scope | None = None

    @property
    def unified(self) -> Directory | None:
        """The directory in the v2 hierarchy, if the container gets one."""
        return next((each for each in self.directories if each.hierarchy.version == 2), None)

    @property
    def last(self) -> Directory | None:
        """The directory that is entered last, where there is such a one."""
        if not self.small_memory:
            return None
        return next((each for each in self.directories if "memory" in each.hierarchy.controllers), None)

    @property
    def visits(self) -> bool:
        """Tell whether that is entered for a moment before: the roots of a cgroup namespace are where its maker is."""
        return self.private and self.last is not None

    def describe(self) -> str:
        """Say what will be done, one act a line."""
        acts = [self.scope.describe()] if self.scope else []
        acts += [each.describe() for each in self.directories]
        acts += [each.describe() for each in self.writes]
        acts += [each.describe() for each in self.device_rules or ()]
        acts += [f"{self.late_pids.describe()} after the hooks"] if self.late_pids else []
        return "\n".join(acts)
