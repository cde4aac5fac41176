"""linux.cgroupsPath and linux.resources -> where a container's cgroups are and what is written into them.

Pure: the host is known by its CgroupLayout only. Each controller is planned for the hierarchy that has it,
by cgroups_v1 or cgroups_v2, so a hybrid host needs no code of its own. What cannot be expressed there is a
SpecError (config-linux.md, "Control groups"; requirement 109), never a setting silently lost.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError, SpecError
from pyrunc.plan.cgroups_devices import devices_v1, program_rules, read_rules
from pyrunc.plan.steps_cgroups import CgroupPlan, Directory, Write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from pyrunc.plan.facts import CgroupLayout, Hierarchy
    from pyrunc.plan.steps_cgroups import DeviceRule
    from pyrunc.spec.config import Spec
    from pyrunc.spec.resources import DeviceCgroup, Resources

WHERE = ".linux.resources"

# The waiting interpreter itself needs about 10 MB; below this it would be killed before it can exec.
SMALL_MEMORY = 16 << 20

# runc's order: controller on v1, controller on v2, the function that plans it, the member of Resources.
_CHAPTERS = (
    ("pids", "pids", "pids", "pids"),
    ("memory", "memory", "memory", "memory"),
    ("blkio", "io", "block_io", "block_io"),
    ("cpu", "cpu", "cpu", "cpu"),
    ("cpuset", "cpuset", "cpuset", "cpu"),
    ("hugetlb", "hugetlb", "hugetlb", "hugepage_limits"),
    ("rdma", "rdma", "rdma", "rdma"),
    ("net_cls", "net_cls", "net_cls", "network"),
    ("net_prio", "net_prio", "net_prio", "network"),
)


def plan_cgroup(
    spec: Spec, container_id: str, layout: CgroupLayout, in_user_namespace: bool = False
) -> CgroupPlan:
    """Plan a container's cgroups (config-linux.md#cgroups-path and the resource chapters after it).

    In a user namespace that is not the initial one device rules are left out: there the kernel lets nobody
    set them, and nobody open a device that the outer world did not give.
    Raises ConfigError with everything in `linux` that this host's cgroups cannot express.
    """
    path = spec.linux.cgroups_path if spec.linux else None
    resources = spec.linux.resources if spec.linux else None
    draft = _Draft(layout, path or "", container_id)
    if resources is not None:
        _plan_resources(draft, resources)
    if not in_user_namespace:
        _plan_devices(draft, resources.devices if resources else (), demanded=resources is not None)
    if resources is not None and resources.unified:
        _plan_unified(draft, resources)
    if draft.problems:
        raise ConfigError("config.json", tuple(draft.problems))
    return draft.finish(spec)


class _Draft:
    """A plan while it is being made: leaf directories by mount point, writes, and all problems so far."""

    def __init__(self, layout: CgroupLayout, path: str, container_id: str) -> None:
        self.layout = layout
        self.problems = list(_path_problems(path))
        self.leaves = {each.mount: _leaf(each, path, container_id) for each in layout.hierarchies}
        self.problems += _ancestor_problems(layout, self.leaves)
        self.writes: list[Write] = []
        self.device_rules: tuple[DeviceRule, ...] | None = None
        self.used: dict[str, set[str]] = {each.mount: set() for each in layout.hierarchies}

    def take(self, planned: Iterator[Write | SpecError], hierarchy: Hierarchy, controller: str) -> None:
        """Collect what one controller needs; it counts as used once there is something to write."""
        for each in planned:
            if isinstance(each, SpecError):
                self.problems.append(each)
            else:
                self.writes.append(each)
                self.used[hierarchy.mount].add(controller)

    def finish(self, spec: Spec) -> CgroupPlan:
        directories = tuple(
            Directory(each, self.leaves[each.mount], controllers=tuple(sorted(self.used[each.mount] - {""})))
            for each in self.layout.hierarchies
            if each.version == 1 or self._joins(each)
        )
        small = any(map(_is_small, self.writes))
        owner = None
        if self.layout.pure_v2:
            from pyrunc.plan.cgroups_v2 import owner_of

            owner = owner_of(spec)
        return CgroupPlan(
            directories, tuple(self.writes), self.device_rules, small, self._born_inside(), owner
        )

    def _born_inside(self) -> bool:
        unified = self.layout.unified
        if unified is None:
            return True
        inside = f"{self.leaves[unified.mount]}/"
        writes = [write for write in self.writes if write.path.startswith(inside)]
        return not any(_is_small(write) or _refuses_births(write) for write in writes)

    def _joins(self, unified: Hierarchy) -> bool:
        # On a hybrid host nothing is gained by joining v2 unless something is set there, and moving a
        # process into it by pid waits 4 to 20 ms for an RCU grace period.
        rules = self.device_rules is not None
        return self.layout.pure_v2 or rules or bool(self.used[unified.mount])


def _is_small(write: Write) -> bool:
    limits_memory = write.path.endswith(("/memory.limit_in_bytes", "/memory.max"))
    return limits_memory and write.value.isdigit() and int(write.value) < SMALL_MEMORY


def _refuses_births(write: Write) -> bool:
    return write.path.endswith("/pids.max") and write.value == "0"


def _path_problems(path: str) -> Iterator[SpecError]:
    """config-linux.md#cgroups-path: a runtime may refuse values, such as what reaches the host's own."""
    where = ".linux.cgroupsPath"
    parts = path.split("/")
    if ".." in parts:
        yield SpecError(where, "must not contain '..'")
    if "\0" in path or "\n" in path:
        yield SpecError(where, "must not contain NUL or newline")
    if path and not any(part not in ("", ".") for part in parts):
        # An engine that once passed "/" had a whole machine killed with its container.
        yield SpecError(where, "names the root of the hierarchy, which holds the host's processes")


