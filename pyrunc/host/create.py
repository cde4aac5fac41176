"""The outside of create: reserve, start the inside, give it what it cannot give itself, and undo all on failure.

create() is the whole story; container/init.py is its other half, and sync.py draws how they talk.
"""

from __future__ import annotations

import gc
import posix

from pyrunc import sync
from pyrunc.cgroups import creation as cgroups
from pyrunc.container.hooks import run_hooks
from pyrunc.container.init import Inherited, load_for
from pyrunc.errors import PyruncError, StateError, StepError, SyncError, reason
from pyrunc.host import child
from pyrunc.host.facts import look
from pyrunc.host.pid_file import write_pid_file
from pyrunc.host.seccomp import compile_for
from pyrunc.kernel.pidfd import start_time
from pyrunc.kernel.processes import set_oom_score_adj
from pyrunc.plan.make import Request, make_plan
from pyrunc.record import Record
from pyrunc.spec.load import parse, read_text
from pyrunc.state import store
from pyrunc.state.status import CREATED, CREATING
from pyrunc.state.store import Entry, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.host.resctrl import Groups
    from pyrunc.host.scope import Driver
    from pyrunc.plan.facts import Facts
    from pyrunc.plan.steps import Hook, Plan
    from pyrunc.sync import Channel


class Order(Record):
    """What create is asked for: config.json's request, where state goes, and how the caller wants to hear of it.

    `console_socket` is the path of the socket that gets the pty; empty where the caller keeps the pty itself.
    """

    root: str
    request: Request
    pid_file: str = ""
    console_socket: str = ""
    pidfd_socket: str = ""
    foreground: bool = False
    log: int = 2


class Created(Record):
    """A container that waits for start; `console` is the pty's master where the caller keeps it, else -1."""

    entry: Entry
    state: State
    console: int


class Channels(Record):
    """Both ends of the sync channel, until the fork leaves each side its own."""

    ours: Channel
    theirs: Channel


def create(
    order: Order,
    say: Callable[[str], None],
    warn: Callable[[str], None],
    meanwhile: Callable[[], None] = lambda: None,
) -> Created:
    """Create a container (runtime.md, "Create"): everything but running its program.

    Each step is told to `say`, and to `warn` what the spec wants logged as a warning.
    `meanwhile` is called while the inside works on its own, for what the caller will need later.

    Raises ConfigError, StepError, HookError, ExistsError and others of errors.py, with the host as it was before.
    """
    file = f"{order.request.bundle}/config.json"
    text = read_text(file)
    spec = parse(text, file)
    facts, driver = look_for(order)
    plan = make_plan(spec, order.request, facts)
    check(plan, order)
    filter_ = compile_for(spec, order.root)
    for warning in plan.warnings:
        warn(warning)
    groups = look_at_resctrl(plan)
    state = all_intentions(plan, groups, driver)
    entry = store.reserve(order.root, state)
    try:
        entry.keep_config(text)
        if order.request.notify:
            entry.make_directory(order.request.notify)
        joins = child.open_joins(plan.namespaces.join)
        root = child.open_root(plan, facts)
        trees = child.open_trees(plan, facts, joins)
        channels = Channels(*sync.channel())
        inherited = Inherited(*entry.make_fifos(), root, trees, order.log, joins, filter_, state.session_keyring)
        cgroup_fd = _make_cgroup_before(plan)
        load_for(plan)
        _announce(plan, say)
        gc.freeze()  # what is there at the fork is shared; collecting in the child would copy it
        pid = child.start_inside(plan, channels.theirs, inherited, cgroup_fd, say)
        channels.theirs.close()
        _close(inherited, cgroup_fd)
        state = _name(state, pid, channels.ours)
        _take_in(plan, state.pid, groups, driver)
        by_systemd, born_inside = driver is not None, cgroup_fd >= 0
        make_cgroup = None if by_systemd else lambda: _make_cgroup(plan, pid, born_inside)
        document = _attend(plan, facts, state, channels.ours, make_cgroup, meanwhile, say)
        state = state.but(status=CREATED, cgroup_leaves=tuple(each.path for each in plan.cgroup.directories))
        encoded = store.encode(state)  # while the inside settles
        pty = _await_ready(plan, state, channels.ours, document)
        if driver is not None:
            driver.settle(plan.cgroup)
        entry.write(encoded)
        hand_out(order, state, pty)
        channels.ours.say(sync.GO, _last_fds(plan))
    except BaseException as err:
        undo(entry, state, err)
        raise
    return Created(entry, state, pty)


