"""From what config.json says and what the host is to what will be done: Spec + Facts -> Plan. No I/O."""

from __future__ import annotations

from pyrunc.errors import ConfigError, SpecError
from pyrunc.kernel import flags
from pyrunc.plan.cgroups import plan_cgroup
from pyrunc.plan.devices import plan_devices
from pyrunc.plan.hooks import plan_hooks
from pyrunc.plan.mounts import Place, plan_mounts, without_effect
from pyrunc.plan.namespaces import has_new, has_own, plan_id_maps, plan_namespaces
from pyrunc.plan.process import asks_for_policies, complete, plan_process
from pyrunc.plan.rootfs import plan_identity, plan_masks, plan_rootfs
from pyrunc.plan.steps import Attributes, MountBind, Plan
from pyrunc.plan.steps_cgroups import CgroupPlan
from pyrunc.record import Record
from pyrunc.spec.linux import Linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from pyrunc.plan.facts import Facts
    from pyrunc.plan.netdevices import MoveNetDevice
    from pyrunc.plan.resctrl import JoinClos
    from pyrunc.plan.seccomp import SendListener
    from pyrunc.plan.steps import Process, Step
    from pyrunc.spec.config import Spec

    T = TypeVar("T")


class Request(Record):
    """What the caller of create says besides config.json."""

    id: str
    bundle: str
    pivot: bool = True
    session_keyring: bool = True
    preserve_fds: int = 0
    listen_fds: int = 0
    listen_fdnames: str = ""
    cgroups: bool = True
    systemd: bool = False
    """Let systemd make the cgroup."""
    notify: str = ""
    """Directory of the socket that stands for the caller's NOTIFY_SOCKET; empty where there is none."""


def make_plan(spec: Spec, request: Request, facts: Facts) -> Plan:
    """Decide everything that create will do.

    Raises ConfigError with all that cannot be carried out.
    """
    problems: list[SpecError] = []
    if spec.root is None:
        raise ConfigError("config.json", (SpecError(".root", "is required"),))
    linux = spec.linux or Linux()
    cgroup = _gather(problems, CgroupPlan(()), lambda: _cgroup(spec, request, facts))
    no_steps: tuple[tuple[Step, ...], tuple[Step, ...]] = ((), ())
    no_devices: tuple[MoveNetDevice, ...] = ()
    mounts, late = _gather(problems, no_steps, lambda: _mounts(spec, linux, request, facts, cgroup))
    net_devices = _gather(problems, no_devices, lambda: _net_devices(linux))
    listener = _gather(problems, None, lambda: _listener(spec, linux, facts))
    if problems:
        raise ConfigError("config.json", tuple(problems))
    devices = plan_devices(linux.devices, spec.mounts, _in_user_namespace(linux, facts))
    process, warnings = _process(spec, linux, request, facts)
    mount_namespace = has_own(linux.namespaces, "mount")
    root = spec.root.path if spec.root.path.startswith("/") else f"{request.bundle}/{spec.root.path}"
    return Plan(
        id=request.id,
        bundle=request.bundle,
        namespaces=plan_namespaces(linux),
        id_maps=plan_id_maps(linux),
        cgroup=cgroup,
        rootfs=plan_rootfs(
            root, spec.root.readonly, linux.rootfs_propagation, mount_namespace, request.pivot
        ),
        before_pivot=(*mounts, *devices, *_notify_mount(request)),
        after_pivot=(*late, *plan_identity(spec), *plan_masks(linux)),
        process=process,
        hooks=plan_hooks(spec.hooks),
        annotations=spec.annotations,
        oci_version=spec.oci_version,
        session_keyring=request.session_keyring,
        warnings=(*warnings, *without_effect(spec.mounts)),
        net_devices=net_devices,
        listener=listener,
        resctrl=_resctrl(linux, request),
        mount_label=linux.mount_label or "",
    )


def _gather(problems: list[SpecError], otherwise: T, plan: Callable[[], T]) -> T:
    """Plan one part; what is wrong with it is added to the problems, so that a user hears of everything at once."""
    try:
        return plan()
    except ConfigError as err:
        problems += err.problems
        return otherwise


def _cgroup(spec: Spec, request: Request, facts: Facts) -> CgroupPlan:
    """Plan the cgroups: those of the host's root, of an ordinary user, made by systemd, or none."""
    if request.cgroups and request.systemd:
        from pyrunc.plan.cgroups_systemd import plan_scope

        return plan_scope(spec, request.id, facts)
    cgroup = plan_cgroup(spec, request.id, facts.layout, not facts.privileged)
    if request.cgroups and facts.privileged:
        return cgroup
    from pyrunc.plan.cgroups_rootless import with_rights, without_any

    return with_rights(cgroup, spec, facts) if request.cgroups else without_any(cgroup)


def _net_devices(linux: Linux) -> tuple[MoveNetDevice, ...]:
    if not linux.net_devices:
        return ()
    from pyrunc.plan.netdevices import plan_net_devices

    return plan_net_devices(linux)


def _listener(spec: Spec, linux: Linux, facts: Facts) -> SendListener | None:
    if linux.seccomp is None or spec.process is None:
        return None
    from pyrunc.plan.seccomp import plan_listener

    return plan_listener(linux.seccomp, not facts.privileged)


def _resctrl(linux: Linux, request: Request) -> JoinClos | None:
    if linux.intel_rdt is None:
        return None
    from pyrunc.plan.resctrl import plan_resctrl

    return plan_resctrl(linux.intel_rdt, request.id)


def _in_user_namespace(linux: Linux, facts: Facts) -> bool:
    return has_own(linux.namespaces, "user") or facts.in_user_namespace


def _mounts(
    spec: Spec, linux: Linux, request: Request, facts: Facts, cgroup: CgroupPlan
) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    place = Place(
        bundle=request.bundle,
        layout=facts.layout,
        cgroups={each.hierarchy.mount: each.path for each in cgroup.directories},
        cgroup_namespace=has_new(linux.namespaces, "cgroup"),
        user_namespace=_in_user_namespace(linux, facts),
        id_maps=plan_id_maps(linux),
        mount_label=linux.mount_label or "",
    )
    return plan_mounts(spec.mounts, place)


def _process(spec: Spec, linux: Linux, request: Request, facts: Facts) -> tuple[Process | None, tuple[str, ...]]:
    if spec.process is None:
        return None, ()
    # user_namespaces(7): whoever makes or joins one has all capabilities in it.
    held = None if has_own(linux.namespaces, "user") else facts.held
    process, warnings = plan_process(spec.process, facts.last_capability, held)
    process = complete(process, linux, request)
    process = process.but(env=(*process.env, *_notify_environment(request)))
    if asks_for_policies(spec):
        from pyrunc.plan.policies import plan_policies

        process = process.but(policies=plan_policies(spec))
    return process, warnings


def _notify_environment(request: Request) -> tuple[str, ...]:
    return ("NOTIFY_SOCKET=/run/notify/notify.sock",) if request.notify else ()


def _notify_mount(request: Request) -> tuple[Step, ...]:
    """sd_notify(3): the container's end of host/notify.py, which it cannot move or replace."""
    if not request.notify:
        return ()
    quiet = flags.MOUNT_ATTR_RDONLY | flags.MOUNT_ATTR_NOSUID | flags.MOUNT_ATTR_NODEV | flags.MOUNT_ATTR_NOEXEC
    attributes = Attributes(set=quiet, propagation=(flags.MS_PRIVATE | flags.MS_REC,))
    return (MountBind("", request.notify, "/run/notify", False, attributes),)
