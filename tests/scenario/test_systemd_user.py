"""The systemd cgroup driver of an ordinary user: it is the user's own manager that makes the scope."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario.test_rootless import unmapped_terminals
from tests.scenario.test_systemd import MIB, managed, place, shown, unit, value

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle

pytestmark = pytest.mark.requires("delegation")


@pytest.fixture
def own(bundle: Bundle) -> Bundle:
    """A bundle of the user who runs the tests, in a scope of that user's manager."""
    for kind, number in (("uidMappings", os.getuid()), ("gidMappings", os.getgid())):
        bundle.linux(**{kind: [{"containerID": 0, "hostID": number, "size": 1}]})
    unmapped_terminals(managed(bundle).namespace("user"))
    return bundle.linux(cgroupsPath=f"user.slice:pyrunc:{bundle.token}")


def as_user(bundle: Bundle, name: str, **more: Any) -> Any:
    """Run a command with what leads to the user's manager in the environment."""
    kept = {key: os.environ[key] for key in ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS") if key in os.environ}
    return bundle.attempt(name, env=bundle.environment(**kept), **more)


def test_users_container_is_in_a_scope_of_his_manager(own: Bundle) -> None:
    own.resources(memory={"limit": 64 * MIB}, pids={"limit": 17})
    as_user(own, "create").ok()
    assert place(own).endswith(f"/user@{os.getuid()}.service/user.slice/{unit(own)}")
    assert (value(own, "memory.max"), value(own, "pids.max")) == (str(64 * MIB), "17")
    assert shown(own, "MemoryMax") == {"MemoryMax": str(64 * MIB)}
    own.delete("--force")  # finds the manager by what create has written down
    assert shown(own, "LoadState") == {"LoadState": "not-found"}


def test_user_without_a_manager_is_told(own: Bundle) -> None:
    hidden = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs none /run/user && exec "$@"', "sh"]
    nowhere = own.environment(DBUS_SESSION_BUS_ADDRESS="unix:path=/nosuch", XDG_RUNTIME_DIR="/nosuch")
    result = own.attempt("create", env=nowhere, wrap=hidden)
    assert result.returncode == 1
    assert "cannot reach the user's systemd" in result.stderr
