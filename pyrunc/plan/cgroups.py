"""linux.cgroupsPath and linux.resources -> where a container's cgroups are and what is written into them.

Pure: the host is known by its CgroupLayout only. Each controller is planned for the hierarchy that has it,
by cgroups_v1 or cgroups_v2, so a hybrid host needs no code of its own. What cannot be expressed there is a
SpecError (config-linux.md, "Control groups"; requirement 109), never a setting silently lost.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError, SpecError
from pyrunc.plan.cgroups_devices import devices_v1, program_rules, read_rules
from pyrunc.plan.facts import CgroupLayout
from pyrunc.plan.namespaces import has_new
from pyrunc.plan.steps_cgroups import PIDS_OF_HOOKS, CgroupPlan, Directory, Write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from pyrunc.plan.facts import Hierarchy
    from pyrunc.plan.steps_cgroups import DeviceRule
    from pyrunc.spec.config import Spec
    from pyrunc.spec.resources import DeviceCgroup, Resources

WHERE = ".linux.resources"

# The waiting interpreter itself needs about 10 MB; below this it would be killed before it can exec.
SMALL_MEMORY = 16 << 20

_LONGEST_LEAF = 4000  # bytes: PATH_MAX, less the name of a file in it

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
    spec: Spec, container_id: str, layout: CgroupLayout, in_user_namespace: bool = False, place: str = ""
) -> CgroupPlan:
    """Plan a container's cgroups (config-linux.md#cgroups-path and the resource chapters after it).

    In a user namespace that is not the initial one device rules are left out: there the kernel lets nobody
    set them, and nobody open a device that the outer world did not give. `place` is the cgroup that systemd
    makes, below the root of its hierarchies; cgroupsPath is then not looked at.
    Raises ConfigError with everything in `linux` that this host's cgroups cannot express.
    """
    path = spec.linux.cgroups_path if spec.linux else None
    resources = spec.linux.resources if spec.linux else None
    leaves = {
        each.mount: seen(each, place) if place else _leaf(each, path or "", container_id)
        for each in layout.hierarchies
    }
    draft = _Draft(layout, leaves)
    draft.problems += _path_problems("" if place else path or "")
    draft.problems += _ancestor_problems(layout, leaves)
    if resources is not None:
        _plan_resources(draft, resources)
    if not in_user_namespace:
        _plan_devices(draft, resources.devices if resources else (), demanded=resources is not None)
    if resources is not None and resources.unified:
        _plan_unified(draft, resources)
    draft.check("config.json")
    return draft.finish(spec)


def plan_update(resources: Resources, leaves: tuple[str, ...], layout: CgroupLayout) -> CgroupPlan:
    """Plan new limits for a container that has its cgroups: `leaves` are their directories.

    What `resources` does not speak of stays; without device rules those that hold stay as well. The writes
    are in the order that a fresh cgroup takes: one in use may need another.
    Raises ConfigError with everything that these cgroups cannot express.
    """
    draft = _Draft(*_existing(leaves, layout), lacking="and the container is in no cgroup that has it")
    _plan_resources(draft, resources)
    if resources.devices:
        _plan_devices(draft, resources.devices, demanded=True)
    if resources.unified:
        _plan_unified(draft, resources)
    draft.check("resources")
    directories = tuple(Directory(each, draft.leaves[each.mount]) for each in draft.layout.hierarchies)
    return CgroupPlan(directories, tuple(draft.writes), draft.device_rules)


def _existing(leaves: tuple[str, ...], layout: CgroupLayout) -> tuple[CgroupLayout, dict[str, str]]:
    """Pair a container's directories with their hierarchies, the others left out."""
    places = {}
    for each in layout.hierarchies:
        for leaf in leaves:
            # One mount may lie below another, as v2's in /sys/fs/cgroup/unified: the longest is the leaf's own.
            inside = [other.mount for other in layout.hierarchies if leaf.startswith(f"{other.mount}/")]
            if inside and max(inside, key=len) == each.mount:
                places[each.mount] = leaf
    return CgroupLayout(tuple(each for each in layout.hierarchies if each.mount in places)), places


