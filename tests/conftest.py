"""Options and markers of all tests.

`--runtime` chooses what the scenario tests drive; `requires` names what a test needs of the host;
`differs_from_runc` is the ledger of expectations that runc does not meet.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import lanes
from tools.image import obstacle

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).resolve().parent.parent
# The schemas and test documents of runtime-spec: data that is not part of this repository.
OFFICIAL = REPOSITORY.parent / "shared/oci/schema"

MARKERS = (
    "requires(*names): features of the host that the test needs; skipped without, and fails in CI",
    "differs_from_runc(reason, strict=True): with --runtime=runc the test must fail, for this reason",
    "vm(*users): the test runs in the VM lane too, as root, or as what is named of root and user (tests/lanes.py)",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare our options."""
    parser.addoption(
        "--runtime", metavar="PATH", help="runtime that the scenario tests drive: a path or a name in PATH"
    )
    parser.addoption("--lane", choices=lanes.LANES, help="only the tests of the VM lane, in the VM")
    parser.addoption("--part", metavar="N/COUNT", default="1/1", help="only this part of the tests")


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and refuse a `--runtime` that is not there before any test is collected."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    asked = config.getoption("--runtime")
    if asked and (not (found := shutil.which(asked)) or not name_of_runtime(found)):
        raise pytest.UsageError(
            f"--runtime={asked}: no such runtime (looked for a program that answers --version)"
        )


def default_runtime() -> str:
    """Return the runtime of this checkout, else the one in PATH."""
    return shutil.which(REPOSITORY / ".venv/bin/pyrunc") or shutil.which("pyrunc") or ""


def name_of_runtime(path: str) -> str:
    """Return the first word that `--version` prints, or "" if the program does not speak like a runtime."""
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    words = said.split()
    return words[0] if words[1:2] == ["version"] else ""


@pytest.fixture(scope="session")
def runtime(pytestconfig: pytest.Config) -> str:
    """Absolute path of the runtime under test."""
    asked = pytestconfig.getoption("--runtime")
    found = shutil.which(asked) if asked else default_runtime()
    if not found:
        pytest.fail("no pyrunc to test: run `make`, or give --runtime=PATH")
    return os.path.abspath(found)


@pytest.fixture(scope="session")
def runtime_name(runtime: str) -> str:
    """What the runtime calls itself: pyrunc, runc, crun."""
    return name_of_runtime(runtime)


@functools.cache
def _asked_name(asked: str) -> str:
    return name_of_runtime(shutil.which(asked) or asked)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose the tests; turn differs_from_runc into a strict xfail when it is runc that is being driven."""
    lanes.choose(config, items)
    asked = config.getoption("--runtime")
    if not asked or _asked_name(asked) != "runc":
        return
    for item in items:
        for marker in item.iter_markers("differs_from_runc"):
            strict = marker.kwargs.get("strict", True)
            item.add_marker(pytest.mark.xfail(reason=f"runc: {marker.args[0]}", strict=strict))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or fail in CI, a test whose host lacks what it requires."""
    names = lanes.requirements(item)
    missing = [name for name in names if not host_has(name)]
    if not item.config.getoption("--lane") and lanes.sends_away(item, missing):
        pytest.skip(f"runs in the VM lane (make test-vm): this host lacks {', '.join(missing)}")
    demand(*names)


def demand(*names: str) -> None:
    """Skip the running test, or fail it in CI, unless the host has all these features."""
    missing = [name for name in names if not host_has(name)]
    if missing and os.environ.get("PYRUNC_CI"):
        pytest.fail(f"this host lacks {', '.join(missing)}, and PYRUNC_CI allows no gaps", pytrace=False)
    if missing:
        pytest.skip(f"this host lacks {', '.join(missing)}")


@functools.cache
def host_has(name: str) -> bool:
    """Tell whether the host has a feature, by trying it; `cgroup1-X` and `cgroup2-X` want controller X.

    `cgroup-X` is content with either, X being the name on v1.

    Raises KeyError for a name that no probe knows: a misspelt requirement must not skip for ever.
    """
    version, _, controller = name.partition("-")
    if version == "cgroup" and controller:
        return host_has(f"cgroup1-{controller}") or host_has(f"cgroup2-{NAMES_ON_V2.get(controller, controller)}")
    if controller and version in CGROUP_TYPES:
        return _can_make_cgroup(CGROUP_TYPES[version], controller)
    return PROBES[name]()


