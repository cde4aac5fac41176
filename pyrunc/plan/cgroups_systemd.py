"""linux.cgroupsPath, resources and annotations -> a transient scope of systemd (systemd.scope(5)).

Pure. With this driver cgroupsPath is `slice:prefix:name`, as runc has it. The limits are planned as for any other
cgroup and are written to its files all the same: systemd knows only some of them, and rounds. It is told those it
knows, so that they are still there after it has set up its units anew (`systemctl daemon-reload`).
"""

from __future__ import annotations

from pyrunc.errors import ConfigError, SpecError
from pyrunc.plan.cgroups import plan_cgroup, seen
from pyrunc.plan.cgroups_properties import device_properties, resource_properties
from pyrunc.plan.gvariant import parse_variant
from pyrunc.plan.steps_cgroups import Directory, Scope
from pyrunc.spec.read import member_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrunc.plan.facts import CgroupLayout, Facts, Systemd
    from pyrunc.plan.steps_cgroups import CgroupPlan, Write
    from pyrunc.spec.config import Spec

    Property = tuple[str, str, Any]

WHERE = ".linux.cgroupsPath"
ANNOTATION = "org.systemd.property."
_FORM = "must be slice:prefix:name with the systemd driver"
_LONGEST = 255  # systemd.unit(5)
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_DIGITS = frozenset("0123456789")
_UNIT_CHARACTERS = _LETTERS | _DIGITS | frozenset("-_.\\@")
# What the container's place and its process depend on is not for annotations to say.
_OURS = ("PIDs", "PIDFDs", "Slice", "Delegate", "Controller")
_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids")
_MEMORY_LIMITS = ("/memory.max", "/memory.limit_in_bytes", "/memory.memsw.limit_in_bytes")


def plan_scope(spec: Spec, container_id: str, facts: Facts) -> CgroupPlan:
    """Plan a container's scope, with its cgroups in the hierarchies that systemd leaves to us.

    Raises ConfigError with everything in cgroupsPath, resources and annotations that does not work.
    """
    systemd = facts.systemd
    path = (spec.linux and spec.linux.cgroups_path) or ""
    extra, problems = read_annotations(spec.annotations)
    try:
        slice_, unit = read_path(path, container_id, systemd.user)
    except SpecError as err:
        raise ConfigError("config.json", (err, *problems)) from err
    place = systemd.control_group.rstrip("/") + slice_path(slice_) + _component(unit)
    cgroup = plan_cgroup(spec, container_id, facts.layout, not facts.privileged, place)
    if problems:
        raise ConfigError("config.json", problems)
    late = tuple(each for each in cgroup.writes if cgroup.small_memory and _limits_memory(each))
    scope = Scope(unit, place, f"pyrunc container {container_id}", ())
    wanted = tuple(each for each in cgroup.writes if each not in late)
    scope = scope.but(
        properties=(
            *_basic(slice_, systemd, facts.layout),
            *resource_properties(wanted, systemd.version),
            *device_properties(cgroup, systemd.version),
            *extra,
        ),
        description=next((value for name, _, value in extra if name == "Description"), scope.description),
        late=resource_properties(late, systemd.version),
        # What our interpreter uses meanwhile is no reason to refuse a limit.
        late_writes=tuple(each.but(usage="") for each in late),
    )
    owner = cgroup.owner if facts.euid == 0 else None
    directories = _with_unified(cgroup, facts.layout, place)
    changed = cgroup.but(directories=directories, writes=wanted, owner=owner, scope=scope)
    return changed.but(small_memory=False, born_inside=False)


def _with_unified(cgroup: CgroupPlan, layout: CgroupLayout, place: str) -> tuple[Directory, ...]:
    """On a hybrid host systemd follows its units in v2, and makes the scope there in any case."""
    if layout.unified is None or cgroup.unified is not None:
        return cgroup.directories
    return (*cgroup.directories, Directory(layout.unified, seen(layout.unified, place)))


def _limits_memory(write: Write) -> bool:
    return write.path.endswith(_MEMORY_LIMITS)


