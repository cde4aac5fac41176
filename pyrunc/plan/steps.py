"""The vocabulary of plans: every act that changes something, as a value that can say what it will do.

plan/ makes these values and does nothing else, container/ and host/ carry them out, `--debug` and error
messages print describe(), unit tests compare them. `where` is the JSON path in config.json that asked for
the step; it is empty for what every container gets.
"""

from __future__ import annotations

from pyrunc.kernel.flags import CAPABILITIES
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.netdevices import MoveNetDevice
    from pyrunc.plan.resctrl import JoinClos
    from pyrunc.plan.seccomp import SendListener
    from pyrunc.plan.steps_cgroups import CgroupPlan


class Step(Record):
    """One act, and the place in config.json it comes from."""

    where: str

    def describe(self) -> str:
        """Say the act in words that follow "cannot ..." in an error message."""
        raise NotImplementedError


class Attributes(Record):
    """What mount_setattr(2) shall set and clear (MOUNT_ATTR_*), on one mount and (r-) on all below it.

    `propagation` holds MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE, with MS_REC for the whole tree, in
    the order of the options.
    """

    set: int = 0
    clear: int = 0
    recursive_set: int = 0
    recursive_clear: int = 0
    propagation: tuple[int, ...] = ()


class IdMap(Record):
    """One line of uid_map or gid_map (user_namespaces(7))."""

    inside: int
    outside: int
    size: int


class IdMaps(Record):
    """The id maps of a new user namespace."""

    uids: tuple[IdMap, ...]
    gids: tuple[IdMap, ...]

    def describe(self) -> str:
        """Say the maps as "inside = outside (how many)"."""
        kinds = (("uids", self.uids), ("gids", self.gids))
        said = (f"{name} {each.inside} = {each.outside} ({each.size})" for name, maps in kinds for each in maps)
        return f"map {', '.join(said)}"


class MountFs(Step):
    """Mount a new filesystem instance: fsopen(2), fsconfig(2), fsmount(2), move_mount(2)."""

    fstype: str
    source: str
    target: str
    options: tuple[str, ...] = ()
    attributes: Attributes = Attributes()
    copy_up: bool = False
    flags: int = 0
    """MS_* flags that only mount(2) knows (MS_I_VERSION); with any, the classic call is used."""
    label: str = ""
    """SELinux context for the root of a filesystem that has no context option (mqueue)."""
    idmap: IdMaps | None = None
    """Show the files with other owners, as with MountBind."""
    copy_as: tuple[int, int] = (0, 0)
    """Whose uid and gid the copies are made with: in a tmpfs with mapped ids only of those can anything be."""

    def describe(self) -> str:
        return f"mount {self.fstype} on {self.target}"


class MountBind(Step):
    """Make a part of the host's (or the container's own) tree visible at another place: open_tree(2)."""

    source: str
    target: str
    recursive: bool
    attributes: Attributes = Attributes()
    idmap: IdMaps | None = None
    """Show the files with other owners; empty maps stand for those of the joined user namespace."""
    idmap_recursive: bool = False

    def describe(self) -> str:
        return f"bind mount {self.source} on {self.target}"


class ChangeMount(Step):
    """Change an existing mount, as `remount` asks: attributes by mount_setattr(2), the rest by fspick(2)."""

    target: str
    options: tuple[str, ...]
    attributes: Attributes

    def describe(self) -> str:
        return f"remount {self.target}"


class JoinCgroups(Step):
    """Enter the container's cgroups, and with `namespace` make them the roots of a new cgroup namespace.

    The host side makes them while the child mounts: this stands in front of the first mount that shows them.
    """

    namespace: bool

    def describe(self) -> str:
        return "join the cgroups"


class MakeDevice(Step):
    """mknod(2) a device node or FIFO; an existing node has to be the same one."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int
    uid: int
    gid: int

    def describe(self) -> str:
        number = "" if self.kind == "p" else f" {self.major}:{self.minor}"
        return f"make device {self.path} ({self.kind}{number})"


class BindDevice(Step):
    """Bind the host's device node: mknod(2) is not allowed in a user namespace."""

    path: str
    kind: str
    major: int
    minor: int

    def describe(self) -> str:
        return f"bind the host's device {self.path}"


class MakeLink(Step):
    """symlink(2). With `only_if` nothing is done where that path does not exist in the container."""

    path: str
    target: str
    only_if: str = ""

    def describe(self) -> str:
        return f"link {self.path} to {self.target}"


class MakeReadonly(Step):
    """Make a mount of ours read-only after everything below it is in place."""

    target: str

    def describe(self) -> str:
        return f"make {self.target} read-only"


class ReadonlyPath(Step):
    """linux.readonlyPaths: the tree at a path, nested mounts included, cannot be written."""

    path: str

    def describe(self) -> str:
        return f"make {self.path} read-only"


class MaskPath(Step):
    """linux.maskedPaths: a file reads as empty, a directory is an empty one."""

    path: str

    def describe(self) -> str:
        return f"mask {self.path}"


