""".mounts: every option on tmpfs and on bind mounts, seen in mountinfo from inside; order, sources,
destinations.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from tests.scenario.host import parse_mountinfo

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle
    from tests.scenario.host import Mount

# option -> what must be among the options of the mount (+) or of the file system (s), and what must not (-)
FLAGS = {
    "ro": "+ro -rw",
    "rw": "+rw -ro",
    "nosuid": "+nosuid",
    "suid": "-nosuid",
    "nodev": "+nodev",
    "dev": "-nodev",
    "noexec": "+noexec",
    "exec": "-noexec",
    "noatime": "+noatime -relatime",
    "nodiratime": "+nodiratime",
    "relatime": "+relatime -noatime",
    "strictatime": "-relatime -noatime",
    "atime": "-noatime",
    "diratime": "-nodiratime",
    "norelatime": "-noatime",
    "nostrictatime": "+relatime",
    "nosymfollow": "+nosymfollow",
    "symfollow": "-nosymfollow",
    "loud": "+rw",
    "silent": "+rw",
    "iversion": "+rw",
    "noiversion": "+rw",
    "async": "+rw",
    "mand": "+rw",
    "nomand": "+rw",
    "defaults": "+rw -nosuid -nodev -noexec",
}
SYSTEM_FLAGS = {"sync": "ssync", "dirsync": "sdirsync", "lazytime": "slazytime", "nolazytime": "+rw"}
PROPAGATION = {
    "private": "",
    "rprivate": "",
    "slave": "",
    "rslave": "",
    "shared": "shared",
    "rshared": "shared",
}
UNBINDABLE = {"unbindable": "unbindable", "runbindable": "unbindable"}


def holds(mount: Mount, expected: str) -> bool:
    """Judge a mount by a row of the tables above."""
    judge = {
        "+": lambda flag: flag in mount.options,
        "-": lambda flag: flag not in mount.options,
        "s": lambda flag: flag in mount.super_options,
    }
    return all(judge[word[0]](word[1:]) for word in expected.split())


def differs(option: str, why: str) -> object:
    return pytest.param(option, marks=pytest.mark.differs_from_runc(why))


@pytest.mark.parametrize(
    "option",
    [
        *(FLAGS.keys() - {"defaults"}),
        *SYSTEM_FLAGS,
        differs("defaults", "hands `defaults` to the file system, which refuses it"),
    ],
)
def test_option_on_tmpfs(bundle: Bundle, option: str) -> None:
    mount = bundle.mount("/mnt", "tmpfs", "tmpfs", [option]).mount_at("/mnt")
    assert mount.fstype == "tmpfs"
    assert holds(mount, {**FLAGS, **SYSTEM_FLAGS}[option]), mount


@pytest.mark.parametrize("option", [*FLAGS, *SYSTEM_FLAGS])
def test_option_on_a_bind_mount(bundle: Bundle, option: str) -> None:
    """Flags of the file system, such as sync, are not a bind mount's to change: they must only be
    understood.
    """
    (bundle.dir / "data").mkdir()
    mount = bundle.mount("/mnt", "bind", "data", ["bind", option]).mount_at("/mnt")
    assert holds(mount, FLAGS.get(option, "+rw")), mount


@pytest.mark.parametrize("option", [*PROPAGATION, *UNBINDABLE])
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_propagation_option(bundle: Bundle, kind: str, option: str) -> None:
    (bundle.dir / "data").mkdir()
    bundle.mount("/mnt", kind, "data", ["bind", option] if kind == "bind" else [option])
    expected = {**PROPAGATION, **UNBINDABLE}[option]
    assert [tag.split(":")[0] for tag in bundle.mount_at("/mnt").propagation] == ([expected] if expected else [])


@pytest.mark.parametrize("options", [["bind", "ro"], ["rbind", "ro"], ["ro", "bind"]])
def test_read_only_bind_cannot_be_written(bundle: Bundle, options: list[str]) -> None:
    (bundle.dir / "data").mkdir()
    result = bundle.mount("/mnt", "bind", "data", options).run("touch", "/mnt/file")
    assert result.returncode != 0
    assert os.strerror(errno.EROFS) in result.stderr


def test_last_of_contradicting_options_wins(bundle: Bundle) -> None:
    mount = bundle.mount("/mnt", "tmpfs", "tmpfs", ["ro", "rw", "exec", "noexec"]).mount_at("/mnt")
    assert holds(mount, "+rw +noexec -ro")


def test_several_flags_at_once(bundle: Bundle) -> None:
    (bundle.dir / "data").mkdir()
    mount = bundle.mount("/mnt", "bind", "data", ["rbind", "nosuid", "nodev", "noexec", "ro", "noatime"]).mount_at(
        "/mnt"
    )
    assert holds(mount, "+nosuid +nodev +noexec +ro +noatime")


def test_remount_changes_a_mount_that_is_there(bundle: Bundle) -> None:
    bundle.mount("/mnt", "tmpfs", "tmpfs").mount("/mnt", "tmpfs", "tmpfs", ["remount", "nosuid"])
    mounts = [mount for mount in bundle.mounted() if mount.point == "/mnt"]
    assert len(mounts) == 1
    assert holds(mounts[0], "+nosuid")


# options with `r`: the whole tree below a bind mount

RECURSIVE = {
    "rro": "+ro",
    "rrw": "+rw",
    "rnosuid": "+nosuid",
    "rsuid": "-nosuid",
    "rnodev": "+nodev",
    "rdev": "-nodev",
    "rnoexec": "+noexec",
    "rexec": "-noexec",
    "rnodiratime": "+nodiratime",
    "rdiratime": "-nodiratime",
    "rrelatime": "+relatime",
    "rnorelatime": "-noatime",
    "rnoatime": "+noatime -relatime",
    "ratime": "-noatime",
    "rstrictatime": "-relatime -noatime",
    "rnostrictatime": "+relatime",
    "rnosymfollow": "+nosymfollow",
    "rsymfollow": "-nosymfollow",
}
BROKEN_ATIME = "clears the wrong attribute bits and gets EINVAL (mended in 1.4.1)"
# The first mount and the one nested in it start with the opposite of what is asked for, so that a change
# shows.
NESTED_MOUNTS = """
    mount -t tmpfs -o nosuid,nodev,noexec,nodiratime,nosymfollow t "$0" && mkdir "$0/sub" &&
    mount -t tmpfs -o nosuid,nodev,noexec,nodiratime,nosymfollow t "$0/sub" && exec "$@"