def _works(*command: str, user: int | None = None) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=30, check=False, cwd="/", user=user)
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _can_make_cgroup(fstype: str, controller: str) -> bool:
    """Make and remove a cgroup in the hierarchy that has the controller."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.split()[0] == fstype and controller in _controllers(fields.split()[4], rest):
            try:
                os.rmdir(tempfile.mkdtemp(prefix="pyrunc-probe-", dir=fields.split()[4]))
            except OSError:
                return False
            return True
    return False


def _controllers(mount: str, rest: str) -> list[str]:
    if rest.startswith("cgroup2"):
        return Path(mount, "cgroup.controllers").read_text().split()
    return rest.split()[2].split(",")


def _has_own_cgroup() -> bool:
    """Tell whether we are an ordinary user whom systemd lets make cgroups below our own, on plain v2."""
    if os.geteuid() == 0 or not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return False
    own = Path("/proc/self/cgroup").read_text().strip().removeprefix("0::")
    return os.access(f"/sys/fs/cgroup{own}/cgroup.procs", os.W_OK)


def _is_on_a_disk() -> bool:
    """Tell whether the root file system is on a block device, whose traffic can be counted and throttled."""
    number = os.stat("/").st_dev
    return os.path.exists(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")


def _can_compile() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("int main(void) { return 0; }\n")
        return _works("gcc", "-static", "-o", f"{folder}/probe", str(source)) and _works(f"{folder}/probe")


def _can_make_image() -> bool:
    """A python that launcher/image.c knows, with its archive, which comes with the headers."""
    return not obstacle() and _can_compile()


def _has_seccomp() -> bool:
    """A filter at address 0 is EFAULT where the kernel knows filters, EINVAL where it does not."""
    libc = ctypes.CDLL(None, use_errno=True)
    set_seccomp, mode_filter = 22, 2
    return libc.prctl(set_seccomp, mode_filter, None, 0, 0) == -1 and ctypes.get_errno() == errno.EFAULT


def _can_map_overlay() -> bool:
    """Layers that are attached nowhere are taken since 6.15."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int(minor)) >= (6, 15)


def _has_landlock() -> bool:
    """landlock_create_ruleset(2) with LANDLOCK_CREATE_RULESET_VERSION: the same number on all architectures."""
    create_ruleset, version = 444, 1
    return bool(ctypes.CDLL(None, use_errno=True).syscall(create_ruleset, None, 0, version) > 0)


def _are_packaged(*programs: str) -> bool:
    """The distribution's own: tests/engines looks nowhere else."""
    return all(shutil.which(program, path="/usr/sbin:/usr/bin") for program in programs)


def _reaches_debian() -> bool:
    """Ask for the lists of packages, as bundles/rootfs.py would before it installs."""
    unshare = ("unshare", "--mount", "--propagation", "private")
    tool = ("mmdebstrap", "--simulate", "--variant=essential", "stable")
    with tempfile.TemporaryDirectory() as folder:
        return _works(*unshare, *tool, folder, "http://deb.debian.org/debian")


def _has_pty() -> bool:
    try:
        for fd in os.openpty():
            os.close(fd)
    except OSError:
        return False
    return True


def _can_mount_overlay() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        script = (
            'cd "$0" && mount -t tmpfs t . && cd "$0" && mkdir l u w m'
            " && mount -t overlay -o lowerdir=l,upperdir=u,workdir=w o m"
        )
        return _works("unshare", "-m", "sh", "-c", script, folder)


def _can_save_network() -> bool:
    """Have criu write down a program in a network namespace of its own; not every criu knows every kernel's."""
    script = (
        'cd "$0" && { setsid unshare -n sleep 60 </dev/null >/dev/null 2>&1 & }'
        " && sleep 0.3 && criu dump --tree $! --images-dir . --empty-ns net"
    )
    with tempfile.TemporaryDirectory() as folder:
        return _works("unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", script, folder)


