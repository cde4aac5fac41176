"""v1 hierarchies that this test mounts for itself: joint ones (net_cls,net_prio), and controllers seldom seen.

They are mounted where only the runtime sees them; hooks, which run in its namespaces, look at the files.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenario.bundle import Bundle

pytestmark = pytest.mark.requires("cgroup1-memory", "net-cgroups")

NETWORK = "net_cls,net_prio"


def private(*hierarchies: str) -> list[str]:
    """Wrap the runtime: it finds these hierarchies mounted below /sys/fs/cgroup as well, under their own names.

    There it is for them to be found by any runtime, so all that is there already is bound to a tmpfs first.
    """
    mounts = "; ".join(f"mkdir {each} && mount -t cgroup -o {each} {each} {each}" for each in hierarchies)
    script = f"""
        set -e
        mount -t tmpfs tmpfs /mnt
        cd /mnt
        for each in /sys/fs/cgroup/*; do mkdir ${{each##*/}}; mount --bind $each ${{each##*/}}; done
        {mounts}
        cd /
        mount --rbind /mnt /sys/fs/cgroup
        exec "$@" """
    return ["unshare", "--mount", "sh", "-c", script, "sh"]


@pytest.fixture(autouse=True, scope="module")
def hierarchies_are_gone_afterwards() -> Iterator[None]:
    """An idle hierarchy goes a moment after it was last unmounted; containerd's shim stumbles over one that stays."""
    yield
    for hierarchy in (NETWORK, "perf_event"):
        wait_until_gone(hierarchy)


def wait_until_gone(hierarchy: str) -> None:
    again = f"mount -t cgroup -o {hierarchy} {hierarchy} /mnt && umount /mnt"
    for pause in (0.5, 1, 2, 4):
        subprocess.run(["unshare", "--mount", "sh", "-c", again], check=True)
        time.sleep(pause)
        if hierarchy not in Path("/proc/self/cgroup").read_text():
            return
    pytest.fail(f"the hierarchy {hierarchy} is still there")


def seen(bundle: Bundle, folder: str, *files: str, wrap: list[str]) -> list[str]:
    """Run the container and return what files of its cgroup said when it was created."""
    log = bundle.dir / "seen"
    paths = " ".join(f"/sys/fs/cgroup/{folder}/{bundle.token}/{file}" for file in files)
    bundle.hook("createRuntime", "/bin/sh", "-c", f"for each in {paths}; do tr '\\n' ';' < $each; echo; done > {log}")
    bundle.run("true", wrap=wrap).ok()
    return log.read_text().splitlines()


def test_class_and_priorities_in_a_joint_hierarchy(bundle: Bundle) -> None:
    network = {"classID": 0x100001, "priorities": [{"name": "lo", "priority": 5}]}
    bundle.resources(network=network)
    found = seen(bundle, NETWORK, "net_cls.classid", "net_prio.ifpriomap", wrap=private(NETWORK))
    assert found[0] == f"{0x100001};"
    assert "lo 5" in found[1].split(";")


@pytest.mark.parametrize("hierarchy", [NETWORK, "perf_event"])
def test_process_is_in_the_hierarchy(bundle: Bundle, hierarchy: str) -> None:
    bundle.hook("createRuntime", "/bin/sh", "-c", f"cat > {bundle.dir}/state.json")
    procs = seen(bundle, hierarchy, "cgroup.procs", wrap=private(hierarchy))
    assert procs == [f"{json.loads((bundle.dir / 'state.json').read_text())['pid']};"]


def test_joint_hierarchy_is_mounted_under_both_names(bundle: Bundle) -> None:
    bundle.mount("/sys", "sysfs", "sysfs").mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro"])
    script = "cd /sys/fs/cgroup && readlink net_cls && readlink net_prio && ls net_cls/net_prio.ifpriomap"
    said = bundle.run("sh", "-c", script, wrap=private(NETWORK)).ok().stdout.split()
    assert said == [NETWORK, NETWORK, "net_cls/net_prio.ifpriomap"]


@pytest.mark.differs_from_runc("names no path and no interface")
def test_interface_that_is_not_there_is_an_error(bundle: Bundle) -> None:
    bundle.resources(network={"priorities": [{"name": "nosuch0", "priority": 5}]})
    result = bundle.run("true", wrap=private(NETWORK))
    assert result.returncode == 1
    assert ".linux.resources.network.priorities[0]" in result.stderr
    assert "nosuch0" in result.stderr
