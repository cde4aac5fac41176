"""The five sets of capabilities(7), as sets of numbers (flags.CAPABILITIES gives the names)."""

from __future__ import annotations

import _struct
import errno

from pyrunc.kernel import libc
from pyrunc.kernel.flags import (
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_CAP_AMBIENT_RAISE,
    PR_CAPBSET_DROP,
    PR_CAPBSET_READ,
)
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

_NEWEST = 40  # CAP_CHECKPOINT_RESTORE, since Linux 5.9
_VERSION_3 = 0x20080522  # capset(2): two 32 bit words for each set


class Sets(Record):
    """The three sets that capget(2) tells."""

    effective: frozenset[int]
    permitted: frozenset[int]
    inheritable: frozenset[int]


def last_capability() -> int:
    """Return the highest capability of this kernel: the last that prctl(2) PR_CAPBSET_READ does not refuse.

    Asked of the kernel and not of /proc/sys/kernel/cap_last_cap, which may be missing or a lie in a
    container. That it is the newest one we know takes two questions.
    """
    if _is_known(_NEWEST) and not _is_known(_NEWEST + 1):
        return _NEWEST
    number = 0
    while _is_known(number + 1):
        number += 1
    return number


def in_bounding(capability: int) -> bool:
    """Tell whether a capability is in the bounding set: PR_CAPBSET_READ.

    Raises OSError(EINVAL) for unknown ones.
    """
    return libc.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1


def drop_bounding(keep: Collection[int]) -> None:
    """PR_CAPBSET_DROP everything this kernel knows that is not in `keep`.

    Raises OSError; EPERM without CAP_SETPCAP, unless there is nothing to drop.
    """
    for capability in range(last_capability() + 1):
        if capability not in keep:
            try:
                _drop(capability)
            except PermissionError:
                if in_bounding(capability):
                    raise


def set_sets(effective: Collection[int], permitted: Collection[int], inheritable: Collection[int]) -> None:
    """capset(2) of this thread. Raises OSError(EPERM) when a set would grow beyond what is permitted.

    Inheritable is meant to stay empty unless config.json asks: giving more there was CVE-2022-29162.
    """
    sets = [_mask(each) for each in (effective, permitted, inheritable)]
    low = [mask & 0xFFFFFFFF for mask in sets]
    high = [mask >> 32 for mask in sets]
    libc.named("capset", _struct.pack("=Ii", _VERSION_3, 0), _struct.pack("=6I", *low, *high))


def get_sets() -> Sets:
    """Return capget(2) of this thread."""
    data = bytearray(24)
    libc.named("capget", bytearray(_struct.pack("=Ii", _VERSION_3, 0)), data)
    words = _struct.unpack("=6I", data)
    return Sets(*(_numbers(words[n] | words[n + 3] << 32) for n in range(3)))


def raise_ambient(capabilities: Collection[int]) -> tuple[int, ...]:
    """Make the ambient set exactly these: PR_CAP_AMBIENT. Returns those the kernel refused.

    It refuses with EPERM what is not both permitted and inheritable; that is for the caller to judge.
    Raises OSError for anything else.
    """
    libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    refused = []
    for capability in capabilities:
        try:
            libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)
        except PermissionError:
            refused.append(capability)
    return tuple(refused)


def _is_known(capability: int) -> bool:
    try:
        in_bounding(capability)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True


def _drop(capability: int) -> None:
    libc.prctl(PR_CAPBSET_DROP, capability)


def _mask(capabilities: Collection[int]) -> int:
    mask = 0
    for capability in capabilities:
        mask |= 1 << capability
    return mask


def _numbers(mask: int) -> frozenset[int]:
    return frozenset(number for number in range(64) if mask >> number & 1)