"""


def with_nested_mounts(bundle: Bundle) -> list[str]:
    """Wrap the runtime: it runs in a mount namespace where the bundle's `data` is a mount with another
    below it.
    """
    folder = bundle.dir / "data"
    folder.mkdir()
    return ["unshare", "-m", "sh", "-c", NESTED_MOUNTS, str(folder)]


@pytest.mark.parametrize(
    "option",
    [
        *(RECURSIVE.keys() - {"ratime", "rnostrictatime"}),
        *(differs(option, BROKEN_ATIME) for option in ("ratime", "rnostrictatime")),
    ],
)
def test_recursive_option(bundle: Bundle, option: str) -> None:
    bundle.mount("/mnt", "bind", "data", ["rbind", option])
    said = bundle.run("cat", "/proc/self/mountinfo", wrap=with_nested_mounts(bundle)).ok().stdout
    tree = [mount for mount in parse_mountinfo(said) if mount.point.startswith("/mnt")]
    assert [mount.point for mount in tree] == ["/mnt", "/mnt/sub"]
    assert all(holds(mount, RECURSIVE[option]) for mount in tree), tree


def test_plain_ro_leaves_nested_mounts_writable(bundle: Bundle) -> None:
    bundle.mount("/mnt", "bind", "data", ["rbind", "ro"])
    script = "touch /mnt/x || touch /mnt/sub/x && echo nested"
    assert bundle.run("sh", "-c", script, wrap=with_nested_mounts(bundle)).stdout == "nested\n"


def test_bind_leaves_nested_mounts_out(bundle: Bundle) -> None:
    bundle.mount("/mnt", "bind", "data", ["bind"])
    assert "/mnt/sub" not in bundle.run("cat", "/proc/self/mountinfo", wrap=with_nested_mounts(bundle)).ok().stdout


# sources, destinations, types, order


def test_relative_source_is_below_the_bundle(bundle: Bundle) -> None:
    (bundle.dir / "data").mkdir()
    (bundle.dir / "data/file").write_text("hello")
    assert bundle.mount("/mnt", "bind", "data", ["bind"]).run("cat", "/mnt/file", cwd="/").stdout == "hello"


def test_relative_destination_is_below_the_root(bundle: Bundle) -> None:
    assert bundle.mount("data/deep", "tmpfs", "tmpfs").mount_at("/data/deep").fstype == "tmpfs"


def test_missing_destination_is_made(bundle: Bundle) -> None:
    bundle.mount("/a/b/c", "tmpfs", "tmpfs").mount_at("/a/b/c")
    assert bundle.path("/a/b/c").is_dir()


def test_file_is_bound_on_a_file_that_is_made(bundle: Bundle) -> None:
    (bundle.dir / "file").write_text("hello")
    assert bundle.mount("/a/file", "bind", "file", ["bind"]).run("cat", "/a/file").stdout == "hello"


@pytest.mark.parametrize("kind", ["", "none", "bind", "dummy"])
def test_type_of_a_bind_mount_does_not_matter(bundle: Bundle, kind: str) -> None:
    (bundle.dir / "file").write_text("hello")
    assert bundle.mount("/file", kind, str(bundle.dir / "file"), ["bind"]).run("cat", "/file").stdout == "hello"


def test_type_bind_without_the_option_is_no_bind_mount(bundle: Bundle) -> None:
    (bundle.dir / "data").mkdir()
    assert bundle.mount("/mnt", "bind", str(bundle.dir / "data"), ["ro"]).run("true").returncode == 1


def test_mounts_are_made_in_order(bundle: Bundle) -> None:
    (bundle.dir / "file").write_text("hello")
    bundle.mount("/mnt", "tmpfs", "tmpfs").mount("/mnt/file", "bind", "file", ["bind"])
    assert bundle.run("cat", "/mnt/file").stdout == "hello"


def test_later_mount_hides_an_earlier_one(bundle: Bundle) -> None:
    (bundle.dir / "file").write_text("hello")
    bundle.mount("/mnt/file", "bind", "file", ["bind"]).mount("/mnt", "tmpfs", "tmpfs")
    assert bundle.run("ls", "/mnt").ok().stdout == ""


def test_other_options_go_to_the_file_system(bundle: Bundle) -> None:
    bundle.mount("/mnt", "tmpfs", "tmpfs", ["nosuid", "size=1m", "mode=711"])
    assert bundle.run("sh", "-c", "stat -c %a /mnt; df -k /mnt | tail -n 1").ok().stdout.split()[:3] == [
        "711",
        "tmpfs",
        "1024",
    ]


def test_tmpcopyup_keeps_what_was_there(bundle: Bundle) -> None:
    bundle.write("/data/file", "hello", mode=0o640).symlink("/data/link", "file").mkdir("/data/empty")
    bundle.mount("/data", "tmpfs", "tmpfs", ["tmpcopyup"])
    said = (
        bundle.run(
            "sh",
            "-c",
            "ls /data; readlink /data/link; stat -c %a /data/file; cat /data/file; echo > /data/new",
        )
        .ok()
        .stdout
    )
    assert said == "empty\nfile\nlink\nfile\n640\nhello"
    assert not bundle.path("/data/new").exists()


@pytest.mark.parametrize("kind", ["mqueue", "sysfs", "proc", "devpts"])
def test_kernel_file_system(bundle: Bundle, kind: str) -> None:
    bundle.without_mount("/proc", "/dev/pts")
    point = {"mqueue": "/dev/mqueue", "sysfs": "/sys", "proc": "/proc", "devpts": "/dev/pts"}[kind]
    bundle.mount("/proc", "proc", "proc") if kind != "proc" else None
    assert bundle.mount(point, kind, kind, ["nosuid"]).mount_at(point).fstype == kind


@pytest.mark.requires("overlay")
def test_overlay(bundle: Bundle) -> None:
    for name in ("lower", "upper", "work"):
        (bundle.dir / name).mkdir()
    (bundle.dir / "lower/file").write_text("hello")
    layers = [
        f"{key}={bundle.dir}/{name}"
        for key, name in (("lowerdir", "lower"), ("upperdir", "upper"), ("workdir", "work"))
    ]
    bundle.mount("/mnt", "overlay", "overlay", layers)
    assert bundle.run("sh", "-c", "cat /mnt/file; echo new > /mnt/new").ok().stdout == "hello"
    assert (bundle.dir / "upper/new").read_text() == "new\n"


@pytest.mark.requires("cgroup1-memory")
@pytest.mark.parametrize("private", [False, True], ids=["host-cgroupns", "own-cgroupns"])
def test_cgroup_v1_mount_has_a_directory_per_controller(bundle: Bundle, private: bool) -> None:
    bundle.mount("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev", "ro"])
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "relatime", "ro"])
    if private:
        bundle.namespace("cgroup")
    script = """
        ls /sys/fs/cgroup; echo -; cat /sys/fs/cgroup/memory/cgroup.procs | head -n 1
        mkdir /sys/fs/cgroup/memory/x 2>/dev/null || echo read-only
    """
    names, _, rest = bundle.run("sh", "-c", script).ok().stdout.partition("-\n")
    assert {"cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer", "blkio"} <= set(names.split())
    assert rest.split() == ["1", "read-only"]


@pytest.mark.requires("cgroup1-memory")
@pytest.mark.differs_from_runc("leaves the tmpfs that holds the controllers writable")
def test_cgroup_v1_mount_is_read_only_at_its_top(bundle: Bundle) -> None:
    bundle.mount("/sys", "sysfs", "sysfs", ["ro"]).mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro"])
    assert bundle.run("touch", "/sys/fs/cgroup/x").returncode == 1


# id-mapped mounts


@pytest.mark.requires("userns")
@pytest.mark.differs_from_runc("id-mapped mounts are newer than runc 1.1.5")
def test_idmapped_bind_mount(bundle: Bundle) -> None:
    (bundle.dir / "data").mkdir()
    (bundle.dir / "data/file").write_text("hello")
    ids = [{"containerID": os.geteuid(), "hostID": 1234, "size": 1}]
    bundle.mount("/mnt", "bind", "data", ["bind", "idmap"], uidMappings=ids, gidMappings=ids)
    assert bundle.run("stat", "-c", "%u %g", "/mnt/file").ok().stdout == "1234 1234\n"


@pytest.mark.differs_from_runc("id-mapped mounts are newer than runc 1.1.5")
@pytest.mark.parametrize(
    "members", [{"uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}]}, {}], ids=["one-map", "no-map"]
)
def test_incomplete_idmap_is_refused(bundle: Bundle, members: dict[str, list[dict[str, int]]]) -> None:
    (bundle.dir / "data").mkdir()
    assert bundle.mount("/mnt", "bind", "data", ["bind", "idmap"], **members).run("true").returncode == 1
