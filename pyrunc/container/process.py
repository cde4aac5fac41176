"""Turn the init process into what config.json's process asks for (config.md, "Process").

Two parts: prepare() does all that should fail at create and takes away every privilege but those that loading
the seccomp filter needs; confine() gives the last ones away at start, right before execve.
"""

from __future__ import annotations

import errno
import posix

from pyrunc.errors import ProgramError, StepError, reason
from pyrunc.kernel import flags, paths
from pyrunc.kernel.capabilities import drop_bounding, get_sets, raise_ambient, set_sets
from pyrunc.kernel.credentials import set_groups, set_ids
from pyrunc.kernel.prctl import keep_capabilities, no_new_privs, set_dumpable, set_pdeathsig
from pyrunc.kernel.processes import get_rlimit, personality, set_rlimit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.plan.steps import CapabilitySets, Process, Rlimit

_NOTHING: frozenset[int] = frozenset()
_SYS_ADMIN = frozenset({flags.CAPABILITIES["CAP_SYS_ADMIN"]})
_KIND, _FILE = 0o170000, 0o100000
_DEFAULT_PATH = "/bin:/usr/bin"  # execvp(3), where the environment has no PATH
_LONGEST_PASSWD = 1 << 20
# Limits that could stop the interpreter itself: they wait until nothing but execve(2) is left to do.
_LATE_LIMITS = ("RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_FSIZE")


def prepare(process: Process, root: int, filtered: bool, proc: int = -1) -> None:
    """Apply everything that may be applied before start; see become().

    Raises StepError.
    """
    become(process, filtered, proc)
    enter_cwd(process.cwd, root)


def become(process: Process, filtered: bool, proc: int = -1) -> None:
    """Take the policies, the limits, the user; `filtered` says that a seccomp filter is still to come.

    `proc` is a private procfs, needed where the process has policies. Raises StepError.
    """
    if process.policies:
        from pyrunc.container import policies  # see init.load_for

        policies.apply(process.policies, proc)
        filtered = filtered or policies.restricts(process.policies)
    if process.personality is not None:
        attempt(".linux.personality", "set the personality", lambda: personality(process.personality or 0))
    for limit in process.rlimits:
        _prepare_rlimit(limit)
    _give_stdio(process.uid)
    _become_user(process, filtered)


def attempt(where: str, what: str, act: Callable[[], object]) -> None:
    """Do something at a place of config.json. Raises StepError."""
    try:
        act()
    except OSError as err:
        raise StepError(f"{where}: cannot {what}: {reason(err)}") from err


def make_cwd(cwd: str, root: int) -> None:
    """Engines count on a missing working directory being made; one that is there needs no more than a look."""
    try:
        posix.close(paths.make_directory_in(root, cwd))
    except OSError as err:
        if err.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise StepError(f".process.cwd: cannot make {cwd}: {reason(err)}") from err


def enter_cwd(cwd: str, root: int) -> None:
    """chdir(2) as the container's user, inside the root, through no magic link.

    CVE-2024-21626: a working directory of /proc/self/fd/N led to a leaked descriptor of the host. None is open
    here, no magic link is followed, and the kernel must be able to say where in the root we ended up.
    Raises StepError.
    """
    try:
        fd = paths.open_in(root, cwd, posix.O_PATH | posix.O_DIRECTORY)
        posix.fchdir(fd)
        posix.close(fd)
        where = posix.getcwd()
    except OSError as err:
        raise StepError(f".process.cwd: cannot change to {cwd}: {reason(err)}") from err
    if not where.startswith("/"):
        raise StepError(f".process.cwd: {cwd} is not inside the container")


def _prepare_rlimit(limit: Rlimit) -> None:
    """Set a limit now, or where it could stop the interpreter, only raise it: that alone takes privileges."""
    soft, hard = get_rlimit(0, limit.resource)
    if limit.name not in _LATE_LIMITS:
        _set_rlimit(limit, limit.soft, limit.hard)
    elif limit.hard > hard:
        _set_rlimit(limit, soft, limit.hard)


def _set_rlimit(limit: Rlimit, soft: int, hard: int) -> None:
    what = f"set {limit.name} to {limit.soft}:{limit.hard}"
    attempt(limit.where, what, lambda: set_rlimit(0, limit.resource, soft, hard))


def _give_stdio(uid: int) -> None:
    """Let the container's user reopen its own standard streams through /dev/stdout and friends."""
    null = posix.makedev(1, 3)
    for fd in (0, 1, 2):
        status = posix.fstat(fd)
        # Never the host's null device: everybody would lose it.
        if status.st_uid == uid or status.st_rdev == null:
            continue
        try:
            posix.fchown(fd, uid, -1)
        except OSError as err:
            # Not ours to give, read-only, or of an id that is not mapped: the stream itself works all the same.
            if err.errno not in (errno.EPERM, errno.EROFS, errno.EINVAL):
                raise StepError(f".process.user: cannot give stream {fd} to {uid}: {reason(err)}") from err


