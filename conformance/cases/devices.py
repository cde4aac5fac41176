"""config-linux.md: devices, default devices, and the links in /dev."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conformance.case import case, check, equal

if TYPE_CHECKING:
    from conformance.box import Box

DEFAULT = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}


def device(box: Box, path: str, **values: Any) -> Box:
    """Ask for a device."""
    box.config["linux"].setdefault("devices", []).append({"path": path, **values})
    return box


@case(90)
def default_devices(box: Box) -> None:
    """The default devices are there and everybody may use them."""
    paths = [f"/dev/{name}" for name in DEFAULT]
    seen = box.ask("stat", *paths)
    for name, number in DEFAULT.items():
        stat = seen[f"/dev/{name}"]
        check(stat is not None, f"/dev/{name} is missing")
        equal((stat["type"], stat["major"], stat["minor"]), ("c", *number), f"/dev/{name}")
        equal(stat["mode"], 0o666, f"mode of /dev/{name}")


@case(90)
def default_devices_work(box: Box) -> None:
    """Null and zero can be opened, and written to."""
    answers = box.ask("write", "/dev/null", "x", "--", "open", "/dev/zero", "r", "--", "open", "/dev/urandom", "r")
    equal([each["error"] for each in answers], [None, None, None], "errors")


@case(90)
def ptmx_is_of_the_containers_devpts(box: Box) -> None:
    """/dev/ptmx is that of the container's own devpts."""
    stat = box.ask("stat", "/dev/ptmx", "/dev/pts/ptmx")
    ptmx = stat["/dev/ptmx"]
    check(ptmx is not None, "/dev/ptmx is missing")
    same = ptmx["type"] == "c" and (ptmx["major"], ptmx["minor"]) == (5, 2)
    check(same or str(ptmx["link"]).endswith("pts/ptmx"), f"it is {ptmx}")


@case(31)
def links_to_stdio(box: Box) -> None:
    """/dev/fd, stdin, stdout and stderr are links to what /proc tells of the process."""
    seen = box.ask("stat", *(f"/dev/{name}" for name in LINKS))
    for name, target in LINKS.items():
        stat = seen[f"/dev/{name}"]
        check(stat is not None and stat["type"] == "l", f"/dev/{name} is no link")
        equal(stat["link"], target, f"where /dev/{name} leads")


@case(87)
def devices_are_made(box: Box) -> None:
    """Each entry of linux.devices is there with its type, numbers, mode and owner."""
    device(box, "/dev/one", type="c", major=1, minor=3, fileMode=0o640, uid=7, gid=8)
    device(box, "/dev/two", type="b", major=7, minor=0, fileMode=0o600)
    device(box, "/dev/three", type="p", fileMode=0o666)
    device(box, "/dev/four", type="u", major=1, minor=5)
    seen = box.ask("stat", "/dev/one", "/dev/two", "/dev/three", "/dev/four")
    one, two, three, four = (seen[f"/dev/{name}"] for name in ("one", "two", "three", "four"))
    check(all((one, two, three, four)), f"one of them is missing: {seen}")
    numbers = ("type", "major", "minor")
    equal([one[key] for key in (*numbers, "mode", "uid", "gid")], ["c", 1, 3, 0o640, 7, 8], "one")
    equal([two[key] for key in (*numbers, "mode")], ["b", 7, 0, 0o600], "two")
    equal([three[key] for key in ("type", "mode")], ["p", 0o666], "three")
    equal([four[key] for key in numbers], ["c", 1, 5], "four")


@case(87)
def umask_does_not_change_modes(box: Box) -> None:
    """The mode of a device is as given, whatever the caller's umask."""
    device(box, "/dev/one", type="c", major=1, minor=3, fileMode=0o666)
    box.process(args=["/bin/probe", "stat", "/dev/one"])
    (stat,) = box.answers(box.run(umask=0o77).succeeded().stdout)
    equal(stat["/dev/one"]["mode"], 0o666, "mode")


@case(89, level="MAY")
def devices_outside_of_dev(box: Box) -> None:
    """A device may be made elsewhere than in /dev."""
    device(box, "/etc/one", type="c", major=1, minor=3, fileMode=0o666)
    equal(box.ask("stat", "/etc/one")["/etc/one"]["type"], "c", "what it is")


@case(88, justified="config-linux.md: if a file exists at path that does not match, the runtime MUST generate an error")
def another_file_in_its_place_is_an_error(box: Box) -> None:
    """A file that is there already and is not that device is an error."""
    box.file("/etc/one", "a file")
    device(box, "/etc/one", type="c", major=1, minor=3).create().failed()
    equal(box.left_behind(), [], "what is left")


@case(87, 78)
def device_without_numbers_is_an_error(box: Box) -> None:
    """A character or block device without major and minor, or of an unknown type, is an error."""
    device(box, "/dev/one", type="x", major=1, minor=3).create().failed()


@case(90, needs="user-namespaces")
def default_devices_in_a_user_namespace(box: Box) -> None:
    """In a user namespace, where nothing can be made with mknod, the default devices are there as well."""
    box.in_user_namespace()
    seen = box.ask("stat", *(f"/dev/{name}" for name in DEFAULT))
    for name, number in DEFAULT.items():
        stat = seen[f"/dev/{name}"]
        check(stat is not None, f"/dev/{name} is missing")
        equal((stat["major"], stat["minor"]), number, f"/dev/{name}")


@case(98, needs="cgroup-devices")
def devices_are_denied_unless_allowed(box: Box) -> None:
    """What the device rules deny cannot be opened, also by root that may make the node."""
    device(box, "/dev/disk", type="b", major=7, minor=0, fileMode=0o666)
    device(box, "/dev/mem", type="c", major=1, minor=1, fileMode=0o666)
    box.resources(devices=[{"allow": False, "access": "rwm"}])
    answers = box.ask("open", "/dev/disk", "r", "--", "open", "/dev/mem", "r", "--", "open", "/dev/null", "rw")
    equal([each["error"] for each in answers], ["EPERM", "EPERM", None], "opening a disk, memory and null")


@case(98, needs="cgroup-devices")
def device_rules_count_in_their_order(box: Box) -> None:
    """Of two rules for a device the later counts; reading and writing are told apart."""
    device(box, "/dev/loop", type="b", major=7, minor=250, fileMode=0o666)
    loop = {"type": "b", "major": 7, "minor": 250}
    box.resources(
        devices=[
            {"allow": False, "access": "rwm"},
            {"allow": True, **loop, "access": "rw"},
            {"allow": False, **loop, "access": "w"},
        ]
    )
    read, write = box.ask("open", "/dev/loop", "r", "--", "open", "/dev/loop", "w")
    # Whether there is such a loop device or not: allowed is what is not refused with EPERM.
    check(read["error"] != "EPERM", "reading is refused")
    equal(write["error"], "EPERM", "writing")


@case(98, needs="cgroup-devices")
def rule_without_type_is_for_all(box: Box) -> None:
    """A rule without a type, or without numbers, is for every device."""
    device(box, "/dev/loop", type="b", major=7, minor=250, fileMode=0o666)
    for rule, refused in (({"allow": True, "type": "b"}, False), ({"allow": True, "access": "r"}, False)):
        box.resources(devices=[{"allow": False, "access": "rwm"}, {"access": "rwm", **rule}])
        equal(box.ask("open", "/dev/loop", "r")["error"] == "EPERM", refused, f"reading is refused with {rule}")
