"""Bring back a container that checkpoint has saved, with criu (criu.org, and man page criu(8)).

As with create, state.json says what is going to be made before it is: first the cgroups, then criu, which is itself
in them, then the init. So whoever is killed in the midst of this leaves nothing that `delete --force` does not find.
"""

from __future__ import annotations

import fcntl
import posix

from pyrunc.cgroups import creation as cgroups
from pyrunc.container.hooks import run_hooks
from pyrunc.errors import StepError
from pyrunc.host import child, external
from pyrunc.host.create import Created, Order, all_intentions, check, hand_out, look_at_resctrl, look_for, undo
from pyrunc.host.criu import RESTORE, Criu, Launch
from pyrunc.host.images import Images, Options, cgroup_options, criu_options
from pyrunc.host.start import notify_proxy, run_poststart
from pyrunc.kernel.flags import CLONE_NEWNET
from pyrunc.kernel.namespaces import setns
from pyrunc.kernel.network import loopback_up
from pyrunc.kernel.pidfd import start_time
from pyrunc.plan.make import make_plan
from pyrunc.plan.steps_cgroups import Write
from pyrunc.record import Record
from pyrunc.spec.load import parse, read_text
from pyrunc.state import store
from pyrunc.state.status import CREATED, CREATING
from pyrunc.state.store import CRIU_ROOT, NOTIFY_DIRECTORY
from pyrunc.sync import state_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.host.criu import Option
    from pyrunc.host.notify import NotifyProxy
    from pyrunc.host.resctrl import Groups
    from pyrunc.host.scope import Driver
    from pyrunc.plan.steps import Plan
    from pyrunc.plan.steps_cgroups import CgroupPlan
    from pyrunc.state.store import Entry, State

# criu and the processes that it starts for itself are in the container's cgroups until their work is done.
_ROOM_OF_CRIU = 64 << 20
_PIDS_OF_CRIU = 64
_MEMORY_LIMITS = ("memory.limit_in_bytes", "memory.max", "memory.high")


class Restore(Record):
    """What restore is asked for: an order as for create, and how criu is to go about it.

    `lsm_profile` is "TYPE:NAME", `lsm_mount_context` an SELinux context for the mounts.
    """

    order: Order
    options: Options
    tcp_close: bool = False
    lsm_profile: str = ""
    lsm_mount_context: str = ""


def restore(wanted: Restore, say: Callable[[str], None], warn: Callable[[str], None]) -> Created:
    """Restore a container from its images, under a new id or the old one: it goes on where it was.

    Hooks: prestart and createRuntime as soon as its namespaces are there, poststart when it runs. Those that would
    run inside of it (createContainer, startContainer) have done so before it was saved.

    Returns it with the entry still locked. Raises ConfigError, StepError with criu's reason, HookError, ExistsError
    and others of errors.py, with the host as it was before.
    """
    order = wanted.order
    # A service keeps its notify socket, which is asked for again: the images say if there was one, not the caller.
    notify = f"{order.root}/{order.request.id}/{NOTIFY_DIRECTORY}"
    order = order.but(request=order.request.but(notify=notify))
    file = f"{order.request.bundle}/config.json"
    text = read_text(file)
    facts, driver = look_for(order)
    plan = make_plan(parse(text, file), order.request, facts)
    check(plan, order)
    external.check(plan)
    for warning in (*plan.warnings, *external.lost(plan)):
        warn(warning)
    groups = look_at_resctrl(plan)
    state = all_intentions(plan, groups, driver)
    with Images(wanted.options, "restore.log", make=False) as images:
        streams = images.descriptors()
        entry = store.reserve(order.root, state)
        restoring = _Restoring(entry, state, plan, groups, driver)
        try:
            entry.keep_config(text)
            entry.make_directory(notify)
            external.make_mount_points(plan)
            _restore(wanted, restoring, images, streams, say)
            hand_out(order, restoring.state, restoring.console)
            run_poststart(restoring.state)
        except BaseException as err:
            undo(entry, restoring.state, err)
            raise
    return Created(entry, restoring.state, restoring.console)