def check(plan: Plan, order: Order) -> None:
    """Look at what only the host can tell, before anything is made."""
    try:
        kind = posix.lstat(plan.rootfs.path).st_mode & 0o170000
    except OSError as err:
        raise StepError(f".root.path: cannot use {plan.rootfs.path}: {reason(err)}", "make the root first") from err
    if kind != 0o040000:
        raise StepError(f".root.path: {plan.rootfs.path} is not a directory", "a symbolic link is refused")
    if plan.process is not None and plan.process.policies:
        from pyrunc.host import policies

        policies.check(plan.process.policies)
    if plan.mount_label:
        from pyrunc.host import policies

        policies.check_module(".linux.mountLabel", "selinux")
    terminal = plan.process is not None and plan.process.terminal
    if terminal and not order.console_socket and not order.foreground:
        raise StepError(".process.terminal: a detached container needs somewhere to send its pty", "--console-socket")
    if order.console_socket and not terminal:
        raise StepError("--console-socket is only for a container with .process.terminal true")


def look_at_resctrl(plan: Plan) -> Groups | None:
    """Find out what intelRdt takes; without it resctrl is not even looked for (config-linux.md#intelrdt)."""
    if plan.resctrl is None:
        return None
    from pyrunc.host import resctrl

    return resctrl.look(plan.resctrl, resctrl.find_root())


def look_for(order: Order) -> tuple[Facts, Driver | None]:
    """Look at the host, and at systemd if that is to make the cgroup; without its driver it is not even loaded."""
    facts = look()
    if not order.request.systemd:
        return facts, None
    from pyrunc.host.scope import Driver

    driver = Driver(facts, order.root)
    return driver.facts, driver


def intentions(plan: Plan) -> State:
    """Say what will be made, before it is: delete walks this list, whenever create was killed."""
    creator = posix.getpid()
    made = cgroups.missing_directories(plan.cgroup)
    return State(
        id=plan.id,
        oci_version=plan.oci_version,
        status=CREATING,
        bundle=plan.bundle,
        rootfs=plan.rootfs.path,
        created=store.timestamp(),
        owner=posix.geteuid(),
        creator=creator,
        creator_start=_start_time_of(creator),
        annotations=plan.annotations,
        # A cgroup that is there already is ours only once it was found empty: till then it may be somebody's.
        cgroup_leaves=tuple(each.path for each in plan.cgroup.directories if each.path in made),
        cgroup_made=made,
        hooks={"poststart": _kept(plan.hooks.poststart), "poststop": _kept(plan.hooks.poststop)},
        freezer=cgroups.freezer_file(plan.cgroup),
        host_mounts=plan.rootfs.entry == "chroot",
        private_pids="pid" in plan.namespaces.names,
        # Not by the id alone: a keyring outlives its container for a while, and others may have one of that name.
        session_keyring=f"_ses.{plan.id}.{posix.urandom(8).hex()}" if plan.session_keyring else "",
    )


def _start_time_of(creator: int) -> int:
    try:
        return start_time(creator)
    except OSError as err:
        raise StateError(f"cannot look at /proc/{creator}/stat: {reason(err)}", "mount a procfs on /proc") from err


def all_intentions(plan: Plan, groups: Groups | None, driver: Driver | None) -> State:
    """Say what will be made, by resctrl and by systemd as well. Raises CgroupError."""
    state = intentions(plan)
    if groups is not None:
        state = state.but(resctrl_made=groups.made)
    return state if driver is None else driver.intend(state, plan.cgroup)


def _take_in(plan: Plan, pid: int, groups: Groups | None, driver: Driver | None) -> None:
    """Put the child where it has to be put from outside, before it is anybody but us: into resctrl, by systemd."""
    if groups is not None:
        groups.take(pid)
    if driver is not None:
        driver.enter(plan.cgroup, pid)


def _kept(hooks: tuple[Hook, ...]) -> list[dict[str, object]]:
    return [dict(hook.__dict__) for hook in hooks]


def _announce(plan: Plan, say: Callable[[str], None]) -> None:
    """Say what both sides are about to make between them, each with its place in config.json."""
    for step in plan.namespaces.join:
        say(f"{step.where}: {step.describe()}")
    say(f".linux.namespaces: {plan.namespaces.describe()}")
    if plan.id_maps is not None:
        say(f".linux.uidMappings: {plan.id_maps.describe()}")
    for directory in plan.cgroup.directories:
        say(f"{directory.where}: {directory.describe()}")
    for write in plan.cgroup.writes:
        say(f"{write.where}: {write.describe()}")


def _make_cgroup_before(plan: Plan) -> int:
    """Make the v2 cgroup that the child is born in; its limits, and cgroups on v1, are made while the child works."""
    if plan.cgroup.unified is None or not plan.cgroup.born_inside:
        return -1
    cgroups.make_unified(plan.cgroup)
    return cgroups.open_directory(plan.cgroup)


def _make_cgroup(plan: Plan, pid: int, born_inside: bool) -> None:
    """Make what is not there yet of the cgroups, with all limits; on v2 the child is put into it, on v1 it goes."""
    cgroups.create(plan.cgroup, with_unified=not born_inside)
    if not born_inside and cgroups.adds_early(plan.cgroup):
        cgroups.add(plan.cgroup, pid)


def _close(inherited: Inherited, cgroup_fd: int) -> None:
    """Close what only the child needs; a fifo held open here would look like an init that still waits."""
    single = (inherited.start_fifo, inherited.result_fifo, inherited.root, cgroup_fd)
    for fd in (*single, *inherited.trees.values(), *inherited.joins.values()):
        if fd >= 0:
            posix.close(fd)


