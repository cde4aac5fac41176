"""The root: how it becomes "/", and what is hidden or read-only in it (config-linux.md)."""

from __future__ import annotations

from pyrunc.kernel import flags
from pyrunc.plan.mounts import PROPAGATION
from pyrunc.plan.steps import MaskPath, ReadonlyPath, Rootfs, SetDomainname, SetHostname, Step, WriteSysctl
from pyrunc.spec.read import member_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.spec.config import Spec
    from pyrunc.spec.linux import Linux


def plan_rootfs(path: str, readonly: bool, propagation: str | None, mount_namespace: bool, pivot: bool) -> Rootfs:
    """Decide how the root is entered and where mount events may go.

    Unless config.json asks for shared, events still come in from the host (so that a bind mount can be a slave),
    and none ever go out.
    """
    wanted = PROPAGATION[propagation] if propagation else flags.MS_PRIVATE | flags.MS_REC
    kind = wanted & ~flags.MS_REC
    host = kind if kind in (flags.MS_SHARED, flags.MS_PRIVATE) and propagation else flags.MS_SLAVE
    entry = ("pivot" if pivot else "move") if mount_namespace else "chroot"
    return Rootfs(path, readonly, entry, host | flags.MS_REC, wanted)


def plan_identity(spec: Spec) -> tuple[Step, ...]:
    """Host name, domain name and kernel parameters: what only touches the container's own namespaces."""
    steps: list[Step] = []
    if spec.hostname:
        steps.append(SetHostname(".hostname", spec.hostname))
    if spec.domainname:
        steps.append(SetDomainname(".domainname", spec.domainname))
    if spec.linux is not None:
        for name, value in spec.linux.sysctl.items():
            steps.append(WriteSysctl(member_path(".linux.sysctl", name), name, value))
    return tuple(steps)


def plan_masks(linux: Linux) -> tuple[Step, ...]:
    """readonlyPaths first: a masked path below a read-only one keeps its mask."""
    readonly = (
        ReadonlyPath(f".linux.readonlyPaths[{index}]", path) for index, path in enumerate(linux.readonly_paths)
    )
    masked = (MaskPath(f".linux.maskedPaths[{index}]", path) for index, path in enumerate(linux.masked_paths))
    return (*readonly, *masked)
