"""process.apparmorProfile where AppArmor is enabled: what the profile denies is denied, and nobody gets around it."""

from __future__ import annotations

import secrets
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenario.bundle import Bundle

pytestmark = pytest.mark.requires("root", "apparmor")

PROFILE = """
profile %s flags=(attach_disconnected,mediate_deleted) {
  file, capability, network, mount, umount, pivot_root, signal, ptrace, unix,
  deny /secret r,
  deny /etc/** w,
}
"""
LOADED = Path("/sys/kernel/security/apparmor/profiles")


def load(name: str, option: str) -> None:
    subprocess.run(
        ["apparmor_parser", option, "--skip-cache"], input=PROFILE % name, text=True, check=True, timeout=300
    )


@pytest.fixture(scope="module")
def profile() -> Iterator[str]:
    """A profile of our own, loaded into the kernel for the tests of this module."""
    name = f"pyrunc-test-{secrets.token_hex(4)}"
    load(name, "--add")
    yield name
    load(name, "--remove")
    assert name not in LOADED.read_text()


@pytest.fixture
def confined(bundle: Bundle, profile: str) -> Bundle:
    return bundle.write("/secret", "42").process(apparmorProfile=profile)


def test_profile_is_in_force(confined: Bundle, profile: str) -> None:
    assert confined.run("cat", "/proc/self/attr/apparmor/current").ok().stdout == f"{profile} (enforce)\n"


def test_profile_denies_what_root_may(confined: Bundle) -> None:
    said = confined.run("sh", "-c", "cat /secret; echo x >/etc/passwd; cat /etc/group")
    assert said.stdout.startswith("root:")
    assert said.stderr.count("Permission denied") == 2


def test_without_the_profile_nothing_is_denied(confined: Bundle) -> None:
    assert confined.process(apparmorProfile="").run("cat", "/secret").ok().stdout == "42"


def test_profile_of_a_program_that_may_not_gain_privileges(confined: Bundle, profile: str) -> None:
    """apparmor(7): from unconfined to a profile is no gain, so no_new_privs does not stand in the way."""
    confined.process(noNewPrivileges=True, user={"uid": 1000, "gid": 1000}, capabilities={})
    assert confined.run("cat", "/proc/self/attr/apparmor/current").ok().stdout == f"{profile} (enforce)\n"


def test_profile_in_a_user_namespace(confined: Bundle, profile: str) -> None:
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    confined.namespace("user").linux(uidMappings=maps, gidMappings=maps)
    assert confined.run("cat", "/proc/self/attr/apparmor/current").ok().stdout == f"{profile} (enforce)\n"


def test_hooks_that_run_programs_of_the_image_are_confined_too(confined: Bundle, profile: str) -> None:
    confined.hook("startContainer", "/bin/cp", "/proc/self/attr/apparmor/current", "/hook")
    confined.run("cp", "/proc/self/attr/apparmor/current", "/program").ok()
    said = [confined.path(name).read_text() for name in ("/hook", "/program")]
    assert said == [f"{profile} (enforce)\n"] * 2


def test_unknown_profile_is_refused_and_nothing_runs(confined: Bundle) -> None:
    result = confined.process(apparmorProfile="no-such-profile").run("touch", "/touched")
    assert result.returncode != 0
    assert "apparmor" in result.stderr.lower()
    assert not confined.path("/touched").exists()


@pytest.mark.parametrize("covered", [["/proc/self/attr"], ["/proc/thread-self/attr"], ["/proc/self/attr/exec"]])
def test_an_image_cannot_cover_the_file_that_applies_the_profile(confined: Bundle, covered: list[str]) -> None:
    """CVE-2019-16884: what is mounted over /proc/self/attr would swallow the profile's name."""
    confined.mkdir("/empty")
    for destination in covered:
        confined.mount(destination, "bind", str(confined.path("/empty")), ["bind"])
    said = confined.run("cat", "/secret")
    assert "42" not in said.stdout
    assert said.returncode != 0


def test_profile_is_that_of_exec_too(confined: Bundle, profile: str) -> None:
    confined.sleeping()
    assert confined.exec("cat", "/proc/self/attr/apparmor/current").ok().stdout == f"{profile} (enforce)\n"
    assert "Permission denied" in confined.exec("cat", "/secret").stderr


@pytest.mark.parametrize("private", [False, True])
def test_profile_that_exec_names(bundle: Bundle, profile: str, private: bool) -> None:
    if private:
        maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        bundle.namespace("user").linux(uidMappings=maps, gidMappings=maps)
    said = bundle.sleeping().exec("cat", "/proc/self/attr/apparmor/current", flags=["--apparmor", profile])
    assert said.ok().stdout == f"{profile} (enforce)\n"
    assert bundle.exec("touch", "/touched", flags=["--apparmor", "no-such-profile"]).returncode == 255
    assert not bundle.path("/touched").exists()
