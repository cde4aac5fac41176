"""The process: program, ids, capabilities, limits (config.md, "Process")."""

from __future__ import annotations

from pyrunc.kernel import flags
from pyrunc.plan.steps import CapabilitySets, Process, Rlimit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.spec.process import Capabilities
    from pyrunc.spec.process import Process as ProcessSpec

def plan_process(process: ProcessSpec, last_capability: int) -> tuple[Process, tuple[str, ...]]:
    """Return the process as numbers, and warnings for what cannot be granted (config.md, capabilities)."""
    capabilities, warnings = _capabilities(process.capabilities, last_capability)
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
