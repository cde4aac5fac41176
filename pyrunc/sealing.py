"""The interpreter is sealed: what enters a container runs from a python that nobody can write to.

The process that enters a container has its interpreter as /proc/self/exe. An image whose entry point is
`#!/proc/self/exe`, or a container that opens /proc/PID/exe of a process that joins it, could later overwrite
the host's python (CVE-2019-5736). The launcher (launcher/pyrunc.c) starts python from a read-only overlay
without an upper layer, or from a sealed copy in memory, and costs half a millisecond. Where there is no
launcher (no compiler at install time, or `python -m pyrunc` in the source tree) this module does the same, at
the price of a second start of python: 8 ms. container/seal.py seals the other half, the imports.
"""

from __future__ import annotations

import errno
import fcntl
import posix
import sys
import time

from pyrunc.errors import PyruncError
from pyrunc.kernel import mounts, paths
from pyrunc.kernel.flags import (
    F_ADD_SEALS,
    F_GET_SEALS,
    F_SEAL_GROW,
    F_SEAL_SEAL,
    F_SEAL_SHRINK,
    F_SEAL_WRITE,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    OVERLAYFS_SUPER_MAGIC,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

_EXE = "/proc/self/exe"
_ALL_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE

# Since Linux 6.3, where vm.memfd_noexec may ask for it.
_MFD_EXEC = 0x10
_CHUNK = 1 << 30

# In sys._xoptions of a process that was started by reexec_sealed.
_MARK = "pyrunc_sealed"


def ensure(argv: Sequence[str]) -> None:
    """Return if this process is sealed, else start `pyrunc ARGV...` again in its place, sealed.

    To be called before anything is made: nothing survives. Raises PyruncError when the host allows no way.
    """
    if is_sealed():
        return
    if _MARK in sys._xoptions:
        raise PyruncError("cannot seal the interpreter", hint="started sealed, it does not look so")
    reexec_sealed(argv)


def is_sealed() -> bool:
    """Say whether the running interpreter can be written to by nobody, root included. Raises OSError."""
    exe = posix.open(_EXE, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return _is_sealed_memory(exe) or _is_detached_overlay(exe)
    finally:
        posix.close(exe)


def _is_sealed_memory(exe: int) -> bool:
    try:
        return fcntl.fcntl(exe, F_GET_SEALS) & _ALL_SEALS == _ALL_SEALS
    except OSError:  # EINVAL: not a memfd
        return False


def _is_detached_overlay(exe: int) -> bool:
    """Tell ours from a host, itself a container, whose root is an overlay: there a path leads to it."""
    if paths.filesystem_type(exe) != OVERLAYFS_SUPER_MAGIC:
        return False
    if not posix.fstatvfs(exe).f_flag & posix.ST_RDONLY:
        return False
    try:
        seen = posix.stat(posix.readlink(_EXE))
    except FileNotFoundError:
        return True
    running = posix.fstat(exe)
    return (seen.st_dev, seen.st_ino) != (running.st_dev, running.st_ino)


def reexec_sealed(argv: Sequence[str]) -> NoReturn:
    """Become a sealed interpreter that runs `pyrunc ARGV...`. Raises PyruncError: there is no third way."""
    interpreter = posix.readlink(_EXE)
    arguments = [*_arguments(interpreter, "-X", _MARK), *argv]
    reasons = []
    for way, seal in (("overlay", _open_in_overlay), ("sealed memory", _copy_into_memory)):
        try:
            posix.execve(seal(interpreter), arguments, posix.environ)
        except OSError as error:
            reasons.append(f"{way}: {error.strerror}")
    why = "; ".join(reasons)
    raise PyruncError(f"cannot seal {interpreter} against being overwritten from a container: {why}")


def reexec_isolated(argv: Sequence[str]) -> NoReturn:
    """Become an isolated interpreter (-I -S) that runs `pyrunc ARGV...`, not sealed. Raises OSError."""
    interpreter = posix.readlink(_EXE)
    posix.execve(interpreter, [*isolated(interpreter), *argv], posix.environ)


def isolated(interpreter: str) -> list[str]:
    """Return the command line that makes an interpreter run pyrunc, isolated; what `pyrunc` is told comes behind it."""
    return _arguments(interpreter)


def _arguments(interpreter: str, *options: str) -> list[str]:
    """Return the interpreter's own command line; launcher/pyrunc.c says why each flag is there."""
    if "_syscall" in sys.builtin_module_names:  # the image, launcher/image.c: see _start.resume
        return [interpreter + ("?sealed" if options else "")]
    flags = [interpreter, "-I", "-S", "-B", "-X", "utf8", *options]
    package: str = sys.modules["pyrunc"].__path__[0]
    if posix.access(f"{package}/frozen.pyc", posix.R_OK):
        return [*flags, f"{package}/frozen.pyc"]
    # The source tree: it and all that this process may import from, since -S knows no site-packages.
    where = [package.removesuffix("/pyrunc"), *(path for path in sys.path if path.startswith("/"))]
    script = f"import sys; sys.path += [p for p in {where!r} if p not in sys.path]"
    return [*flags, "-c", f"{script}; from pyrunc._start import run; run()"]


def _open_in_overlay(interpreter: str) -> int:
    """Return an fd of the interpreter in a detached read-only overlay of its directory. Raises OSError.

    Without an upper layer overlayfs wants two lower ones. /sys is there in every host and container; the
    first layer hides whatever has the same name in it.
    """
    directory, _, name = interpreter.rpartition("/")
    layers = directory.replace("\\", "\\\\").replace(":", "\\:") + ":/sys"
    attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
    mount = mounts.new_filesystem("overlay", "", (f"lowerdir={layers}",), attributes)
    # Both fds are closed by the exec; the running program itself keeps the mount alive.
    return posix.open(name, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW, dir_fd=mount)


def _copy_into_memory(interpreter: str) -> int:
    """Return an fd of a sealed copy of the interpreter in memory. Raises OSError."""
    source = posix.open(interpreter, posix.O_RDONLY | posix.O_CLOEXEC)
    memory = _create_memory()
    while posix.sendfile(memory, source, None, _CHUNK):
        pass
    posix.close(source)
    _add_seals(memory)
    return memory


def _add_seals(memory: int) -> None:
    """Seal a memfd. EBUSY means that something held one of its pages for longer than the kernel waits."""
    for pause in (0.001, 0.01, 0.1, 0.2, 0.0):
        try:
            fcntl.fcntl(memory, F_ADD_SEALS, _ALL_SEALS)
            return
        except OSError as error:
            if error.errno != errno.EBUSY or not pause:
                raise
            time.sleep(pause)


def _create_memory() -> int:
    flags = posix.MFD_CLOEXEC | posix.MFD_ALLOW_SEALING
    try:
        return posix.memfd_create("pyrunc", flags | _MFD_EXEC)
    except OSError:  # EINVAL: an older kernel, where it goes without saying
        return posix.memfd_create("pyrunc", flags)
