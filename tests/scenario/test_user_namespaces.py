"""User namespaces: linux.uidMappings, linux.gidMappings, and what the ids are inside and outside."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scenario.bundle import Bundle

pytestmark = pytest.mark.requires("userns")

WHOLE = [{"containerID": 0, "hostID": 100000, "size": 65536}]


def in_user_namespace(bundle: Bundle, uids: Any = WHOLE, gids: Any = WHOLE) -> Bundle:
    return bundle.namespace("user").linux(uidMappings=uids, gidMappings=gids)


def test_user_namespace_is_new(bundle: Bundle) -> None:
    assert in_user_namespace(bundle).probe("self")["ns"]["user"] != os.readlink("/proc/self/ns/user")


def test_ids_in_a_user_namespace_are_those_of_the_config(bundle: Bundle) -> None:
    said = in_user_namespace(bundle).probe("ids")
    assert (said["uid"], said["gid"], said["groups"]) == ([0, 0, 0], [0, 0, 0], [])


def test_root_of_a_user_namespace_is_nobody_special_on_the_host(bundle: Bundle) -> None:
    pid = in_user_namespace(bundle).process(args=["/bin/probe", "sleep"]).create().start().pid
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert status["Uid"].split() == ["100000"] * 4
    assert status["Gid"].split() == ["100000"] * 4
    assert status["Groups"].strip() == ""


def test_other_user_of_a_user_namespace(bundle: Bundle) -> None:
    in_user_namespace(bundle).process(user={"uid": 1000, "gid": 1001, "additionalGids": [7, 8]})
    said = bundle.probe("ids")
    assert (said["uid"], said["gid"], sorted(said["groups"])) == ([1000] * 3, [1001] * 3, [7, 8])


def test_maps_are_as_given(bundle: Bundle) -> None:
    uids = [
        {"containerID": 0, "hostID": 100000, "size": 10},
        {"containerID": 10, "hostID": 300000, "size": 65526},
    ]
    gids = [{"containerID": 0, "hostID": 200000, "size": 1000}]
    said = in_user_namespace(bundle, uids, gids).run("cat", "/proc/self/uid_map", "/proc/self/gid_map").ok().stdout
    lines = [tuple(map(int, line.split())) for line in said.splitlines()]
    assert lines == [(0, 100000, 10), (10, 300000, 65526), (0, 200000, 1000)]


def test_only_one_id_is_mapped(bundle: Bundle) -> None:
    """The map of the rootless case: one id each, which is root inside."""
    one = [{"containerID": 0, "hostID": 100000, "size": 1}]
    in_user_namespace(bundle, one, one).without_mount("/dev/pts")
    assert bundle.probe("ids")["uid"] == [0, 0, 0]


def test_ownership_of_the_rootfs_is_not_changed(bundle: Bundle) -> None:
    in_user_namespace(bundle).write("/mine", "").run("true").ok()
    assert bundle.path("/mine").stat().st_uid == os.geteuid()
    assert bundle.path("/etc").stat().st_uid == os.geteuid()


def test_host_root_owns_nothing_inside(bundle: Bundle) -> None:
    in_user_namespace(bundle).write("/mine", "secret", mode=0o600)
    assert "Permission denied" in bundle.run("cat", "/mine").stderr


def test_files_made_inside_belong_to_the_mapped_ids(bundle: Bundle) -> None:
    in_user_namespace(bundle).mkdir("/shared").path("/shared").chmod(0o777)
    bundle.process(user={"uid": 5, "gid": 6}).run("touch", "/shared/file").ok()
    status = bundle.path("/shared/file").stat()
    assert (status.st_uid, status.st_gid) == (100005, 100006)


def test_capabilities_of_a_user_namespace_are_its_own(bundle: Bundle) -> None:
    """Root inside may mount in its own namespaces, and may not touch what belongs to the host."""
    in_user_namespace(bundle).capabilities("CAP_SYS_ADMIN", "CAP_SYS_TIME")
    assert bundle.run("sh", "-c", "mount -t tmpfs t /tmp && echo ok").stdout == "ok\n"
    assert bundle.probe("syscall", "164", "0", "0")["error"] == "EPERM"


def test_default_devices_work_in_a_user_namespace(bundle: Bundle) -> None:
    script = "head -c 3 /dev/zero | wc -c; echo x > /dev/null && head -c 1 /dev/urandom | wc -c"
    assert in_user_namespace(bundle).run("sh", "-c", script).ok().stdout.split() == ["3", "1"]


def test_user_namespace_without_maps_is_refused(bundle: Bundle) -> None:
    assert bundle.namespace("user").run("true").returncode == 1


@pytest.mark.parametrize("ids", [{"uid": 70000, "gid": 0}, {"uid": 0, "gid": 70000}])
def test_id_outside_of_the_maps_is_refused(bundle: Bundle, ids: dict[str, int]) -> None:
    assert in_user_namespace(bundle).process(user=ids).run("true").returncode == 1


def test_overlapping_maps_are_refused(bundle: Bundle) -> None:
    twice = [
        {"containerID": 0, "hostID": 100000, "size": 10},
        {"containerID": 5, "hostID": 200000, "size": 10},
    ]
    assert in_user_namespace(bundle, twice).run("true").returncode == 1


@pytest.mark.differs_from_runc("1.1 opens the root and the sources of mounts as the root of the user namespace")
def test_directories_closed_to_a_joined_user_namespace_are_no_obstacle(new_bundle: Callable[[], Bundle]) -> None:
    """containerd 2 makes a pod's user namespace itself, and keeps what it mounts below a directory of mode 0700."""
    holder, bundle = in_user_namespace(new_bundle()), new_bundle()
    pid = holder.process(args=["/bin/probe", "sleep"]).create().start().pid
    closed = bundle.dir / "closed"
    (closed / "shared").mkdir(parents=True)
    (closed / "shared/file").write_text("seen\n")
    closed.chmod(0o700)
    bundle.dir.chmod(0o700)
    bundle.namespace("user", f"/proc/{pid}/ns/user").linux(uidMappings=WHOLE, gidMappings=WHOLE).mkdir("/mnt")
    bundle.mount("/mnt", "bind", f"{closed}/shared", ["bind"])
    assert bundle.run("cat", "/mnt/file", "/proc/self/uid_map").ok().stdout.split() == ["seen", "0", "100000", "65536"]
