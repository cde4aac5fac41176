"""Move interfaces of the host into the container's network namespace (config-linux.md, "Network Devices").

All is looked at before the first one is moved: they are never moved back. What a device loses on its way, its
permanent global addresses, it is given again inside; all else of it (MTU, hardware address) the kernel keeps.
pyroute2 is loaded for containers that have such devices, and for no others: it takes 150 ms.
"""

from __future__ import annotations

import posix

from pyrunc.errors import StepError
from pyrunc.kernel.flags import CLONE_NEWNET
from pyrunc.kernel.namespaces import setns
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    from pyrunc.plan.netdevices import MoveNetDevice

_PERMANENT = 0x80  # IFA_F_PERMANENT
_KEPT_FLAGS = 0x02 | 0x200  # IFA_F_NODAD, IFA_F_NOPREFIXROUTE
_GLOBAL = 0  # RT_SCOPE_UNIVERSE
_LONGEST_NAME = 15  # IFNAMSIZ without its NUL


class Device(Record):
    """An interface on its way: its index on the host, and arguments of RTM_NEWADDR for its addresses."""

    step: MoveNetDevice
    index: int
    addresses: tuple[dict[str, Any], ...]
    name: str


class Visit:
    """This process in another network namespace, for as long as the `with` lasts."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._home = -1

    def __enter__(self) -> Self:
        self._home = posix.open("/proc/self/ns/net", posix.O_RDONLY | posix.O_CLOEXEC)
        setns(self._target, CLONE_NEWNET)
        return self

    def __exit__(self, *_: object) -> None:
        setns(self._home, CLONE_NEWNET)
        posix.close(self._home)


def move_net_devices(steps: tuple[MoveNetDevice, ...], pid: int) -> None:
    """Give interfaces to the network namespace of the process `pid`. Raises StepError with the JSON path."""
    from pyroute2 import IPRoute

    target = posix.open(f"/proc/{pid}/ns/net", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        with IPRoute() as route:
            devices = [_look(route, step) for step in steps]
        with Visit(target), IPRoute() as route:
            devices = _name(devices, {link.get_attr("IFLA_IFNAME") for link in route.get_links()})
        with IPRoute() as route:
            for device in devices:
                _try(device, lambda device=device: _move(route, device, target))  # type: ignore[misc]
        with Visit(target), IPRoute() as route:
            for device in devices:
                _try(device, lambda device=device: _settle(route, device))  # type: ignore[misc]
    finally:
        posix.close(target)


def _look(route: Any, step: MoveNetDevice) -> Device:
    found = route.link_lookup(ifname=step.name)
    if not found:
        raise StepError(f"{step.where}: cannot {step.describe()}: the host has no such device")
    addresses = tuple(
        _again(address)
        for address in route.get_addr(index=found[0])
        if _flags(address) & _PERMANENT and address["scope"] == _GLOBAL
    )
    return Device(step, found[0], addresses, step.target)


def _flags(address: Any) -> int:
    """IFA_FLAGS has 32 bits of what the header has eight of; old kernels send the header only."""
    flags: int | None = address.get_attr("IFA_FLAGS")
    return int(address["flags"]) if flags is None else flags


def _again(address: Any) -> dict[str, Any]:
    given = {"family": address["family"], "prefixlen": address["prefixlen"], "scope": address["scope"]}
    for key, attribute in (("local", "IFA_LOCAL"), ("address", "IFA_ADDRESS"), ("broadcast", "IFA_BROADCAST")):
        value = address.get_attr(attribute)
        if value is not None:
            given[key] = value
    if _flags(address) & _KEPT_FLAGS:
        given["IFA_FLAGS"] = _flags(address) & _KEPT_FLAGS
    return given


def _name(devices: list[Device], used: set[str]) -> list[Device]:
    """Find out under which name each device will be known; one that is taken is an error, unless a template asked."""
    named = []
    for device in devices:
        name = _first_free(device.name, used) if "%d" in device.name else device.name
        if name in used:
            tried = f"{device.step.where}: cannot {device.step.describe()}"
            raise StepError(f"{tried}: the container has a network device {name} already")
        if len(name) > _LONGEST_NAME:
            raise StepError(f"{device.step.where}: the name {name} is longer than {_LONGEST_NAME} characters")
        used.add(name)
        named.append(device.but(name=name))
    return named


def _first_free(template: str, used: set[str]) -> str:
    number = 0
    while template.replace("%d", str(number)) in used:
        number += 1
    return template.replace("%d", str(number))


def _move(route: Any, device: Device, target: int) -> None:
    route.link("set", index=device.index, net_ns_fd=target, ifname=device.name)


def _settle(route: Any, device: Device) -> None:
    # The index may be another one here: two namespaces number their devices on their own.
    (index,) = route.link_lookup(ifname=device.name)
    for address in device.addresses:
        route.addr("add", index=index, **address)
    route.link("set", index=index, state="up")


def _try(device: Device, act: Callable[[], None]) -> None:
    from pyroute2 import NetlinkError

    try:
        act()
    except (NetlinkError, OSError) as err:
        number = getattr(err, "code", None) or getattr(err, "errno", None) or 0
        why = posix.strerror(number) if number else str(err)
        raise StepError(f"{device.step.where}: cannot {device.step.describe()}: {why}") from err
