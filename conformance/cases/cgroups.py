"""config-linux.md: cgroups. Values are read from outside, in the cgroups of the container's process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from conformance import host
from conformance.case import Failure, NotApplicable, case, check, equal
from conformance.runtime import SLOWNESS

if TYPE_CHECKING:
    from conformance.box import Box

MIB = 1 << 20


class Value(NamedTuple):
    """A value of linux.resources, its controller, and where it lands: file and text on v1, file and text on v2."""

    resources: dict[str, Any]
    controller: str
    v1: tuple[str, str]
    v2: tuple[str, str] | None


VALUES = {
    "memory_limit": Value(
        {"memory": {"limit": 32 * MIB}}, "memory", ("memory.limit_in_bytes", "33554432"), ("memory.max", "33554432")
    ),
    "memory_reservation": Value(
        {"memory": {"reservation": 16 * MIB}},
        "memory",
        ("memory.soft_limit_in_bytes", "16777216"),
        ("memory.low", "16777216"),
    ),
    "memory_unlimited": Value(
        {"memory": {"limit": -1}}, "memory", ("memory.limit_in_bytes", "9223372036854771712"), ("memory.max", "max")
    ),
    "swappiness": Value({"memory": {"swappiness": 33}}, "memory", ("memory.swappiness", "33"), None),
    # Two conversions are in use: features of the kernel's documentation and of runc since 1.3.
    "cpu_shares": Value({"cpu": {"shares": 512}}, "cpu", ("cpu.shares", "512"), ("cpu.weight", "20 59")),
    "cpu_quota": Value(
        {"cpu": {"quota": 25000, "period": 50000}}, "cpu", ("cpu.cfs_quota_us", "25000"), ("cpu.max", "25000 50000")
    ),
    "cpu_period": Value(
        {"cpu": {"quota": 25000, "period": 50000}}, "cpu", ("cpu.cfs_period_us", "50000"), ("cpu.max", "25000 50000")
    ),
    "cpuset_cpus": Value({"cpu": {"cpus": "0"}}, "cpuset", ("cpuset.cpus", "0"), ("cpuset.cpus", "0")),
    "cpuset_mems": Value({"cpu": {"mems": "0"}}, "cpuset", ("cpuset.mems", "0"), ("cpuset.mems", "0")),
    "pids_limit": Value({"pids": {"limit": 100}}, "pids", ("pids.max", "100"), ("pids.max", "100")),
    "pids_unlimited": Value({"pids": {"limit": -1}}, "pids", ("pids.max", "max"), ("pids.max", "max")),
    "class_id": Value({"network": {"classID": 1048577}}, "net_cls", ("net_cls.classid", "1048577"), None),
}


def cgroup_of(pid: int, controller: str) -> Path:
    """The directory of a process in the hierarchy that has a controller. Raises Failure if there is none."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for mount in host.hierarchies():
            folder = Path(f"{mount}{path}")
            if controller in _controllers(mount, controllers) and folder.exists():
                return folder
    raise Failure(f"its process is in no cgroup of the controller {controller}")


def _controllers(mount: str, of_line: str) -> list[str]:
    """The controllers of a hierarchy if it is that of a line of /proc/PID/cgroup, else none."""
    if of_line:
        return of_line.split(",") if Path(mount).name in (of_line, *of_line.split(",")) else []
    file = Path(mount, "cgroup.controllers")
    known = file.read_text().split() if file.exists() else []
    on_v1 = {"io": ["blkio"], "memory": ["devices", "freezer"]}
    return [*known, *(name for controller in known for name in on_v1.get(controller, ()))]


def running_in(box: Box, controller: str) -> Path:
    """Run the container and return its cgroup."""
    return cgroup_of(box.running().state()["pid"], controller)


def _value(name: str) -> None:
    resources, controller, first, second = VALUES[name]
    version = "cgroup1" if second is None else "cgroup"

    def judge(box: Box) -> None:
        folder = running_in(box.resources(**resources), controller)
        wanted = first if (folder / first[0]).exists() else second
        if wanted is None:
            raise Failure(f"on cgroup v2 {name} cannot be set, and create went well")
        seen = (folder / wanted[0]).read_text().strip()
        check(seen in wanted[1].split() if wanted[0] == "cpu.weight" else seen == wanted[1], f"{wanted[0]} is {seen!r}")

    judge.__name__ = name
    judge.__doc__ = f"{resources} is in the container's cgroup as given."
    numbers = {"memory": 99, "cpu": 102, "cpuset": 102, "pids": 106, "net_cls": 110}
    justified = "config-linux.md, network: classID is the cgroup's class" if controller == "net_cls" else ""
    case(numbers[controller], needs=f"{version}-{controller}", justified=justified)(judge)


for _name in VALUES:
    _value(_name)


