"""The inside of create: the child that becomes the container's first process.

init() is the whole story, in the order in which things happen; sync.py draws where it waits for the host
side. It runs in the host's mount tree first, in the container's root later; in between it is sealed.
"""

from __future__ import annotations

import gc
import posix

from pyrunc import sync
from pyrunc.container import devices, identity, masking, mounts, namespaces, process, rootfs
from pyrunc.container.exec import exec_program, hide_descriptors
from pyrunc.container.hooks import run_hooks
from pyrunc.container.keyring import join_keyring
from pyrunc.container.mounts import Root
from pyrunc.container.seal import seal
from pyrunc.errors import ProgramError, PyruncError, StepError, SyncError, reason
from pyrunc.kernel import flags, procfs
from pyrunc.kernel.prctl import set_dumpable, set_pdeathsig
from pyrunc.kernel.processes import close_range, reset_signals
from pyrunc.plan import steps
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from pyrunc.plan.steps import Plan, Step
    from pyrunc.sync import Channel

_BEFORE_PIVOT: dict[type, Callable[..., None]] = {
    steps.MountFs: mounts.mount_fs,
    steps.MountBind: mounts.mount_bind,
    steps.ChangeMount: mounts.change_mount,
    steps.MakeDevice: devices.make_device,
    steps.BindDevice: devices.bind_device,
    steps.MakeLink: devices.make_link,
}


class Inherited(Record):
    """What the child has from the host side: descriptors, and the filter that was compiled there.

    `trees` are bind sources (a step's `where` + `target` -> detached mount) and `root` the root, where the ids of
    a user namespace may not open them; `log` is where --debug writes, `joins` the open files of namespaces to
    join, `keyring` the name of the session keyring to make. -1 and empty where not needed.
    """

    start_fifo: int
    result_fifo: int
    root: int = -1
    trees: dict[str, int] = {}
    log: int = -1
    joins: dict[str, int] = {}
    seccomp: tuple[bytes, int] | None = None
    keyring: str = ""


def load_for(plan: Plan) -> None:
    """Import what only some containers need. Before the fork: once sealed, the inside finds loaded modules only."""
    if plan.process is not None and plan.process.terminal:
        import pyrunc.container.console
    if any(isinstance(step, steps.MountFs) and step.copy_up for step in plan.before_pivot):
        import pyrunc.container.copyup
    if plan.listener is not None:
        import pyrunc.container.listener
    if plan.process is not None and plan.process.policies:
        import pyrunc.container.policies  # noqa: F401


def init(plan: Plan, channel: Channel, inherited: Inherited, say: Callable[[str], None]) -> NoReturn:
    """Become the container: everything from the clone to the program's execve.

    Never returns and never raises: an error is told to the host side, and the process ends.
    """
    try:
        umask = _detach(plan, channel, inherited)
        _enter_namespaces(plan, channel, inherited)
        root = _fill_root(plan, channel, inherited, say)
        channel.say(sync.ROOTFS_READY)
        channel.expect(sync.HOOKS_DONE)
        for hook in plan.hooks.create_container:
            say(f"{hook.where}: {hook.describe()}")
        _run_hooks(plan, plan.hooks.create_container, "creating")
        program, env = _settle(plan, channel, inherited, root, umask, say)
        _close_others(plan, channel, inherited.but(root=-1, trees={}, joins={}))
        # From here on the container may outlive create. Should that die before GO, expect hears the end of file.
        set_pdeathsig(0)
        listener = _load_listened(plan, channel, inherited)
        channel.say(sync.READY)
        pids_max = _join_last(plan, channel.expect(sync.GO))
        if listener >= 0:
            posix.close(listener)
            inherited = inherited.but(seccomp=None)
        channel.close()
    except PyruncError as err:
        sync.give_up(channel, err)
    except OSError as err:
        sync.give_up(channel, StepError(f"cannot set up the container: {reason(err)}"))
    except BaseException as err:  # noqa: BLE001 - whatever it is, it must not run on as a copy of the host side
        sync.give_up(channel, StepError(f"internal error inside: {type(err).__name__}: {err}"))
    _wait_and_exec(plan, inherited, program, env, pids_max)


