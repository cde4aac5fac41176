"""Carry out the steps that few containers ask for (plan/steps_process.py).

apply() works while the init is still root in the container's root, restrict() right before the seccomp filter: what
it takes away would hinder the startContainer hooks. Loaded before the fork, and only where a plan has such steps.
"""

from __future__ import annotations

import errno
import posix

from pyrunc.errors import StepError, reason
from pyrunc.kernel import labels, landlock, procfs, scheduling
from pyrunc.plan.steps_process import (
    Landlock,
    MakeCoreCookie,
    SetIoPriority,
    SetLabel,
    SetMemoryPolicy,
    SetScheduler,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.steps import Step


def apply(steps: tuple[Step, ...], proc: int) -> None:
    """Do all but what restrict() does; `proc` is a private procfs, -1 where no step has a label.

    Raises StepError with the step's place in config.json.
    """
    for step in steps:
        try:
            _apply(step, proc)
        except OSError as err:
            raise StepError(f"{step.where}: cannot {step.describe()}: {reason(err)}", _hint(step, err)) from err


def _hint(step: Step, err: OSError) -> str:
    if err.errno == errno.EPERM and isinstance(step, SetScheduler) and step.priority:
        return "a v1 cpu cgroup has no real-time share without .linux.resources.cpu.realtimeRuntime"
    return ""


def _apply(step: Step, proc: int) -> None:
    if isinstance(step, SetScheduler):
        scheduling.set_scheduler(
            step.policy, step.nice, step.priority, step.flags, step.runtime, step.deadline, step.period
        )
    elif isinstance(step, SetIoPriority):
        scheduling.set_io_priority(step.class_, step.priority)
    elif isinstance(step, SetMemoryPolicy):
        scheduling.set_memory_policy(step.mode, step.nodes)
    elif isinstance(step, MakeCoreCookie):
        scheduling.make_core_cookie()
    elif isinstance(step, SetLabel):
        set_label(step, proc)


def set_label(step: SetLabel, proc: int) -> None:
    """Name the label that execve(2) will give the program."""
    attributes = labels.open_attributes(proc)
    try:
        if step.module == "apparmor":
            labels.set_apparmor_exec(attributes, step.label)
        else:
            labels.set_selinux_exec(attributes, step.label)
    finally:
        posix.close(attributes)


def label_keys(steps: tuple[Step, ...], on: bool, known: int = -1) -> None:
    """Give the session keyring the program's SELinux label, or it could not use its own keys.

    `known` is a private procfs, -1 where one is to be opened. Raises OSError.
    """
    for step in steps:
        if isinstance(step, SetLabel) and step.module == "selinux":
            proc = procfs.open_private() if known < 0 else known
            attributes = labels.open_attributes(proc)
            if known < 0:
                posix.close(proc)
            try:
                labels.set_selinux_key(attributes, step.label if on else "")
            finally:
                posix.close(attributes)


def restricts(steps: tuple[Step, ...]) -> bool:
    """Tell whether restrict() has anything to do: without no_new_privs it needs CAP_SYS_ADMIN."""
    return any(isinstance(step, Landlock) for step in steps)


def restrict(steps: tuple[Step, ...]) -> None:
    """Enforce Landlock rules. Raises StepError with the rule's place in config.json."""
    for step in steps:
        if isinstance(step, Landlock):
            try:
                ruleset = landlock.create_ruleset(step.handled)
                _allow(step, ruleset)
                landlock.restrict_self(ruleset)
            except OSError as err:
                raise StepError(f"{step.where}: cannot {step.describe()}: {reason(err)}") from err


def _allow(step: Landlock, ruleset: int) -> None:
    for rule in step.rules:
        for path in rule.paths:
            try:
                fd = posix.open(path, posix.O_PATH | posix.O_CLOEXEC)
                landlock.allow_beneath(ruleset, fd, rule.access)
                posix.close(fd)
            except OSError as err:
                raise StepError(f"{rule.where}: cannot allow {rule.access:#x} below {path}: {reason(err)}") from err