def _name(state: State, pid: int, ours: Channel) -> State:
    """Add the child to the state, which is saved when it is created: should we be killed before, the child is too."""
    if pid == 0:
        ours.expect(sync.ROOTFS_READY)  # raises what the stage said
        raise SyncError("the process that joins namespaces died")
    return state.but(pid=pid, start_time=start_time(pid))


def _attend(
    plan: Plan,
    facts: Facts,
    state: State,
    ours: Channel,
    make_cgroup: Callable[[], None] | None,
    meanwhile: Callable[[], None],
    say: Callable[[str], None],
) -> str:
    """Give the inside what it needs, in the order of sync.py, up to the hooks; return the state that they got."""
    if plan.process is not None and plan.process.oom_score_adj is not None:
        _set_oom_score_adj(state.pid, plan.process.oom_score_adj)
    if plan.id_maps is not None:
        from pyrunc.host.idmap import write_id_maps

        ours.expect(sync.NEED_ID_MAPS)
        write_id_maps(state.pid, plan.id_maps, facts)
        ours.say(sync.ID_MAPS_WRITTEN)
    if make_cgroup is not None:
        make_cgroup()
    ours.say(sync.CGROUP, (*cgroups.entry_fds(plan.cgroup, late=False), *cgroups.visit_fds(plan.cgroup)))
    meanwhile()
    ours.expect(sync.ROOTFS_READY)
    if plan.net_devices:
        from pyrunc.host.netdevices import move_net_devices

        move_net_devices(plan.net_devices, state.pid)
    document = sync.state_document(
        plan.oci_version, plan.id, CREATING, state.pid, plan.bundle, plan.annotations
    )
    for hook in (*plan.hooks.prestart, *plan.hooks.create_runtime):
        say(f"{hook.where}: {hook.describe()}")
    run_hooks(plan.hooks.prestart, document)
    run_hooks(plan.hooks.create_runtime, document)
    ours.say(sync.HOOKS_DONE)
    return document


def _await_ready(plan: Plan, state: State, ours: Channel, document: str) -> int:
    """Take what the inside hands over while it settles, until it is ready; return the pty's master or -1."""
    pty = -1
    if plan.process is not None and plan.process.terminal:
        (pty,) = ours.expect(sync.CONSOLE)
    if plan.listener is not None:
        from pyrunc.host.listener import send_listener

        ours.expect(sync.LOADING_FILTER)
        send_listener(plan.listener, state.pid, document, ours)
    ours.expect(sync.READY)
    if plan.cgroup.last is not None and plan.cgroup.last is plan.cgroup.unified:
        cgroups.add(plan.cgroup, state.pid)
    if plan.cgroup.late_pids is not None and not plan.hooks.start_container:
        cgroups.apply((plan.cgroup.late_pids,))
    return pty


def _last_fds(plan: Plan) -> tuple[int, ...]:
    """Open the cgroup files that the inside writes to by itself before its program runs."""
    limit = cgroups.pids_fd(plan.cgroup) if plan.hooks.start_container else ()
    return (*cgroups.entry_fds(plan.cgroup, late=True), *limit)


def _set_oom_score_adj(pid: int, value: int) -> None:
    try:
        set_oom_score_adj(value, pid)
    except OSError as err:
        raise StepError(f".process.oomScoreAdj: cannot set it to {value}: {reason(err)}") from err


def hand_out(order: Order, state: State, pty: int) -> None:
    """Tell the caller: pid file, pidfd, pty. After the state, so that whoever hears of it can use it."""
    if order.console_socket or order.pidfd_socket:
        from pyrunc.host import console
    if order.console_socket:
        console.send_console(order.console_socket, pty)
    if order.pidfd_socket:
        console.send_pidfd(order.pidfd_socket, state.pid)
    if order.pid_file:
        write_pid_file(order.pid_file, state.pid)


def undo(entry: Entry, state: State, cause: BaseException) -> None:
    """Leave the host as it was; what cannot be undone stays in the store for delete --force."""
    explained = _explain_death(state, cause)
    from pyrunc.host.delete import destroy

    try:
        destroy(entry, state, poststop=True)
    except PyruncError as err:
        raise StateError(f"{explained or cause}; and then: {err}", f"delete --force {entry.id}") from cause
    if explained:
        raise StepError(explained) from cause


def _explain_death(state: State, cause: BaseException) -> str:
    """Say why the inside died where it could not say so itself (too little memory is the usual reason)."""
    if not isinstance(cause, SyncError) or not state.cgroup_leaves:
        return ""
    from pyrunc.cgroups.control import Cgroup

    try:
        killed = Cgroup(state.cgroup_leaves, state.cgroup_made).oom_kills()
    except PyruncError:
        return ""  # the cause we have is the better message
    if not killed:
        return ""
    return ".linux.resources.memory.limit: the container was killed for want of memory before its program could start"