class _Restoring:
    """A container on its way back: what is known of it grows with each thing that criu tells."""

    def __init__(self, entry: Entry, state: State, plan: Plan, groups: Groups | None, driver: Driver | None) -> None:
        self.entry = entry
        self.state = state
        self.plan = plan
        self.groups = groups
        self.driver = driver
        self.console = -1
        self.pids_limits: tuple[Write, ...] = ()

    def save(self, **changes: object) -> None:
        self.state = self.state.but(**changes)
        self.entry.save(self.state)

    def heed(self, script: str, pid: int, fds: tuple[int, ...]) -> None:
        """Do what is to be done at a point of criu's work (criu.org/Action_scripts)."""
        if script == "orphan-pts-master" and fds:
            self.console, *fds_left = fds
        else:
            fds_left = list(fds)
        for fd in fds_left:
            posix.close(fd)
        if script == "setup-namespaces":
            self._set_up_namespaces(pid)
        elif script == "post-restore":
            # Everything is there and nothing of it runs yet: from here on this is what delete has to kill.
            cgroups.apply(self.pids_limits)
            self.save(pid=pid, start_time=start_time(pid), status=CREATED)

    def _set_up_namespaces(self, pid: int) -> None:
        plan = self.plan
        if self.groups is not None:
            self.groups.take(pid)
        if plan.namespaces.in_child & CLONE_NEWNET:
            _bring_loopback_up(pid)
        if plan.net_devices:
            from pyrunc.host.netdevices import move_net_devices

            move_net_devices(plan.net_devices, pid)
        document = state_document(plan.oci_version, plan.id, CREATING, pid, plan.bundle, plan.annotations)
        run_hooks(plan.hooks.prestart, document)
        run_hooks(plan.hooks.create_runtime, document)


def _restore(
    wanted: Restore, restoring: _Restoring, images: Images, streams: tuple[str, ...], say: Callable[[str], None]
) -> None:
    """Make the cgroups, start criu in them, and let it work."""
    plan, entry = restoring.plan, restoring.entry
    kept = [(name, fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)) for name, fd in external.inherited_streams(streams)]
    joins = child.open_joins(plan.namespaces.join)
    handed = [*kept, *external.handed_namespaces(joins)]
    roomy, memory_limits, restoring.pids_limits = with_room_for_criu(plan.cgroup)
    root = f"{entry.root}/{entry.id}/{CRIU_ROOT}"
    posix.mkdir(CRIU_ROOT, 0o700, dir_fd=entry.directory)
    launch = Launch(
        images.log,
        wanted.options.shell_job,
        rootfs=plan.rootfs.path,
        root=root,
        readonly=plan.rootfs.readonly,
        keep=(*(fd for _, fd in handed), images.directory, images.work),
        directories=(images.directory, images.work),
        keyring=f"_ses.{plan.id}" if plan.session_keyring else "",
        program=wanted.options.criu,
    )
    criu = _start(launch, restoring, roomy)
    try:
        criu.check_version()
        if wanted.options.lazy_pages:
            criu.check_feature("lazy_pages", "--lazy-pages", "the kernel needs userfaultfd(2)")
        say(f"restore {plan.id} from {wanted.options.image_path}")
        criu.request(RESTORE, _options(wanted, restoring, images, root, handed, criu.pid), restoring.heed)
    finally:
        criu.end()
        for fd in (*joins.values(), *(fd for _, fd in kept)):
            posix.close(fd)
    cgroups.apply(memory_limits)
    if restoring.driver is not None:
        restoring.driver.settle(plan.cgroup)
    posix.rmdir(CRIU_ROOT, dir_fd=entry.directory)


def _start(launch: Launch, restoring: _Restoring, roomy: CgroupPlan) -> Criu:
    """Make the cgroups, and start criu in them: if all of us are killed, whatever it has made is found there.

    It waits for us to speak, so nothing is begun before its pid is in state.json.
    """
    leaves = tuple(each.path for each in roomy.directories)
    driver = restoring.driver
    if driver is not None:
        criu = Criu(launch)
        restoring.save(pid=criu.pid, start_time=start_time(criu.pid))
        driver.enter(roomy, criu.pid)
        cgroups.apply(_entries(roomy, criu.pid))
        restoring.save(cgroup_leaves=leaves)
        return criu
    cgroups.create(roomy)
    restoring.save(cgroup_leaves=leaves)
    cgroup, tasks = cgroups.open_directory(roomy), cgroups.entry_fds(roomy, late=False)
    try:
        criu = Criu(launch.but(cgroup=cgroup, tasks=tasks))
    finally:
        for fd in (cgroup, *tasks):
            if fd >= 0:
                posix.close(fd)
    restoring.save(pid=criu.pid, start_time=start_time(criu.pid))
    return criu


