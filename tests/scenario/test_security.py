"""Hostile images: links, files and descriptors that lead out of the rootfs. Numbers in docstrings name the
published holes.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario.console import read_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scenario.bundle import Bundle

CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")


class Outside:
    """A directory of the host that a hostile image would like to reach; `touched` lists what has changed
    in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in ("ptmx", "null", "console", "marker"):
            (folder / name).write_text("host")
        (folder / "deep").mkdir()
        self._before = self._look()

    def _look(self) -> dict[str, tuple[int, ...]]:
        paths = [self.folder, *self.folder.rglob("*")]
        return {
            str(path): (s.st_mode, s.st_uid, s.st_size, s.st_mtime_ns, s.st_rdev)
            for path in paths
            for s in [path.lstat()]
        }

    def touched(self) -> list[str]:
        after = self._look()
        return sorted(path for path in {*self._before, *after} if self._before.get(path) != after.get(path))


@pytest.fixture
def outside(bundle: Bundle) -> Outside:
    return Outside(bundle.dir / "outside")


# /proc and /sys (CVE-2019-16884, CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2025-54867)


@pytest.mark.parametrize("point", ["/proc", "/sys"])
@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
def test_link_where_proc_or_sys_belongs_is_refused(bundle: Bundle, outside: Outside, point: str, inside: bool) -> None:
    bundle.mkdir("/elsewhere").symlink(point, "/elsewhere" if inside else str(outside.folder))
    if point == "/sys":
        bundle.mount("/sys", "sysfs", "sysfs", ["ro"])
    assert bundle.run("true").returncode == 1
    assert outside.touched() == []


PROC_POINTS = ["/proc", "/proc/self/attr", "/proc/sys/net", "/proc/1"]
TMPFS_ON_PROC = "lets a tmpfs cover parts of /proc"


@pytest.mark.parametrize("point", PROC_POINTS)
def test_bind_mount_on_proc_is_refused(bundle: Bundle, outside: Outside, point: str) -> None:
    assert bundle.mount(point, "bind", str(outside.folder), ["bind"]).run("true").returncode == 1


@pytest.mark.parametrize(
    "point",
    [
        *("/proc", "/proc/1"),
        pytest.param("/proc/self/attr", marks=pytest.mark.differs_from_runc(TMPFS_ON_PROC)),
        pytest.param("/proc/sys/net", marks=pytest.mark.differs_from_runc(TMPFS_ON_PROC)),
    ],
)
def test_tmpfs_on_proc_is_refused(bundle: Bundle, point: str) -> None:
    assert bundle.mount(point, "tmpfs", "tmpfs").run("true").returncode == 1


@pytest.mark.differs_from_runc(TMPFS_ON_PROC)
def test_link_to_proc_is_no_way_around(bundle: Bundle) -> None:
    bundle.symlink("/innocent", "/proc/self").mount("/innocent/attr", "tmpfs", "tmpfs")
    assert bundle.run("true").returncode == 1


def test_sysctl_lands_in_the_real_file(bundle: Bundle) -> None:
    """CVE-2025-52881: whatever the container mounts, a value is written where it belongs or create fails."""
    bundle.mount("/other", "proc", "proc").symlink("/data", "/proc/sys/net").linux(sysctl={"net.ipv4.ip_forward": "1"})
    before = CORE_PATTERN.read_text()
    assert bundle.run("cat", "/other/sys/net/ipv4/ip_forward").ok().stdout == "1\n"
    assert CORE_PATTERN.read_text() == before


# /dev (CVE-2025-31133, CVE-2025-52565, CVE-2025-62161, CVE-2026-41579, CVE-2026-47766, CVE-2026-88264,
# CVE-2026-88265)


def with_bare_dev(bundle: Bundle) -> Bundle:
    """No mount on /dev: the image's own directory is used, as engines without an init layer do."""
    return bundle.without_mount("/dev", "/dev/pts", "/dev/shm")


@pytest.mark.parametrize("mounted", [False, True], ids=["bare", "mounted"])
@pytest.mark.differs_from_runc("makes nodes and links in the host's directory (CVE-2026-41579)")
def test_dev_that_links_to_the_host(bundle: Bundle, outside: Outside, mounted: bool) -> None:
    if not mounted:
        with_bare_dev(bundle)
    bundle.symlink("/dev", str(outside.folder)).run("true")
    assert outside.touched() == []


