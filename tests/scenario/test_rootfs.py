"""root, maskedPaths, readonlyPaths, default and configured devices."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle

READ_ONLY = os.strerror(errno.EROFS)


def test_read_only_root(bundle: Bundle) -> None:
    result = bundle.set(root={"path": "rootfs", "readonly": True}).run("touch", "/file")
    assert READ_ONLY in result.stderr
    assert not bundle.path("/file").exists()


def test_read_only_root_leaves_mounts_writable(bundle: Bundle) -> None:
    bundle.set(root={"path": "rootfs", "readonly": True}).mount("/tmp", "tmpfs", "tmpfs")
    bundle.run("touch", "/tmp/file", "/dev/shm/file").ok()


def test_writable_root(bundle: Bundle) -> None:
    bundle.set(root={"path": "rootfs", "readonly": False}).run("touch", "/file").ok()
    assert bundle.path("/file").exists()


@pytest.mark.parametrize("absolute", [False, True])
def test_path_of_the_root(bundle: Bundle, absolute: bool) -> None:
    bundle.set(root={"path": str(bundle.rootfs) if absolute else "./rootfs"}).write("/here", "yes")
    assert bundle.run("cat", "/here", cwd="/").stdout == "yes"


def test_root_that_is_a_file_is_refused(bundle: Bundle) -> None:
    assert bundle.set(root={"path": "rootfs/etc/passwd"}).run("true").returncode == 1


def test_no_pivot(bundle: Bundle) -> None:
    bundle.write("/here", "yes").process(args=["sh", "-c", "cd ../..; pwd; cat here; ls -d /proc/self"])
    assert bundle.attempt("run", "--no-pivot").ok().stdout == "/\nyes/proc/self\n"


# masked and read-only paths


def test_masked_file_reads_as_empty(bundle: Bundle) -> None:
    bundle.write("/secret", "42").linux(maskedPaths=["/secret"])
    assert bundle.run("cat", "/secret").ok().stdout == ""


def test_masked_file_cannot_be_changed(bundle: Bundle) -> None:
    bundle.write("/secret", "42").linux(maskedPaths=["/secret"])
    bundle.run("sh", "-c", "echo x > /secret; rm -f /secret")
    assert bundle.path("/secret").read_text() == "42"


def test_masked_directory_is_empty(bundle: Bundle) -> None:
    bundle.write("/secrets/one", "42").linux(maskedPaths=["/secrets"])
    assert bundle.run("ls", "-A", "/secrets").ok().stdout == ""


def test_masked_directory_cannot_be_written(bundle: Bundle) -> None:
    bundle.mkdir("/secrets").linux(maskedPaths=["/secrets"])
    assert READ_ONLY in bundle.run("touch", "/secrets/file").stderr


def test_masks_in_proc(bundle: Bundle) -> None:
    bundle.linux(maskedPaths=["/proc/timer_list", "/proc/keys", "/proc/scsi", "/proc/fs"])
    assert bundle.run("sh", "-c", "cat /proc/timer_list /proc/keys; ls /proc/fs").ok().stdout == ""


@pytest.mark.parametrize("member", ["maskedPaths", "readonlyPaths"])
def test_path_that_does_not_exist_is_skipped(bundle: Bundle, member: str) -> None:
    bundle.linux(**{member: ["/no/such/path"]}).run("true").ok()


def test_read_only_path(bundle: Bundle) -> None:
    bundle.write("/data/file", "hello").linux(readonlyPaths=["/data"])
    result = bundle.run("sh", "-c", "cat /data/file; echo x > /data/file; touch /data/new")
    assert result.stdout == "hello"
    assert result.stderr.count(READ_ONLY) == 2
    assert bundle.path("/data/file").read_text() == "hello"


def test_read_only_file(bundle: Bundle) -> None:
    bundle.write("/file", "hello").linux(readonlyPaths=["/file"])
    assert READ_ONLY in bundle.run("sh", "-c", "echo x > /file").stderr


def test_read_only_path_in_proc(bundle: Bundle) -> None:
    bundle.linux(readonlyPaths=["/proc/sys"])
    assert READ_ONLY in bundle.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward").stderr


def test_read_only_path_keeps_its_other_flags(bundle: Bundle) -> None:
    bundle.mount("/data", "tmpfs", "tmpfs", ["nosuid", "nodev", "noexec"]).linux(readonlyPaths=["/data"])
    assert {"ro", "nosuid", "nodev", "noexec"} <= bundle.mount_at("/data").options


@pytest.mark.differs_from_runc("makes only the topmost mount of the path read-only")
def test_read_only_path_covers_nested_mounts(bundle: Bundle) -> None:
    bundle.mount("/data", "tmpfs", "tmpfs").mount("/data/nested", "tmpfs", "tmpfs").linux(readonlyPaths=["/data"])
    assert READ_ONLY in bundle.run("touch", "/data/nested/file").stderr


def test_masked_path_with_nested_mounts(bundle: Bundle) -> None:
    bundle.mount("/data", "tmpfs", "tmpfs").mount("/data/nested", "tmpfs", "tmpfs").linux(maskedPaths=["/data"])
    assert bundle.run("ls", "-A", "/data").ok().stdout == ""


# devices

DEFAULT_DEVICES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}
LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}


@pytest.mark.parametrize("umask", ["000", "077"])
def test_default_devices(bundle: Bundle, umask: str) -> None:
    paths = [f"/dev/{name}" for name in DEFAULT_DEVICES]
    wrap = ["sh", "-c", f'umask {umask}; exec "$@"', "sh"]
    found = bundle.run("/bin/probe", "stat", *paths, wrap=wrap).ok().json()
    for name, (major, minor) in DEFAULT_DEVICES.items():
        expected = {"type": "c", "major": major, "minor": minor, "mode": 0o666, "uid": 0, "gid": 0}
        assert found[f"/dev/{name}"] == expected, name


def test_default_devices_can_be_used(bundle: Bundle) -> None:
    script = """
        for name in null zero full random urandom; do head -c 1 /dev/$name >/dev/null || echo no $name; done
        echo x > /dev/null; echo x > /dev/full && echo full took it
        head -c 2 /dev/zero | wc -c
    """
    assert bundle.run("sh", "-c", script).stdout.split() == ["2"]


def test_links_in_dev(bundle: Bundle) -> None:
    said = bundle.run("sh", "-c", "for name in fd stdin stdout stderr; do readlink /dev/$name; done").ok().stdout
    assert said.split() == list(LINKS.values())


def test_ptmx_is_that_of_the_containers_devpts(bundle: Bundle) -> None:
    said = (
        bundle.run("sh", "-c", "stat -L -c '%t %T' /dev/ptmx /dev/pts/ptmx; test -r /dev/ptmx && echo ok").ok().stdout
    )
    assert said == "5 2\n5 2\nok\n"


@pytest.mark.differs_from_runc("makes the links whether or not what they name exists in the container")
def test_no_links_without_proc(bundle: Bundle) -> None:
    said = (
        bundle.without_mount("/proc").run("sh", "-c", "test -L /dev/fd || test -L /dev/stdin || echo none").ok().stdout
    )
    assert said == "none\n"


def test_dev_that_is_bound_from_elsewhere_is_left_alone(bundle: Bundle) -> None:
    """What a caller binds to /dev is the caller's: nothing is made in it."""
    (bundle.dir / "dev").mkdir()
    os.mknod(bundle.dir / "dev/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    bundle.without_mount("/dev", "/dev/pts", "/dev/shm").mount("/dev", "bind", "dev", ["bind"])
    assert bundle.run("ls", "/dev").ok().stdout == "null\n"


CONFIGURED: list[dict[str, Any]] = [
    {"path": "/dev/char", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 7, "gid": 8},
    {"path": "/dev/block", "type": "b", "major": 7, "minor": 0, "fileMode": 0o600, "uid": 0, "gid": 6},
    {"path": "/dev/fifo", "type": "p", "fileMode": 0o622, "uid": 1, "gid": 2},
    {"path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 3, "fileMode": 0o666, "uid": 0, "gid": 0},
    {
        "path": "/elsewhere/deep/char",
        "type": "c",
        "major": 1,
        "minor": 7,
        "fileMode": 0o666,
        "uid": 0,
        "gid": 0,
    },
]


@pytest.mark.parametrize("device", CONFIGURED, ids=lambda device: device["path"])
def test_configured_device(bundle: Bundle, device: dict[str, Any]) -> None:
    found = bundle.linux(devices=[device]).probe("stat", device["path"])[device["path"]]
    kind = {"u": "c"}.get(device["type"], device["type"])
    number = (device.get("major", 0), device.get("minor", 0))
    assert (found["type"], found["major"], found["minor"]) == (kind, *number)
    assert (found["mode"], found["uid"], found["gid"]) == (device["fileMode"], device["uid"], device["gid"])


def test_configured_device_replaces_a_default_one(bundle: Bundle) -> None:
    device = {"path": "/dev/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o600, "uid": 1, "gid": 2}
    found = bundle.linux(devices=[device]).probe("stat", "/dev/zero")["/dev/zero"]
    assert (found["mode"], found["uid"], found["gid"]) == (0o600, 1, 2)


def test_device_that_is_there_already(bundle: Bundle) -> None:
    os.mknod(bundle.path("/null"), 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    device = {"path": "/null", "type": "c", "major": 1, "minor": 3}
    bundle.linux(devices=[device]).run("true").ok()


@pytest.mark.differs_from_runc(
    "takes whatever is there for the device (config-linux.md#devices: MUST generate an error)"
)
@pytest.mark.parametrize("kind", ["file", "directory", "other-device", "fifo"])
def test_something_else_where_a_device_belongs_is_refused(bundle: Bundle, kind: str) -> None:
    path = bundle.path("/device")
    if kind == "file":
        path.write_text("")
    elif kind == "directory":
        path.mkdir()
    else:
        os.mknod(path, 0o666 | (stat.S_IFIFO if kind == "fifo" else stat.S_IFCHR), os.makedev(1, 5))
    assert bundle.linux(devices=[{"path": "/device", "type": "c", "major": 1, "minor": 3}]).run("true").returncode == 1


@pytest.mark.parametrize(
    "device",
    [
        pytest.param(
            {"type": "c", "major": 1, "minor": 3},
            marks=pytest.mark.differs_from_runc("ignores a device without a path"),
        ),
        {"path": "/dev/x", "major": 1},
        {"path": "/dev/x", "type": "q"},
    ],
    ids=["no-path", "no-type", "unknown-type"],
)
def test_incomplete_device_is_refused(bundle: Bundle, device: dict[str, Any]) -> None:
    assert bundle.linux(devices=[device]).run("true").returncode == 1