def _entries(plan: CgroupPlan, pid: int) -> tuple[Write, ...]:
    """Say what puts a process into those cgroups that systemd does not know of."""
    v1 = (each for each in plan.directories if each.hierarchy.version == 1)
    return tuple(Write(f"{each.path}/cgroup.procs", str(pid), each.where) for each in v1)


def _options(
    wanted: Restore, restoring: _Restoring, images: Images, root: str, handed: list[tuple[str, int]], criu: int
) -> dict[str, Option]:
    plan = restoring.plan
    options = criu_options(wanted.options, images, plan)
    options |= {
        "root": root,
        "rst_sibling": True,  # a child of ours, not of criu's, so that a foreground restore can wait for it
        "ext_mnt": list(external.restored_mounts(plan)),
        "inherit_fd": list(handed),
        "join_ns": list(external.joined_namespaces(plan.namespaces.join)),
        "tcp_close": wanted.tcp_close,
        **cgroup_options(wanted.options, restoring.state.cgroup_leaves, criu),
    }
    if wanted.lsm_profile:
        options["lsm_profile"] = wanted.lsm_profile
    if wanted.lsm_mount_context:
        options["lsm_mount_context"] = wanted.lsm_mount_context
    return options


def with_room_for_criu(plan: CgroupPlan) -> tuple[CgroupPlan, tuple[Write, ...], tuple[Write, ...]]:
    """Put off limits that leave criu no room: return the plan without them, and those of memory and of pids.

    Nothing of the container runs before the limits of pids are set, nor does it have memory that it did not have
    when it was saved.
    """
    memory: tuple[Write, ...] = ()
    pids: tuple[Write, ...] = ()
    if any(_is_below(write, _MEMORY_LIMITS, _ROOM_OF_CRIU) for write in plan.writes):
        memory = tuple(write for write in plan.writes if _file(write).startswith("memory."))
    if any(_is_below(write, ("pids.max",), _PIDS_OF_CRIU) for write in plan.writes):
        pids = tuple(write for write in plan.writes if _file(write).startswith("pids."))
    if plan.late_pids is not None:
        pids = (*pids, plan.late_pids)
    writes = tuple(write for write in plan.writes if write not in (*memory, *pids))
    return plan.but(writes=writes, small_memory=False, born_inside=True, late_pids=None), memory, pids


def _is_below(write: Write, files: tuple[str, ...], limit: int) -> bool:
    return _file(write) in files and write.value.isdigit() and int(write.value) < limit


def _file(write: Write) -> str:
    return write.path.rpartition("/")[2]


def _bring_loopback_up(pid: int) -> None:
    """In the network namespace that criu made empty: with `lo` up, as create leaves it.

    setns(2) is for the calling thread alone, and it goes back.
    """
    ours = posix.open("/proc/thread-self/ns/net", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        theirs = posix.open(f"/proc/{pid}/ns/net", posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            setns(theirs, CLONE_NEWNET)
        finally:
            posix.close(theirs)
        try:
            loopback_up()
        finally:
            setns(ours, CLONE_NEWNET)
    except OSError as err:
        raise StepError(f".linux.namespaces: cannot bring lo up in the restored network: {err.strerror}") from err
    finally:
        posix.close(ours)


def run_restored(wanted: Restore, subreaper: bool, say: Callable[[str], None], warn: Callable[[str], None]) -> int:
    """Restore in the foreground, and return the container's exit code, 128 + n if signal n ended it."""
    from pyrunc.host.foreground import Foreground
    from pyrunc.host.run import attend, wants_terminal

    with Foreground(lambda: wants_terminal(wanted.order), subreaper) as foreground:
        created = restore(wanted, say, warn)
        foreground.listen()
        return attend(foreground, created, lambda: _let_go(created), False, warn)


def _let_go(created: Created) -> NotifyProxy | None:
    proxy = notify_proxy(created.entry, created.state)
    created.entry.unlock()
    return proxy
