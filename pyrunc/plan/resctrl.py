"""Cache and memory bandwidth for the container (config-linux.md, "IntelRdt")."""

from __future__ import annotations

from pyrunc.plan.steps import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.spec.linux import IntelRdt


class JoinClos(Step):
    """Put the container into a class of service of resctrl.

    `clos` is a directory below resctrl's root, "" that root itself. `own`: it is named after the container, made
    for it and removed with it. `lines` are what its schemata shall say, `monitor` the name of a monitoring group.
    """

    clos: str
    own: bool
    lines: tuple[str, ...]
    monitor: str

    def describe(self) -> str:
        return f"join the class of service {self.clos or '/'}"


def plan_resctrl(wanted: IntelRdt, container_id: str) -> JoinClos:
    """Return the step; the schemata are written in the order of l3CacheSchema, memBwSchema, schemata."""
    own = wanted.clos_id is None
    clos = container_id if wanted.clos_id is None else wanted.clos_id.strip("/")
    monitor = container_id if wanted.enable_monitoring else ""
    return JoinClos(".linux.intelRdt", clos, own, _lines(wanted), monitor)


def _lines(wanted: IntelRdt) -> tuple[str, ...]:
    """With memBwSchema, MB: lines of l3CacheSchema are left out (config-linux.md#intelrdt)."""
    lines = [line for line in (wanted.l3_cache_schema or "").split("\n") if line.strip()]
    if wanted.mem_bw_schema:
        lines = [line for line in lines if not line.startswith("MB:")]
        lines.append(wanted.mem_bw_schema)
    return (*lines, *wanted.schemata)
