"""config.md, "Root" and "Mounts"; the root's propagation, masked and read-only paths of config-linux.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.case import Failure, NotApplicable, case, check, equal
from conformance.mountinfo import mount_at

if TYPE_CHECKING:
    from conformance.box import Box

DATA = "/data"
# What one option leaves in mountinfo, of a mount and of its superblock; "-x" means that x is not there.
FLAGS = {
    "ro": "ro",
    "rw": "rw",
    "nosuid": "nosuid",
    "suid": "-nosuid",
    "nodev": "nodev",
    "dev": "-nodev",
    "noexec": "noexec",
    "exec": "-noexec",
    "noatime": "noatime",
    "atime": "-noatime",
    "nodiratime": "nodiratime",
    "diratime": "-nodiratime",
    "relatime": "relatime",
    "norelatime": "-norelatime",
    "strictatime": "-relatime",
    "nostrictatime": "-strictatime",
    "nosymfollow": "nosymfollow",
    "symfollow": "-nosymfollow",
}
SUPERBLOCK = {
    "sync": "sync",
    "async": "-sync",
    "dirsync": "dirsync",
    "lazytime": "lazytime",
    "nolazytime": "-lazytime",
    "iversion": "",
    "noiversion": "-iversion",
    "silent": "",
    "loud": "",
    "defaults": "rw",
}
SHOULD = ("nosymfollow", "symfollow")
PROPAGATION = {"shared": "shared:", "slave": "", "private": "", "unbindable": "unbindable"}
RECURSIVE = {
    "rro": "ro",
    "rnosuid": "nosuid",
    "rnodev": "nodev",
    "rnoexec": "noexec",
    "rnoatime": "noatime",
    "rnodiratime": "nodiratime",
    "rrelatime": "relatime",
    "rrw": "rw",
    "rsuid": "-nosuid",
    "rdev": "-nodev",
    "rexec": "-noexec",
    "rdiratime": "-nodiratime",
    "rstrictatime": "-relatime",
    "rnosymfollow": "nosymfollow",
}


def holds(option: str, options: frozenset[str]) -> bool:
    """Tell whether an option, or with "-" its absence, is what is there."""
    return option.removeprefix("-") in options if not option.startswith("-") else option[1:] not in options


def tmpfs(box: Box, *options: str, at: str = DATA) -> Box:
    """Mount a tmpfs with these options."""
    return box.mount(at, type="tmpfs", source="tmpfs", options=list(options))


def bind(box: Box, *options: str, source: str = "", at: str = DATA) -> Box:
    """Bind a directory that has a file; with what is mounted below it if the options say so."""
    folder = box.bundle / (source or "shared")
    folder.mkdir(exist_ok=True)
    (folder / "file").write_text("of the host")
    return box.mount(at, type="bind", source=str(folder), options=[*options])


@case(34)
def root_is_the_directory(box: Box) -> None:
    """The container's root is root.path, relative to the bundle or absolute."""
    box.file("/mark", "here")
    for path in ("rootfs", str(box.rootfs)):
        box.config["root"]["path"] = path
        equal(box.ask("cat", "/mark"), {"/mark": "here"}, f"with root.path {path}")


@case(34)
def missing_root_is_an_error(box: Box) -> None:
    """A root that is not set, or not there, or not a directory, is an error."""
    for root in (None, {"path": "nowhere"}, {"path": "config.json"}):
        box.config["root"] = root
        if root is None:
            del box.config["root"]
        box.create().failed()
    equal(box.left_behind(), [], "what is left")


@case(35)
def readonly_root(box: Box) -> None:
    """With root.readonly nothing can be written to the root; without, it can."""
    box.config["root"]["readonly"] = True
    equal(box.ask("write", "/new", "x")["error"], "EROFS", "with readonly true")
    box.config["root"]["readonly"] = False
    equal(box.ask("write", "/new", "x")["error"], None, "with readonly false")


