"""Escapes that were published, as harmless tries: each has a marker on the host that must stay as it was."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from conformance.case import case, check, equal

if TYPE_CHECKING:
    from conformance.box import Box

MARK = "of the host, and to stay so"


def marker(box: Box, name: str = "marker") -> Path:
    """A file outside of the root that a rogue image aims at."""
    file = box.bundle / "outside" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(MARK)
    return file


def untouched(file: Path) -> None:
    """The marker has its text, and nothing was made or mounted beside it."""
    check(file.is_file() and not file.is_symlink(), f"{file.name} on the host is gone or something else")
    equal(file.read_text(), MARK, f"{file.name} on the host")
    equal([each.name for each in file.parent.iterdir()], [file.name], "files beside it")


def try_run(box: Box, *words: str) -> None:
    """Run: it may be refused or go well, that is not what counts here."""
    box.process(args=["/bin/probe", *(words or ("exit", "0"))])
    box.run()


def link(box: Box, path: str, target: str) -> None:
    """Put a symbolic link into the root, in the place of whatever is there."""
    place = box.rootfs / path.lstrip("/")
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


@case(level="BEYOND")
def mount_through_a_link_stays_inside(box: Box) -> None:
    """A mount point that is a link out of the root is resolved inside (CVE-2021-30465, CVE-2019-18837)."""
    file = marker(box)
    link(box, "/data", str(file.parent))
    box.mount("/data", type="tmpfs", source="tmpfs")
    try_run(box, "write", "/data/marker", "of the container")
    untouched(file)


@case(level="BEYOND")
def mount_points_are_made_inside(box: Box) -> None:
    """Directories and files for mounts are not made outside through links (CVE-2024-45310)."""
    file = marker(box)
    link(box, "/data", f"../../../../../../..{file.parent}")
    box.mount("/data/new/deep", type="tmpfs", source="tmpfs")
    try_run(box)
    untouched(file)


@case(level="BEYOND")
def proc_that_is_a_link(box: Box) -> None:
    """A root whose /proc or /sys is a link gets no procfs elsewhere (CVE-2019-19921, CVE-2025-54867)."""
    file = marker(box)
    for name in ("proc", "sys"):
        link(box, name, str(file.parent))
    box.mount("/sys", type="sysfs", source="sysfs", options=["ro"])
    try_run(box)
    untouched(file)


@case(level="BEYOND")
def something_else_on_proc_is_refused(box: Box) -> None:
    """A mount on or in /proc that is no procfs is refused, or labels would be written to it (CVE-2019-16884)."""
    folder = box.bundle / "fake"
    (folder / "self/attr").mkdir(parents=True)
    box.mount("/proc", type="bind", source=str(folder), options=["bind"]).create().failed()
    box.config["mounts"].pop()
    box.mount("/proc/self", type="tmpfs", source="tmpfs").create().failed()
    equal(box.left_behind(), [], "what is left")


@case(level="BEYOND")
def masks_do_not_follow_the_images_null(box: Box) -> None:
    """A /dev/null of the image that leads elsewhere is not what masks paths (CVE-2025-31133, CVE-2025-62161)."""
    file = marker(box)
    box.config["mounts"] = [each for each in box.config["mounts"] if each["destination"] == "/proc"]
    link(box, "/dev/null", str(file))
    box.file("/secret", "secret")
    box.linux(maskedPaths=["/secret"])
    box.process(args=["/bin/probe", "cat", "/secret", "--", "write", "/secret", "of the container"])
    result = box.run()
    if result.status == 0:
        check(not box.answers(result.stdout)[0]["/secret"], "the masked file can be read")
    untouched(file)


@case(level="BEYOND", justified="both are older than what closed CVE-2026-41579")
def dev_that_is_a_link(box: Box) -> None:
    """A /dev that is a link: no device or link is made or removed outside (CVE-2026-41579, CVE-2026-47766)."""
    file = marker(box, "ptmx")
    box.config["mounts"] = [each for each in box.config["mounts"] if not each["destination"].startswith("/dev")]
    link(box, "/dev", str(file.parent))
    box.config["linux"]["devices"] = [{"path": "/dev/one", "type": "c", "major": 1, "minor": 3}]
    try_run(box)
    untouched(file)


@case(level="BEYOND")
def links_in_dev(box: Box) -> None:
    """Names in the image's own /dev that are links lead nobody out (CVE-2025-52565, CVE-2026-88264)."""
    file = marker(box)
    box.config["mounts"] = [each for each in box.config["mounts"] if not each["destination"].startswith("/dev")]
    for name in ("console", "null", "zero", "fd", "stdin", "ptmx", "tty"):
        link(box, f"/dev/{name}", str(file))
    try_run(box)
    untouched(file)


