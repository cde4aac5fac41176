"""config-linux.md: namespaces, id maps, time offsets, host and domain name."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

from conformance.case import case, check, equal

if TYPE_CHECKING:
    from conformance.box import Box

IN_PROC = {
    "pid": "pid",
    "network": "net",
    "mount": "mnt",
    "ipc": "ipc",
    "uts": "uts",
    "user": "user",
    "cgroup": "cgroup",
    "time": "time",
}
NEEDS = {"user": "user-namespaces", "time": "time-namespaces", "cgroup": "cgroup-namespaces"}


def own(kind: str) -> str:
    """Our own namespace of a kind."""
    return os.readlink(f"/proc/self/ns/{IN_PROC[kind]}")


def _new(kind: str) -> None:
    def judge(box: Box) -> None:
        if kind == "user":
            box.in_user_namespace()
        else:
            box.with_namespace(kind)
        check(box.report()["namespaces"][IN_PROC[kind]] != own(kind), f"it is in the runtime's {kind} namespace")

    judge.__name__ = f"new_{kind}_namespace"
    judge.__doc__ = f"With the type {kind} and no path the container has a {kind} namespace of its own."
    justified = "config-linux.md, namespaces: time, since 1.1; both are older than it" if kind == "time" else ""
    case(80, 82, needs=NEEDS.get(kind, ()), justified=justified)(judge)


def _inherited(kind: str) -> None:
    def judge(box: Box) -> None:
        box.without_namespace(kind)
        equal(box.report()["namespaces"][IN_PROC[kind]], own(kind), f"its {kind} namespace")

    judge.__name__ = f"inherited_{kind}_namespace"
    judge.__doc__ = f"Without the type {kind} the container is in the runtime's {kind} namespace."
    case(82, needs=NEEDS.get(kind, ()))(judge)


def _joined(kind: str) -> None:
    def judge(box: Box) -> None:
        other = box.sibling()
        if kind not in ("pid", "network", "ipc", "uts"):
            other.with_namespace(kind)
        other.running()
        path = f"/proc/{other.state()['pid']}/ns/{IN_PROC[kind]}"
        wanted = os.readlink(path)
        box.with_namespace(kind, path)
        equal(box.report()["namespaces"][IN_PROC[kind]], wanted, f"its {kind} namespace")

    judge.__name__ = f"joined_{kind}_namespace"
    judge.__doc__ = f"With a path the container is in that {kind} namespace."
    case(81, needs=NEEDS.get(kind, ()))(judge)


for _kind in IN_PROC:
    _new(_kind)
for _kind in ("pid", "network", "ipc", "uts", "cgroup"):
    _inherited(_kind)
for _kind in ("pid", "network", "ipc", "uts", "cgroup"):
    _joined(_kind)


@case(81)
def path_of_another_type_is_an_error(box: Box) -> None:
    """A path to a namespace of another type is an error, and so is one to no namespace at all."""
    for path in ("/proc/self/ns/uts", str(box.rootfs / "etc/passwd"), "/nowhere/at/all"):
        box.with_namespace("ipc", path).create().failed()
    equal(box.left_behind(), [], "what is left")


@case(81)
def relative_path_is_an_error(box: Box) -> None:
    """A path that is not absolute is an error."""
    box.with_namespace("ipc", "proc/self/ns/ipc").create().failed()


@case(83)
def type_given_twice_is_an_error(box: Box) -> None:
    """Two entries of one type are an error."""
    box.config["linux"]["namespaces"].append({"type": "ipc"})
    box.create().failed()


@case(78)
def unknown_type_is_an_error(box: Box) -> None:
    """A type of namespace that does not exist is an error."""
    box.with_namespace("nothing").create().failed()


@case(82)
def first_process_of_its_pid_namespace(box: Box) -> None:
    """In a new pid namespace the program is process 1."""
    equal(box.report()["pid"], 1, "pid")


@case(85, needs="user-namespaces")
def maps_are_written_as_given(box: Box) -> None:
    """The maps of a new user namespace are those of the configuration."""
    box.in_user_namespace(200000, 1000)
    first, second = (0, 200000, 1000), (1000, 300000, 5)
    box.linux(uidMappings=[_line(*first), _line(*second)], gidMappings=[_line(*first)])
    report = box.report()
    equal(_lines(report["uid_map"]), [first, second], "uid_map")
    equal(_lines(report["gid_map"]), [first], "gid_map")


def _line(inside: int, outside: int, size: int) -> dict[str, int]:
    return {"containerID": inside, "hostID": outside, "size": size}


def _lines(text: str) -> list[tuple[int, ...]]:
    return [tuple(map(int, line.split())) for line in text.splitlines()]


@case(64, 85, needs="user-namespaces")
def root_in_a_user_namespace(box: Box) -> None:
    """With a map the program is root inside, and somebody else outside."""
    box.in_user_namespace().running()
    status = open(f"/proc/{box.state()['pid']}/status").read()
    uids = next(line.split()[1:] for line in status.splitlines() if line.startswith("Uid:"))
    equal(uids, ["100000"] * 4, "uids of the process as seen from outside")


@case(84, level="SHOULD", needs="user-namespaces")
def root_is_not_changed_for_a_map(box: Box) -> None:
    """The owners of files in the root stay what they were."""
    file = box.file("/kept", "x")
    box.in_user_namespace()
    os.chown(file, 1234, 1234)
    check(box.report(), "the program said nothing")
    equal((file.stat().st_uid, file.stat().st_gid), (1234, 1234), "the owner of a file")


@case(86, needs="time-namespaces", justified="config-linux.md: timeOffsets; runc 1.1 and crun 1.8 do not know them")
def time_offsets(box: Box) -> None:
    """TimeOffsets shift the monotonic and the boot-time clock."""
    box.with_namespace("time")
    box.linux(timeOffsets={"monotonic": {"secs": 100000, "nanosecs": 5}, "boottime": {"secs": 200000, "nanosecs": 7}})
    lines = [line.split() for line in box.report()["time_offsets"].splitlines()]
    equal(lines, [["monotonic", "100000", "5"], ["boottime", "200000", "7"]], "timens_offsets")


@case(86, 78, needs="time-namespaces", justified="config-linux.md: the clocks are monotonic and boottime")
def unknown_clock_is_an_error(box: Box) -> None:
    """A clock that has no offset in Linux is an error."""
    box.with_namespace("time").linux(timeOffsets={"realtime": {"secs": 1}}).create().failed()


@case(67)
def host_name(box: Box) -> None:
    """Hostname is the name in the container's uts namespace, and the host's stays."""
    before = platform.node()
    box.config["hostname"] = "conformance.example"
    equal(box.report()["hostname"], "conformance.example", "hostname")
    equal(platform.node(), before, "the host's own name")


@case(67, justified="config.md, domainname: configures the container's domainname; runc 1.1 does not know it")
def domain_name(box: Box) -> None:
    """Domainname is the name in the container's uts namespace."""
    box.config["domainname"] = "example.org"
    equal(box.report()["domainname"], "example.org", "domainname")