class _Draft:
    """A plan while it is being made: leaf directories by mount point, writes, and all problems so far."""

    def __init__(
        self, layout: CgroupLayout, leaves: dict[str, str], lacking: str = "which this host does not have"
    ) -> None:
        """`lacking` is what to say of a controller that is in none of the hierarchies."""
        self.layout = layout
        self.lacking = lacking
        self.leaves = leaves
        self.problems: list[SpecError] = []
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

    def check(self, document: str) -> None:
        """Raise ConfigError if there are problems with what a document says."""
        if self.problems:
            raise ConfigError(document, tuple(self.problems))

    def finish(self, spec: Spec) -> CgroupPlan:
        private = spec.linux is not None and has_new(spec.linux.namespaces, "cgroup")
        directories = tuple(
            Directory(each, self.leaves[each.mount], controllers=tuple(sorted(self.used[each.mount] - {""})))
            for each in self.layout.hierarchies
            if each.version == 1 or private or self._joins(each)
        )
        small = any(map(_is_small, self.writes))
        owner = None
        if self.layout.pure_v2:
            from pyrunc.plan.cgroups_v2 import owner_of

            owner = owner_of(spec)
        writes, late_pids = _put_off_pids(self.writes, spec)
        return CgroupPlan(
            directories,
            writes,
            self.device_rules,
            small,
            private=private,
            late_pids=late_pids,
            born_inside=self._born_inside(writes),
            owner=owner,
        )

    def _born_inside(self, writes: tuple[Write, ...]) -> bool:
        unified = self.layout.unified
        if unified is None:
            return True
        inside = f"{self.leaves[unified.mount]}/"
        there = [write for write in writes if write.path.startswith(inside)]
        return not any(_is_small(write) or _refuses_births(write) for write in there)

    def _joins(self, unified: Hierarchy) -> bool:
        # On a hybrid host nothing is gained by joining v2 unless something is set there, or seen there by way
        # of a cgroup namespace; and moving a process into it by pid waits 4 to 20 ms for an RCU grace period.
        rules = self.device_rules is not None
        return self.layout.pure_v2 or rules or bool(self.used[unified.mount])


def _is_small(write: Write) -> bool:
    limits_memory = write.path.endswith(("/memory.limit_in_bytes", "/memory.max"))
    return limits_memory and write.value.isdigit() and int(write.value) < SMALL_MEMORY


def _limits_pids(write: Write, limit: int) -> bool:
    return write.path.endswith("/pids.max") and write.value.isdigit() and int(write.value) < limit


def _refuses_births(write: Write) -> bool:
    # With a limit of 1 the one that joins namespaces and then makes the init would be one too many.
    return _limits_pids(write, 2)


def _put_off_pids(writes: list[Write], spec: Spec) -> tuple[tuple[Write, ...], Write | None]:
    """Make room for the hooks that run in the container's cgroups; return the limit that follows them.

    createContainer and startContainer hooks are processes of the container's, and a limit of 1 is for its
    program alone.
    """
    limits = [write for write in writes if write.path.endswith("/pids.max")]
    hooks = spec.hooks is not None and bool(spec.hooks.create_container or spec.hooks.start_container)
    if not hooks or not limits or not _limits_pids(limits[-1], PIDS_OF_HOOKS):
        return tuple(writes), None
    room = (write.but(value=str(PIDS_OF_HOOKS)) if write in limits else write for write in writes)
    return tuple(room), limits[-1]


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


def seen(hierarchy: Hierarchy, place: str) -> str:
    """Return the directory of a cgroup, of which in a container of our own we may see only the last parts."""
    return hierarchy.mount + place.removeprefix(hierarchy.root.rstrip("/"))


def _leaf(hierarchy: Hierarchy, path: str, container_id: str) -> str:
    """Return the container's directory: absolute below the mount, relative below our own cgroup."""
    base = hierarchy.mount
    if not path.startswith("/"):
        base += hierarchy.own.rstrip("/")
        if hierarchy.version == 2 and base != hierarchy.mount and not hierarchy.nested:
            # Our own cgroup has processes (ours), so v2 would not let it pass controllers on to children.
            base = base.rpartition("/")[0]
    parts = [part for part in (path or container_id).split("/") if part not in ("", ".")]
    return "/".join((base, *parts))


def _ancestor_problems(layout: CgroupLayout, leaves: dict[str, str]) -> Iterator[SpecError]:
    for hierarchy in layout.hierarchies:
        own = f"{hierarchy.mount}{hierarchy.own.rstrip('/')}/"
        leaf = leaves[hierarchy.mount]
        if len(leaf.encode("utf-8", "surrogateescape")) > _LONGEST_LEAF:
            yield SpecError(".linux.cgroupsPath", f"must not be longer than {_LONGEST_LEAF} bytes with its hierarchy")
            return
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
            draft.problems += _without_controller(planned, v1 if version == 1 else v2, draft.lacking)


def _rules_of(version: int) -> ModuleType:
    """Import only the version that is needed: a module costs about 0.3 ms of every create."""
    if version == 1:
        from pyrunc.plan import cgroups_v1

        return cgroups_v1
    from pyrunc.plan import cgroups_v2

    return cgroups_v2


def _without_controller(
    planned: Iterator[Write | SpecError], controller: str, lacking: str
) -> Iterator[SpecError]:
    """Turn what would have been written into the problem that there is no place for it."""
    seen = set()
    for each in planned:
        if isinstance(each, SpecError):
            yield each
        elif not each.optional and each.where not in seen:
            seen.add(each.where)
            problem = f"needs the cgroup controller {controller}, {lacking}"
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