def _detach(plan: Plan, channel: Channel, inherited: Inherited) -> int:
    """Become independent of the caller's session, signals and descriptors; return the caller's umask."""
    gc.disable()
    set_pdeathsig(flags.SIGNALS["SIGKILL"])  # a container half made must not outlive a killed create
    # CVE-2016-9962: other processes of a shared pid namespace must not trace us or look at our descriptors. A
    # new user namespace still has its maps to be written by an ordinary user; see _enter_namespaces.
    if plan.id_maps is None:
        set_dumpable(False)
    # CVE-2017-5226: in a session of its own the container cannot push input into the caller's terminal.
    posix.setsid()
    _close_others(plan, channel, inherited)
    return posix.umask(0)


def _close_others(plan: Plan, channel: Channel, inherited: Inherited) -> None:
    """Close what the caller leaked to us; preserved descriptors were asked for (CVE-2024-21626)."""
    ours = [channel.fileno(), inherited.start_fifo, inherited.result_fifo, inherited.root, inherited.log]
    keep = sorted({fd for fd in (*ours, *inherited.trees.values(), *inherited.joins.values()) if fd >= 0})
    first = 3 + _passed_on(plan)
    for fd in keep:
        if fd > first:
            close_range(first, fd - 1)
        first = max(first, fd + 1)
    close_range(first)


def _passed_on(plan: Plan) -> int:
    return plan.process.listen_fds + plan.process.preserve_fds if plan.process else 0


def _enter_namespaces(plan: Plan, channel: Channel, inherited: Inherited) -> None:
    if plan.id_maps is not None:
        channel.say(sync.NEED_ID_MAPS)
        channel.expect(sync.ID_MAPS_WRITTEN)
    else:
        namespaces.join(plan.namespaces.join, inherited.joins)
    if plan.id_maps is not None or "user" in inherited.joins:
        namespaces.become_root(plan.id_maps, plan.process)
        set_dumpable(False)
        set_pdeathsig(flags.SIGNALS["SIGKILL"])
    namespaces.unshare_in_child(plan.namespaces)
    if inherited.keyring:
        join_keyring(inherited.keyring, plan.process.policies if plan.process else (), True)


def _fill_root(plan: Plan, channel: Channel, inherited: Inherited, say: Callable[[str], None]) -> Root:
    root = Root(rootfs.prepare(plan.rootfs, inherited.root), dict(inherited.trees))
    for step in plan.before_pivot:
        if isinstance(step, steps.JoinCgroups):
            _perform(step, say, lambda step=step: _join_cgroups(step, plan, channel))  # type: ignore[misc]
        else:
            _perform(step, say, lambda step=step: _BEFORE_PIVOT[type(step)](step, root))  # type: ignore[misc]
    return root


def _join_cgroups(step: steps.JoinCgroups, plan: Plan, channel: Channel) -> None:
    fds = channel.expect(sync.CGROUP)
    # The way back from the cgroup that is joined for good at GO: see cgroups/creation.py, visit_fds.
    back = fds[-1:] if plan.cgroup.visits else ()
    namespaces.join_cgroups(fds[: len(fds) - len(back)])
    namespaces.reset_affinity()
    if step.namespace:
        namespaces.unshare_cgroup()
    namespaces.join_cgroups(back)


def _join_last(plan: Plan, fds: tuple[int, ...]) -> int:
    """Join what was left for last; return the open pids.max if the limit is to follow the hooks, else -1."""
    own_limit = plan.cgroup.late_pids is not None and bool(plan.hooks.start_container)
    namespaces.join_cgroups(fds[:-1] if own_limit else fds)
    return fds[-1] if own_limit else -1


def _perform(step: Step, say: Callable[[str], None], act: Callable[[], None]) -> None:
    """Do one step; an error names it, with its place in config.json."""
    where = f"{step.where}: " if step.where else ""
    say(where + step.describe())
    try:
        act()
    except StepError as err:
        if err.message.startswith(where):
            raise
        raise StepError(f"{where}{err.message}", err.hint) from err
    except OSError as err:
        raise StepError(f"{where}cannot {step.describe()}: {reason(err)}") from err


def _run_hooks(plan: Plan, hooks: tuple[steps.Hook, ...], status: str) -> None:
    if hooks:
        pid = posix.getpid()
        state = sync.state_document(plan.oci_version, plan.id, status, pid, plan.bundle, plan.annotations)
        run_hooks(hooks, state)


