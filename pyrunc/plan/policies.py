"""What few containers ask of their init: scheduler, I/O and memory policies, labels, and what annotations add.

config.md, "Linux Process"; config-linux.md, "Memory policy"; docs/annotations.md.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError, SpecError
from pyrunc.kernel import flags
from pyrunc.plan.steps_process import (
    Landlock,
    LandlockRule,
    MakeCoreCookie,
    SetIoPriority,
    SetLabel,
    SetMemoryPolicy,
    SetScheduler,
)
from pyrunc.spec.read import member_path, number_ranges

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pyrunc.plan.steps import Step
    from pyrunc.spec.config import Spec
    from pyrunc.spec.linux import MemoryPolicy
    from pyrunc.spec.process import Process, Scheduler

LANDLOCK = "org.pyrunc.landlock"
CORE_SCHED = "org.pyrunc.core-sched"


def plan_policies(spec: Spec) -> tuple[Step, ...]:
    """Return the steps in the order in which they are done.

    Raises ConfigError for a scheduler or an annotation of ours that makes no sense.
    """
    if spec.process is None:
        return ()
    steps = list(_labels(spec.process))
    if spec.process.scheduler is not None:
        problems = tuple(_scheduler_problems(spec.process.scheduler))
        if problems:
            raise ConfigError("config.json", problems)
        steps.append(_scheduler(spec.process.scheduler))
    priority = spec.process.io_priority
    if priority is not None:
        class_ = flags.IO_CLASSES[priority.class_]
        steps.append(SetIoPriority(".process.ioPriority", priority.class_, class_, priority.priority))
    if spec.linux is not None and spec.linux.memory_policy is not None:
        steps.append(_memory_policy(spec.linux.memory_policy))
    try:
        steps += _annotated(spec.annotations)
    except SpecError as problem:
        raise ConfigError("config.json", (problem,)) from None
    return tuple(steps)


def _labels(process: Process) -> Iterator[Step]:
    if process.apparmor_profile:
        yield SetLabel(".process.apparmorProfile", "apparmor", process.apparmor_profile)
    if process.selinux_label:
        yield SetLabel(".process.selinuxLabel", "selinux", process.selinux_label)


def _scheduler_problems(wanted: Scheduler) -> Iterator[SpecError]:
    """What a policy has no use for sched_setattr(2) would silently drop, or bring into its range."""
    policy, at = wanted.policy, ".process.scheduler"
    if not -20 <= wanted.nice <= 19:
        yield SpecError(f"{at}.nice", "must be from -20 to 19")
    elif wanted.nice and policy not in ("SCHED_OTHER", "SCHED_BATCH"):
        yield SpecError(f"{at}.nice", f"means nothing for {policy}")
    if wanted.priority and policy not in ("SCHED_FIFO", "SCHED_RR"):
        yield SpecError(f"{at}.priority", f"means nothing for {policy}")
    times = (("runtime", wanted.runtime), ("deadline", wanted.deadline), ("period", wanted.period))
    for key, value in times:
        if value and policy != "SCHED_DEADLINE":
            yield SpecError(f"{at}.{key}", f"means nothing for {policy}")


def _scheduler(wanted: Scheduler) -> Step:
    bits = 0
    for name in wanted.flags:
        bits |= flags.SCHEDULER_FLAGS[name]
    return SetScheduler(
        ".process.scheduler",
        wanted.policy,
        flags.SCHEDULERS[wanted.policy],
        wanted.nice,
        wanted.priority,
        bits,
        wanted.runtime,
        wanted.deadline,
        wanted.period,
    )


def _memory_policy(wanted: MemoryPolicy) -> Step:
    mode = flags.MEMORY_POLICIES[wanted.mode]
    for name in wanted.flags:
        mode |= flags.MEMORY_POLICY_FLAGS[name]
    ranges = number_ranges(wanted.nodes or "") or ()
    nodes = tuple(sorted({node for each in ranges for node in each}))
    return SetMemoryPolicy(".linux.memoryPolicy", wanted.mode, mode, nodes)


def _annotated(annotations: dict[str, str]) -> Iterator[Step]:
    """docs/annotations.md."""
    core = annotations.get(CORE_SCHED)
    if core is not None:
        where = member_path(".annotations", CORE_SCHED)
        if core != "new":
            raise SpecError(where, 'must be "new"')
        yield MakeCoreCookie(where)
    text = annotations.get(LANDLOCK)
    if text is not None:
        yield _landlock(member_path(".annotations", LANDLOCK), text)


def _landlock(where: str, text: str) -> Step:
    from pyrunc.jsontext import parse

    try:
        document = parse(text)
    except ValueError as err:
        raise SpecError(where, f"is not JSON: {err}") from err
    if not isinstance(document, dict) or document.keys() - {"handled", "rules"}:
        raise SpecError(where, "must be an object of handled and rules")
    handled = _access(document.get("handled"), f"{where}.handled")
    listed = document.get("rules", [])
    if not isinstance(listed, list):
        raise SpecError(f"{where}.rules", "must be an array")
    rules = tuple(_landlock_rule(each, f"{where}.rules[{index}]", handled) for index, each in enumerate(listed))
    return Landlock(where, handled, rules)


def _landlock_rule(document: Any, where: str, handled: int) -> LandlockRule:
    if not isinstance(document, dict) or document.keys() != {"access", "paths"}:
        raise SpecError(where, "must be an object of access and paths")
    access = _access(document["access"], f"{where}.access")
    if access & ~handled:
        raise SpecError(f"{where}.access", f"has bits that .handled has not: {access & ~handled:#x}")
    paths = document["paths"]
    if not isinstance(paths, list) or not paths:
        raise SpecError(f"{where}.paths", "must be an array with at least one path")
    for index, path in enumerate(paths):
        if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
            raise SpecError(f"{where}.paths[{index}]", "must be an absolute path")
    return LandlockRule(where, access, tuple(paths))


def _access(value: Any, where: str) -> int:
    """A mask as the kernel numbers it: plain numbers need no release of ours for a new kind of access."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**64:
        raise SpecError(where, "must be a mask of LANDLOCK_ACCESS_FS_* bits, as a number greater than zero")
    return value