@case(32)
def missing_config_is_an_error(box: Box) -> None:
    """A bundle without config.json is an error."""
    box.call("create", "--bundle", str(box.bundle), box.id).failed()


@case(36)
def mounts_come_in_their_order(box: Box) -> None:
    """Mounts are made in the order of the list: the second can be made inside the first."""
    tmpfs(box)
    bind(box, "bind", at=f"{DATA}/inner")
    equal(box.ask("cat", f"{DATA}/inner/file"), {f"{DATA}/inner/file": "of the host"}, "the file")


@case(37, level="SHOULD")
def relative_destination(box: Box) -> None:
    """A destination that is not absolute counts from the container's root."""
    tmpfs(box, at="data")
    equal(mount_at(box.report(), DATA).kind, "tmpfs", "what is on it")


@case(38)
def bind_is_what_the_options_say(box: Box) -> None:
    """With bind or rbind among the options the type does not matter."""
    for kind in ("none", "bind", "anything"):
        box.config["mounts"] = box.config["mounts"][:3]
        bind(box, "bind")
        box.config["mounts"][-1]["type"] = kind
        equal(box.ask("cat", f"{DATA}/file"), {f"{DATA}/file": "of the host"}, f"with type {kind}")


@case(47)
def bind_without_type(box: Box) -> None:
    """A bind mount needs no type."""
    bind(box, "rbind")
    del box.config["mounts"][-1]["type"]
    equal(box.ask("cat", f"{DATA}/file"), {f"{DATA}/file": "of the host"}, "the file")


@case(39)
def bind_source_is_relative_to_the_bundle(box: Box) -> None:
    """A source of a bind mount that is not absolute counts from the bundle."""
    bind(box, "bind")
    box.config["mounts"][-1]["source"] = "shared"
    equal(box.ask("cat", f"{DATA}/file"), {f"{DATA}/file": "of the host"}, "the file")


@case(9)
def missing_bind_source_is_an_error(box: Box) -> None:
    """A bind mount whose source is not there is an error, and leaves nothing."""
    box.mount(DATA, type="bind", source="/nowhere/at/all", options=["bind"]).create().failed()
    equal(box.left_behind(), [], "what is left")


@case(9)
def unknown_filesystem_is_an_error(box: Box) -> None:
    """A file system that the kernel does not know is an error, and leaves nothing."""
    box.mount(DATA, type="nothingfs", source="x").create().failed()
    equal(box.left_behind(), [], "what is left")


@case(9)
def bind_of_a_file(box: Box) -> None:
    """A file can be bound on a file that is not there yet."""
    (box.bundle / "one").write_text("of the host")
    box.mount("/etc/new/one", type="bind", source=str(box.bundle / "one"), options=["bind", "ro"])
    equal(box.ask("cat", "/etc/new/one"), {"/etc/new/one": "of the host"}, "the file")


def _option(option: str, kind: str) -> None:
    """Make a case of one option on one kind of mount."""

    def judge(box: Box) -> None:
        (tmpfs(box, option) if kind == "tmpfs" else bind(box, "bind", option))
        mount = mount_at(box.report(), DATA)
        if option in FLAGS:
            check(holds(FLAGS[option], mount.options), f"options of the mount: {','.join(sorted(mount.options))}")
        elif mark := SUPERBLOCK.get(option):
            check(holds(mark, mount.superblock), f"of the file system: {','.join(sorted(mount.superblock))}")

    judge.__name__ = f"{option}_on_{kind}"
    judge.__doc__ = f"The option {option} is known, and holds on a {kind} mount."
    level, number = ("SHOULD", 41) if option in SHOULD else ("MUST", 40)
    case(number, level=level)(judge)  # type: ignore[arg-type]


for _name in (*FLAGS, *SUPERBLOCK):
    _option(_name, "tmpfs")
for _name in FLAGS:
    _option(_name, "bind")