NOBODY = 65534
# Become nobody, who has subordinate ids 200000 to 264999 for as long as the program runs: the files of the
# host stay as they are.
SUBORDINATE = [
    *("unshare", "--mount", "sh", "-c"),
    "for file in subuid subgid; do mount -t tmpfs t /mnt && echo nobody:200000:65000 > /mnt/$file"
    " && mount --bind /mnt/$file /etc/$file && umount -l /mnt || exit 99; done;"
    ' exec setpriv --reuid nobody --regid nogroup --clear-groups "$@"',
    "sh",
]
# Both are needed for it: the kernel's nf_tables with NAT, and pyroute2.
NAT = """
from pyroute2.nftables.main import NFTables
with NFTables(nfgen_family=2) as firewall:
    firewall.begin()
    firewall.table("add", name="probe")
    firewall.chain("add", table="probe", name="nat", hook="postrouting", type="nat", policy=1)
    firewall.commit()
"""
NAMES_ON_V2 = {"blkio": "io"}
CGROUP_TYPES = {"cgroup1": "cgroup", "cgroup2": "cgroup2"}

PROBES: dict[str, Callable[[], bool]] = {
    "root": lambda: _works("unshare", "-m", "mount", "-t", "tmpfs", "t", "/mnt"),
    "cgroup2": lambda: _can_make_cgroup("cgroup2", "memory"),
    "systemd": lambda: os.path.isdir("/run/systemd/system"),  # sd_booted(3)
    "delegation": _has_own_cgroup,
    "apparmor": lambda: _works("aa-enabled", "--quiet") and bool(shutil.which("apparmor_parser")),
    "criu": lambda: _works("criu", "check"),
    "criu-network": _can_save_network,
    "soft-dirty": lambda: _works("criu", "check", "--feature", "mem_dirty_track"),
    "userns": lambda: _works("unshare", "-U", "--map-root-user", "true"),
    "timens": lambda: _works("unshare", "-T", "true"),
    "overlay": _can_mount_overlay,
    "seccomp": _has_seccomp,
    "tty": _has_pty,
    "veth": lambda: _works("unshare", "-n", "ip", "link", "add", "here0", "type", "veth", "peer", "name", "peer0"),
    "nftables": lambda: _works("unshare", "-n", sys.executable, "-c", NAT),
    "idmapped-overlay": _can_map_overlay,
    "landlock": _has_landlock,
    "gcc": _can_compile,
    "libpython": _can_make_image,
    "shared_oci": (OFFICIAL / "config-schema.json").is_file,
    "busybox": lambda: _works("busybox", "true"),
    "runc": lambda: _works("runc", "--version"),
    "crun": lambda: _works("crun", "--version"),
    "bfq": lambda: "bfq" in Path("/sys/block/loop0/queue/scheduler").read_text() or _works("modprobe", "bfq"),
    "net-cgroups": lambda: _works("unshare", "-m", "mount", "-t", "cgroup", "-o", "net_cls,net_prio", "none", "/mnt"),
    "loop": lambda: _works("losetup", "--find"),
    "bash": lambda: _works("bash", "--version"),
    "groff": lambda: _works("groff", "--version"),
    "mandoc": lambda: _works("mandoc", "-T", "lint", "/dev/null") or _works("mandoc", "-T", "ascii", "/dev/null"),
    "debian-mirror": _reaches_debian,
    "zsh": lambda: _works("zsh", "--version"),
    "fish": lambda: _works("fish", "--version"),
    "xvfb": lambda: _works("Xvfb", "-help") and all(map(shutil.which, ("xlogo", "xwd", "xwininfo"))),
    "procps": lambda: _works("ps", "--version"),  # busybox' ps does not know the flag
    "disk": _is_on_a_disk,
    "strace": lambda: _works("strace", "true"),
    "containerd": lambda: _are_packaged("containerd", "ctr"),
    "docker": lambda: _are_packaged("dockerd", "docker", "docker-init"),
    "podman": lambda: _are_packaged("podman", "conmon", "catatonit"),
    "cni": lambda: os.access("/usr/lib/cni/bridge", os.X_OK),
    "unprivileged-user": lambda: _works("unshare", "-U", "--map-root-user", "true", user=NOBODY),
    "newuidmap": lambda: _works(*SUBORDINATE, "unshare", "-U", "--map-auto", "--map-root-user", "true"),
}