@pytest.mark.parametrize("name", ["null", "ptmx", "fd", "stdin", "zero", "pts", "shm"])
def test_link_below_dev_to_the_host(bundle: Bundle, outside: Outside, name: str) -> None:
    with_bare_dev(bundle).symlink(f"/dev/{name}", str(outside.folder / "marker")).run("true")
    assert outside.touched() == []


def make_link_to_sysctl(path: Path) -> None:
    """The real attack names core_pattern. This one belongs to the container's own network namespace: a
    hole harms nobody.
    """
    path.symlink_to("/proc/sys/net/ipv4/ip_forward")


def make_link_to_marker(path: Path) -> None:
    path.symlink_to(path.parent.parent.parent / "outside/marker")


def make_file(path: Path) -> None:
    path.write_text("not a device")


def make_other_device(path: Path) -> None:
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))


def make_block_device(path: Path) -> None:
    os.mknod(path, 0o666 | stat.S_IFBLK, os.makedev(1, 3))


MASK_BY_PATH = "masks with whatever lies at /dev/null (CVE-2025-31133)"


def differs(make: Callable[[Path], None]) -> Any:
    return pytest.param(make, marks=pytest.mark.differs_from_runc(MASK_BY_PATH))


@pytest.mark.parametrize(
    "make",
    [
        make_link_to_marker,
        make_block_device,
        differs(make_link_to_sysctl),
        differs(make_file),
        differs(make_other_device),
    ],
)
def test_false_null_is_no_mask(bundle: Bundle, outside: Outside, make: Callable[[Path], None]) -> None:
    """Refusing is right, and so is masking with a null device of one's own. The exit code tells: streams
    might be misled too.
    """
    make(bundle.path("/dev/null"))
    bundle.process(args=["sh", "-c", "test -n \"$(head -c 9 /secret | tr '\\0' x)\""])
    assert with_bare_dev(bundle).write("/secret", "42").linux(maskedPaths=["/secret"]).run().returncode == 1
    assert outside.touched() == []


def test_false_console(bundle: Bundle, outside: Outside) -> None:
    for name in ("console", "new-console"):
        with_bare_dev(bundle).mount("/dev/pts", "devpts", "devpts", ["newinstance", "ptmxmode=0666"])
        bundle.symlink("/dev/console", str(outside.folder / name)).process(args=["true"], terminal=True)
        with bundle.console() as console:
            created = bundle.attempt("create", "--console-socket", console.path)
            if created.returncode == 0:
                bundle.start()
                read_terminal(console.master())
                bundle.delete("--force")
        os.unlink(console.path)
    assert outside.touched() == []


def test_standard_streams_do_not_lead_to_a_false_null(bundle: Bundle, outside: Outside) -> None:
    """CVE-2026-88265: streams that are the host's /dev/null are opened anew inside."""
    with_bare_dev(bundle).symlink("/dev/null", str(outside.folder / "marker"))
    bundle.execute(
        [
            "sh",
            "-c",
            'exec "$@" </dev/null >/dev/null 2>&1',
            "sh",
            *bundle.process(args=["echo", "x"]).save().command("run"),
        ]
    )
    assert outside.touched() == []


# mount destinations (CVE-2019-18837, CVE-2021-30465, CVE-2024-45310)


@pytest.mark.parametrize(
    "destination", ["/link/new/deep", "/link/marker", "/link", "/up/new", "/../../../../{dir}/outside/new"]
)
def test_destination_stays_in_the_rootfs(bundle: Bundle, outside: Outside, destination: str) -> None:
    (bundle.dir / "source").mkdir()
    bundle.symlink("/link", str(outside.folder)).symlink("/up", "../../outside")
    bundle.mount(destination.format(dir=bundle.dir), "bind", "source", ["bind"]).run("true")
    assert outside.touched() == []


def test_source_that_an_earlier_mount_hides_is_not_followed(bundle: Bundle, outside: Outside) -> None:
    bundle.mount("/a", "tmpfs", "tmpfs").symlink("/b", "/a/../../../outside").mount("/b/x", "tmpfs", "tmpfs").run(
        "true"
    )
    assert outside.touched() == []