@case(
    95,
    needs="cgroup-memory",
    justified="runtime.md, delete: what create made MUST be deleted; both leave the directory above, in places",
)
def absolute_path(box: Box) -> None:
    """An absolute cgroupsPath is the place below the mount of each hierarchy."""
    box.linux(cgroupsPath=f"/conformance-{box.token}/inner")
    folder = running_in(box, "memory")
    check(str(folder).endswith(f"/conformance-{box.token}/inner"), f"it is in {folder}")


@case(
    95,
    needs="cgroup-memory",
    justified="runtime.md, delete: what create made MUST be deleted; both leave the directory above, in places",
)
def same_path_same_place(box: Box) -> None:
    """The same cgroupsPath is the same place for every container."""
    box.linux(cgroupsPath=f"/conformance-{box.token}/again")
    places = set()
    for _ in range(2):
        places.add(running_in(box, "memory"))
        box.delete("--force").succeeded()
    equal(len(places), 1, "places")


@case(
    94,
    needs="cgroup-memory",
    justified="config-linux.md, cgroupsPath: a cgroup that fails a check, as for processes, MUST be an error",
)
def busy_cgroup_is_an_error(box: Box) -> None:
    """A cgroup that has processes already is an error, and they live on."""
    other = box.sibling()
    other.linux(cgroupsPath=f"/conformance-{box.token}/busy").running()
    box.linux(cgroupsPath=f"/conformance-{box.token}/busy").create().failed()
    equal(other.status(), "running", "status of the one that was there")


@case(27, needs="cgroup-memory", justified="runtime.md, delete: what create did not make MUST NOT be deleted")
def cgroup_that_was_there_stays(box: Box) -> None:
    """Delete does not remove a cgroup that create has not made."""
    made = []
    for mount in host.hierarchies():
        folder = Path(mount, f"conformance-{box.token}-kept")
        try:
            folder.mkdir()
        except OSError:
            continue
        made.append(folder)
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (folder / name).exists() and (folder / "tasks").exists():
                (folder / name).write_text((folder.parent / name).read_text())
    box.linux(cgroupsPath=f"/conformance-{box.token}-kept").process(args=["/bin/probe", "exit", "0"])
    box.create().succeeded()
    box.start().succeeded()
    box.await_status("stopped")
    box.delete().succeeded()
    gone = [str(folder) for folder in made if not folder.exists()]
    for folder in made:
        if folder.exists():
            os.rmdir(folder)
    equal(gone, [], "removed cgroups")


@case(14, needs="cgroup-memory")
def cgroups_below_are_removed(box: Box) -> None:
    """Delete also removes cgroups that were made below the container's."""
    folder = running_in(box, "memory")
    (folder / "below").mkdir()
    box.kill("KILL").succeeded()
    box.await_status("stopped")
    box.delete().succeeded()
    check(not folder.exists(), f"{folder} is still there")


@case(106, level="SHOULD", needs="cgroup-pids")
def pids_limit_holds(box: Box) -> None:
    """No more processes can be made than pids.limit."""
    answer = box.resources(pids={"limit": 20}).ask("forks", "50")
    equal(answer["error"], "EAGAIN", "the error of the last fork")
    check(answer["value"] <= 20, f"there were {answer['value']} processes")


@case(99, needs="cgroup-memory")
def memory_limit_holds(box: Box) -> None:
    """A program that uses more memory than its limit is killed."""
    box.resources(memory={"limit": 24 * MIB, "swap": 24 * MIB}).process(args=["/bin/probe", "memory", "64"])
    equal(box.run().status, 137, "exit code")
    box.process(args=["/bin/probe", "memory", "4"])
    equal(box.run().status, 0, "exit code of one that uses less")


@case(102, needs="cgroup-cpu")
def cpu_quota_holds(box: Box) -> None:
    """A program does not get more of a processor than its quota."""
    share = box.resources(cpu={"quota": 20000, "period": 100000}).ask("burn", "1.5")["percent"]
    # An emulated machine notices late that the quota is used up.
    check(share < 20 + 7 * min(SLOWNESS, 3), f"it got {share} percent of a processor instead of 20")


@case(102, needs=("cgroup-cpuset", "two-processors"))
def cpuset_holds(box: Box) -> None:
    """A program runs on the processors of cpus and on no other."""
    first = min(os.sched_getaffinity(0))
    seen = box.resources(cpu={"cpus": str(first)}).report()["scheduling"]["affinity"]
    equal(seen, [first], "the processors that it may use")


@case(21, 78, needs="cgroup-memory")
def impossible_limits_are_errors(box: Box) -> None:
    """Limits that the kernel refuses are errors, and leave nothing."""
    for resources in ({"cpu": {"cpus": "4000"}}, {"cpu": {"quota": 5, "period": 100000}}, {"cpu": {"period": 1}}):
        box.config["linux"]["resources"] = resources
        box.create().failed()
        equal(box.left_behind(), [], f"what is left after {resources}")


