"""Pseudo-terminals of a container, made without a path of its own being trusted.

The slave is opened from the master (TIOCGPTPEER), never by a name such as /dev/pts/0, behind which the
container may have put something else (CVE-2025-52565).
"""

from __future__ import annotations

import _struct
import errno
import fcntl
import posix

from pyrunc.kernel import paths
from pyrunc.kernel.flags import (
    DEVPTS_SUPER_MAGIC,
    RESOLVE_BENEATH,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    TCGETS,
    TCSETS,
    TIOCGPTN,
    TIOCGPTPEER,
    TIOCGWINSZ,
    TIOCSCTTY,
    TIOCSPTLCK,
    TIOCSWINSZ,
)

_PTMX = 5 << 8 | 2  # the device number of ptmx(4), as st_rdev has it
_S_IFMT, _S_IFCHR, _S_IFDIR = 0o170000, 0o020000, 0o040000
_OPEN = posix.O_RDWR | posix.O_NOCTTY | posix.O_CLOEXEC
_RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV

# struct termios of the kernel: c_iflag c_oflag c_cflag c_lflag, c_line, c_cc
_TERMIOS = "=4IB19s"
# What termios(3), "Raw mode" clears
_IGNBRK_TO_IXON = 0o1 | 0o2 | 0o10 | 0o40 | 0o100 | 0o200 | 0o400 | 0o2000
_OPOST = 0o1
_CSIZE_PARENB, _CS8 = 0o60 | 0o400, 0o60
_ECHO_TO_IEXTEN = 0o10 | 0o100 | 0o2 | 0o1 | 0o100000
_VTIME, _VMIN = 5, 6


def open_pty(fd: int, proc_fd: int = -1) -> tuple[int, int, str]:
    """Return a new pair (master, slave) and its name in the container, "/dev/pts/N": pts(4), ioctl_tty(2).

    `fd` is O_PATH, of the root of a devpts mount (best: nobody can put anything there), or of a ptmx device.
    The latter is opened through /proc/self/fd, or `proc_fd` if that /proc cannot be trusted. Raises OSError;
    ENOTTY when there is no such device or the slave is not on a devpts.
    """
    master = _open_master(fd, proc_fd)
    try:
        _check_ptmx(posix.fstat(master))  # once more: nothing can come between the look and this fd
        fcntl.ioctl(master, TIOCSPTLCK, _struct.pack("i", 0))
        (number,) = _struct.unpack("I", fcntl.ioctl(master, TIOCGPTN, bytes(4)))
        slave = fcntl.ioctl(master, TIOCGPTPEER, _OPEN)
    except OSError:
        posix.close(master)
        raise
    if paths.filesystem_type(slave) != DEVPTS_SUPER_MAGIC:
        posix.close(slave)
        posix.close(master)
        raise OSError(errno.ENOTTY, "the terminal is not on a devpts filesystem")
    return master, slave, f"/dev/pts/{number}"


def set_size(fd: int, rows: int, cols: int) -> None:
    """Set the size of a terminal in characters: ioctl_tty(2), TIOCSWINSZ. Raises OSError."""
    fcntl.ioctl(fd, TIOCSWINSZ, _struct.pack("=4H", rows, cols, 0, 0))


def get_size(fd: int) -> tuple[int, int]:
    """Return rows and columns of a terminal, (0, 0) if never set: TIOCGWINSZ.

    Raises OSError(ENOTTY) if it is none.
    """
    rows, cols, _, _ = _struct.unpack("=4H", fcntl.ioctl(fd, TIOCGWINSZ, bytes(8)))
    return rows, cols


def make_controlling(fd: int) -> None:
    """Make a terminal the controlling one of our session, which we must lead: TIOCSCTTY. Raises OSError."""
    fcntl.ioctl(fd, TIOCSCTTY, 0)


def make_raw(fd: int) -> bytes:
    """Put a terminal into raw mode as cfmakeraw(3) does; returns what it was, for restore. Raises OSError."""
    before = fcntl.ioctl(fd, TCGETS, bytes(_struct.calcsize(_TERMIOS)))
    iflag, oflag, cflag, lflag, line, characters = _struct.unpack(_TERMIOS, before)
    characters = bytearray(characters)
    characters[_VTIME], characters[_VMIN] = 0, 1  # read(2) returns with each byte
    raw = _struct.pack(
        _TERMIOS,
        iflag & ~_IGNBRK_TO_IXON,
        oflag & ~_OPOST,
        cflag & ~_CSIZE_PARENB | _CS8,
        lflag & ~_ECHO_TO_IEXTEN,
        line,
        bytes(characters),
    )
    fcntl.ioctl(fd, TCSETS, raw)
    return before


def restore(fd: int, before: bytes) -> None:
    """Give a terminal the attributes it had before make_raw. Raises OSError."""
    fcntl.ioctl(fd, TCSETS, before)


def _open_master(fd: int, proc_fd: int) -> int:
    """Open ptmx, looking first at what it is: opening another device could already do something."""
    if posix.fstat(fd).st_mode & _S_IFMT == _S_IFDIR:
        _check_ptmx(posix.stat("ptmx", dir_fd=fd, follow_symlinks=False))
        return paths.openat2(fd, "ptmx", _OPEN, resolve=_RESOLVE)
    _check_ptmx(posix.fstat(fd))
    if proc_fd < 0:
        return posix.open(f"/proc/self/fd/{fd}", _OPEN)
    return posix.open(f"self/fd/{fd}", _OPEN, dir_fd=proc_fd)


def _check_ptmx(found: posix.stat_result) -> None:
    if found.st_mode & _S_IFMT != _S_IFCHR or found.st_rdev != _PTMX:
        raise OSError(errno.ENOTTY, "ptmx is not the device of that name")
