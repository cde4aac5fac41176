"""The one thing every container's network needs: its loopback device up. Anything more is pyroute2's."""

from __future__ import annotations

import _socket
import _struct
import fcntl

from pyrunc.kernel.flags import IFF_UP, SIOCGIFFLAGS, SIOCSIFFLAGS

_REQUEST = "16sH22x"  # struct ifreq: name, flags, and the rest of its union; 40 bytes on 64 bit machines


def loopback_up() -> None:
    """Bring `lo` of this network namespace up: netdevice(7), SIOCSIFFLAGS. The kernel gives it its addresses.

    Raises OSError: EPERM without CAP_NET_ADMIN over the namespace, ENODEV if it has no `lo`.
    """
    control = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        answer = fcntl.ioctl(control.fileno(), SIOCGIFFLAGS, _struct.pack(_REQUEST, b"lo", 0))
        (flags,) = _struct.unpack_from("16xH", answer)
        fcntl.ioctl(control.fileno(), SIOCSIFFLAGS, _struct.pack(_REQUEST, b"lo", flags | IFF_UP))
    finally:
        control.close()
