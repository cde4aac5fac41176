"""What other parts of the kernel decide: AppArmor, SELinux, memory policy, Intel RDT (config.md, config-linux.md)."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.case import case, check, equal
from conformance.host import RESCTRL
from conformance.mountinfo import mount_at

if TYPE_CHECKING:
    from conformance.box import Box

APPARMOR = """
profile %s flags=(attach_disconnected,mediate_deleted) {
  file, capability, network, mount, umount, pivot_root, signal, ptrace, unix,
  deny /secret r,
}
"""
PROCESS_LABEL = "system_u:system_r:container_t:s0:c1,c2"
FILE_LABEL = "system_u:object_r:container_file_t:s0:c1,c2"
MODES = {
    "MPOL_DEFAULT": (0, ""),
    "MPOL_PREFERRED": (1, "0"),
    "MPOL_BIND": (2, "0"),
    "MPOL_INTERLEAVE": (3, "0"),
    "MPOL_LOCAL": (4, ""),
    "MPOL_PREFERRED_MANY": (5, "0"),
    "MPOL_WEIGHTED_INTERLEAVE": (6, "0"),
}
FLAGS = {"MPOL_F_STATIC_NODES": 1 << 15, "MPOL_F_RELATIVE_NODES": 1 << 14, "MPOL_F_NUMA_BALANCING": 1 << 13}
NEW = "config-linux.md, memoryPolicy, since 1.3; runc 1.1 and crun 1.8 are older than it"
CANNOT_BE_APPLIED = "runtime.md, create: a property that cannot be applied MUST be an error"
RDT = "config-linux.md, intelRdt; runc and crun have passed nowhere that this project could run them"


@case(66, 21, needs="without-apparmor")
def apparmor_that_is_not_there_is_an_error(box: Box) -> None:
    """A profile of AppArmor on a host without it is an error: the program would run unconfined."""
    box.process(apparmorProfile="conformance-nothing").create().failed()
    equal(box.left_behind(), [], "what is left")


@case(66, 21, needs="without-selinux")
def selinux_that_is_not_there_is_an_error(box: Box) -> None:
    """A label of SELinux on a host without it is an error."""
    box.process(selinuxLabel=PROCESS_LABEL).create().failed()
    equal(box.left_behind(), [], "what is left")


@case(66, needs=("apparmor", "apparmor-parser"), time_limit=60)
def apparmor_profile_holds(box: Box) -> None:
    """The program is under the AppArmor profile, and what that denies is denied."""
    name = f"conformance-{box.token}"
    box.file("/secret", "secret")
    _load(name, "--add")
    try:
        box.process(apparmorProfile=name)
        report, secret = box.ask("report", "--", "cat", "/secret")
    finally:
        _load(name, "--remove")
    equal(report["label"].strip("\0\n"), f"{name} (enforce)", "the program's label")
    equal(secret, {"/secret": None}, "a file that the profile denies")


def _load(name: str, option: str) -> None:
    command = ["apparmor_parser", option, "--skip-cache"]
    subprocess.run(command, input=APPARMOR % name, text=True, check=True, capture_output=True)


@case(66, needs="apparmor")
def unknown_apparmor_profile_is_an_error(box: Box) -> None:
    """A profile of AppArmor that is not loaded is an error."""
    box.process(apparmorProfile=f"conformance-{box.token}-nothing").run().failed()


@case(66, needs="selinux", justified="config.md, selinuxLabel: the label of the process")
def selinux_label_is_the_processs(box: Box) -> None:
    """The program has the SELinux label that is asked for."""
    equal(box.process(selinuxLabel=PROCESS_LABEL).report()["label"].strip("\0\n"), PROCESS_LABEL, "the label")


@case(126, needs="selinux", justified="config-linux.md, mountLabel: the SELinux context of the mounts")
def mount_label_is_the_mounts(box: Box) -> None:
    """MountLabel is the context of the container's mounts."""
    superblock = mount_at(box.linux(mountLabel=FILE_LABEL).report(), "/dev").superblock
    check(any("container_file_t" in option for option in superblock), f"options of /dev: {','.join(superblock)}")


@case(126, 21, needs="without-selinux", justified=CANNOT_BE_APPLIED)
def mount_label_without_selinux_is_an_error(box: Box) -> None:
    """A mountLabel on a host without SELinux is an error."""
    box.linux(mountLabel=FILE_LABEL).create().failed()
    equal(box.left_behind(), [], "what is left")


@case(115, needs="memory-policy", justified=NEW)
def memory_policy(box: Box) -> None:
    """Each of the seven modes is the program's memory policy."""
    for mode, (number, nodes) in MODES.items():
        seen = box.linux(memoryPolicy={"mode": mode, "nodes": nodes}).report()["scheduling"]["memory_policy"]
        equal(seen, number, f"the policy with {mode}")


@case(115, needs="memory-policy", justified=NEW)
def memory_policy_flags(box: Box) -> None:
    """Each of the three flags is set with the mode."""
    for flag, number in FLAGS.items():
        policy = {"mode": "MPOL_BIND", "nodes": "0", "flags": [flag]}
        scheduling = box.linux(memoryPolicy=policy).report()["scheduling"]
        equal((scheduling["memory_policy"], scheduling["memory_nodes"]), (2 | number, 1), f"policy and nodes: {flag}")