def _leaf(hierarchy: Hierarchy, path: str, container_id: str) -> str:
    """Return the container's directory: absolute below the mount, relative below our own cgroup."""
    base = hierarchy.mount
    if not path.startswith("/"):
        base += hierarchy.own.rstrip("/")
        if hierarchy.version == 2 and base != hierarchy.mount:
            # Our own cgroup has processes (ours), so v2 would not let it pass controllers on to children.
            base = base.rpartition("/")[0]
    parts = [part for part in (path or container_id).split("/") if part not in ("", ".")]
    return "/".join((base, *parts))


def _ancestor_problems(layout: CgroupLayout, leaves: dict[str, str]) -> Iterator[SpecError]:
    for hierarchy in layout.hierarchies:
        own = f"{hierarchy.mount}{hierarchy.own.rstrip('/')}/"
        leaf = leaves[hierarchy.mount]
        if leaf != hierarchy.mount and own.startswith(f"{leaf}/"):
            yield SpecError(".linux.cgroupsPath", f"{leaf} holds the runtime itself")
            return


def _plan_resources(draft: _Draft, resources: Resources) -> None:
    from pyrunc.plan.cgroups_checks import resource_problems

    draft.problems += resource_problems(resources)
    for v1, v2, function, member in _CHAPTERS:
        part = getattr(resources, member)
        if not part:
            continue
        hierarchy = draft.layout.of(v1) or draft.layout.of(v2)
        version = hierarchy.version if hierarchy else 2 if draft.layout.pure_v2 else 1
        leaf = draft.leaves[hierarchy.mount] if hierarchy else ""
        planned = getattr(_rules_of(version), function)(leaf, part)
        if hierarchy:
            draft.take(planned, hierarchy, v1 if version == 1 else v2)
        else:
            draft.problems += _without_controller(planned, v1 if version == 1 else v2)


def _rules_of(version: int) -> ModuleType:
    """Import only the version that is needed: a module costs about 0.3 ms of every create."""
    if version == 1:
        from pyrunc.plan import cgroups_v1

        return cgroups_v1
    from pyrunc.plan import cgroups_v2

    return cgroups_v2


def _without_controller(planned: Iterator[Write | SpecError], controller: str) -> Iterator[SpecError]:
    """Turn what would have been written into the problem that there is no place for it."""
    seen = set()
    for each in planned:
        if isinstance(each, SpecError):
            yield each
        elif not each.optional and each.where not in seen:
            seen.add(each.where)
            problem = f"needs the cgroup controller {controller}, which this host does not have"
            yield SpecError(each.where, problem)


def _plan_devices(draft: _Draft, entries: tuple[DeviceCgroup, ...], demanded: bool) -> None:
    rules, problems = read_rules(entries)
    draft.problems += problems
    hierarchy = draft.layout.of("devices")
    if problems:
        return
    if hierarchy:
        draft.take(devices_v1(draft.leaves[hierarchy.mount], rules), hierarchy, "devices")
    elif draft.layout.unified:
        draft.device_rules = program_rules(rules)
    elif demanded:
        problem = "needs the cgroup controller devices, which this host does not have"
        draft.problems.append(SpecError(f"{WHERE}.devices", problem))


def _plan_unified(draft: _Draft, resources: Resources) -> None:
    hierarchy = draft.layout.unified
    if hierarchy is None:
        problem = "needs cgroup v2, which this host has not mounted"
        draft.problems.append(SpecError(f"{WHERE}.unified", problem))
        return
    from pyrunc.plan.cgroups_v2 import unified

    leaf = draft.leaves[hierarchy.mount]
    for controller, planned in unified(leaf, resources.unified, hierarchy.controllers):
        draft.take(planned, hierarchy, controller)
