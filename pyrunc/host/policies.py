"""Look whether this host can do what few containers ask for, before anything is made."""

from __future__ import annotations

from pyrunc.errors import StepError, reason
from pyrunc.kernel import labels, landlock, scheduling
from pyrunc.kernel.procfs import own_mounts
from pyrunc.plan.steps_process import Landlock, MakeCoreCookie, SetLabel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.steps import Step
    from pyrunc.plan.steps_process import SetScheduler

_NAMES = {"apparmor": "AppArmor", "selinux": "SELinux"}


def check(steps: tuple[Step, ...]) -> None:
    """Raise StepError for the first step that this kernel cannot carry out (config.md: applied, or an error)."""
    for step in steps:
        if isinstance(step, SetLabel):
            check_module(step.where, step.module)
        elif isinstance(step, Landlock) and not landlock.version():
            raise StepError(f"{step.where}: this kernel has no Landlock")
        elif isinstance(step, MakeCoreCookie) and not scheduling.has_core_scheduling():
            raise StepError(f"{step.where}: this kernel or processor has no core scheduling")


def check_module(where: str, module: str) -> None:
    """Raise StepError unless a security module, "apparmor" or "selinux", is enabled."""
    enabled = labels.apparmor_enabled() if module == "apparmor" else labels.selinux_enabled(own_mounts())
    if not enabled:
        raise StepError(f"{where}: {_NAMES[module]} is not enabled on this host")


def set_scheduler(step: SetScheduler, pid: int) -> None:
    """Give another process its scheduler. Raises StepError."""
    values = (step.nice, step.priority, step.runtime, step.deadline, step.period)
    try:
        scheduling.set_scheduler_of(pid, step.policy, step.flags, *values)
    except OSError as err:
        raise StepError(f"{step.where}: cannot {step.describe()}: {reason(err)}") from err
