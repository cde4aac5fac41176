"""The process: program, ids, capabilities, limits (config.md, "Process")."""

from __future__ import annotations

from pyrunc.kernel import flags
from pyrunc.plan.steps import CapabilitySets, Process, Rlimit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.exec import ExecRequest
    from pyrunc.plan.make import Request
    from pyrunc.spec.config import Spec
    from pyrunc.spec.linux import Linux
    from pyrunc.spec.process import Capabilities
    from pyrunc.spec.process import Process as ProcessSpec


def plan_process(
    process: ProcessSpec, last_capability: int, held: frozenset[int] | None = None
) -> tuple[Process, tuple[str, ...]]:
    """Return the process as numbers, and warnings for what cannot be granted (config.md, capabilities).

    `held` are the runtime's own capabilities, of which alone it can grant any; None where it has all of them.
    """
    capabilities, warnings = _capabilities(process.capabilities, last_capability)
    if capabilities is not None:
        warnings += _not_granted(capabilities, held)
    size = process.console_size
    planned = Process(
        args=process.args,
        env=_last_wins(process.env),
        cwd=process.cwd,
        uid=process.user.uid,
        gid=process.user.gid,
        additional_gids=process.user.additional_gids,
        umask=process.user.umask,
        capabilities=capabilities,
        no_new_privileges=process.no_new_privileges,
        rlimits=_rlimits(process),
        oom_score_adj=process.oom_score_adj,
        terminal=process.terminal,
        # config.md#process: consoleSize is ignored without a terminal.
        console_size=(size.height, size.width) if size is not None and process.terminal else None,
        personality=None,
    )
    return planned, warnings


def asks_for_policies(spec: Spec) -> bool:
    """Tell whether plan/policies.py has anything to plan for a config.json."""
    process = spec.process
    return process is not None and (
        process.scheduler is not None
        or process.io_priority is not None
        or bool(process.apparmor_profile or process.selinux_label)
        or (spec.linux is not None and spec.linux.memory_policy is not None)
        or any(name.startswith("org.pyrunc.") for name in spec.annotations)
    )


def complete(process: Process, linux: Linux, request: Request | ExecRequest) -> Process:
    """Add what .process does not say: the personality, and the descriptors that the caller passes on."""
    return process.but(
        personality=flags.PERSONALITY[linux.personality.domain] if linux.personality else None,
        preserve_fds=request.preserve_fds,
        listen_fds=request.listen_fds,
        env=(*process.env, *_listen_environment(request.listen_fds, request.listen_fdnames)),
    )


def _listen_environment(count: int, names: str) -> tuple[str, ...]:
    """sd_listen_fds(3): how many descriptors there are, and their names; LISTEN_PID is known only inside."""
    if not count:
        return ()
    return (f"LISTEN_FDS={count}", *((f"LISTEN_FDNAMES={names}",) if names else ()))


def _last_wins(env: tuple[str, ...]) -> tuple[str, ...]:
    """Drop all but the last setting of a variable: programs differ in which of two they take."""
    seen = {entry.partition("=")[0]: entry for entry in env}
    return tuple(seen.values())


def _rlimits(process: ProcessSpec) -> tuple[Rlimit, ...]:
    return tuple(
        Rlimit(f".process.rlimits[{index}]", each.type, flags.RLIMITS[each.type], each.soft, each.hard)
        for index, each in enumerate(process.rlimits)
    )


def _capabilities(
    wanted: Capabilities | None, last: int
) -> tuple[CapabilitySets | None, tuple[str, ...]]:
    if wanted is None:
        return None, ()
    unknown: list[str] = []

    def numbers(names: tuple[str, ...]) -> frozenset[int]:
        known = []
        for name in names:
            number = flags.CAPABILITIES.get(name)
            if number is None or number > last:
                if name not in unknown:
                    unknown.append(name)
            else:
                known.append(number)
        return frozenset(known)

    sets = CapabilitySets(
        bounding=numbers(wanted.bounding),
        effective=numbers(wanted.effective),
        inheritable=numbers(wanted.inheritable),
        permitted=numbers(wanted.permitted),
        ambient=numbers(wanted.ambient),
    )
    warnings = tuple(f"capability {name} is not known to this kernel, it is left out" for name in unknown)
    return sets, warnings


def _not_granted(sets: CapabilitySets, held: frozenset[int] | None) -> tuple[str, ...]:
    """Say what the kernel will refuse (capabilities(7)); the inside leaves it out, which is no error."""
    missing = frozenset() if held is None else (sets.bounding | sets.permitted | sets.inheritable) - held
    reasons = {
        "it is not one of the runtime's own": missing,
        "it is effective without being permitted": sets.effective - sets.permitted - missing,
        "it is ambient without being permitted and inheritable": (
            sets.ambient - (sets.permitted & sets.inheritable) - missing
        ),
    }
    if not any(reasons.values()):
        return ()
    names = {number: name for name, number in flags.CAPABILITIES.items()}
    return tuple(
        f"capability {names[number]} cannot be granted: {why}"
        for why, numbers in reasons.items()
        for number in sorted(numbers)
    )