@pytest.mark.parametrize("member", ["maskedPaths", "readonlyPaths"])
def test_masked_and_read_only_paths_stay_in_the_rootfs(bundle: Bundle, outside: Outside, member: str) -> None:
    bundle.symlink("/link", str(outside.folder)).linux(**{member: ["/link", "/link/marker"]}).run("true")
    assert outside.touched() == []
    (outside.folder / "marker").write_text("still writable")


def test_device_stays_in_the_rootfs(bundle: Bundle, outside: Outside) -> None:
    bundle.symlink("/link", str(outside.folder))
    bundle.linux(devices=[{"path": "/link/device", "type": "c", "major": 1, "minor": 3}]).run("true")
    assert outside.touched() == []


# cwd and descriptors (CVE-2024-21626)


def leak(bundle: Bundle) -> list[str | Path]:
    return [bundle.template.probe, "leak", "3", "20", str(bundle.dir)]


LOOK_OUT = "ls config.json; ls ../config.json; cat /proc/self/cwd/config.json; exit 0"


@pytest.mark.parametrize("number", range(3, 21))
def test_cwd_cannot_be_a_leaked_descriptor(bundle: Bundle, number: int) -> None:
    result = bundle.process(cwd=f"/proc/self/fd/{number}").run("/bin/sh", "-c", LOOK_OUT, wrap=leak(bundle))
    assert result.stdout == ""


@pytest.mark.parametrize("number", [3, 5, 7, 9])
def test_cwd_cannot_link_to_a_leaked_descriptor(bundle: Bundle, number: int) -> None:
    bundle.symlink("/work", f"/proc/self/fd/{number}").process(cwd="/work/rootfs")
    assert bundle.run("/bin/sh", "-c", LOOK_OUT, wrap=leak(bundle)).stdout == ""


@pytest.mark.parametrize("number", [3, 7, 8])
def test_program_cannot_be_reached_through_a_leaked_descriptor(bundle: Bundle, number: int) -> None:
    (bundle.dir / "tool").write_text("#!/bin/sh\necho out\n")
    (bundle.dir / "tool").chmod(0o755)
    assert bundle.run(f"/proc/self/fd/{number}/tool", wrap=leak(bundle)).stdout == ""


def test_no_descriptor_of_the_host_shows_while_the_container_waits(bundle: Bundle) -> None:
    """CVE-2016-9962: what init holds before the program runs is seen by whoever shares its pid namespace."""
    pid = bundle.create(wrap=leak(bundle)).pid
    root = os.stat(f"/proc/{pid}/root")
    for name in os.listdir(f"/proc/{pid}/fd"):
        target = os.stat(f"/proc/{pid}/fd/{name}")
        assert not stat.S_ISDIR(target.st_mode) or target.st_dev == root.st_dev != os.stat("/").st_dev, name


# terminals


def test_callers_terminal_cannot_be_typed_into(bundle: Bundle) -> None:
    """CVE-2017-5226: TIOCSTI."""
    master, slave = os.openpty()
    bundle.process(args=["/bin/probe", "tiocsti"]).save()
    result = bundle.execute(bundle.command("run"), stdin_fd=slave)
    os.close(slave)
    os.close(master)
    assert result.ok().json()["error"]


# programs of the image


@pytest.mark.requires("userns")
def test_programs_of_the_image_are_not_run_as_helpers(bundle: Bundle) -> None:
    """CVE-2026-84042: helpers are those of the host."""
    for folder in ("/bin", "/usr/bin", "/sbin", "/usr/sbin"):
        for name in (
            "newuidmap",
            "newgidmap",
            "ps",
            "ip",
            "criu",
            "mount",
            "python3",
            "runc",
            "pyrunc",
            "ldconfig",
            "gcc",
        ):
            bundle.write(f"{folder}/{name}", "#!/bin/busybox sh\n/bin/busybox touch /helper-was-run\n", mode=0o755)
    whole = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    bundle.rootfs.chmod(0o777)
    bundle.namespace("user").linux(uidMappings=whole, gidMappings=whole).run("true").ok()
    assert not bundle.path("/helper-was-run").exists()