@case(level="BEYOND")
def cwd_through_a_descriptor(box: Box) -> None:
    """A cwd like /proc/self/fd/7 does not lead into a directory of the host that is open (CVE-2024-21626)."""
    file = marker(box)
    leak = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number in range(3, 24):
            box.process(cwd=f"/proc/self/fd/{number}", args=["/bin/probe", "list", "."])
            result = box.run(pass_fds=(leak,))
            if result.status == 0:
                names = box.answers(result.stdout)[0].get("names") or []
                check("marker" not in names and "config.json" not in names, f"fd {number} leads to {names}")
    finally:
        os.close(leak)


@case(level="BEYOND")
def cwd_through_a_link_of_the_image(box: Box) -> None:
    """A cwd that is a link to an open descriptor does not lead to the host (CVE-2024-21626)."""
    link(box, "/work", "/proc/self/fd/7")
    box.process(cwd="/work", args=["/bin/probe", "list", ".."])
    result = box.run()
    if result.status == 0:
        names = box.answers(result.stdout)[0].get("names") or []
        check(set(names) <= {each.name for each in box.rootfs.iterdir()} | {"fd", "ns"}, f"it leads to {names}")


@case(level="BEYOND")
def devices_without_a_deny_rule(box: Box) -> None:
    """A list of device rules that only allows does not allow all the others (GHSA-g54h-m393-cpwq)."""
    box.config["linux"]["devices"] = [{"path": "/dev/disk", "type": "b", "major": 7, "minor": 250, "fileMode": 0o666}]
    box.resources(devices=[{"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"}])
    equal(box.ask("open", "/dev/disk", "r")["error"], "EPERM", "opening a block device")


@case(level="BEYOND")
def nothing_is_inheritable(box: Box) -> None:
    """Capabilities that were not asked to be inheritable are not (CVE-2022-29162, CVE-2025-27612)."""
    status = box.report()["status"]
    equal([line.split()[1] for line in status.splitlines() if line.startswith("CapInh")], ["0" * 16], "CapInh")


@case(level="BEYOND")
def ordinary_users_have_no_capabilities(box: Box) -> None:
    """Without ambient capabilities an ordinary user has none permitted (CVE-2016-8867)."""
    status = box.process(user={"uid": 1000, "gid": 1000}).report()["status"]
    sets = {line.split()[0]: line.split()[1] for line in status.splitlines() if line.startswith("Cap")}
    equal((sets["CapPrm:"], sets["CapEff:"]), ("0" * 16, "0" * 16), "permitted and effective")


@case(level="BEYOND")
def hooks_do_not_get_the_images_environment(box: Box) -> None:
    """The program's environment is not that of hooks which run as root on the host (CVE-2025-23266)."""
    for kind in ("prestart", "createRuntime", "createContainer", "poststart", "poststop"):
        box.hook(kind)
    box.process(env=["PATH=/bin", "LD_PRELOAD=/evil.so", "PYTHONPATH=/evil"], args=["/bin/probe", "exit", "0"])
    box.create().succeeded()
    box.start().succeeded()
    box.await_status("stopped")
    box.delete().succeeded()
    for record in box.hooks():
        names = {each.partition("=")[0] for each in record["env"]}
        equal(names & {"LD_PRELOAD", "PYTHONPATH"}, set(), f"of it, in {record['label']}")


@case(level="BEYOND")
def input_cannot_be_pushed(box: Box) -> None:
    """The program cannot push input into the caller's terminal (CVE-2017-5226)."""
    check(box.ask("tiocsti")["error"] is not None, "TIOCSTI went well")


@case(level="BEYOND")
def host_files_of_sysctl(box: Box) -> None:
    """A sysctl with .. or a newline in its name is refused (CVE-2022-0811's way)."""
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    for name in ("net.ipv4/../../kernel/core_pattern", "kernel.core_pattern", "net.x\nkernel.core_pattern"):
        box.linux(sysctl={name: before.strip()}).create().failed()
    equal(Path("/proc/sys/kernel/core_pattern").read_text(), before, "core_pattern")


@case(level="BEYOND", needs="user-namespaces")
def user_namespace_root_owns_nothing_outside(box: Box) -> None:
    """Root of a user namespace cannot read what only the host's root may."""
    secret = box.bundle / "secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    box.in_user_namespace()
    box.mount("/secret", type="bind", source=str(secret), options=["bind"])
    equal(box.ask("cat", "/secret"), {"/secret": None}, "the file")


@case(level="BEYOND")
def strange_strings_do_no_harm(box: Box) -> None:
    """NUL bytes and huge strings in paths are refused, and crash nothing (CVE-2021-43784)."""
    for path in ("/a\0b", "/" + "a" * 70000):
        box.config["mounts"] = [*box.config["mounts"][:3], {"destination": path, "type": "tmpfs", "source": "tmpfs"}]
        box.create().failed()
    equal(box.left_behind(), [], "what is left")