@case(115, 78, needs="memory-policy", justified=NEW)
def wrong_memory_policy_is_an_error(box: Box) -> None:
    """A mode or a flag that does not exist, no mode, and nodes that are no list of numbers are errors."""
    wrong: tuple[dict[str, Any], ...] = (
        {"mode": "MPOL_NOTHING", "nodes": "0"},
        {"nodes": "0"},
        {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NOTHING"]},
        {"mode": "MPOL_BIND", "nodes": "all"},
        {"mode": "MPOL_BIND", "nodes": "4000"},
    )
    for policy in wrong:
        box.linux(memoryPolicy=policy).run().failed()
        equal(box.left_behind(), [], f"what is left after {policy}")


@case(111, needs="without-resctrl", justified="config-linux.md, intelRdt: no mounted resctrl MUST be an error")
def intel_rdt_without_resctrl_is_an_error(box: Box) -> None:
    """IntelRdt on a host without resctrl is an error."""
    for wanted in ({"closID": "conformance"}, {"l3CacheSchema": "L3:0=f"}, {"memBwSchema": "MB:0=50"}):
        box.linux(intelRdt=wanted).create().failed()
        equal(box.left_behind(), [], f"what is left after {wanted}")


def schemata() -> list[str]:
    """The lines of resctrl's own class: what every class may have."""
    return [line.strip() for line in (RESCTRL / "schemata").read_text().splitlines()]


def tasks(folder: Path) -> list[str]:
    """The processes of a class."""
    return (folder / "tasks").read_text().split()


@case(111, needs="resctrl", justified=RDT)
def resctrl_is_left_alone(box: Box) -> None:
    """Without intelRdt resctrl is not touched."""
    before = sorted(each.name for each in RESCTRL.iterdir())
    check(str(box.running().state()["pid"]) in tasks(RESCTRL), "the program is in a class of its own")
    equal(sorted(each.name for each in RESCTRL.iterdir()), before, "what is in resctrl")


@case(111, 112, 113, needs="resctrl", justified=RDT)
def own_class_comes_and_goes(box: Box) -> None:
    """Without closID there is a class of the container's id, with its schemata and process, until delete."""
    lines = [line for line in schemata() if line.startswith(("L3:", "MB:"))]
    older = {"l3CacheSchema" if line.startswith("L3") else "memBwSchema": line for line in lines}
    for wanted in ({"schemata": schemata()}, older):
        pid = box.linux(intelRdt=wanted).running().state()["pid"]
        check(str(pid) in tasks(RESCTRL / box.id), "the program is not in the class of its container")
        written = (RESCTRL / box.id / "schemata").read_text().split()
        missing = [line for line in lines if "".join(line.split()) not in written]
        equal(missing, [], f"lines that its schemata lack after {wanted}")
        box.delete("--force").succeeded()
        check(not (RESCTRL / box.id).exists(), "the class is there after delete")


@case(113, needs="resctrl", justified=RDT)
def schemata_come_last(box: Box) -> None:
    """Lines of schemata are written after l3CacheSchema and memBwSchema: what they say again holds."""
    line = next(line for line in schemata() if line.startswith(("L3:", "MB:")))
    member, other = ("l3CacheSchema", "L3:0=1") if line.startswith("L3") else ("memBwSchema", "MB:0=50")
    box.linux(intelRdt={member: other, "schemata": [line]}).running()
    written = (RESCTRL / box.id / "schemata").read_text().split()
    check("".join(line.split()) in written, f"its schemata are {written}")


@case(111, 112, needs="resctrl", justified=RDT)
def named_class_stays(box: Box) -> None:
    """A class that closID names is used, and not removed by delete; "/" is the class of all others."""
    named = RESCTRL / f"conformance-{box.token}-named"
    named.mkdir()
    try:
        pid = box.linux(intelRdt={"closID": named.name}).running().state()["pid"]
        check(str(pid) in tasks(named), "the program is not in the class that was named")
        box.delete("--force").succeeded()
        check(named.is_dir(), "the class is gone after delete")
    finally:
        box.delete("--force")
        named.rmdir()
    pid = box.linux(intelRdt={"closID": "/"}).running().state()["pid"]
    check(str(pid) in tasks(RESCTRL), "the program is not in the first class")


@case(112, needs="resctrl", justified=RDT)
def missing_class_is_an_error(box: Box) -> None:
    """A closID of a class that is not there is an error without schemata to make it with."""
    box.linux(intelRdt={"closID": f"conformance-{box.token}"}).create().failed()
    equal(box.left_behind(), [], "what is left")


@case(113, needs="resctrl", justified=RDT)
def schema_of_two_lines_is_an_error(box: Box) -> None:
    """An entry of schemata is one line, and memBwSchema begins with MB: ; anything else is an error."""
    line = schemata()[0]
    for wrong in ({"schemata": [f"{line}\n{line}"]}, {"memBwSchema": "L3:0=f"}, {"schemata": ["NOTHING:0=1"]}):
        box.linux(intelRdt=wrong).create().failed()
        equal(box.left_behind(), [], f"what is left after {wrong}")


@case(114, needs="resctrl-monitoring", justified=RDT)
def monitoring_group_comes_and_goes(box: Box) -> None:
    """With enableMonitoring the container has a monitoring group of its id, until delete."""
    box.linux(intelRdt={"closID": "/", "enableMonitoring": True})
    pid = box.running().state()["pid"]
    group = RESCTRL / "mon_groups" / box.id
    check(str(pid) in tasks(group), "the program is not in the group of its container")
    box.delete("--force").succeeded()
    check(not group.exists(), "the group is there after delete")
