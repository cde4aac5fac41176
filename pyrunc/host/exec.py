"""The outside of exec: find the container, start a process that joins it, give the caller its pid and terminal.

start() is the story; container/enter.py is its other half, and sync.py draws how they talk. Nothing of the
container's is locked or written: any number of execs run at once, and delete finds their processes in the cgroups.
"""

from __future__ import annotations

import gc
import posix

from pyrunc import sync
from pyrunc.cgroups import entering as cgroups
from pyrunc.cgroups.layout import open_tasks
from pyrunc.container.enter import Handed, enter, load_for
from pyrunc.container.namespaces import setgroups_allowed
from pyrunc.errors import CgroupError, StatusError, StepError, SyncError, reason
from pyrunc.host.facts import look
from pyrunc.host.pid_file import write_pid_file
from pyrunc.host.seccomp import compile_for
from pyrunc.kernel import flags
from pyrunc.kernel.namespaces import clone3, foreign
from pyrunc.kernel.pidfd import open_process, send_signal
from pyrunc.kernel.prctl import dumpable, set_dumpable
from pyrunc.kernel.processes import exit_status
from pyrunc.plan.exec import ExecRequest, plan_exec
from pyrunc.record import Record
from pyrunc.spec.load import parse
from pyrunc.state.status import CREATED, PAUSED, RUNNING, status_of
from pyrunc.state.store import CONFIG, open_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from pyrunc.cgroups.entering import Entrance
    from pyrunc.plan.facts import CgroupLayout
    from pyrunc.plan.seccomp import SendListener
    from pyrunc.plan.steps_exec import Entering
    from pyrunc.state.store import State
    from pyrunc.sync import Channel

_PID_BYTES = 32
_SIGKILL = 9
_EXITED = 1  # CLD_EXITED of waitid(2)
_OPEN_ROOT = posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC
_BUSY = (16, 95)  # EBUSY, EOPNOTSUPP: cgroup-v2.rst, "No Internal Process Constraint", "Threads"


class Order(Record):
    """What exec is asked for: in which container, which program, and how the caller wants to hear of it.

    `cgroups` are cgroups below the container's, by controller, "" for all. `console_socket` is the path of the
    socket that gets the pty; empty where the caller keeps the pty itself.
    """

    root: str
    id: str
    request: ExecRequest
    cgroups: dict[str, str] = {}
    ignore_paused: bool = False
    pid_file: str = ""
    console_socket: str = ""
    pidfd_socket: str = ""
    log: int = -1


class Target(Record):
    """The container that was found, and what will be done in it."""

    state: State
    plan: Entering
    layout: CgroupLayout
    entrance: Entrance
    seccomp: tuple[bytes, int] | None


class Started(Record):
    """A program that runs, as a child of ours; `console` is the pty's master where the caller keeps it, else -1.

    The caller owns `pidfd` and `console`.
    """

    pid: int
    pidfd: int
    console: int


def find(order: Order, warn: Callable[[str], None]) -> Target:
    """Look at the container and decide what will be done.

    Raises NotFoundError, StatusError for a container that cannot take a program, ConfigError and others.
    """
    with open_entry(order.root, order.id) as entry:
        state = entry.load()
        status = status_of(entry, state)
        if status == PAUSED and not order.ignore_paused:
            raise StatusError(f"cannot exec in container {order.id} that is paused", "--ignore-paused waits for resume")
        if state is None or status not in (CREATED, RUNNING, PAUSED):
            raise StatusError(f"cannot exec in container {order.id} that is {status}")
        text = entry.kept_config()
    facts = look()
    spec, plan = plan_exec(order.id, parse(text, CONFIG), order.request, facts)
    if plan.process.policies:
        from pyrunc.host import policies

        policies.check(plan.process.policies)
    for warning in plan.warnings:
        warn(warning)
    chosen = cgroups.entrance(state.cgroup_leaves, order.cgroups, facts.layout)
    return Target(state, plan, facts.layout, chosen, compile_for(spec, order.root))