def _basic(slice_: str, systemd: Systemd, layout: CgroupLayout) -> tuple[Property, ...]:
    """What every scope gets; runc and crun set the same.

    Delegate: everything below is ours. CollectMode: a scope that failed, as one whose container the kernel killed for
    its memory, is forgotten by systemd instead of being in the way of the next of its name.
    """
    io = "IOAccounting" if layout.pure_v2 else "BlockIOAccounting"
    accounting = ("CPUAccounting", "MemoryAccounting", io, "TasksAccounting")
    collect = (("CollectMode", "s", "inactive-or-failed"),) if systemd.version >= 236 else ()
    return (
        ("Slice", "s", slice_),
        ("Delegate", "b", True),
        ("DefaultDependencies", "b", False),
        *collect,
        *((name, "b", True) for name in accounting),
    )


def read_path(path: str, container_id: str, user: bool) -> tuple[str, str]:
    """Return the slice and the scope that a cgroupsPath of the form slice:prefix:name asks for.

    Raises SpecError.
    """
    parts = (path or f":pyrunc:{_escaped(container_id)}").split(":")
    if len(parts) != 3:
        raise SpecError(WHERE, f"{_FORM}, not {path!r}")
    slice_, prefix, name = parts
    if not name:
        raise SpecError(WHERE, f"{_FORM}, and has no name")
    if name.endswith(".slice"):
        raise SpecError(WHERE, f"names the unit {name}, and systemd has no processes in slices")
    unit = f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    if not _UNIT_CHARACTERS.issuperset(unit) or len(unit) > _LONGEST:
        raise SpecError(WHERE, f"{unit!r} is not the name of a unit", hint="see systemd.unit(5)")
    slice_ = slice_ or ("user.slice" if user else "system.slice")
    stem = slice_.removesuffix(".slice")
    valid = slice_.endswith(".slice") and len(slice_) <= _LONGEST and _UNIT_CHARACTERS.issuperset(slice_)
    if not valid or (stem != "-" and "" in stem.split("-")):
        raise SpecError(WHERE, f"{slice_!r} is not the name of a slice", hint="see systemd.slice(5)")
    return slice_, unit


def _escaped(container_id: str) -> str:
    """An id may have a +, a unit may not: systemd.unit(5), "String Escaping for Inclusion in Unit Names"."""
    return container_id.replace("+", "\\x2b")


def slice_path(slice_: str) -> str:
    """Return a slice's cgroup below its manager's: a dash is a level, and -.slice the manager's own.

    systemd.slice(5): a-b.slice is in a.slice.
    """
    stem = slice_.removesuffix(".slice")
    if stem == "-":
        return ""
    parts = stem.split("-")
    return "".join(_component("-".join(parts[:end]) + ".slice") for end in range(1, len(parts) + 1))


def _component(unit: str) -> str:
    """Return a unit's directory: a name that the kernel may use in a cgroup gets a _ in front.

    https://systemd.io/CGROUP_DELEGATION, "A few words about cgroup names".
    """
    kernels = unit.startswith(("_", ".", "cgroup.")) or unit.partition(".")[0] in _CONTROLLERS
    return f"/_{unit}" if kernels else f"/{unit}"


def read_annotations(annotations: dict[str, str]) -> tuple[tuple[Property, ...], tuple[SpecError, ...]]:
    """Return the properties that annotations `org.systemd.property.NAME` ask for, and what is wrong with them.

    A value is text as gvariant.py reads it. `...Sec` is a time in seconds, as in unit files; systemd's interface has
    it as `...USec` in microseconds.
    """
    properties: list[Property] = []
    problems = []
    for key, text in annotations.items():
        if key.startswith(ANNOTATION):
            try:
                properties.append(_property(key.removeprefix(ANNOTATION), text))
            except ValueError as err:
                problems.append(SpecError(member_path(".annotations", key), str(err)))
    return tuple(properties), tuple(problems)


def _property(name: str, text: str) -> Property:
    if not name or name[0] not in _LETTERS or not (_LETTERS | _DIGITS).issuperset(name):
        raise ValueError(f"{name!r} is not the name of a property of systemd")
    if name in _OURS:
        raise ValueError(f"{name} is decided by cgroupsPath and the container itself")
    signature, value = parse_variant(text)
    if name.endswith("Sec") and not name.endswith("USec"):
        return f"{name.removesuffix('Sec')}USec", "t", _microseconds(value)
    return name, signature, value


def _microseconds(value: object) -> int:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= float(value) < 1 << 43:  # type: ignore[arg-type]
        raise ValueError("must be a number of seconds")
    return int(value * 1_000_000)  # type: ignore[operator]
