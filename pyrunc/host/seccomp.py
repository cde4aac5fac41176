"""Compile the seccomp profile before the fork, or take the program from the cache (config-linux.md, "Seccomp")."""

from __future__ import annotations

import posix

from pyrunc.errors import ConfigError, SpecError, StepError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.kernel.seccomp import Filter
    from pyrunc.spec.config import Spec
    from pyrunc.spec.seccomp import Seccomp

_GENERATION = 2  # of what our own code adds to a program
_CACHE = "@seccomp"  # no container id can be this name
# What runc and crun take where a profile names no flags: a filter is no reason to slow the program down.
DEFAULT_FLAGS = ("SECCOMP_FILTER_FLAG_SPEC_ALLOW",)
_FILE_FLAGS = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_NOFOLLOW | posix.O_CLOEXEC


def compile_for(spec: Spec, root: str) -> tuple[bytes, int] | None:
    """Return the BPF program of a config's profile and the flags for seccomp(2); None where there is none.

    Raises ConfigError for a profile that libseccomp refuses.
    """
    if spec.linux is None or spec.linux.seccomp is None or spec.process is None:
        return None
    from pyrunc.kernel import seccomp  # libseccomp is loaded only for containers with a profile

    profile = spec.linux.seccomp
    key = _key(profile)
    program = _cached(root, key)
    if program is None:
        program = _compile(_filter_of(profile))
        _keep(root, key, program)
    return program, seccomp.load_flags(_filter_of(profile))


def _filter_of(profile: Seccomp) -> Filter:
    from pyrunc.kernel.seccomp import Compare, Filter, Rule

    rules = tuple(
        Rule(
            each.names,
            each.action,
            each.errno_ret,
            tuple(Compare(arg.index, arg.value, arg.value_two or 0, arg.op) for arg in each.args),
        )
        for each in profile.syscalls
    )
    flags = DEFAULT_FLAGS if profile.flags is None else profile.flags
    return Filter(profile.default_action, profile.default_errno_ret, profile.architectures, flags, rules)


def _compile(filter_: Filter) -> bytes:
    from pyrunc.kernel.seccomp import compile_filter

    try:
        return compile_filter(filter_)
    except (OSError, ValueError) as err:
        problem = SpecError(".linux.seccomp", f"cannot be compiled: {reason(err) if isinstance(err, OSError) else err}")
        raise ConfigError("config.json", (problem,)) from err


def _key(profile: Seccomp) -> str:
    """Name a program by all that decides it: the profile, and who compiles it for what."""
    from _blake2 import blake2b

    from pyrunc.kernel.libseccomp import library_version

    made_by = f"{_GENERATION} {library_version()} {posix.uname().machine} "
    return blake2b((made_by + repr(profile)).encode(), digest_size=32).hexdigest()


def _cached(root: str, key: str) -> bytes | None:
    """Read a program from the cache, which only the owner of the state root can write to."""
    try:
        fd = posix.open(f"{root}/{_CACHE}/{key}", posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_CLOEXEC)
    except OSError:  # not there yet
        return None
    try:
        status = posix.fstat(fd)
        if status.st_uid != posix.geteuid() or status.st_mode & 0o022 or status.st_size % 8 or not status.st_size:
            return None
        return posix.read(fd, status.st_size)
    finally:
        posix.close(fd)


def _keep(root: str, key: str, program: bytes) -> None:
    """Put a program into the cache, whole or not at all."""
    directory = f"{root}/{_CACHE}"
    try:
        if not posix.access(directory, posix.F_OK):
            if not posix.access(root, posix.F_OK):
                return  # the first container makes the root; the next one fills the cache
            posix.mkdir(directory, 0o700)
        temporary = f"{directory}/{key}.{posix.getpid()}"
        fd = posix.open(temporary, _FILE_FLAGS, 0o600)
        posix.write(fd, program)
        posix.close(fd)
        posix.rename(temporary, f"{directory}/{key}")
    except FileExistsError:
        return  # another create made the directory just now
    except OSError as err:
        raise StepError(f"cannot write the seccomp cache {directory}: {reason(err)}") from err
