"""The vocabulary of cgroups: which directories a container gets, and what is written into their files.

`where` is the JSON path in config.json that asked for it; for defaults, the one that would change them.
"""

from __future__ import annotations

from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.facts import Hierarchy


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


class CgroupPlan(Record):
    """All that is to be done to cgroups for one container, in order.

    `device_rules` are for the eBPF program of cgroup v2: everything is denied, then these apply in order;
    None is no program. `small_memory`: the memory limit is too low for the interpreter that waits for
    `start`, so that cgroup is entered last. `born_inside` is false where clone3(CLONE_INTO_CGROUP) into the
    v2 cgroup would fail or kill. `owner` is the host uid that a delegated v2 cgroup is given to.
    """

    directories: tuple[Directory, ...]
    writes: tuple[Write, ...] = ()
    device_rules: tuple[DeviceRule, ...] | None = None
    small_memory: bool = False
    born_inside: bool = True
    owner: int | None = None

    @property
    def unified(self) -> Directory | None:
        """The directory in the v2 hierarchy, if the container gets one."""
        return next((each for each in self.directories if each.hierarchy.version == 2), None)

    def describe(self) -> str:
        """Say what will be done, one act a line."""
        acts = [each.describe() for each in self.directories]
        acts += [each.describe() for each in self.writes]
        acts += [each.describe() for each in self.device_rules or ()]
        return "\n".join(acts)
