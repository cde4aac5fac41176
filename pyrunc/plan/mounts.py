"""Mounts: what each entry of config.json's mounts asks the kernel for (config.md, "Mounts")."""

from __future__ import annotations

from pyrunc.errors import ConfigError, SpecError
from pyrunc.kernel import flags
from pyrunc.plan.facts import CgroupLayout, Hierarchy
from pyrunc.plan.namespaces import id_map
from pyrunc.plan.steps import (
    Attributes,
    ChangeMount,
    IdMaps,
    JoinCgroups,
    MakeLink,
    MakeReadonly,
    MountBind,
    MountFs,
    Step,
)
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyrunc.spec.mounts import Mount

_ATIME = flags.MOUNT_ATTR__ATIME
_RDONLY = flags.MOUNT_ATTR_RDONLY

# option -> (MOUNT_ATTR_* to set, MOUNT_ATTR_* to clear). The three atime modes are one field of the kernel's: to
# set one, the whole field has to be cleared in the same call (mount_setattr(2)); relatime is its zero.
ATTRIBUTES: dict[str, tuple[int, int]] = {
    "ro": (_RDONLY, 0),
    "rw": (0, _RDONLY),
    "nosuid": (flags.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, flags.MOUNT_ATTR_NOSUID),
    "nodev": (flags.MOUNT_ATTR_NODEV, 0),
    "dev": (0, flags.MOUNT_ATTR_NODEV),
    "noexec": (flags.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, flags.MOUNT_ATTR_NOEXEC),
    "nodiratime": (flags.MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, flags.MOUNT_ATTR_NODIRATIME),
    "nosymfollow": (flags.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, flags.MOUNT_ATTR_NOSYMFOLLOW),
    "noatime": (flags.MOUNT_ATTR_NOATIME, _ATIME),
    "strictatime": (flags.MOUNT_ATTR_STRICTATIME, _ATIME),
    "relatime": (0, _ATIME),
    "atime": (0, _ATIME),
    "nostrictatime": (0, _ATIME),
    "norelatime": (0, _ATIME),
}
RECURSIVE_ATTRIBUTES: dict[str, tuple[int, int]] = {f"r{name}": bits for name, bits in ATTRIBUTES.items()}
PROPAGATION: dict[str, int] = {
    "shared": flags.MS_SHARED,
    "slave": flags.MS_SLAVE,
    "private": flags.MS_PRIVATE,
    "unbindable": flags.MS_UNBINDABLE,
    "rshared": flags.MS_SHARED | flags.MS_REC,
    "rslave": flags.MS_SLAVE | flags.MS_REC,
    "rprivate": flags.MS_PRIVATE | flags.MS_REC,
    "runbindable": flags.MS_UNBINDABLE | flags.MS_REC,
}
# Flags of the superblock, by the words that fsconfig(2) takes for them. "ro" and "rw" are both: see _new_mount.
SUPERBLOCK = ("sync", "async", "dirsync", "mand", "nomand", "lazytime", "nolazytime")
# Known to mount(2) only: (MS_* to set, MS_* to clear).
CLASSIC: dict[str, tuple[int, int]] = {
    "iversion": (flags.MS_I_VERSION, 0),
    "noiversion": (0, flags.MS_I_VERSION),
    "silent": (flags.MS_SILENT, 0),
    "loud": (0, flags.MS_SILENT),
}
BIND = ("bind", "rbind")
OTHER = ("defaults", "remount", "tmpcopyup", "idmap", "ridmap")
# What a bind mount cannot change: it is another view of a file system that is mounted already.
_NOT_FOR_BINDS = frozenset((*SUPERBLOCK, "iversion", "noiversion", "tmpcopyup"))


class Options(Record):
    """The options of one mount, sorted by who has to be told."""

    attributes: Attributes
    superblock: tuple[str, ...]
    data: tuple[str, ...]
    classic: int
    words: frozenset[str]

    @property
    def bind(self) -> bool:
        """config.md#mounts: bind or rbind among the options make a bind mount, whatever the type says."""
        return "bind" in self.words or "rbind" in self.words


def read_options(options: tuple[str, ...]) -> Options:
    """Sort mount options; the last of two that contradict each other wins, as with mount(8)."""
    once, below, classic = _Bits(), _Bits(), _Bits()
    superblock: list[str] = []
    data: list[str] = []
    propagation: list[int] = []
    for option in options:
        if option in ATTRIBUTES:
            once.change(*ATTRIBUTES[option])
        elif option in RECURSIVE_ATTRIBUTES:
            below.change(*RECURSIVE_ATTRIBUTES[option])
        elif option in PROPAGATION:
            propagation.append(PROPAGATION[option])
        elif option in SUPERBLOCK:
            superblock.append(option)
        elif option in CLASSIC:
            classic.change(*CLASSIC[option])
        elif option not in BIND and option not in OTHER:
            data.append(option)
    attributes = Attributes(once.set, once.clear, below.set, below.clear, tuple(propagation))
    return Options(attributes, tuple(superblock), tuple(data), classic.set, frozenset(options))


