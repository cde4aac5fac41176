"""What conformance/ has to say where cgroup v2 is; on the machine itself `make test` runs all of its cases."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.lanes import SLOWNESS

CASES = ("cgroups/*unified*", "cgroups/what_v2*", "cgroups/memory_limit", "cgroups/cpu_shares", "cgroups/busy*")


@pytest.mark.requires("root", "cgroup2-memory", "gcc")
def test_cases_about_cgroup_v2(runtime: str) -> None:
    patterns = [word for case in CASES for word in ("--only", case)]
    command = [sys.executable, "-m", "conformance", "--runtime", runtime, *patterns]
    environment = {**os.environ, "CONFORMANCE_SLOWNESS": str(SLOWNESS)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 missing" in done.stdout
