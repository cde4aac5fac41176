"""Namespaces: making, joining and telling them apart (namespaces(7)), and the fork that goes with them."""

from __future__ import annotations

import _struct
import fcntl
import posix

from pyrunc.kernel import libc
from pyrunc.kernel.flags import (
    CLONE_INTO_CGROUP,
    CLONE_PIDFD,
    NAMESPACES,
    NS_GET_NSTYPE,
    NS_GET_USERNS,
    PROC_NAMES,
)

_SIGCHLD = 17


def clone3(flags: int, cgroup_fd: int = -1, exit_signal: int = _SIGCHLD) -> tuple[int, int]:
    """Fork into new namespaces: clone3(2). Returns (pid, pidfd) in the parent, (0, -1) in the child.

    With `cgroup_fd`, a cgroup v2 directory, the child starts in that cgroup. With CLONE_PARENT
    `exit_signal` must be 0. Raises OSError.

    This goes past the C library's fork and CPython's hooks (PyOS_AfterFork): those repair locks that
    another thread may have held, and thread lists. The runtime has one thread, so there is nothing to
    repair: the GIL is taken again by the thread that gave it up, and nothing caches the pid. os.fork can
    take neither flags nor a cgroup, and give no pidfd. Flags that share memory (CLONE_VM) must not be
    given.
    """
    pidfd = bytearray(4)
    flags |= CLONE_PIDFD | (CLONE_INTO_CGROUP if cgroup_fd >= 0 else 0)
    # struct clone_args: flags pidfd child_tid parent_tid exit_signal stack stack_size tls set_tid
    # set_tid_size cgroup
    arguments = _struct.pack(
        "=11Q", flags, libc.address_of(pidfd), 0, 0, exit_signal, 0, 0, 0, 0, 0, max(cgroup_fd, 0)
    )
    pid = libc.syscall(libc.CLONE3, arguments, len(arguments))
    if pid == 0:
        return 0, -1
    return pid, _struct.unpack("i", pidfd)[0]


def setns(fd: int, nstype: int = 0) -> None:
    """setns(2): join the namespace of an nsfs fd, or those in `nstype` of a pidfd. Raises OSError."""
    libc.setns(fd, nstype)


def unshare(flags: int) -> None:
    """unshare(2): leave for new namespaces, CLONE_NEW*. A pid or time namespace is for children only.

    Raises OSError.
    """
    libc.unshare(flags)


def ns_type(fd: int) -> int:
    """Return the CLONE_NEW* flag of an open namespace: ioctl_ns(2). Raises OSError(ENOTTY) if it is none."""
    return fcntl.ioctl(fd, NS_GET_NSTYPE)


def owner_of(fd: int) -> int:
    """Return an fd of the user namespace that owns a namespace: ioctl_ns(2), NS_GET_USERNS.

    Raises OSError.
    """
    return fcntl.ioctl(fd, NS_GET_USERNS)


def same(fd: int, other: int) -> bool:
    """Tell whether two fds are of the same namespace: device and inode, as namespaces(7) says.

    Raises OSError.
    """
    ours, theirs = posix.fstat(fd), posix.fstat(other)
    return (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)


def foreign(pid: int) -> int:
    """Return the CLONE_NEW* flags of those namespaces in which a process is and we are not.

    They are compared by /proc/PID/ns, so the answer holds for as long as the pid is that process's: setns of its
    pidfd right after this has succeeded proves that it was. Raises OSError, FileNotFoundError if it is gone.
    """
    found = 0
    for kind, flag in NAMESPACES.items():
        try:
            ours = posix.stat(f"/proc/self/ns/{PROC_NAMES[kind]}")
        except FileNotFoundError:
            continue  # a kind that this kernel does not have
        theirs = posix.stat(f"/proc/{pid}/ns/{PROC_NAMES[kind]}")
        if (ours.st_dev, ours.st_ino) != (theirs.st_dev, theirs.st_ino):
            found |= flag
    return found


def sethostname(name: str) -> None:
    """sethostname(2), for this uts namespace. Raises OSError; EINVAL over 64 bytes."""
    data = libc.encoded(name)
    libc.named("sethostname", data, len(data))


def setdomainname(name: str) -> None:
    """setdomainname(2), the NIS domain of this uts namespace. Raises OSError; EINVAL over 64 bytes."""
    data = libc.encoded(name)
    libc.named("setdomainname", data, len(data))