@case(67)
def host_name_without_uts_namespace_is_an_error(box: Box) -> None:
    """A hostname without a uts namespace of its own is an error, and the host's name stays."""
    before = platform.node()
    box.config["hostname"] = "conformance.example"
    box.without_namespace("uts").create().failed()
    equal(platform.node(), before, "the host's own name")


@case(116)
def sysctl(box: Box) -> None:
    """Sysctl is written in the container's namespaces, and the host's values stay."""
    file = "/proc/sys/net/ipv4/ip_default_ttl"
    with open(file) as host:
        before = host.read()
    box.linux(sysctl={"net.ipv4.ip_default_ttl": "77", "kernel.msgmax": "4242"})
    seen: dict[str, Any] = box.ask("cat", file, "/proc/sys/kernel/msgmax")
    inside = [value.strip() for value in seen.values()]
    equal(inside, ["77", "4242"], "inside")
    with open(file) as host:
        equal(host.read(), before, "on the host")


@case(116, 21)
def sysctl_of_the_host_is_an_error(box: Box) -> None:
    """A sysctl that is the whole host's, or of a namespace that the container shares, is an error."""
    box.linux(sysctl={"vm.swappiness": "60"}).create().failed()
    box.without_namespace("network").linux(sysctl={"net.ipv4.ip_forward": "1"}).create().failed()


@case(127, justified="config-linux.md, personality; runc 1.1 does not know it")
def personality(box: Box) -> None:
    """Personality.domain LINUX32 makes the machine look like its 32 bit half."""
    equal(box.linux(personality={"domain": "LINUX32"}).report()["personality"] & 0xFF, 8, "with LINUX32")
    equal(box.linux(personality={"domain": "LINUX"}).report()["personality"] & 0xFF, 0, "with LINUX")


@case(127, 78, justified="config-linux.md: domain is LINUX or LINUX32; runc 1.1 does not know it")
def unknown_personality_is_an_error(box: Box) -> None:
    """A domain that does not exist is an error."""
    box.linux(personality={"domain": "WINDOWS"}).create().failed()


@case(level="BEYOND")
def loopback_is_up(box: Box) -> None:
    """In a new network namespace lo is up."""
    box.mount("/sys", type="sysfs", source="sysfs", options=["ro"])
    flags = box.ask("cat", "/sys/class/net/lo/flags")["/sys/class/net/lo/flags"]
    check(int(flags, 16) & 1, f"flags of lo: {flags}")
