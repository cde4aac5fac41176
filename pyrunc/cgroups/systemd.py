"""systemd makes a container's cgroup: start, change and stop a transient scope (org.freedesktop.systemd1(5)).

Loaded only for containers that are created with the systemd cgroup driver. Root asks the system's manager, an
ordinary user his own, which may make cgroups where he may not.
"""

from __future__ import annotations

import posix
from time import monotonic, sleep

from pyrunc.cgroups.dbus import BUS, Peer, RefusedError
from pyrunc.cgroups.layout import read_file
from pyrunc.errors import CgroupError, reason
from pyrunc.plan.facts import Systemd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Self

    from pyrunc.plan.steps_cgroups import Scope

    Property = tuple[str, str, Any]

_NAME = "org.freedesktop.systemd1"
_PATH = "/org/freedesktop/systemd1"
_MANAGER = f"{_NAME}.Manager"
_UNIT = f"{_NAME}.Unit"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_BOOTED = "/run/systemd/system"  # sd_booted(3)
_NO_SUCH_UNIT = f"{_NAME}.NoSuchUnit"
_UNIT_EXISTS = f"{_NAME}.UnitExists"
_ENDED = ("inactive", "failed", "deactivating", "")
_RETRIES = 2.0  # seconds
_PAUSE = 0.02


class Manager:
    """systemd, the system's or a user's. `address` finds it again later, from another environment.

    To be closed soon: it hears of the end of every job of the system.
    """

    def __init__(self, peer: Peer, user: bool) -> None:
        """Subscribe to the ends of jobs and ask the manager about itself. Raises CgroupError."""
        self._peer = peer
        self.address = peer.address
        self._call("Subscribe")
        version = str(self._get(_PATH, _MANAGER, "Version"))
        group = str(self._get(_PATH, _MANAGER, "ControlGroup"))
        self.systemd = Systemd(version_number(version), group, user)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._peer.close()

    def check_free(self, scope: Scope) -> None:
        """Make sure that no unit of a scope's name runs, before anything is made. Raises CgroupError."""
        state = self._state(scope.unit)
        if state not in _ENDED:
            tried = f"{scope.where}: cannot {scope.describe()}"
            raise CgroupError(f"{tried}: there is one already, and it is {state}")

    def start(self, scope: Scope, pid: int) -> None:
        """Start a scope around a process, and wait until it is in it.

        What an earlier scope of the name left behind is cleared away. Raises CgroupError: a running one is not ours.
        """
        properties = [(name, (kind, value)) for name, kind, value in scope.properties]
        if not any(name == "Description" for name, _ in properties):
            properties.append(("Description", ("s", scope.description)))
        properties.append(("PIDs", ("au", [pid])))
        deadline = monotonic() + _RETRIES
        while True:
            try:
                job = self._call("StartTransientUnit", "ssa(sv)a(sa(sv))", scope.unit, "fail", properties, [])[0]
                break
            except RefusedError as err:
                if err.name != _UNIT_EXISTS or monotonic() > deadline or not self._clear(scope.unit):
                    raise CgroupError(f"{scope.where}: cannot {scope.describe()}: {err.message}") from err
                sleep(_PAUSE)
        result = self._peer.signal("JobRemoved", job)[3]
        if result != "done":
            raise CgroupError(f"{scope.where}: cannot {scope.describe()}: systemd's job ended as {result!r}")

    def _clear(self, unit: str) -> bool:
        """Forget a unit that has ended; false where it has not."""
        if self._state(unit) not in _ENDED:
            return False
        self._try("ResetFailedUnit", unit)
        return True

    def stop(self, unit: str) -> None:
        """Stop a scope, whose processes are dead by now, and make systemd forget it.

        One that is not there is fine. Raises CgroupError.
        """
        try:
            job = self._call("StopUnit", "ss", unit, "replace")[0]
            self._peer.signal("JobRemoved", job)
            self._try("ResetFailedUnit", unit)
        except RefusedError as err:
            if err.name != _NO_SUCH_UNIT:
                raise CgroupError(f"cannot stop the systemd unit {unit}: {err.message}") from err

    def update(self, unit: str, properties: Iterable[Property]) -> None:
        """Change properties of a running unit, until it ends; when this returns, systemd has written its files.

        Raises CgroupError.
        """
        changes = [(name, (kind, value)) for name, kind, value in properties]
        try:
            self._call("SetUnitProperties", "sba(sv)", unit, True, changes)
        except RefusedError as err:
            raise CgroupError(f"cannot change the systemd unit {unit}: {err.message}") from err
        # It answers first, and writes before it reads its next message: this one.
        self._get(_PATH, _MANAGER, "Version")

    def attach(self, unit: str, pid: int) -> None:
        """Put one more process into a unit: into a user's, from outside of his delegation, only systemd can.

        Raises CgroupError.
        """
        try:
            self._call("AttachProcessesToUnit", "ssau", unit, "", [pid])
        except RefusedError as err:
            raise CgroupError(f"cannot add process {pid} to the systemd unit {unit}: {err.message}") from err

    def description(self, unit: str) -> str:
        """Return what a loaded unit says it is; "" where there is none of the name. Raises CgroupError."""
        return self._of_unit(unit, "Description")

    def _state(self, unit: str) -> str:
        return self._of_unit(unit, "ActiveState")

    def _of_unit(self, unit: str, name: str) -> str:
        try:
            path = str(self._call("GetUnit", "s", unit)[0])
            return str(self._get(path, _UNIT, name))
        except RefusedError as err:
            if err.name in (_NO_SUCH_UNIT, "org.freedesktop.DBus.Error.UnknownObject"):
                return ""
            raise CgroupError(f"cannot look at the systemd unit {unit}: {err.message}") from err

    def _try(self, member: str, unit: str) -> None:
        try:
            self._call(member, "s", unit)
        except RefusedError:
            return  # gone meanwhile, which is what was wanted

    def _call(self, member: str, signature: str = "", *body: Any) -> tuple[Any, ...]:
        return self._peer.call(_NAME, _PATH, _MANAGER, member, signature, body)

    def _get(self, path: str, interface: str, name: str) -> Any:
        return self._peer.call(_NAME, path, _PROPERTIES, "Get", "ss", (interface, name))[0][1]