@case(103, needs="cgroup-blkio", justified="config-linux.md, weightDevice: weight or leafWeight MUST be there")
def weight_without_a_weight_is_an_error(box: Box) -> None:
    """An entry of weightDevice needs weight or leafWeight."""
    box.resources(blockIO={"weightDevice": [{"major": 7, "minor": 0}]}).create().failed()


@case(107, justified="config-linux.md: an entry of rdma MUST have hcaHandles or hcaObjects; runc and crun do not look")
def rdma_without_a_limit_is_an_error(box: Box) -> None:
    """An entry of rdma needs hcaHandles or hcaObjects."""
    box.resources(rdma={"mlx5_1": {}}).create().failed()


@case(108, needs="unified")
def unified_is_written(box: Box) -> None:
    """Keys of unified are written to the files of that name."""
    folder = running_in(box.resources(unified={"memory.high": str(20 * MIB)}), "memory")
    equal((folder / "memory.high").read_text().strip(), str(20 * MIB), "memory.high")


@case(108, needs="unified")
def unified_of_a_missing_controller_is_an_error(box: Box) -> None:
    """A key of unified whose controller is not there is an error."""
    box.resources(unified={"nothing.max": "1"}).create().failed()


@case(109, needs="unified", justified="config-linux.md: what cannot be converted to v2 MUST be an error")
def what_v2_cannot_is_an_error(box: Box) -> None:
    """On cgroup v2 a v1 setting that has no equivalent is an error."""
    box.resources(memory={"swappiness": 10}).create().failed()


DELEGATE = Path("/sys/kernel/cgroup/delegate")
OWNER = 100000


def delegable(box: Box, *options: str) -> Box:
    """Ask for what a cgroup is given away for: its own users and cgroups, and a writable mount of them."""
    box.in_user_namespace(OWNER).with_namespace("cgroup")
    (box.rootfs / "sys/fs/cgroup").mkdir(parents=True)
    return box.mount("/sys/fs/cgroup", type="cgroup", source="cgroup", options=["nosuid", "noexec", "nodev", *options])


def given_away(folder: Path) -> set[str]:
    """Names in a cgroup, "." for itself, that are not root's any more."""
    return {name for name in (".", *os.listdir(folder)) if (folder / name).stat().st_uid != 0}


@case(96, level="SHOULD", needs=("cgroup1-memory", "cgroup-namespaces", "user-namespaces"))
def ownership_stays_on_v1(box: Box) -> None:
    """A cgroup of version 1 is not given to the container's user."""
    equal(given_away(running_in(delegable(box), "memory")), set(), "what is not root's any more")


@case(96, level="SHOULD", needs=("unified", "user-namespaces"))
def ownership_stays_without_a_use(box: Box) -> None:
    """A cgroup is not given away without a new cgroup namespace, nor if it is mounted read-only."""
    equal(given_away(running_in(delegable(box, "ro"), "memory")), set(), "given away with a read-only mount")
    other = box.sibling()
    delegable(other).without_namespace("cgroup")
    equal(given_away(running_in(other, "memory")), set(), "given away without a cgroup namespace")


@case(96, level="MAY", needs=("unified", "user-namespaces"))
def ownership_is_of_listed_files(box: Box) -> None:
    """The container's user owns its cgroup, and in it the files that the kernel lists for that, no others."""
    folder = running_in(delegable(box), "memory")
    if not given_away(folder):
        raise NotApplicable("it does not give cgroups away")
    equal(given_away(folder), {".", *DELEGATE.read_text().split()} & {".", *os.listdir(folder)}, "what is given away")


@case(
    97,
    needs=("unified", "user-namespaces"),
    justified="config-linux.md, cgroup ownership: a runtime MUST NOT fail for such files, and MUST know the three",
)
def listed_files_may_be_missing(box: Box) -> None:
    """Files that the kernel lists for it but that the cgroup lacks are no failure; without a list three are known."""
    (box.bundle / "delegate").mkdir()
    (box.bundle / "delegate/delegate").write_text("cgroup.procs\nno.such.file\n")
    (box.bundle / "nothing").mkdir()
    host.own_mounts()
    usual = {"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}
    for stand_in, wanted in (("delegate", {"cgroup.procs"}), ("nothing", usual)):
        host.cover(box.bundle / stand_in, DELEGATE.parent)
        try:
            other = box.sibling()
            given = given_away(running_in(delegable(other), "memory"))
        finally:
            host.uncover(DELEGATE.parent)
        if not given:
            raise NotApplicable("it does not give cgroups away")
        equal(given, {".", *wanted}, f"given away with {stand_in}")


@case(80, needs="cgroup-namespaces")
def own_cgroup_is_the_root_of_its_namespace(box: Box) -> None:
    """With a cgroup namespace the program sees its own cgroup as the root."""
    lines = box.with_namespace("cgroup").report()["cgroup"].splitlines()
    paths = {line.split(":", 2)[2] for line in lines if box.token in line or line.endswith(":/")}
    equal(paths, {"/"}, "the paths of its cgroups")
