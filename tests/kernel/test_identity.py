"""Who a process is and what it may do: prctl, capabilities, credentials."""

from __future__ import annotations

import os
import signal

import pytest

from pyrunc.kernel import capabilities, credentials, prctl
from pyrunc.kernel.flags import CAPABILITIES
from tests.kernel.apart import apart

pytestmark = pytest.mark.requires("root")

CHOWN, KILL, NET_RAW, SETPCAP = (
    CAPABILITIES[f"CAP_{name}"] for name in ("CHOWN", "KILL", "NET_RAW", "SETPCAP")
)


def status(field: str) -> str:
    """A field of our /proc/self/status: an opinion other than that of the functions under test."""
    with open("/proc/self/status") as lines:
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith(f"{field}:"))


def mask(*numbers: int) -> str:
    return f"{sum(1 << number for number in numbers):016x}"


def test_no_new_privs_cannot_be_missed() -> None:
    def body() -> tuple[str, str]:
        before = status("NoNewPrivs")
        prctl.no_new_privs()
        return before, status("NoNewPrivs")

    assert apart(body, 0) == ("0", "1")


def test_not_dumpable_hides_proc_from_the_same_user() -> None:
    def body() -> tuple[bool, int, bool]:
        credentials.set_ids(1000, 1000)
        prctl.set_dumpable(True)
        owner = os.stat(f"/proc/{os.getpid()}/status").st_uid
        prctl.set_dumpable(False)
        return owner == 1000, os.stat(f"/proc/{os.getpid()}/status").st_uid, prctl.dumpable()

    assert apart(body, 0) == (True, 0, False)


def test_pdeathsig_kills_the_orphan() -> None:
    def body() -> bytes:
        reader, writer = os.pipe()
        middle = os.fork()
        if middle == 0:
            ready, told = os.pipe()
            if os.fork() == 0:
                prctl.set_pdeathsig(signal.SIGKILL)
                os.write(told, b"r")
                signal.pause()
            os.read(ready, 1)
            os._exit(0)
        os.waitpid(middle, 0)
        os.close(writer)
        return os.read(reader, 1)  # ends only when the orphan, who holds the writing end, is dead

    assert apart(body, 0) == b""


def test_a_subreaper_gets_the_orphans() -> None:
    def body() -> int:
        prctl.set_child_subreaper(True)
        middle = os.fork()
        if middle == 0:
            if os.fork() == 0:
                os._exit(42)
            os._exit(0)
        os.waitpid(middle, 0)
        return os.waitstatus_to_exitcode(os.waitpid(-1, 0)[1])

    assert apart(body, 0) == 42


def test_keep_capabilities_survives_the_change_of_user() -> None:
    def body() -> tuple[str, str]:
        prctl.keep_capabilities(True)
        credentials.set_ids(1000, 1000)
        return status("CapPrm"), status("CapEff")

    permitted, effective = apart(body, 0)
    assert permitted != mask()
    assert effective == mask()


def test_last_capability_is_the_kernels() -> None:
    with open("/proc/sys/kernel/cap_last_cap") as file:
        assert capabilities.last_capability() == int(file.read())


def test_the_bounding_set_is_what_is_kept() -> None:
    def body() -> tuple[str, bool, bool]:
        capabilities.drop_bounding({CHOWN, KILL, 63})
        return status("CapBnd"), capabilities.in_bounding(KILL), capabilities.in_bounding(NET_RAW)

    assert apart(body, 0) == (mask(CHOWN, KILL), True, False)


def test_dropping_twice_needs_no_right_for_what_is_gone() -> None:
    def body() -> str:
        capabilities.drop_bounding({CHOWN})
        capabilities.set_sets((), (), ())
        capabilities.drop_bounding({CHOWN})
        return status("CapBnd")

    assert apart(body, 0) == mask(CHOWN)


def test_dropping_without_the_right_fails() -> None:
    def body() -> None:
        capabilities.set_sets((), (), ())
        with pytest.raises(PermissionError):
            capabilities.drop_bounding({CHOWN})

    apart(body, 0)


def test_the_three_sets_are_set_and_read_back() -> None:
    def body() -> tuple[capabilities.Sets, str, str, str]:
        capabilities.set_sets({CHOWN}, {CHOWN, KILL, 38}, {KILL})
        return capabilities.get_sets(), status("CapEff"), status("CapPrm"), status("CapInh")

    sets, effective, permitted, inheritable = apart(body, 0)
    assert (effective, permitted, inheritable) == (mask(CHOWN), mask(CHOWN, KILL, 38), mask(KILL))
    assert sets == capabilities.Sets(frozenset({CHOWN}), frozenset({CHOWN, KILL, 38}), frozenset({KILL}))


def test_what_was_given_up_does_not_come_back() -> None:
    def body() -> None:
        capabilities.set_sets((), (), ())
        with pytest.raises(PermissionError):
            capabilities.set_sets({CHOWN}, {CHOWN}, ())

    apart(body, 0)


def test_ambient_is_exactly_what_is_allowed_and_the_rest_is_told() -> None:
    def body() -> tuple[tuple[int, ...], str]:
        capabilities.set_sets({CHOWN, KILL}, {CHOWN, KILL}, {CHOWN, KILL})
        capabilities.raise_ambient([KILL])
        refused = capabilities.raise_ambient([CHOWN, NET_RAW])
        return refused, status("CapAmb")

    assert apart(body, 0) == ((NET_RAW,), mask(CHOWN))


def test_an_unknown_ambient_capability_is_an_error() -> None:
    def body() -> None:
        with pytest.raises(OSError, match="Invalid argument"):
            capabilities.raise_ambient([63])

    apart(body, 0)


def test_ids_are_changed_for_good() -> None:
    def body() -> tuple[str, str]:
        credentials.set_ids(1000, 1001)
        with pytest.raises(PermissionError):
            credentials.set_ids(0, 0)
        return status("Uid"), status("Gid")

    assert apart(body, 0) == ("1000\t1000\t1000\t1000", "1001\t1001\t1001\t1001")


def test_a_change_of_ids_that_did_not_happen_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posix.setresuid", lambda *_: None)

    def body() -> None:
        with pytest.raises(PermissionError, match="uid 1000"):
            credentials.set_ids(1000, 0)

    apart(body, 0)


def test_groups_are_exactly_these() -> None:
    def body() -> str:
        credentials.set_groups((7, 5))
        return status("Groups")

    assert apart(body, 0) == "5 7"


def test_no_groups_at_all() -> None:
    def body() -> str:
        credentials.set_groups((7,))
        credentials.set_groups(())
        return status("Groups")

    assert apart(body, 0) == ""