def start(
    order: Order, target: Target, say: Callable[[str], None], attach: Callable[[Started], None] = lambda _: None
) -> Started:
    """Start the program, and return when it has been executed.

    Each step is told to `say`; `attach` gets the program's process right before it is let go. Raises ProgramError for
    a program that cannot be executed, StepError and others, with no process left behind.
    """
    load_for(target.plan)
    ours, theirs = sync.channel()
    stage = 0
    try:
        reader, stage = _start_stage(order, target, theirs, say)
        theirs.close()
        started = _await_birth(ours, reader, stage)
        try:
            if target.plan.process.terminal:
                started = started.but(console=ours.expect(sync.CONSOLE)[0])
            _attend(target, started.pid, ours)
            if order.console_socket:
                started = _send_console(order.console_socket, started)
            attach(started)
            if target.entrance.few_pids:  # a zombie is counted too
                posix.waitpid(stage, 0)
                stage = 0
            ours.say(sync.GO)
            ours.expect(sync.END)
            _hand_out(order, started)
        except BaseException as err:
            _undo(started, err)
            raise
    finally:
        theirs.close()
        ours.close()
        if stage:
            posix.waitpid(stage, 0)  # only now: what is left of it need not be waited for before the program runs
    return started


def _start_stage(order: Order, target: Target, theirs: Channel, say: Callable[[str], None]) -> tuple[int, int]:
    """Start the process that joins; return the pipe on which it will say the pid of the program's, and its own."""
    reader, writer = posix.pipe2(posix.O_CLOEXEC)
    fds = [writer]
    try:
        handed = _open(order, target, fds)
        return reader, _clone_quietly(target, lambda: enter(target.plan, theirs, handed, say))
    except BaseException:
        posix.close(reader)
        raise
    finally:
        for fd in fds:
            posix.close(fd)


def _open(order: Order, target: Target, fds: list[int]) -> Handed:
    """Open what the inside needs, and note each in `fds`, whose first is the pipe.

    The pidfd is of the init that state.json names, and of no later process of that number.
    """
    state = target.state
    root = -1
    try:
        init = open_process(state.pid, state.start_time)
        fds.append(init)
        if state.host_mounts:
            root = posix.open(f"/proc/{state.pid}/root", _OPEN_ROOT)
            fds.append(root)
        joined = foreign(state.pid)
        setgroups = setgroups_allowed(state.pid)
    except (ProcessLookupError, FileNotFoundError) as err:
        raise StatusError(f"cannot exec in container {state.id} that has ended just now") from err
    except OSError as err:
        raise StepError(f"cannot look at the init of {state.id}: {reason(err)}") from err
    tasks = open_tasks(target.entrance.tasks)
    fds += tasks
    return Handed(
        host=posix.getpid(),
        init=init,
        init_pid=state.pid,
        namespaces=joined & ~(flags.CLONE_NEWNS if state.host_mounts else 0),
        pid=fds[0],
        root=root,
        tasks=tasks,
        keyring=state.session_keyring,
        setgroups=setgroups,
        seccomp=target.seccomp,
        log=order.log,
    )


def _clone_quietly(target: Target, inside: Callable[[], NoReturn]) -> int:
    """Clone a process that runs `inside`, on the cpus it is to begin on; return its pid."""
    cpus = target.plan.initial_cpus
    before = posix.sched_getaffinity(0) if cpus is not None else None
    was_dumpable = dumpable()
    gc.freeze()  # what is there at the fork is shared; collecting in the child would copy it
    try:
        if cpus is not None:
            _run_on(cpus)
        if posix.geteuid() == 0:
            # CVE-2016-9962: a container in our pid namespace must not trace the child, not even at its first step.
            set_dumpable(False)
        pid = _clone(target)
        if pid == 0:
            inside()
    finally:
        if was_dumpable:
            set_dumpable(True)
        if before is not None:
            posix.sched_setaffinity(0, before)
    return pid


def _run_on(cpus: tuple[int, ...]) -> None:
    try:
        posix.sched_setaffinity(0, cpus)
    except OSError as err:
        listed = ",".join(map(str, cpus))
        raise StepError(f".process.execCPUAffinity.initial: cannot run on cpus {listed}: {reason(err)}") from err


def _clone(target: Target) -> int:
    """clone3(2), into the container's v2 cgroup where there is one."""
    unified = target.entrance.unified
    directory = cgroups.open_directory(unified) if unified else -1
    try:
        try:
            pid, pidfd = clone3(0, directory)
        except OSError as err:
            # The container has handed its controllers down; a cgroup that was asked for by name is no such case.
            if err.errno not in _BUSY or unified not in target.state.cgroup_leaves:
                raise
            posix.close(directory)
            directory = -1
            directory = cgroups.open_beside(target.state.pid, unified, target.layout)
            pid, pidfd = clone3(0, directory)
    except OSError as err:
        where = f" in the cgroup {unified}" if unified else ""
        raise StepError(f"cannot start a process{where}: {reason(err)}") from err
    finally:
        if directory >= 0:
            posix.close(directory)
    if pid:
        posix.close(pidfd)
    return pid


