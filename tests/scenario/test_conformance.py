"""What conformance/ has to say where cgroup v2 and AppArmor are; elsewhere `make test` runs all of its cases."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.lanes import SLOWNESS

ABOUT_V2 = {
    "unified": ("cgroups/*unified*", "cgroups/what_v2*", "cgroups/busy*"),
    "limits": ("cgroups/memory_limit", "cgroups/cpu_shares", "resources/throttles", "resources/huge*"),
    "usage": ("resources/limit_below*",),
    "owners": ("cgroups/ownership_is*", "cgroups/ownership_stays_without*", "cgroups/listed_files*"),
}
ABOUT_APPARMOR = ("policies/apparmor_profile_holds", "policies/unknown_apparmor*")


def judge(runtime: str, *cases: str) -> None:
    patterns = [word for case in cases for word in ("--only", case)]
    command = [sys.executable, "-m", "conformance", "--runtime", runtime, *patterns]
    environment = {**os.environ, "CONFORMANCE_SLOWNESS": str(SLOWNESS)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 missing" in done.stdout


@pytest.mark.requires("root", "cgroup2-memory", "gcc")
@pytest.mark.parametrize("about", ABOUT_V2)
def test_cases_about_cgroup_v2(runtime: str, about: str) -> None:
    judge(runtime, *ABOUT_V2[about])


@pytest.mark.requires("root", "apparmor", "gcc")
def test_cases_about_apparmor(runtime: str) -> None:
    judge(runtime, *ABOUT_APPARMOR)
