"""A container's systemd scope in the stories of create and delete; loaded only with the systemd cgroup driver.

systemd makes the scope around the container's process, so that it has its cgroup before anything else is done to it.
The limits are then written to the cgroup's files as without systemd: it does not know all of them, and rounds. The
unit is in state.json before it is made, with its description, by which it is known as ours: a unit of that name that
says anything else of itself is somebody else's, and so are the cgroup and the processes in it.
"""

from __future__ import annotations

from pyrunc.cgroups import creation, systemd
from pyrunc.cgroups.layout import read_file
from pyrunc.errors import CgroupError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.facts import Facts
    from pyrunc.plan.steps_cgroups import CgroupPlan, Scope
    from pyrunc.state.store import State

# Of cgroup v1 it makes these; what is missing of the path in the others is made, and removed, by us.
_SYSTEMDS = frozenset(("cpu", "cpuacct", "blkio", "memory", "devices", "pids", "name=systemd"))


class Driver:
    """The systemd cgroup driver at work on one container."""

    def __init__(self, facts: Facts, root: str) -> None:
        """Find the service manager: the system's for root, else the user's. `root` is where our state goes.

        Raises CgroupError.
        """
        user = not facts.privileged
        if user and not facts.layout.pure_v2:
            # There is no safe delegation in v1, so a user's manager has no controllers.
            raise CgroupError("an ordinary user's systemd has no part in cgroup v1", "use --cgroup-manager cgroupfs")
        self._root = root
        self._manager = systemd.connect(user)
        self.facts = facts.but(systemd=self._manager.systemd)

    def intend(self, state: State, plan: CgroupPlan) -> State:
        """Add to the state what is going to be made: the unit, but not those parents of it that are slices.

        Raises CgroupError if there is a unit of the name.
        """
        scope = self._scope(plan)
        self._manager.check_free(scope)
        made = set(state.cgroup_made)
        for directory in plan.directories:
            if directory.hierarchy.version == 2 or not _SYSTEMDS.isdisjoint(directory.hierarchy.controllers):
                made -= {path for path in made if directory.path.startswith(f"{path}/")}
        unit = {
            "name": scope.unit,
            "bus": self._manager.address,
            "manager": "user" if self._manager.systemd.user else "system",
            "description": scope.description,
        }
        return state.but(unit=unit, cgroup_made=tuple(path for path in state.cgroup_made if path in made))

    def enter(self, plan: CgroupPlan, pid: int) -> None:
        """Start the scope around the container's process, and set its limits. Raises CgroupError, StepError."""
        scope = self._scope(plan)
        self._manager.start(scope, pid)
        _check_place(scope, pid)
        creation.create(plan, pid)

    def settle(self, plan: CgroupPlan) -> None:
        """Set a memory limit that would have been too low for the inside while it was at work; systemd is done."""
        scope = self._scope(plan)
        if scope.late_writes:
            self._manager.update(scope.unit, scope.late)
            creation.apply(scope.late_writes)
        self._manager.close()

    def _scope(self, plan: CgroupPlan) -> Scope:
        """Return the scope with a description that no other container has: an id is taken once in each root."""
        scope = plan.scope
        if scope is None:
            raise CgroupError("no systemd scope was planned")
        if any(name == "Description" for name, _, _ in scope.properties):
            return scope
        return scope.but(description=f"{scope.description} in {self._root}")


def _check_place(scope: Scope, pid: int) -> None:
    """Make sure that the process is where we are going to write limits: names of cgroups are systemd's to choose."""
    try:
        text = read_file(f"/proc/{pid}/cgroup")
    except OSError as err:
        raise CgroupError(f"cannot read the cgroup of process {pid}: {reason(err)}") from err
    found = {line.split(":", 2)[2] for line in text.splitlines()}
    if scope.place not in found:
        at = " ".join(sorted(found))
        raise CgroupError(f"{scope.where}: systemd has put {scope.unit} elsewhere than at {scope.place}: {at}")


def is_ours(unit: dict[str, str]) -> bool:
    """Tell whether what a scope's cgroup holds is ours: no unit of the name is somebody else's. Raises CgroupError."""
    with _reopen(unit) as manager:
        return manager.description(unit["name"]) in ("", unit["description"])


def release(unit: dict[str, str]) -> None:
    """Stop a container's scope, if it is there and ours. Raises CgroupError."""
    with _reopen(unit) as manager:
        if manager.description(unit["name"]) == unit["description"]:
            manager.stop(unit["name"])


def update(unit: dict[str, str], plan: CgroupPlan) -> None:
    """Tell systemd of new limits, as far as it knows them: before they are written to the files, for it rounds.

    Raises CgroupError.
    """
    from pyrunc.plan.cgroups_properties import device_properties, resource_properties

    fixed = ("OOMPolicy",)  # can be said only when a scope is made
    with _reopen(unit) as manager:
        version = manager.systemd.version
        wanted = [each for each in resource_properties(plan.writes, version) if each[0] not in fixed]
        properties = (*wanted, *device_properties(plan, version))
        if properties:
            manager.update(unit["name"], properties)


def attach(unit: dict[str, str], pid: int) -> None:
    """Put one more process into a container's scope, where we may not do it ourselves. Raises CgroupError."""
    with _reopen(unit) as manager:
        manager.attach(unit["name"], pid)


def _reopen(unit: dict[str, str]) -> systemd.Manager:
    return systemd.reopen(unit["bus"], unit["manager"] == "user")
