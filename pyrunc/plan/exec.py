"""The program of exec: what the caller says over what the container's own config.json said. No I/O."""

from __future__ import annotations

from pyrunc.errors import ConfigError, SpecError
from pyrunc.plan.namespaces import has_own, plan_id_maps
from pyrunc.plan.process import asks_for_policies, complete, plan_process
from pyrunc.plan.steps_exec import Entering
from pyrunc.record import Record
from pyrunc.spec.linux import Linux
from pyrunc.spec.process import Capabilities
from pyrunc.spec.read import number_ranges
from pyrunc.spec.rules import check_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.facts import Facts
    from pyrunc.plan.seccomp import SendListener
    from pyrunc.plan.steps import Step
    from pyrunc.plan.steps_process import SetScheduler
    from pyrunc.spec.config import Spec
    from pyrunc.spec.process import Process

_RESET_ON_FORK = 1
_DEADLINE = 6


class ExecRequest(Record):
    """What the caller of exec says: a whole `process`, or `args` and what differs from the container's own.

    None, "" and () leave what config.json had. `env` and `additional_gids` are added to it; so are `capabilities`,
    to the sets that a program has them by.
    """

    args: tuple[str, ...] = ()
    process: Process | None = None
    cwd: str = ""
    env: tuple[str, ...] = ()
    terminal: bool = False
    uid: int | None = None
    gid: int | None = None
    additional_gids: tuple[int, ...] = ()
    capabilities: tuple[str, ...] = ()
    no_new_privileges: bool | None = None
    apparmor_profile: str = ""
    selinux_label: str = ""
    preserve_fds: int = 0
    listen_fds: int = 0
    listen_fdnames: str = ""


def plan_exec(container_id: str, spec: Spec, request: ExecRequest, facts: Facts) -> tuple[Spec, Entering]:
    """Decide everything that exec will do; `spec` is the container's own, and comes back with the new process.

    Raises ConfigError with all that cannot be carried out.
    """
    own, process = spec.process, exec_process(spec.process, request)
    spec = spec.but(process=process)
    linux = spec.linux or Linux()
    held = None if has_own(linux.namespaces, "user") else facts.held
    planned, warnings = plan_process(process, facts.last_capability, held)
    if warnings and own is not None:
        told = plan_process(own, facts.last_capability, held)[1]  # by create
        warnings = tuple(each for each in warnings if each not in told)
    policies, late, shares = _policies(spec)
    affinity = process.exec_cpu_affinity
    return spec, Entering(
        id=container_id,
        process=complete(planned, linux, request).but(policies=policies),
        id_maps=plan_id_maps(linux),
        initial_cpus=_cpus(affinity.initial) if affinity else None,
        final_cpus=_cpus(affinity.final) if affinity else None,
        late_scheduler=late,
        shares_core=shares,
        listener=_listener(linux, facts),
        warnings=warnings,
    )


def exec_process(own: Process | None, request: ExecRequest) -> Process:
    """Return the process to run, as config.json would describe it.

    Raises ConfigError if there is nothing to run, or it breaks a rule of the spec.
    """
    process = request.process
    if process is not None:
        if process.exec_cpu_affinity is None and own is not None:
            process = process.but(exec_cpu_affinity=own.exec_cpu_affinity)
        return process
    if own is None:
        raise ConfigError("config.json", (SpecError(".process", "is missing", "--process gives a whole one"),))
    process = _changed(own, request)
    problems = tuple(check_process(process))
    if problems:
        raise ConfigError("exec", problems)
    return process


def _changed(own: Process, request: ExecRequest) -> Process:
    user = own.user.but(
        uid=own.user.uid if request.uid is None else request.uid,
        gid=own.user.gid if request.gid is None else request.gid,
        additional_gids=(*own.user.additional_gids, *request.additional_gids),
    )
    forbids = request.no_new_privileges
    return own.but(
        args=request.args,
        cwd=request.cwd or own.cwd,
        env=(*own.env, *request.env),
        terminal=request.terminal,
        console_size=own.console_size if request.terminal else None,
        user=user,
        capabilities=_with(own.capabilities, request.capabilities),
        no_new_privileges=own.no_new_privileges if forbids is None else forbids,
        apparmor_profile=request.apparmor_profile or own.apparmor_profile,
        selinux_label=request.selinux_label or own.selinux_label,
    )


def _with(own: Capabilities | None, more: tuple[str, ...]) -> Capabilities | None:
    """Add capabilities; CVE-2022-29162: never to the inheritable set, and so to the ambient one only what is there."""
    if not more:
        return own
    own = own or Capabilities()
    return own.but(
        bounding=(*own.bounding, *more),
        effective=(*own.effective, *more),
        permitted=(*own.permitted, *more),
        ambient=(*own.ambient, *(name for name in more if name in own.inheritable)),
    )


def _policies(spec: Spec) -> tuple[tuple[Step, ...], SetScheduler | None, bool]:
    """Return the steps the process does itself, the scheduler if that has to come late, and whether a core is shared.

    A thread that resets its policy on fork(2) or has a deadline (sched(7)) cannot pass it on to a child.
    """
    if not asks_for_policies(spec):
        return (), None, False
    from pyrunc.plan.policies import plan_policies
    from pyrunc.plan.steps_process import MakeCoreCookie, SetScheduler

    steps = plan_policies(spec)
    late = None
    for step in steps:
        if isinstance(step, SetScheduler) and (step.flags & _RESET_ON_FORK or step.policy == _DEADLINE):
            late = step
    shares = any(isinstance(step, MakeCoreCookie) for step in steps)
    return tuple(step for step in steps if step is not late and not isinstance(step, MakeCoreCookie)), late, shares


def _cpus(text: str | None) -> tuple[int, ...] | None:
    if not text:
        return None
    return tuple(sorted({number for each in number_ranges(text) or () for number in each})) or None


def _listener(linux: Linux, facts: Facts) -> SendListener | None:
    if linux.seccomp is None:
        return None
    from pyrunc.plan.seccomp import plan_listener

    return plan_listener(linux.seccomp, not facts.privileged)
