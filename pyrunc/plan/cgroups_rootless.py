"""The cgroups of a container that may not have all: an ordinary user's, or one made with cgroups disabled.

A limit that cannot be set is an error at its JSON path. Device rules are no limits here. As an ordinary user they
can neither be set nor are they needed: in the container's user namespace nobody can make a device node, and those that
are there are the host's, with the host's permissions. With cgroups disabled they are left out as crun leaves them out.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError, SpecError
from pyrunc.plan.steps_cgroups import CgroupPlan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.facts import Facts
    from pyrunc.plan.steps_cgroups import Write
    from pyrunc.spec.config import Spec

_HINT = "--systemd-cgroup lets systemd make one; docs/rootless.md has more"


def with_rights(cgroup: CgroupPlan, spec: Spec, facts: Facts) -> CgroupPlan:
    """Leave out the hierarchies where an ordinary user may make no cgroup, unless cgroupsPath names the place.

    Raises ConfigError for limits that would be lost with them.
    """
    # What an ordinary user makes is his already, and he may give nothing away.
    cgroup = cgroup.but(owner=cgroup.owner if facts.euid == 0 else None)
    if spec.linux is not None and spec.linux.cgroups_path:
        return cgroup
    barred = [each.path for each in cgroup.directories if not each.hierarchy.writable]
    lost = [write for write in cgroup.writes if any(write.path.startswith(f"{path}/") for path in barred)]
    _refuse(lost, "needs a cgroup, and this user has none to make it in", _HINT)
    mine = tuple(each for each in cgroup.directories if each.hierarchy.writable)
    return cgroup.but(directories=mine)


def without_any(cgroup: CgroupPlan) -> CgroupPlan:
    """Have no cgroups at all. Raises ConfigError for limits."""
    limits = [write for write in cgroup.writes if not write.path.endswith(("/devices.allow", "/devices.deny"))]
    _refuse(limits, "needs a cgroup, and cgroups are disabled", "--cgroup-manager cgroupfs has them")
    return CgroupPlan(())


def _refuse(writes: list[Write], problem: str, hint: str) -> None:
    if writes:
        places = dict.fromkeys(write.where for write in writes)
        raise ConfigError("config.json", tuple(SpecError(place, problem, hint) for place in places))
