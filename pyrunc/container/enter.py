"""The inside of exec: two processes, of which the second becomes the program.

enter() runs in the first. It goes from the host into the container's cgroups and namespaces and gives away every
privilege that the program is not to have; but it stays out of the pid namespace, where the container could see it,
and trace it if it has CAP_SYS_PTRACE (CVE-2016-9962). What it then clones is born in there: inside the container's
root, with no descriptor of the host and no more rights than the program. sync.py draws both.
"""

from __future__ import annotations

import errno
import gc
import posix

from pyrunc import sync
from pyrunc.container import namespaces, process
from pyrunc.container.exec import exec_program, hide_descriptors
from pyrunc.container.keyring import join_keyring
from pyrunc.container.seal import seal
from pyrunc.errors import PyruncError, StatusError, StepError, reason
from pyrunc.kernel import flags, procfs
from pyrunc.kernel.namespaces import clone3, setns
from pyrunc.kernel.prctl import set_dumpable, set_pdeathsig
from pyrunc.kernel.processes import close_range, reset_signals, set_oom_score_adj
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from pyrunc.plan.steps_exec import Entering
    from pyrunc.sync import Channel

_SIGKILL = flags.SIGNALS["SIGKILL"]
_OPEN_ROOT = posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC


class Handed(Record):
    """What the first process gets from the host side; -1 and empty where there is none.

    `host` is the pid of the host side, `init` a pidfd of the container's first process and `init_pid` its pid,
    `namespaces` the CLONE_NEW* flags of those to join, `root` its root directory where the container has no mount
    namespace. `pid` is the pipe for the second's pid, `tasks` are the v1 cgroups to enter, `keyring` is the name of
    the session keyring to join, `setgroups` says that the user namespace allows setgroups(2).
    """

    host: int
    init: int
    init_pid: int
    namespaces: int
    pid: int
    root: int = -1
    tasks: tuple[int, ...] = ()
    keyring: str = ""
    setgroups: bool = True
    seccomp: tuple[bytes, int] | None = None
    log: int = -1


def load_for(plan: Entering) -> None:
    """Import what only some programs need: once sealed, the inside finds loaded modules only."""
    if plan.process.terminal:
        import pyrunc.container.console
    if plan.process.policies:
        import pyrunc.container.policies
    if plan.listener is not None:
        import pyrunc.container.listener
    if plan.shares_core:
        import pyrunc.kernel.scheduling  # noqa: F401


def enter(plan: Entering, channel: Channel, handed: Handed, say: Callable[[str], None]) -> NoReturn:
    """Join the container, and let the program's process be born there.

    Never returns and never raises: an error is told to the host side, and the process ends.
    """
    try:
        _detach(plan, channel, handed)
        _join_cgroups(plan, handed)
        # Ours and the host's: what is mounted on the container's /proc decides nothing (CVE-2019-16884).
        proc = procfs.open_private() if plan.process.policies else -1
        seal()
        say("join the container's namespaces")
        _join_namespaces(plan, handed)
        root = posix.open("/", _OPEN_ROOT)
        say(f"become {plan.process.uid}:{plan.process.gid}")
        _become(plan, channel, handed, root, proc)
        _keep_only(plan, (channel.fileno(), handed.pid, root))
        pid = _bear(plan)
        if pid == 0:
            _become_program(plan, channel, handed, root)
        posix.write(handed.pid, str(pid).encode())
    except PyruncError as err:
        sync.give_up(channel, err)
    except OSError as err:
        sync.give_up(channel, StepError(f"cannot enter the container: {reason(err)}"))
    except BaseException as err:  # noqa: BLE001 - whatever it is, it must not run on as a copy of the host side
        sync.give_up(channel, StepError(f"internal error inside: {type(err).__name__}: {err}"))
    posix._exit(0)


def _detach(plan: Entering, channel: Channel, handed: Handed) -> None:
    """Become independent of the host side, and untouchable for anybody else."""
    gc.disable()
    set_pdeathsig(_SIGKILL)
    if posix.getppid() != handed.host:
        # It died before we had said that we would with it: a paused container may have kept us for a long time.
        posix._exit(1)
    if plan.process.oom_score_adj is not None:
        # Before dumpable goes: from then on the file is root's, also for an ordinary user.
        score = plan.process.oom_score_adj
        process.attempt(".process.oomScoreAdj", f"set it to {score}", lambda: set_oom_score_adj(score))
    set_dumpable(False)
    _keep_only(plan, (channel.fileno(), handed.pid, handed.init, handed.root, handed.log, *handed.tasks))