def _await_birth(ours: Channel, reader: int, stage: int) -> Started:
    """Wait until the program's process is there. Raises what the first process said, or how it died."""
    said = posix.read(reader, _PID_BYTES)
    posix.close(reader)
    if said:
        return Started(int(said), posix.pidfd_open(int(said)), -1)
    died = posix.waitid(posix.P_PID, stage, posix.WEXITED | posix.WNOWAIT)
    ended = died.si_status if died and died.si_code == _EXITED else -(died.si_status if died else 0)
    try:
        ours.expect(sync.READY)
    except SyncError as err:
        raise _death(ended) from err
    raise _death(ended)


def _death(code: int) -> StepError:
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    hint = "the container was killed, or has no memory left" if code == -_SIGKILL else ""
    return StepError(f"the process that enters the container ended {how}", hint)


def _attend(target: Target, pid: int, ours: Channel) -> None:
    """Wait until the program can be executed, and give its process what it cannot give itself."""
    plan = target.plan
    if plan.listener is not None:
        ours.expect(sync.LOADING_FILTER)
        _send_listener(plan.listener, target.state, pid, ours)
    ours.expect(sync.READY)
    if plan.late_scheduler is not None:
        from pyrunc.host.policies import set_scheduler

        set_scheduler(plan.late_scheduler, pid)
    _add_late(target, pid)


def _add_late(target: Target, pid: int) -> None:
    """Move the program's process; from a user's session into what is delegated to him only systemd can."""
    try:
        cgroups.add(target.entrance.late, pid)
    except CgroupError:
        if not target.state.unit or posix.geteuid() == 0:
            raise
        from pyrunc.host.scope import attach

        attach(target.state.unit, pid)


def _send_listener(listener: SendListener, state: State, pid: int, ours: Channel) -> None:
    from pyrunc.host.listener import send_listener

    document = sync.state_document(state.oci_version, state.id, RUNNING, state.pid, state.bundle, state.annotations)
    send_listener(listener, pid, document, ours)


def _send_console(path: str, started: Started) -> Started:
    from pyrunc.host.console import send_console

    send_console(path, started.console)
    return started.but(console=-1)


def _hand_out(order: Order, started: Started) -> None:
    if order.pidfd_socket:
        from pyrunc.host.console import send_pidfd

        send_pidfd(order.pidfd_socket, started.pid)
    if order.pid_file:
        write_pid_file(order.pid_file, started.pid)


def _undo(started: Started, cause: BaseException) -> None:
    """Leave no process that nobody has heard of; say how it ended if it could not say so itself."""
    try:
        send_signal(started.pidfd, _SIGKILL)  # whoever is dead already keeps the status that he died with
    except ProcessLookupError:
        pass
    _, ended = posix.waitpid(started.pid, 0)
    posix.close(started.pidfd)
    if started.console >= 0:
        posix.close(started.console)
    if isinstance(cause, SyncError):
        raise _death(posix.waitstatus_to_exitcode(ended)) from cause


def run(order: Order, target: Target, say: Callable[[str], None]) -> int:
    """Run the program in the foreground and return its exit code, 128 + n if signal n ended it."""
    from pyrunc.host.foreground import Foreground

    with Foreground(lambda: target.plan.process.terminal, False) as foreground:

        def attach(started: Started) -> None:
            """Now, and not before: signals end an exec that waits for its program. Later it could miss its size."""
            foreground.listen()
            foreground.attach(started.pid, started.console)

        return exit_status(foreground.wait(start(order, target, say, attach).pid))


def check_streams(order: Order, target: Target, detached: bool) -> None:
    """Refuse a terminal that nobody would get, and a socket for none. Raises StepError."""
    terminal = target.plan.process.terminal
    if terminal and detached and not order.console_socket:
        raise StepError(".process.terminal: a detached program needs somewhere to send its pty", "--console-socket")
    if order.console_socket and not (terminal and detached):
        raise StepError("--console-socket is only for a detached program with a terminal")
