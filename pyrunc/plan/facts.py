"""What a plan must know about the host, as values: host/facts.py looks, plans and tests only read."""

from __future__ import annotations

from pyrunc.record import Record


class Hierarchy(Record):
    """One mounted cgroup hierarchy.

    `mount` is its mount point as seen by the runtime, `root` what of the hierarchy is mounted there (field 4
    of mountinfo, "/" unless we are in a container ourselves), `own` the runtime's own cgroup in it (from
    /proc/self/cgroup). `controllers` are kernel names; a v1 hierarchy without controllers has its name
    instead ("name=systemd"). Joint v1 mounts (cpu,cpuacct) are one hierarchy with two controllers.
    `writable`: we may make cgroups where a container's go that has no cgroupsPath. In v2 that is beside our own
    cgroup, because one that has processes cannot pass controllers on; below it if `nested`, where only that is ours.
    """

    mount: str
    version: int
    controllers: tuple[str, ...]
    own: str = "/"
    root: str = "/"
    writable: bool = True
    nested: bool = False


class CgroupLayout(Record):
    """All cgroup hierarchies of the host: only v1, only v2, or hybrid (both, with the controllers split)."""

    hierarchies: tuple[Hierarchy, ...] = ()

    def of(self, controller: str) -> Hierarchy | None:
        """Return the hierarchy that has a controller, or None where the kernel or the host lacks it."""
        for hierarchy in self.hierarchies:
            if controller in hierarchy.controllers:
                return hierarchy
        return None

    @property
    def unified(self) -> Hierarchy | None:
        """The cgroup v2 hierarchy, if one is mounted."""
        return next((each for each in self.hierarchies if each.version == 2), None)

    @property
    def pure_v2(self) -> bool:
        """True when there is nothing but the unified hierarchy."""
        return all(each.version == 2 for each in self.hierarchies) and bool(self.hierarchies)


class Systemd(Record):
    """The service manager that makes scopes: its version, the cgroup it manages, whether it is only a user's."""

    version: int = 257
    control_group: str = ""
    user: bool = False


class Facts(Record):
    """The host as far as plans depend on it."""

    euid: int = 0
    egid: int = 0
    in_user_namespace: bool = False
    last_capability: int = 40
    privileged: bool = True
    """We are root, and of the host, not only of a user namespace."""
    layout: CgroupLayout = CgroupLayout()
    held: frozenset[int] | None = None
    """The capabilities we have ourselves; None for all."""
    systemd: Systemd = Systemd()
    """Only looked at with the systemd cgroup driver."""