class _Bits:
    """Bits to set and to clear, of which a later option takes back an earlier one's."""

    def __init__(self) -> None:
        self.set = 0
        self.clear = 0

    def change(self, to_set: int, to_clear: int) -> None:
        self.set = self.set & ~to_clear | to_set
        self.clear = self.clear & ~(to_set & ~_ATIME) | to_clear


class Place(Record):
    """What the mounts of a container depend on besides their own entries."""

    bundle: str
    layout: CgroupLayout
    cgroups: Mapping[str, str]
    """Mount point of each hierarchy -> the container's directory in it."""
    cgroup_namespace: bool
    user_namespace: bool
    id_maps: IdMaps | None = None
    mount_label: str = ""


def plan_mounts(mounts: tuple[Mount, ...], place: Place) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """Return the steps that mount, in config.json's order, and those to be done once all is in place.

    Raises ConfigError with everything that cannot be carried out.
    """
    problems: list[SpecError] = []
    now: list[Step] = []
    late: list[Step] = []
    joined = place.cgroup_namespace
    join = JoinCgroups(".linux.cgroupsPath", place.cgroup_namespace)
    if joined:
        now.append(join)
    for index, mount in enumerate(mounts):
        where = f".mounts[{index}]"
        if mount.type == "cgroup" and not joined:
            now.append(join)
            joined = True
        try:
            for step in _plan_mount(mount, where, place):
                step, finish = _put_off_readonly(step)
                now.append(step)
                late += finish
        except SpecError as problem:
            problems.append(problem)
    if problems:
        raise ConfigError("config.json", tuple(problems))
    if not joined:
        now.append(join)
    return tuple(now), tuple(late)


def _plan_mount(mount: Mount, where: str, place: Place) -> Iterator[Step]:
    options = read_options(mount.options)
    # config.md#mounts: a relative destination is deprecated, and is taken relative to "/".
    target = "/" + mount.destination.strip("/")
    if "remount" in options.words:
        yield ChangeMount(where, target, (*options.superblock, *options.data), options.attributes)
    elif options.bind:
        yield _bind(mount, where, target, options, place)
    elif mount.type == "cgroup":
        yield from _cgroup_mounts(where, target, options, place)
    else:
        yield _new_mount(mount, where, target, options, place)


def without_effect(mounts: tuple[Mount, ...]) -> tuple[str, ...]:
    """Return a warning for each option that the kernel takes for a bind mount and does nothing about (mount(2))."""
    warnings = []
    for index, mount in enumerate(mounts):
        if "bind" in mount.options or "rbind" in mount.options:
            for option in mount.options:
                if option in _NOT_FOR_BINDS and "remount" not in mount.options:
                    why = "has no effect on a bind mount: it belongs to the file system"
                    warnings.append(f".mounts[{index}].options: {option!r} {why}")
    return tuple(warnings)


def _bind(mount: Mount, where: str, target: str, options: Options, place: Place) -> Step:
    if options.data:
        # mount(2) would drop it silently, and with it perhaps the one word that made the mount safe.
        raise SpecError(f"{where}.options", f"{options.data[0]!r} means nothing for a bind mount")
    if not mount.source:
        raise SpecError(f"{where}.source", "is required for a bind mount")
    source = mount.source if mount.source.startswith("/") else f"{place.bundle}/{mount.source}"
    attributes = options.attributes
    if not attributes.propagation:
        # The copy of a shared mount would be its peer: what the container mounts there would appear on the host.
        attributes = attributes.but(propagation=(flags.MS_PRIVATE | flags.MS_REC,))
    recursive = "rbind" in options.words
    return MountBind(
        where, source, target, recursive, attributes, _idmap(mount, options, place), "ridmap" in options.words
    )


def _idmap(mount: Mount, options: Options, place: Place) -> IdMaps | None:
    """config.md#mounts: a mount's own mappings, or with idmap alone those of the container."""
    if mount.uid_mappings:
        return IdMaps(id_map(mount.uid_mappings), id_map(mount.gid_mappings))
    if "idmap" in options.words or "ridmap" in options.words:
        return place.id_maps or IdMaps((), ())
    return None