def _become_user(process: Process, filtered: bool) -> None:
    """Take the ids, and of the capabilities only the program's own: while it waits the init is no more than that.

    CVE-2016-8867: what the user keeps is settled by sets, not by what setuid left over. Without no_new_privs a
    filter is loaded with CAP_SYS_ADMIN (seccomp(2)); that one stays until confine().
    """
    sets = process.capabilities
    where = ".process.user"
    try:
        drop_bounding(sets.bounding if sets else _NOTHING)
        if process.no_new_privileges:
            no_new_privs()
        keep_capabilities(True)
        _set_groups(process)
        set_ids(process.uid, process.gid)
        effective, permitted, inheritable = _final_sets(sets, get_sets().permitted)
        loader = _SYS_ADMIN if filtered and not process.no_new_privileges else _NOTHING
        set_sets(effective | loader, permitted | loader, inheritable)
        # prctl(2): a change of ids makes a process dumpable by its new owner and clears the death signal.
        set_dumpable(False)
        set_pdeathsig(flags.SIGNALS["SIGKILL"])
    except OSError as err:
        raise StepError(f"{where}: cannot become {process.uid}:{process.gid}: {reason(err)}") from err
    if process.umask is not None:
        posix.umask(process.umask)


def _set_groups(process: Process) -> None:
    try:
        set_groups(process.additional_gids)
    except PermissionError:
        # user_namespaces(7): an ordinary user's namespace has setgroups denied, and then nobody may ask for groups.
        if process.additional_gids:
            raise


def confine(process: Process, seccomp: tuple[bytes, int] | None) -> None:
    """Give away what is left: late limits, the system calls the filter refuses, the last capability.

    All that a profile has to allow for us is capset, prctl and execve.
    """
    for limit in process.rlimits:
        if limit.name in _LATE_LIMITS:
            _set_rlimit(limit, limit.soft, limit.hard)
    if process.policies:
        from pyrunc.container import policies  # see init.load_for

        policies.restrict(process.policies)
    sets = process.capabilities
    final = _final_sets(sets, get_sets().permitted)
    try:
        if seccomp is not None:
            # The host side compiled the filter with this module, before the fork: this only looks it up.
            from pyrunc.kernel.seccomp import load_filter

            load_filter(*seccomp)
        set_sets(*final)
        if sets and sets.ambient:
            raise_ambient(sets.ambient)
    except OSError as err:
        raise StepError(f"cannot confine the process: {reason(err)}") from err


def load_listened(process: Process, seccomp: tuple[bytes, int]) -> int:
    """Load a filter with a listener and return that; the capability for it goes at once. Raises StepError."""
    # The host side compiled the filter with this module, before the fork: this only looks it up.
    from pyrunc.kernel.seccomp import load_filter

    final = _final_sets(process.capabilities, get_sets().permitted)
    try:
        listener = load_filter(*seccomp)
        set_sets(*final)
    except OSError as err:
        raise StepError(f".linux.seccomp: cannot load the filter: {reason(err)}") from err
    return listener


def _final_sets(
    sets: CapabilitySets | None, held: frozenset[int]
) -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
    """config.md: a capability that cannot be granted is left out, which is no error.

    CVE-2022-29162: inheritable is what config.json says and no more.
    """
    if sets is None:
        return _NOTHING, _NOTHING, _NOTHING
    return sets.effective & sets.permitted & held, sets.permitted & held, sets.inheritable & held


def environment(process: Process, root: int) -> dict[str, str]:
    """Return the program's environment; HOME is filled in from the container's /etc/passwd where it is missing."""
    env: dict[str, str] = {}
    for entry in process.env:
        name, equals, value = entry.partition("=")
        if name and equals:
            env[name] = value
    if not env.get("HOME"):
        env["HOME"] = _home(process.uid, root)
    if process.listen_fds:
        # sd_listen_fds(3) compares LISTEN_PID with its own pid.
        env["LISTEN_PID"] = str(posix.getpid())
    return env


def _home(uid: int, root: int) -> str:
    """Read a home directory by number, by hand.

    CVE-2019-14271: pwd would load what the image's nsswitch.conf names.
    """
    try:
        # O_NONBLOCK: a FIFO of that name must not stop us.
        fd = paths.open_in(root, "/etc/passwd", posix.O_RDONLY | posix.O_NONBLOCK | posix.O_NOCTTY)
    except OSError:
        return "/"  # an image without users
    try:
        if posix.fstat(fd).st_mode & _KIND != _FILE:
            return "/"
        text = posix.read(fd, _LONGEST_PASSWD).decode("utf-8", "replace")
    finally:
        posix.close(fd)
    for line in text.split("\n"):
        fields = line.split(":")
        # CVE-2016-3697: the number is compared with the third field and with nothing else.
        if len(fields) > 5 and fields[2] == str(uid):
            return fields[5] or "/"
    return "/"


def find_program(name: str, env: dict[str, str]) -> str:
    """Return the path that execve(2) will be given, as execvp(3) looks for it: now, so that create can fail.

    Raises ProgramError in the words that engines make exit codes 126 and 127 of.
    """
    if "/" in name:
        _check_program(name, name)
        return name
    denied = False
    for directory in env.get("PATH", _DEFAULT_PATH).split(":"):
        path = f"{directory or '.'}/{name}"
        try:
            _check_program(path, name)
        except ProgramError as err:
            denied = denied or "permission denied" in err.message
            continue
        return path
    if denied:
        raise ProgramError(f'exec: "{name}": permission denied')
    raise ProgramError(f'exec: "{name}": executable file not found in $PATH')


def _check_program(path: str, name: str) -> None:
    try:
        status = posix.stat(path)
    except OSError as err:
        word = "permission denied" if err.errno == errno.EACCES else "no such file or directory"
        raise ProgramError(f'exec: "{name}": {word}') from err
    if status.st_mode & _KIND != _FILE or not posix.access(path, posix.X_OK, effective_ids=True):
        raise ProgramError(f'exec: "{name}": permission denied')