@case(40)
def cleared_flags(box: Box) -> None:
    """Of two options that contradict each other the last holds."""
    tmpfs(box, "noexec", "nosuid", "ro", "exec", "rw")
    options = mount_at(box.report(), DATA).options
    check({"rw", "nosuid"} <= options and "noexec" not in options, f"options: {','.join(sorted(options))}")


@case(40)
def remount(box: Box) -> None:
    """Remount changes the options of what is mounted there."""
    tmpfs(box)
    tmpfs(box, "remount", "ro", "nosuid")
    check({"ro", "nosuid"} <= mount_at(box.report(), DATA).options, "it is not as the remount wants it")


@case(40)
def rbind_shows_what_is_below(box: Box) -> None:
    """Rbind shows what is mounted below the source; bind does not."""
    for option, seen in (("rbind", "of the inner"), ("bind", None)):
        box.config["mounts"] = box.config["mounts"][:3]
        bind(box, option)
        # The source has a mount below it in the container's own mount namespace: made by two mounts on the source.
        inner = box.bundle / "inner"
        inner.mkdir(exist_ok=True)
        (inner / "mark").write_text("of the inner")
        (box.bundle / "shared/below").mkdir(exist_ok=True)
        box.config["mounts"][3:3] = [
            {"destination": "/outer", "type": "bind", "source": str(box.bundle / "shared"), "options": ["bind"]},
            {"destination": "/outer/below", "type": "bind", "source": str(inner), "options": ["bind"]},
        ]
        box.config["mounts"][-1]["source"] = str(box.rootfs / "outer")
        equal(box.ask("cat", f"{DATA}/below/mark"), {f"{DATA}/below/mark": seen}, f"with {option}")


@case(46, level="SHOULD")
def unknown_options_are_the_filesystems(box: Box) -> None:
    """Options that are not in the list go to the file system."""
    tmpfs(box, "size=65536", "mode=711")
    box.process(args=["/bin/probe", "stat", DATA, "--", "report"])
    stat, report = box.answers(box.run().succeeded().stdout)
    equal(stat[DATA]["mode"], 0o711, "mode of the directory")
    check("size=64k" in mount_at(report, DATA).superblock, "the size is not there")


@case(46, 78)
def wrong_filesystem_option_is_an_error(box: Box) -> None:
    """An option that neither the list nor the file system knows is an error."""
    tmpfs(box, "no-such-option=1").create().failed()
    equal(box.left_behind(), [], "what is left")


def _propagation(option: str, recursive: bool) -> None:
    def judge(box: Box) -> None:
        bind(box, "rbind", ("r" if recursive else "") + option)
        seen = mount_at(box.report(), DATA).propagation
        wanted = PROPAGATION[option]
        check(any(each.startswith(wanted) for each in seen) if wanted else not any("shared" in each for each in seen),
              f"propagation: {' '.join(seen) or 'private'}")  # fmt: skip

    word = ("r" if recursive else "") + option
    judge.__name__ = f"{word}_mount"
    judge.__doc__ = f"The option {word} gives the mount that propagation."
    case(40)(judge)


for _name in PROPAGATION:
    _propagation(_name, False)
    _propagation(_name, True)


def _recursive(option: str) -> None:
    def judge(box: Box) -> None:
        offered = box.features().get("mountOptions") or []
        if option not in offered:
            raise NotApplicable(f"its features do not list {option}")
        takes_away = RECURSIVE[option].startswith("-") or option == "rrw"
        tmpfs(box, *(["nosuid", "nodev", "noexec", "noatime", "ro"] if takes_away else []), at="/tree")
        box.mount(DATA, type="bind", source=str(box.rootfs), options=["rbind", option])
        options = mount_at(box.report(), f"{DATA}/tree").options
        check(holds(RECURSIVE[option], options), f"options of the mount below: {','.join(sorted(options))}")

    judge.__name__ = f"{option}_reaches_below"
    judge.__doc__ = f"The option {option} holds for mounts below as well."
    case(41, level="SHOULD", needs="idmapped-mounts")(judge)


