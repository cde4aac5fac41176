"""Write the id maps of a new user namespace (user_namespaces(7); config-linux.md, "User namespace mappings").

Both maps, always: a gid map that is forgotten leaves every group 65534. An ordinary user may map one id, its own,
and has to give up setgroups(2) for it; longer maps are written by newuidmap(1) and newgidmap(1), as far as
/etc/subuid and /etc/subgid allow.
"""

from __future__ import annotations

import errno
import posix

from pyrunc.errors import StepError, reason
from pyrunc.kernel.flags import CLONE_NEWUSER
from pyrunc.kernel.namespaces import clone3, setns
from pyrunc.kernel.processes import run_program
from pyrunc.plan.steps import IdMap, IdMaps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from pyrunc.plan.facts import Facts

# Fixed places: a PATH from the environment, or from an image, must not choose what runs with privileges.
_HELPER_PLACES = ("/usr/bin", "/bin", "/usr/local/bin")
_LONGEST_MAP = 1 << 16  # 340 lines of three numbers


def write_id_maps(pid: int, maps: IdMaps, facts: Facts) -> None:
    """Write uid_map and gid_map of a process whose user namespace has none yet. Raises StepError."""
    if facts.euid == 0:
        _write(pid, "uid_map", maps.uids)
        _write(pid, "gid_map", maps.gids)
        return
    _map_as_user(pid, "uid", maps.uids, facts.euid)
    _map_as_user(pid, "gid", maps.gids, facts.egid)


def user_namespace_with(maps: IdMaps, facts: Facts) -> int:
    """Return a descriptor of a user namespace that exists only for its maps (for idmapped mounts)."""
    reader, writer = posix.pipe2(posix.O_CLOEXEC)
    pid, pidfd = clone3(CLONE_NEWUSER)
    if pid == 0:
        posix.close(writer)
        posix.read(reader, 1)  # until the parent has what it wants, or is dead
        posix._exit(0)
    try:
        write_id_maps(pid, maps, facts)
        return posix.open(f"/proc/{pid}/ns/user", posix.O_RDONLY | posix.O_CLOEXEC)
    finally:
        for fd in (reader, writer, pidfd):
            posix.close(fd)
        posix.waitpid(pid, 0)


def maps_of(namespace: int) -> IdMaps:
    """Return the maps of a user namespace, as we see its ids outside. Raises OSError.

    Only the /proc files of a process in it have them: so one goes there for a moment.
    """
    there, arrived = posix.pipe2(posix.O_CLOEXEC)
    may_end, end = posix.pipe2(posix.O_CLOEXEC)
    pid, pidfd = clone3(0)
    if pid == 0:
        _visit(namespace, arrived, may_end, end)
    posix.close(arrived)
    try:
        if not posix.read(there, 1):
            raise OSError(errno.EPERM, "the user namespace cannot be entered")
        return IdMaps(_read(pid, "uid_map"), _read(pid, "gid_map"))
    finally:
        for fd in (there, may_end, end, pidfd):
            posix.close(fd)
        posix.waitpid(pid, 0)


def _visit(namespace: int, arrived: int, may_end: int, end: int) -> NoReturn:
    try:
        posix.close(end)
        setns(namespace, CLONE_NEWUSER)
        posix.write(arrived, b".")
        posix.read(may_end, 1)  # until the parent has what it wants, or is dead
    finally:
        posix._exit(0)


def _read(pid: int, file: str) -> tuple[IdMap, ...]:
    fd = posix.open(f"/proc/{pid}/{file}", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        lines = posix.read(fd, _LONGEST_MAP).decode().splitlines()
    finally:
        posix.close(fd)
    return tuple(IdMap(*map(int, line.split())) for line in lines)


def _map_as_user(pid: int, kind: str, lines: tuple[IdMap, ...], own: int) -> None:
    if len(lines) == 1 and lines[0].outside == own and lines[0].size == 1:
        if kind == "gid":
            _put(f"/proc/{pid}/setgroups", "deny", ".linux.gidMappings")
        _write(pid, f"{kind}_map", lines)
        return
    helper = f"new{kind}map"
    path = next((f"{place}/{helper}" for place in _HELPER_PLACES if posix.access(f"{place}/{helper}", posix.X_OK)), "")
    where = f".linux.{kind}Mappings"
    if not path:
        raise StepError(f"{where}: an ordinary user needs {helper} for this map", "install the package uidmap")
    numbers = [str(number) for line in lines for number in (line.inside, line.outside, line.size)]
    outcome = run_program(path, (helper, str(pid), *numbers), (), b"", 30)
    if outcome.status:
        said = " ".join(outcome.output.split())
        raise StepError(f"{where}: {helper} failed: {said}", f"see /etc/sub{kind}")


def _write(pid: int, file: str, lines: tuple[IdMap, ...]) -> None:
    text = "".join(f"{line.inside} {line.outside} {line.size}\n" for line in lines)
    where = ".linux.uidMappings" if file == "uid_map" else ".linux.gidMappings"
    _put(f"/proc/{pid}/{file}", text, where)


def _put(path: str, text: str, where: str) -> None:
    """One write(2), as the kernel demands for maps."""
    try:
        fd = posix.open(path, posix.O_WRONLY | posix.O_CLOEXEC)
        try:
            posix.write(fd, text.encode())
        finally:
            posix.close(fd)
    except OSError as err:
        first = text.partition("\n")[0]
        raise StepError(f"{where}: cannot write {first!r} to {path}: {reason(err)}") from err