def version_number(text: str) -> int:
    """Return the number in what systemd says of its version: 257 of "257.13-1~deb13u1", 245 of "v245.4-1.fc32"."""
    digits = ""
    for character in text:
        if character.isascii() and character.isdigit():
            digits += character
        elif digits:
            break
    return int(digits or "0")


def connect(user: bool, booted: str = _BOOTED) -> Manager:
    """Return the system's service manager, or with `user` the calling user's. Raises CgroupError."""
    if not posix.access(booted, posix.F_OK):
        raise CgroupError("the systemd cgroup driver needs systemd, which does not run here", "use cgroupfs")
    places = tuple(_user_places() if user else _system_places())
    failures = []
    for address, is_bus in places:
        try:
            return _open(address, is_bus, user)
        except OSError as err:
            failures.append(f"{address}: {reason(err)}")
        except CgroupError as err:
            failures.append(err.message)
    whose = "the user's systemd" if user else "systemd"
    hint = "is there a user session, with XDG_RUNTIME_DIR set?" if user else ""
    raise CgroupError(f"cannot reach {whose}: {'; '.join(failures)}", hint)


def reopen(address: str, user: bool) -> Manager:
    """Connect again to where a container's scope was made. Raises CgroupError."""
    try:
        return _open(address, not address.endswith("/systemd/private"), user)
    except OSError as err:
        raise CgroupError(f"cannot reach systemd at {address}: {reason(err)}") from err


def _open(address: str, is_bus: bool, user: bool) -> Manager:
    peer = Peer(address, is_bus)
    try:
        if is_bus:
            rule = f"type='signal',sender='{_NAME}',interface='{_MANAGER}',member='JobRemoved'"
            peer.call(*BUS, "AddMatch", "s", (rule,))
        return Manager(peer, user)
    except BaseException:
        peer.close()
        raise


def _system_places() -> Iterator[tuple[str, bool]]:
    """Yield where the system's manager may be found; its own socket is there before the bus is."""
    yield from _addresses(b"DBUS_SYSTEM_BUS_ADDRESS")
    yield "/run/dbus/system_bus_socket", True
    yield "/run/systemd/private", False


def _user_places() -> Iterator[tuple[str, bool]]:
    yield from _addresses(b"DBUS_SESSION_BUS_ADDRESS")
    runtime = posix.environ.get(b"XDG_RUNTIME_DIR", b"").decode("utf-8", "surrogateescape")
    for directory in filter(None, (runtime, f"/run/user/{outer_uid()}")):
        yield f"{directory}/bus", True
        yield f"{directory}/systemd/private", False


def _addresses(variable: bytes) -> Iterator[tuple[str, bool]]:
    """Yield the sockets in a list of addresses (D-Bus specification, "Server Addresses")."""
    text = posix.environ.get(variable, b"").decode("utf-8", "surrogateescape")
    for entry in text.split(";"):
        transport, _, rest = entry.partition(":")
        values = dict(pair.partition("=")[::2] for pair in rest.split(","))
        if transport == "unix" and "path" in values:
            yield _unescape(values["path"]), True
        elif transport == "unix" and "abstract" in values:
            yield f"@{_unescape(values['abstract'])}", True


def _unescape(text: str) -> str:
    first, *rest = text.split("%")
    try:
        return first + "".join(chr(int(part[:2], 16)) + part[2:] for part in rest)
    except ValueError:
        return text


def outer_uid() -> int:
    """Return our user as the host knows him: in a user namespace root is somebody else outside."""
    own = posix.geteuid()
    for line in read_file("/proc/self/uid_map").splitlines():
        inside, outside, count = map(int, line.split())
        if inside <= own < inside + count:
            return outside + own - inside
    return own