def _settle(
    plan: Plan, channel: Channel, inherited: Inherited, root: Root, umask: int, say: Callable[[str], None]
) -> tuple[str, dict[str, str]]:
    """Enter the root for good and become the user; return the program and its environment."""
    covers = masking.prepare() if _has(plan, steps.MaskPath) else None
    proc = procfs.open_whole() if _has(plan, steps.WriteSysctl) or _has_policies(plan) else -1
    seal()
    say(f".root.path: make {plan.rootfs.path} the root")
    rootfs.enter(plan.rootfs, root.fd)
    inside = posix.open("/", posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    root.fd = inside
    if plan.process is not None and plan.process.terminal:
        from pyrunc.container import console  # see load_for
        from pyrunc.kernel.terminal import make_controlling

        console.set_up_console(plan.process, inside, channel, plan.rootfs.entry != "chroot")
        make_controlling(0)
    if plan.process is not None:
        process.make_cwd(plan.process.cwd, inside)
    rootfs.finish(plan.rootfs)
    late: dict[type, Callable[..., None]] = {
        steps.MakeReadonly: lambda step: mounts.make_readonly(step, root),
        steps.ReadonlyPath: lambda step: masking.make_path_readonly(step, inside),
        steps.MaskPath: lambda step: masking.mask_path(step, inside, covers),
        steps.WriteSysctl: lambda step: identity.write_sysctl(step, proc),
        steps.SetHostname: identity.set_hostname,
        steps.SetDomainname: identity.set_domainname,
    }
    for step in plan.after_pivot:
        _perform(step, say, lambda step=step: late[type(step)](step))  # type: ignore[misc]
    posix.umask(umask)
    if plan.process is None:
        return "", {}
    for where, act in plan.process.acts():
        say(f"{where}: {act}")
    if inherited.seccomp is not None:
        say(".linux.seccomp: load the filter, right before the program")
    process.prepare(plan.process, inside, inherited.seccomp is not None, proc)
    env = process.environment(plan.process, inside)
    return process.find_program(plan.process.args[0], env), env


def _load_listened(plan: Plan, channel: Channel, inherited: Inherited) -> int:
    """Load a filter that has a listener, and return that, else -1: others are loaded at start, right before execve.

    The agent gets the listener at create. Until execve we then live under the filter too, and each of our system
    calls that it does not decide itself waits for the agent: what can be done before is done before.
    """
    if plan.listener is None or plan.process is None or inherited.seccomp is None:
        return -1
    hide_descriptors(_passed_on(plan))
    from pyrunc.container import listener  # see load_for

    return listener.load(plan.process, inherited.seccomp, channel, plan.listener.brought)


def _has_policies(plan: Plan) -> bool:
    return plan.process is not None and bool(plan.process.policies)


def _has(plan: Plan, kind: type) -> bool:
    return any(isinstance(step, kind) for step in plan.after_pivot)


def _wait_and_exec(
    plan: Plan, inherited: Inherited, program: str, env: dict[str, str], pids_max: int
) -> NoReturn:
    """Wait for start, then run the program; what goes wrong now is told to start, through its fifo."""
    try:
        # CPython ignores SIGPIPE and SIGXFSZ, and ignored signals stay so across execve(2). Now, while nobody waits.
        reset_signals()
        # We hold both ends of the fifo: a reader alone would see an end of file after each writer.
        while posix.read(inherited.start_fifo, 16) != sync.START:
            pass
        if plan.process is None:
            raise ProgramError("config.json has no process: there is nothing to start")
        _run_hooks(plan, plan.hooks.start_container, "created")
        if plan.cgroup.late_pids is not None and pids_max >= 0:
            namespaces.limit_pids(pids_max, plan.cgroup.late_pids)
        if plan.listener is None:
            hide_descriptors(_passed_on(plan))
        process.confine(plan.process, inherited.seccomp)
        exec_program(program, plan.process.args, env)
    except PyruncError as err:
        _tell_start(inherited.result_fifo, err)
    except BaseException as err:  # noqa: BLE001 - nobody else is left to hear of it
        _tell_start(inherited.result_fifo, StepError(f"internal error inside: {type(err).__name__}: {err}"))
    posix._exit(1)


def _tell_start(fifo: int, error: PyruncError) -> None:
    try:
        posix.write(fifo, sync.encode_error(error))
    except OSError as err:
        raise SyncError("cannot tell start why the program does not run") from err
