"""The systemd cgroup driver against a peer that plays systemd, as it is and as one would rather not meet it."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from jeepney import HeaderFields, Message, MessageType, Parser, new_error, new_method_return, new_signal
from jeepney.wrappers import DBusAddress

from pyrunc.cgroups import dbus, systemd
from pyrunc.errors import CgroupError
from pyrunc.plan.steps_cgroups import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

JOB = "/org/freedesktop/systemd1/job/7"
MANAGER = DBusAddress("/org/freedesktop/systemd1", interface="org.freedesktop.systemd1.Manager")
SCOPE = Scope("box.scope", "/system.slice/box.scope", "ours", (("Slice", "s", "system.slice"),))


class RefusalError(Exception):
    """What the fake answers with an error of this name."""


class FakeSystemd:
    """One thread that accepts connections and answers calls from `answers`; it writes down what it was asked."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self.asked: list[tuple[str, Any]] = []
        self.state = ""
        self.result = "done"
        self.greeting = b"DATA\r\nOK 0123\r\n"
        self.special: dict[str, Callable[[Message], Any]] = {}
        self.usual: dict[str, Callable[[Message], Any]] = {
            "Get": self._get,
            "GetUnit": self._get_unit,
            "StartTransientUnit": self._start,
            "StopUnit": self._stop,
            "ResetFailedUnit": self._reset,
        }
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.address)
        self.listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        said = b""
        while not said.endswith(b"BEGIN\r\n"):
            if not (data := connection.recv(4096)):
                return
            said += data
        self.asked.append(("auth", said))
        connection.sendall(self.greeting)
        parser = Parser()
        while data := connection.recv(4096):
            for message in parser.feed(data):
                for answer in self._answer(message):
                    connection.sendall(answer if isinstance(answer, bytes) else answer.serialise(serial=1))

    def _answer(self, call: Message) -> Iterator[Message | bytes]:
        member = call.header.fields[HeaderFields.member]
        self.asked.append((member, call.body))
        try:
            act = self.special.get(member) or self.usual.get(member)
            answer = act(call) if act else ("", ())
        except RefusalError as refusal:
            yield new_error(call, str(refusal), "s", ("that will not do",))
            return
        if isinstance(answer, bytes):
            yield answer
            return
        signature, body = answer
        yield new_method_return(call, signature or None, body)
        if signature == "o" and body == (JOB,):
            yield new_signal(MANAGER, "JobRemoved", "uoss", (6, "/other/job", "x.service", "failed"))
            yield new_signal(MANAGER, "JobRemoved", "uoss", (7, JOB, "box.scope", self.result))

    def _get(self, call: Message) -> tuple[str, tuple[Any, ...]]:
        values = {"Version": "257.1-2", "ControlGroup": "", "Description": "ours", "ActiveState": self.state}
        return "v", (("s", values[call.body[1]]),)

    def _get_unit(self, _: Message) -> tuple[str, tuple[Any, ...]]:
        if not self.state:
            raise RefusalError("org.freedesktop.systemd1.NoSuchUnit")
        return "o", ("/org/freedesktop/systemd1/unit/box",)

    def _start(self, _: Message) -> tuple[str, tuple[Any, ...]]:
        if self.state:
            raise RefusalError("org.freedesktop.systemd1.UnitExists")
        return "o", (JOB,)

    def _stop(self, _: Message) -> tuple[str, tuple[Any, ...]]:
        if not self.state:
            raise RefusalError("org.freedesktop.systemd1.NoSuchUnit")
        self.state = ""
        return "o", (JOB,)

    def _reset(self, _: Message) -> tuple[str, tuple[Any, ...]]:
        self.state = ""
        return "", ()

    def calls(self) -> list[str]:
        return [member for member, _ in self.asked]

    def body(self, member: str) -> Any:
        return next(body for name, body in self.asked if name == member)


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeSystemd]:
    peer = FakeSystemd(tmp_path / "bus")
    yield peer
    peer.listener.close()