class WriteSysctl(Step):
    """Write a kernel parameter of the container's own namespaces through a private procfs."""

    name: str
    value: str

    def describe(self) -> str:
        return f"set sysctl {self.name} to {self.value!r}"


class SetHostname(Step):
    """sethostname(2) in the container's uts namespace."""

    name: str

    def describe(self) -> str:
        return f"set the hostname to {self.name!r}"


class SetDomainname(Step):
    """setdomainname(2) in the container's uts namespace."""

    name: str

    def describe(self) -> str:
        return f"set the domain name to {self.name!r}"


class JoinNamespace(Step):
    """setns(2) into the namespace at a path."""

    kind: str
    path: str

    def describe(self) -> str:
        return f"join the {self.kind} namespace at {self.path}"


class Namespaces(Record):
    """Which namespaces are made new (CLONE_NEW* in the order of the processes' needs) and which are joined.

    `at_clone` are made by clone3(2): the user namespace has to own all others, and a pid namespace begins with
    a child. `in_child` are unshared by the child while the host side is busy with cgroups. The cgroup
    namespace waits until the child is in its cgroup, because that becomes the namespace's root.
    """

    at_clone: int
    in_child: int
    cgroup: bool
    time: bool
    join: tuple[JoinNamespace, ...]
    time_offsets: str = ""
    names: tuple[str, ...] = ()
    """Every type that config.json lists, new or joined."""

    def describe(self) -> str:
        """Say which are made new."""
        joined = {step.kind for step in self.join}
        return f"make namespaces: {', '.join(name for name in self.names if name not in joined) or 'none'}"


class Rootfs(Record):
    """The container's root: where it is on the host, and how it becomes "/".

    `entry` is "pivot" (pivot_root(2)), "move" (--no-pivot: MS_MOVE and chroot) or "chroot" (no mount namespace).
    `host_propagation` is given to the whole tree of the container's new mount namespace before anything is
    mounted, `propagation` to the root at the end; both are MS_* flags.
    """

    path: str
    readonly: bool
    entry: str
    host_propagation: int
    propagation: int


class Rlimit(Record):
    """One resource limit; the values are in the unit of getrlimit(2)."""

    where: str
    name: str
    resource: int
    soft: int
    hard: int


class CapabilitySets(Record):
    """The five sets of capabilities(7) as numbers."""

    bounding: frozenset[int]
    effective: frozenset[int]
    inheritable: frozenset[int]
    permitted: frozenset[int]
    ambient: frozenset[int]


class Process(Record):
    """The program and everything it is given."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    uid: int
    gid: int
    additional_gids: tuple[int, ...]
    umask: int | None
    capabilities: CapabilitySets | None
    no_new_privileges: bool
    rlimits: tuple[Rlimit, ...]
    oom_score_adj: int | None
    terminal: bool
    console_size: tuple[int, int] | None
    personality: int | None
    listen_fds: int = 0
    preserve_fds: int = 0
    policies: tuple[Step, ...] = ()
    """What few containers ask for: steps_process.py."""

    def acts(self) -> tuple[tuple[str, str], ...]:
        """Say who the program will be, as (place in config.json, act)."""
        groups = f", groups {' '.join(map(str, self.additional_gids))}" if self.additional_gids else ""
        acts = [(".process.user", f"become uid {self.uid}, gid {self.gid}{groups}")]
        if self.capabilities is not None:
            kept = [name for name, number in CAPABILITIES.items() if number in self.capabilities.bounding]
            acts += [(".process.capabilities", f"give up all capabilities but {' '.join(kept) or 'none'}")]
        if self.no_new_privileges:
            acts += [(".process.noNewPrivileges", "set no_new_privs")]
        return tuple(acts)


class Hook(Record):
    """One program of config.json's hooks. `timeout` is in seconds, None is without limit."""

    where: str
    path: str
    args: tuple[str, ...]
    env: tuple[str, ...]
    timeout: int | None

    def describe(self) -> str:
        """Say the act in words."""
        return f"run the hook {self.path}"


class Hooks(Record):
    """The six lists of hooks, in the order in which they run (config.md, "POSIX-platform Hooks")."""

    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()


class Plan(Record):
    """Everything create will do, decided before anything is done.

    `before_pivot` are the mounts and devices, made while the host's tree can still be seen; `after_pivot` what
    is done with the container's root as "/". `process` is None where config.json has none: such a container
    can be created, not started (runtime.md, "Start").
    """

    id: str
    bundle: str
    namespaces: Namespaces
    id_maps: IdMaps | None
    cgroup: CgroupPlan
    rootfs: Rootfs
    before_pivot: tuple[Step, ...]
    after_pivot: tuple[Step, ...]
    process: Process | None
    hooks: Hooks
    annotations: dict[str, str]
    oci_version: str
    session_keyring: bool = True
    warnings: tuple[str, ...] = ()
    net_devices: tuple[MoveNetDevice, ...] = ()
    listener: SendListener | None = None
    resctrl: JoinClos | None = None
    mount_label: str = ""
    """The SELinux context of the container's filesystems, already among the options of its mounts."""