def _new_mount(mount: Mount, where: str, target: str, options: Options, place: Place) -> Step:
    if not mount.type or mount.type in ("bind", "none"):
        raise SpecError(f"{where}.type", "is required unless options has bind or rbind")
    idmap = _idmap(mount, options, place)
    if idmap is not None and options.classic:
        raise SpecError(f"{where}.options", "mapped ids cannot be had along with iversion or silent")
    superblock = options.superblock
    if options.attributes.set & _RDONLY:
        superblock = ("ro", *superblock)
    data = options.data
    source = mount.source or ""
    if mount.type == "overlay":
        data = tuple(_absolute_layers(option, place.bundle) for option in data)
    copy_up = "tmpcopyup" in options.words
    if copy_up and mount.type != "tmpfs":
        raise SpecError(f"{where}.options", "tmpcopyup needs a tmpfs")
    context, label = _context(mount.type, place.mount_label)
    words = (*superblock, *data, *context)
    step = MountFs(
        where, mount.type, source, target, words, options.attributes, copy_up, options.classic, label, idmap
    )
    if copy_up and idmap is not None and idmap.uids and idmap.gids and not place.user_namespace:
        return step.but(copy_as=(idmap.uids[0].outside, idmap.gids[0].outside))
    return step


def _context(fstype: str, label: str) -> tuple[tuple[str, ...], str]:
    """config-linux.md#mount-label: the option, or the label to put on the root of what knows no such option.

    What shows the kernel, and not files of the container's, keeps the kernel's labels.
    """
    if not label or fstype in ("proc", "sysfs", "cgroup", "cgroup2"):
        return (), ""
    return ((), label) if fstype == "mqueue" else ((f"context={label}",), "")


def _absolute_layers(option: str, bundle: str) -> str:
    """Take relative overlay layers relative to the bundle, as config.md says of bind sources."""
    key, _, value = option.partition("=")
    if key not in ("lowerdir", "upperdir", "workdir"):
        return option
    layers = (layer if layer.startswith("/") else f"{bundle}/{layer}" for layer in value.split(":"))
    return f"{key}={':'.join(layers)}"


def _put_off_readonly(step: Step) -> tuple[Step, tuple[Step, ...]]:
    """Leave a tmpfs writable until everything that belongs below it is there (mount points, device nodes)."""
    if not isinstance(step, MountFs) or step.fstype != "tmpfs" or not step.attributes.set & _RDONLY:
        return step, ()
    attributes = step.attributes.but(set=step.attributes.set & ~_RDONLY)
    options = tuple(option for option in step.options if option != "ro")
    return step.but(attributes=attributes, options=options), (MakeReadonly(step.where, step.target),)


def _cgroup_mounts(where: str, target: str, options: Options, place: Place) -> Iterator[Step]:
    """config-linux.md#cgroups: type cgroup is whatever the host has, v1 (a tmpfs of hierarchies) or v2."""
    if place.layout.pure_v2:
        yield _cgroup_mount(where, target, options, place, place.layout.hierarchies[0])
        return
    attributes = options.attributes
    yield MountFs(where, "tmpfs", "tmpfs", target, ("mode=755",), attributes)
    for hierarchy in place.layout.hierarchies:
        name = hierarchy.mount.rpartition("/")[2]
        yield _cgroup_mount(where, f"{target}/{name}", options, place, hierarchy)
        if len(hierarchy.controllers) > 1:
            for controller in (each for each in hierarchy.controllers if each != name):
                yield MakeLink(where, f"{target}/{controller}", name)


def _cgroup_mount(where: str, target: str, options: Options, place: Place, hierarchy: Hierarchy) -> Step:
    if place.cgroup_namespace:
        attributes = options.attributes
        if hierarchy.mount not in place.cgroups:
            # The root of the namespace is then the runtime's own cgroup.
            attributes = attributes.but(set=attributes.set | _RDONLY)
        if hierarchy.version == 2:
            return MountFs(where, "cgroup2", "cgroup", target, options.data, attributes)
        controllers = tuple(each if "=" not in each else f"none,{each}" for each in hierarchy.controllers)
        words = tuple(word for each in controllers for word in each.split(","))
        return MountFs(where, "cgroup", "cgroup", target, (*words, *options.data), attributes)
    # Without a namespace of its own the container sees its own directory only, bound from the host. Where it has
    # none in a hierarchy, it is shown the runtime's own, read-only.
    source = place.cgroups.get(hierarchy.mount)
    attributes = options.attributes.but(propagation=(flags.MS_PRIVATE | flags.MS_REC,))
    if source is None or place.user_namespace:
        # CVE-2023-25809: never leave the host's cgroups writable to a container that is not confined to its own.
        attributes = attributes.but(set=attributes.set | _RDONLY)
    return MountBind(where, source or hierarchy.mount + hierarchy.own.rstrip("/"), target, False, attributes)