for _name in RECURSIVE:
    _recursive(_name)


@case(42, level="MAY")
def tmpcopyup(box: Box) -> None:
    """With tmpcopyup a tmpfs begins with what was in the directory."""
    box.file(f"{DATA}/file", "of the image")
    tmpfs(box, "tmpcopyup")
    try:
        answer = box.ask("cat", f"{DATA}/file")
    except Failure as error:
        raise NotApplicable("it does not know tmpcopyup") from error
    equal(answer, {f"{DATA}/file": "of the image"}, "the file")


@case(79, level="SHOULD")
def file_systems_of_the_spec(box: Box) -> None:
    """Proc, sysfs, devpts, shm and mqueue can be mounted where programs look for them."""
    wanted = {"/proc": "proc", "/sys": "sysfs", "/dev/pts": "devpts", "/dev/shm": "tmpfs", "/dev/mqueue": "mqueue"}
    have = {mount["destination"] for mount in box.config["mounts"]}
    for point, kind in wanted.items():
        if point not in have:
            box.mount(point, type=kind, source=kind, options=["nosuid", "noexec", "nodev"])
    report = box.report()
    for point, kind in wanted.items():
        equal(mount_at(report, point).kind, kind, f"on {point}")


@case(123)
def root_propagation(box: Box) -> None:
    """RootfsPropagation is the propagation of the root's mount."""
    for word, mark in (("private", ""), ("shared", "shared:"), ("unbindable", "unbindable")):
        seen = mount_at(box.linux(rootfsPropagation=word).report(), "/").propagation
        fits = any(each.startswith(mark) for each in seen) if mark else not seen
        check(fits, f"with {word}: {' '.join(seen) or 'private'}")


@case(123)
def unknown_root_propagation_is_an_error(box: Box) -> None:
    """A propagation that does not exist is an error."""
    box.linux(rootfsPropagation="sideways").create().failed()


@case(124)
def masked_file_and_directory(box: Box) -> None:
    """A masked file reads as empty and a masked directory has nothing in it."""
    box.file("/secret", "secret")
    box.file("/secrets/one", "secret")
    box.linux(maskedPaths=["/secret", "/secrets", "/not/there"])
    box.process(args=["/bin/probe", "cat", "/secret", "--", "list", "/secrets"])
    cat, names = box.answers(box.run().succeeded().stdout)
    check(not cat["/secret"], f"the file reads {cat['/secret']!r}")
    equal(names.get("names"), [], "names in the directory")


@case(125)
def readonly_paths(box: Box) -> None:
    """What is a read-only path cannot be written to, and what is beside it can."""
    box.file("/kept/file", "before")
    box.file("/free/file", "before")
    box.linux(readonlyPaths=["/kept", "/not/there"])
    box.process(args=["/bin/probe", "write", "/kept/file", "x", "--", "write", "/free/file", "x"])
    kept, free = box.answers(box.run().succeeded().stdout)
    equal((kept["error"], free["error"]), ("EROFS", None), "writing to the read-only and the other file")


@case(124, 125, justified="config-linux.md, maskedPaths and readonlyPaths: they MUST be absolute")
def relative_mask_is_an_error(box: Box) -> None:
    """Paths to mask or to make read-only have to be absolute."""
    box.linux(maskedPaths=["proc/keys"]).create().failed()
    box.linux(maskedPaths=[], readonlyPaths=["proc/sys"]).create().failed()


@case(15)
def failed_mount_leaves_the_root_as_it_was(box: Box) -> None:
    """After a create that failed at its last mount nothing is mounted or running."""
    tmpfs(box)
    bind(box, "bind", at="/other")
    box.mount("/bad", type="tmpfs", source="tmpfs", options=["size=nonsense"]).create().failed()
    equal(box.left_behind(), [], "what is left")
