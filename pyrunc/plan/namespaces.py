"""Namespaces and id maps (config-linux.md, "Namespaces", "User namespace mappings", "Time Offsets")."""

from __future__ import annotations

from pyrunc.kernel import flags
from pyrunc.plan.steps import IdMap, IdMaps, JoinNamespace, Namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.spec.linux import Linux, Namespace
    from pyrunc.spec.mounts import IDMapping

# clone3(2) makes these: whatever is created in the same call or later belongs to the user namespace, and only a
# child can be pid 1. The mount namespace comes along because a copy made later would copy the same tree again.
_AT_CLONE = ("user", "pid", "mount")
_IN_CHILD = ("network", "ipc", "uts")


def plan_namespaces(linux: Linux) -> Namespaces:
    """Sort the namespaces by how and when they are entered."""
    new = {each.type for each in linux.namespaces if each.path is None}
    joins = tuple(
        JoinNamespace(f".linux.namespaces[{index}].path", each.type, each.path)
        for index, each in enumerate(linux.namespaces)
        if each.path is not None
    )
    return Namespaces(
        at_clone=_flags(_AT_CLONE, new),
        in_child=_flags(_IN_CHILD, new),
        cgroup="cgroup" in new,
        time="time" in new,
        join=joins,
        time_offsets=_time_offsets(linux) if "time" in new else "",
        names=tuple(each.type for each in linux.namespaces),
    )


def _flags(order: tuple[str, ...], wanted: set[str]) -> int:
    total = 0
    for name in order:
        if name in wanted:
            total |= flags.NAMESPACES[name]
    return total


def _time_offsets(linux: Linux) -> str:
    """Lines for /proc/self/timens_offsets (time_namespaces(7)): clock, seconds, nanoseconds."""
    return "".join(
        f"{clock} {offset.secs or 0} {offset.nanosecs or 0}\n" for clock, offset in linux.time_offsets.items()
    )


def plan_id_maps(linux: Linux) -> IdMaps | None:
    """Return the maps of a new user namespace; None where there is none or it is joined."""
    if not has_new(linux.namespaces, "user"):
        return None
    return IdMaps(id_map(linux.uid_mappings), id_map(linux.gid_mappings))


def id_map(mappings: tuple[IDMapping, ...]) -> tuple[IdMap, ...]:
    """Return the lines of one map."""
    return tuple(IdMap(each.container_id, each.host_id, each.size) for each in mappings)


def has_new(namespaces: tuple[Namespace, ...], kind: str) -> bool:
    """True where config.json asks for a new namespace of a type."""
    return any(each.type == kind and each.path is None for each in namespaces)


def has_own(namespaces: tuple[Namespace, ...], kind: str) -> bool:
    """True where the container does not share the runtime's namespace of a type."""
    return any(each.type == kind for each in namespaces)