def _keep_only(plan: Entering, wanted: tuple[int, ...]) -> None:
    """Close all descriptors but these and what the program is to have (CVE-2024-21626)."""
    first = 3 + plan.process.listen_fds + plan.process.preserve_fds
    for fd in sorted({fd for fd in wanted if fd >= first}):
        if fd > first:
            close_range(first, fd - 1)
        first = fd + 1
    close_range(first)


def _join_cgroups(plan: Entering, handed: Handed) -> None:
    """config.md, execCPUAffinity: without `final` the kernel alone decides what becomes of the `initial` one."""
    namespaces.join_cgroups(handed.tasks)
    cpus = plan.final_cpus
    if cpus is not None:
        where = ".process.execCPUAffinity.final"
        process.attempt(where, f"run on cpus {','.join(map(str, cpus))}", lambda: posix.sched_setaffinity(0, cpus))
    elif plan.initial_cpus is None:
        namespaces.reset_affinity()
    if plan.shares_core:
        from pyrunc.kernel.scheduling import share_core_cookie  # see load_for

        process.attempt(".annotations", "share the container's core", lambda: share_core_cookie(handed.init_pid))


def _join_namespaces(plan: Entering, handed: Handed) -> None:
    """setns(2) of a pidfd: all at once, of that very process, judged by the rights that we have before it.

    The pid namespace is for children only.
    """
    try:
        if handed.namespaces:
            setns(handed.init, handed.namespaces)
        if handed.root >= 0:
            posix.fchdir(handed.root)
            posix.chroot(".")  # noqa: TID251 - a container without a mount namespace has nothing better
            posix.chdir("/")
    except ProcessLookupError as err:
        raise StatusError("cannot exec in a container that has ended just now") from err
    except OSError as err:
        raise StepError(f"cannot join the container's namespaces: {reason(err)}") from err
    if handed.namespaces & flags.CLONE_NEWUSER:
        namespaces.become_root(plan.id_maps, plan.process, handed.setgroups)
        set_dumpable(False)
        set_pdeathsig(_SIGKILL)


def _become(plan: Entering, channel: Channel, handed: Handed, root: int, proc: int) -> None:
    """Take from the container what needs its root's rights, then become the user."""
    if handed.keyring:
        join_keyring(handed.keyring, plan.process.policies, False, proc)
    if plan.process.terminal:
        from pyrunc.container import console  # see load_for

        console.set_up_console(plan.process, root, channel, False)
    process.become(plan.process, handed.seccomp is not None, proc)


def _bear(plan: Entering) -> int:
    """Clone the program's process: in the pid namespace, a child of the host side."""
    try:
        return clone3(flags.CLONE_PARENT, exit_signal=0)[0]
    except OSError as err:
        if err.errno == errno.ENOMEM:  # pid_namespaces(7): process 1 is gone
            raise StatusError("cannot exec in a container that has ended just now") from err
        raise StepError(f"cannot make a process in the container: {reason(err)}") from err


def _become_program(plan: Entering, channel: Channel, handed: Handed, root: int) -> NoReturn:
    """Find the program and take its place; what goes wrong is told to the host side."""
    try:
        set_pdeathsig(_SIGKILL)
        posix.close(handed.pid)
        # CVE-2017-5226: in a session of its own it cannot push input into the caller's terminal.
        posix.setsid()
        if plan.process.terminal:
            from pyrunc.kernel.terminal import make_controlling  # loaded with console

            make_controlling(0)
        process.enter_cwd(plan.process.cwd, root)
        env = process.environment(plan.process, root)
        program = process.find_program(plan.process.args[0], env)
        # CPython ignores SIGPIPE and SIGXFSZ, and ignored signals stay so across execve(2).
        reset_signals()
        hide_descriptors(plan.process.listen_fds + plan.process.preserve_fds)
        # From here on the program may outlive exec. Should that die before GO, expect hears the end of file.
        set_pdeathsig(0)
        filter_, listener = handed.seccomp, -1
        if plan.listener is not None and filter_ is not None:
            from pyrunc.container.listener import load  # see load_for

            listener, filter_ = load(plan.process, filter_, channel, plan.listener.brought), None
        channel.say(sync.READY)
        channel.expect(sync.GO)
        if listener >= 0:
            posix.close(listener)
        process.confine(plan.process, filter_)
        exec_program(program, plan.process.args, env)
    except PyruncError as err:
        sync.give_up(channel, err)
    except BaseException as err:  # noqa: BLE001 - nobody else is left to hear of it
        sync.give_up(channel, StepError(f"internal error inside: {type(err).__name__}: {err}"))
