"""Steps that the init does to itself and that few containers ask for; steps.py has the rest of the vocabulary.

Loaded only for a config.json that needs one of them.
"""

from __future__ import annotations

from pyrunc.plan.steps import Step
from pyrunc.record import Record


class SetScheduler(Step):
    """sched_setattr(2); runtime, deadline and period are nanoseconds."""

    name: str
    policy: int
    nice: int
    priority: int
    flags: int
    runtime: int
    deadline: int
    period: int

    def describe(self) -> str:
        return f"set the scheduler to {self.name}"


class SetIoPriority(Step):
    """ioprio_set(2)."""

    name: str
    class_: int
    priority: int

    def describe(self) -> str:
        return f"set the I/O priority to {self.name} {self.priority}"


class SetMemoryPolicy(Step):
    """set_mempolicy(2); `mode` with its flags."""

    name: str
    mode: int
    nodes: tuple[int, ...]

    def describe(self) -> str:
        nodes = f" over nodes {','.join(map(str, self.nodes))}" if self.nodes else ""
        return f"set the memory policy to {self.name}{nodes}"


class SetLabel(Step):
    """The label that a Linux security module gives the program at execve(2); `module` is "apparmor" or "selinux"."""

    module: str
    label: str

    def describe(self) -> str:
        return f"set the {self.module} label {self.label!r}"


class MakeCoreCookie(Step):
    """prctl(2), PR_SCHED_CORE: no foreign process shares a physical core with the container."""

    def describe(self) -> str:
        return "make a core scheduling cookie"


class LandlockRule(Record):
    """What stays allowed below some paths; `access` are LANDLOCK_ACCESS_FS_* bits."""

    where: str
    access: int
    paths: tuple[str, ...]


class Landlock(Step):
    """landlock_restrict_self(2): of the `handled` accesses only those that a rule allows remain."""

    handled: int
    rules: tuple[LandlockRule, ...]

    def describe(self) -> str:
        return "restrict the filesystem by Landlock"
