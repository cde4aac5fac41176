"""Processor, disk and memory policies of a process; the spec's names for the numbers are in flags."""

from __future__ import annotations

import _struct

from pyrunc.kernel import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

_IOPRIO_WHO_PROCESS = 1
_IOPRIO_CLASS_SHIFT = 13
_PR_SCHED_CORE = 62  # Documentation/admin-guide/hw-vuln/core-scheduling.rst
_CORE_GET, _CORE_CREATE, _CORE_SHARE_FROM = 0, 1, 3
_CORE_THREAD, _CORE_THREAD_GROUP = 0, 1


def set_scheduler(
    policy: int,
    nice: int = 0,
    priority: int = 0,
    flags: int = 0,
    runtime: int = 0,
    deadline: int = 0,
    period: int = 0,
) -> None:
    """sched_setattr(2) of this thread; the three times are nanoseconds, for SCHED_DEADLINE.

    Raises OSError: EPERM without CAP_SYS_NICE, EBUSY when the processors cannot meet the deadline.
    """
    set_scheduler_of(0, policy, flags, nice, priority, runtime, deadline, period)


def set_scheduler_of(pid: int, policy: int, flags: int, *values: int) -> None:
    """sched_setattr(2) of another process: nice, priority, runtime, deadline and period as in set_scheduler.

    Raises OSError.
    """
    # struct sched_attr: size policy flags nice priority runtime deadline period util_min util_max
    attributes = _struct.pack("=IIQiIQQQII", 56, policy, flags, *values, 0, 0)
    libc.syscall(libc.number_of("sched_setattr"), pid, attributes, 0)


def set_io_priority(class_: int, priority: int) -> None:
    """ioprio_set(2) of this process: IO_CLASSES, and 0 (first) to 7.

    Raises OSError; EPERM for RT without rights.
    """
    value = class_ << _IOPRIO_CLASS_SHIFT | priority
    libc.syscall(libc.number_of("ioprio_set"), _IOPRIO_WHO_PROCESS, 0, value)


def set_memory_policy(mode: int, nodes: Collection[int]) -> None:
    """set_mempolicy(2) of this thread: MEMORY_POLICIES with its flags, over these NUMA nodes. Raises OSError.

    EINVAL for a mode that wants nodes and gets none, or nodes that do not exist.
    """
    if not nodes:
        libc.syscall(libc.number_of("set_mempolicy"), mode, None, 0)
        return
    words = max(nodes) // 64 + 1
    mask = [0] * words
    for node in nodes:
        mask[node // 64] |= 1 << node % 64
    # The kernel takes one off maxnode before it reads the mask, hence one more than there are bits.
    libc.syscall(libc.number_of("set_mempolicy"), mode, _struct.pack(f"={words}Q", *mask), words * 64 + 1)


def make_core_cookie() -> None:
    """PR_SCHED_CORE_CREATE: nothing but this process and its children to come shares a core with it.

    Raises OSError; EINVAL where the kernel was built without, ENODEV where cores have one thread.
    """
    libc.prctl(_PR_SCHED_CORE, _CORE_CREATE, 0, _CORE_THREAD_GROUP, 0)


def share_core_cookie(pid: int) -> None:
    """PR_SCHED_CORE_SHARE_FROM: this thread may share a core with that process; children inherit it.

    Raises OSError; EPERM without the right to trace the process.
    """
    libc.prctl(_PR_SCHED_CORE, _CORE_SHARE_FROM, pid, _CORE_THREAD, 0)


def has_core_scheduling() -> bool:
    """Tell whether make_core_cookie can work here."""
    cookie = bytearray(8)
    try:
        libc.prctl(_PR_SCHED_CORE, _CORE_GET, 0, _CORE_THREAD, libc.address_of(cookie))
    except OSError:  # EINVAL or ENODEV: see there
        return False
    return True