@pytest.fixture
def manager(fake: FakeSystemd) -> Iterator[systemd.Manager]:
    with systemd.reopen(fake.address, user=False) as found:
        yield found


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that end soon."""
    monkeypatch.setattr(dbus, "PATIENCE", 0.2)
    monkeypatch.setattr(dbus, "_CONNECT_PATIENCE", 0.2)
    monkeypatch.setattr(systemd, "_RETRIES", 0.1)


def test_says_who_it_is_by_its_socket_alone(fake: FakeSystemd, manager: systemd.Manager) -> None:
    assert fake.body("auth") == b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"
    assert manager.systemd.version == 257


def test_start(fake: FakeSystemd, manager: systemd.Manager) -> None:
    manager.start(SCOPE, 4711)
    unit, mode, properties, auxiliary = fake.body("StartTransientUnit")
    assert (unit, mode, auxiliary) == ("box.scope", "fail", [])
    assert dict(properties) == {
        "Slice": ("s", "system.slice"),
        "Description": ("s", "ours"),
        "PIDs": ("au", [4711]),
    }


def test_start_is_done_when_its_job_is(fake: FakeSystemd, manager: systemd.Manager) -> None:
    fake.result = "failed"
    with pytest.raises(CgroupError, match=r"\.linux\.cgroupsPath: cannot start the systemd unit box.scope: .*'failed'"):
        manager.start(SCOPE, 4711)


def test_leftover_of_a_failed_scope_is_reset(fake: FakeSystemd, manager: systemd.Manager) -> None:
    fake.state = "failed"
    manager.start(SCOPE, 4711)
    assert fake.calls().count("StartTransientUnit") == 2
    assert "ResetFailedUnit" in fake.calls()


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("state", ["active", "activating"])
def test_running_unit_is_not_touched(fake: FakeSystemd, manager: systemd.Manager, state: str) -> None:
    fake.state = state
    with pytest.raises(CgroupError, match=r"cannot start the systemd unit box\.scope"):
        manager.start(SCOPE, 4711)
    with pytest.raises(CgroupError, match=f"there is one already, and it is {state}"):
        manager.check_free(SCOPE)
    assert {"ResetFailedUnit", "StopUnit"}.isdisjoint(fake.calls())


@pytest.mark.usefixtures("hasty")
def test_unit_that_cannot_be_reset_is_an_error_in_the_end(fake: FakeSystemd, manager: systemd.Manager) -> None:
    fake.state = "failed"
    fake.special["ResetFailedUnit"] = lambda _: ("", ())
    with pytest.raises(CgroupError, match="that will not do"):
        manager.start(SCOPE, 4711)


def test_refusal_is_passed_on(fake: FakeSystemd, manager: systemd.Manager) -> None:
    def refuse(_: Message) -> Any:
        raise RefusalError("org.freedesktop.DBus.Error.InvalidArgs")

    fake.special["StartTransientUnit"] = refuse
    with pytest.raises(CgroupError, match=r"box\.scope: that will not do"):
        manager.start(SCOPE, 4711)


def test_value_that_is_not_of_its_type_is_not_sent(fake: FakeSystemd, manager: systemd.Manager) -> None:
    for broken in (("Foo", "o", "no path"), ("Foo", "y", 300), ("Foo", "zz", 1)):
        with pytest.raises(CgroupError, match="cannot ask systemd to StartTransientUnit"):
            manager.start(SCOPE.but(properties=(broken,)), 4711)
    assert "StartTransientUnit" not in fake.calls()


def test_stop(fake: FakeSystemd, manager: systemd.Manager) -> None:
    fake.state = "active"
    manager.stop("box.scope")
    assert fake.body("StopUnit") == ("box.scope", "replace")


def test_stop_of_what_is_not_there_is_fine(fake: FakeSystemd, manager: systemd.Manager) -> None:
    manager.stop("box.scope")
    assert "ResetFailedUnit" not in fake.calls()


def test_update_waits_until_the_files_are_written(fake: FakeSystemd, manager: systemd.Manager) -> None:
    manager.update("box.scope", (("MemoryMax", "t", 5),))
    assert fake.body("SetUnitProperties") == ("box.scope", True, [("MemoryMax", ("t", 5))])
    assert fake.calls()[-2:] == ["SetUnitProperties", "Get"]


def test_description_of_nothing_is_empty(fake: FakeSystemd, manager: systemd.Manager) -> None:
    assert manager.description("box.scope") == ""
    fake.state = "active"
    assert manager.description("box.scope") == "ours"


@pytest.mark.usefixtures("hasty")
def test_no_answer(fake: FakeSystemd, manager: systemd.Manager) -> None:
    fake.special["StopUnit"] = lambda _: b""
    with pytest.raises(CgroupError, match="no answer from"):
        manager.stop("box.scope")


@pytest.mark.usefixtures("hasty")
def test_job_that_never_ends(fake: FakeSystemd, manager: systemd.Manager) -> None:
    fake.special["StartTransientUnit"] = lambda _: ("o", ("/another/job",))
    with pytest.raises(CgroupError, match="no answer from"):
        manager.start(SCOPE, 4711)


@pytest.mark.parametrize("nonsense", [b"x" * 64, b"l\x02\x00\x01" + b"\xff" * 60])
@pytest.mark.usefixtures("hasty")
def test_nonsense(fake: FakeSystemd, manager: systemd.Manager, nonsense: bytes) -> None:
    fake.special["StopUnit"] = lambda _: nonsense
    with pytest.raises(CgroupError):
        manager.stop("box.scope")


@pytest.mark.usefixtures("hasty")
def test_not_let_in(fake: FakeSystemd) -> None:
    fake.greeting = b"DATA\r\nREJECTED\r\n"
    with pytest.raises(CgroupError, match="does not let us in"):
        systemd.reopen(fake.address, user=False)


@pytest.mark.usefixtures("hasty")
def test_closed_at_once(fake: FakeSystemd) -> None:
    fake.greeting = b""
    with pytest.raises(CgroupError, match="no answer"):
        systemd.reopen(fake.address, user=False)


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(CgroupError, match=r"cannot reach systemd at .*: not found"):
        systemd.reopen(str(tmp_path / "bus"), user=False)


# finding it


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, bytes]:
    """An environment with nothing in it that names a bus."""
    environment: dict[bytes, bytes] = {}
    monkeypatch.setattr("posix.environ", environment)
    return environment


def test_no_systemd_on_this_host(tmp_path: Path) -> None:
    with pytest.raises(CgroupError, match="needs systemd, which does not run here"):
        systemd.connect(False, str(tmp_path / "system"))


def test_users_manager_by_the_address_of_his_bus(
    fake: FakeSystemd, alone: dict[bytes, bytes], tmp_path: Path
) -> None:
    path = fake.address.replace("/", "%2f")
    alone[b"DBUS_SESSION_BUS_ADDRESS"] = f"tcp:host=x;unix:path={path},guid=0".encode()
    with systemd.connect(True, str(tmp_path)) as found:
        assert (found.address, found.systemd.user) == (fake.address, True)
    assert fake.calls()[1:3] == ["Hello", "AddMatch"]


def test_users_manager_by_his_runtime_directory(
    fake: FakeSystemd, alone: dict[bytes, bytes], tmp_path: Path
) -> None:
    alone[b"DBUS_SESSION_BUS_ADDRESS"] = b"unix:path=/nosuch"
    alone[b"XDG_RUNTIME_DIR"] = str(tmp_path).encode()
    with systemd.connect(True, str(tmp_path)) as found:
        assert found.address == fake.address


def test_no_manager_of_the_user(alone: dict[bytes, bytes], tmp_path: Path) -> None:
    alone[b"XDG_RUNTIME_DIR"] = str(tmp_path).encode()
    with pytest.raises(CgroupError, match=r"cannot reach the user's systemd: .*bus: not found.*XDG_RUNTIME_DIR"):
        systemd.connect(True, str(tmp_path))


@pytest.mark.parametrize(
    ("text", "number"), [("257.13-1~deb13u1", 257), ("v245.4-1.fc32", 245), ("systemd 239 (239-1)", 239), ("", 0)]
)
def test_version(text: str, number: int) -> None:
    assert systemd.version_number(text) == number


def test_unused_kinds_of_messages_are_passed_over(fake: FakeSystemd, manager: systemd.Manager) -> None:
    assert MessageType.signal.value == 4
    fake.special["GetUnit"] = lambda call: (
        new_signal(MANAGER, "Reloading", "b", (True,)).serialise(serial=9)
        + new_error(call, "org.freedesktop.systemd1.NoSuchUnit").serialise(serial=10)
    )
    assert manager.description("box.scope") == ""
