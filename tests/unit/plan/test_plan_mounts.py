"""Entries of `mounts` become steps, in config.json's order."""

from __future__ import annotations

import pytest

from pyrunc.errors import ConfigError, SpecError
from pyrunc.kernel import flags
from pyrunc.plan.mounts import plan_mounts, without_effect
from pyrunc.plan.steps import (
    Attributes,
    ChangeMount,
    IdMap,
    IdMaps,
    JoinCgroups,
    MakeReadonly,
    MountBind,
    MountFs,
)
from pyrunc.spec.mounts import IDMapping, Mount
from tests.unit.plan.hosts import ID_MAPS, mounts, one, place

RDONLY = flags.MOUNT_ATTR_RDONLY
PRIVATE = flags.MS_PRIVATE | flags.MS_REC


def refusal(entry: Mount) -> SpecError:
    with pytest.raises(ConfigError) as caught:
        mounts(Mount("/first", "proc"), entry)
    (problem,) = caught.value.problems
    return problem


def test_every_mount_that_cannot_be_made_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        mounts(Mount("/a"), Mount("/b", "proc"), Mount("/c", "tmpfs", options=("bind",)))
    assert [problem.path for problem in caught.value.problems] == [".mounts[0].type", ".mounts[2].source"]


def test_a_new_filesystem() -> None:
    step = one(Mount("/proc", "proc", "proc", ("nosuid", "hidepid=2", "sync")))
    attributes = Attributes(set=flags.MOUNT_ATTR_NOSUID)
    assert step == MountFs(".mounts[0]", "proc", "proc", "/proc", ("sync", "hidepid=2"), attributes)


def test_without_source_and_options_nothing_is_made_up() -> None:
    assert one(Mount("/m", "mqueue")) == MountFs(".mounts[0]", "mqueue", "", "/m")


def test_read_only_is_said_of_the_superblock_too() -> None:
    step = one(Mount("/s", "sysfs", "sysfs", ("ro",)))
    assert step == MountFs(".mounts[0]", "sysfs", "sysfs", "/s", ("ro",), Attributes(set=RDONLY))


def test_read_only_taken_back_is_said_of_nothing() -> None:
    step = one(Mount("/s", "sysfs", "sysfs", ("ro", "rw")))
    assert step == MountFs(".mounts[0]", "sysfs", "sysfs", "/s", (), Attributes(clear=RDONLY))


def test_what_only_the_old_call_knows_is_passed_on() -> None:
    step = one(Mount("/s", "ext4", "/dev/sda", ("iversion",)))
    assert step == MountFs(".mounts[0]", "ext4", "/dev/sda", "/s", flags=flags.MS_I_VERSION)


@pytest.mark.parametrize(
    ("written", "target"), [("proc", "/proc"), ("/a/b/", "/a/b"), ("a/../b", "/a/../b"), ("/", "/")]
)
def test_destinations_are_taken_from_the_root(written: str, target: str) -> None:
    assert one(Mount(written, "proc", "proc")) == MountFs(".mounts[0]", "proc", "proc", target)


@pytest.mark.parametrize("kind", [None, "", "none", "bind"])
def test_a_mount_that_is_no_bind_needs_a_type(kind: str | None) -> None:
    assert refusal(Mount("/x", kind, "x")).path == ".mounts[1].type"


def test_steps_keep_the_order_and_name_their_entry() -> None:
    now, late = mounts(Mount("/a", "proc"), Mount("/b", "none", "/s", ("bind",)), Mount("/c", "sysfs"))
    assert [(step.where, type(step).__name__) for step in now] == [
        (".mounts[0]", "MountFs"),
        (".mounts[1]", "MountBind"),
        (".mounts[2]", "MountFs"),
    ]
    assert late == ()


def test_a_remount_changes_what_is_there() -> None:
    step = one(Mount("/x", "bind", "/y", ("remount", "bind", "ro", "dirsync", "size=1k")))
    assert step == ChangeMount(".mounts[0]", "/x", ("dirsync", "size=1k"), Attributes(set=RDONLY))


def test_a_tmpfs_stays_writable_until_all_is_in_place() -> None:
    now, late = mounts(Mount("/t", "tmpfs", "t", ("ro", "noexec", "mode=755")), Mount("/t/proc", "proc"))
    tmpfs = MountFs(
        ".mounts[0]", "tmpfs", "t", "/t", ("mode=755",), Attributes(set=flags.MOUNT_ATTR_NOEXEC)
    )
    assert now == (tmpfs, MountFs(".mounts[1]", "proc", "", "/t/proc"))
    assert late == (MakeReadonly(".mounts[0]", "/t"),)


def test_only_a_tmpfs_that_is_read_only_is_put_off() -> None:
    _, late = mounts(Mount("/t", "tmpfs", "t", ("ro", "rw")), Mount("/s", "sysfs", "s", ("ro",)))
    assert late == ()


def test_copying_up_needs_a_tmpfs() -> None:
    step = one(Mount("/etc", "tmpfs", "t", ("tmpcopyup", "mode=755")))
    assert step == MountFs(".mounts[0]", "tmpfs", "t", "/etc", ("mode=755",), copy_up=True)
    assert refusal(Mount("/etc", "proc", "p", ("tmpcopyup",))).path == ".mounts[1].options"


def test_layers_of_an_overlay_are_the_bundles() -> None:
    options = ("lowerdir=a:/b:c/d", "upperdir=up", "workdir=/work", "index=off")
    step = one(Mount("/o", "overlay", "overlay", options))
    assert isinstance(step, MountFs)
    assert step.options == ("lowerdir=/b/a:/b:/b/c/d", "upperdir=/b/up", "workdir=/work", "index=off")


def test_layers_of_anything_else_are_left_alone() -> None:
    step = one(Mount("/o", "fuse", "x", ("lowerdir=a",)))
    assert isinstance(step, MountFs)
    assert step.options == ("lowerdir=a",)


# Bind mounts


@pytest.mark.parametrize("kind", [None, "none", "bind", "tmpfs", "cgroup", "overlay"])
def test_the_type_of_a_bind_mount_is_ignored(kind: str | None) -> None:
    step = one(Mount("/x", kind, "/y", ("bind",)))
    assert step == MountBind(".mounts[0]", "/y", "/x", False, Attributes(propagation=(PRIVATE,)))


def test_a_relative_source_is_the_bundles() -> None:
    step = one(Mount("/x", None, "data/./x", ("rbind",)))
    assert step == MountBind(".mounts[0]", "/b/data/./x", "/x", True, Attributes(propagation=(PRIVATE,)))


@pytest.mark.parametrize("source", [None, ""])
def test_a_bind_mount_needs_a_source(source: str | None) -> None:
    assert refusal(Mount("/x", None, source, ("bind",))).path == ".mounts[1].source"


def test_a_bind_mount_is_private_unless_asked() -> None:
    step = one(Mount("/x", None, "/y", ("rbind", "rslave", "ro")))
    attributes = Attributes(set=RDONLY, propagation=(flags.MS_SLAVE | flags.MS_REC,))
    assert step == MountBind(".mounts[0]", "/y", "/x", True, attributes)


def test_a_word_that_a_bind_mount_would_drop_is_refused() -> None:
    error = refusal(Mount("/x", None, "/y", ("bind", "ro", "nosiud")))
    assert error.path == ".mounts[1].options"
    assert "'nosiud'" in error.problem


@pytest.mark.parametrize(
    ("options", "lost"),
    [
        (("bind", "ro", "noatime", "rshared", "idmap", "loud"), []),
        (("rbind", "sync", "tmpcopyup"), ["sync", "tmpcopyup"]),
        (("bind", "iversion"), ["iversion"]),
        (("bind", "remount", "sync"), []),
        (("sync", "lazytime"), []),
    ],
)
def test_what_a_bind_mount_cannot_change_is_a_warning(options: tuple[str, ...], lost: list[str]) -> None:
    warnings = without_effect((Mount("/a", "tmpfs"), Mount("/b", "none", "/b", options)))
    assert [line.partition(": ")[0] for line in warnings] == [".mounts[1].options"] * len(lost)
    assert all(f"{option!r} has no effect" in line for option, line in zip(lost, warnings, strict=True))


def test_read_only_binds_are_not_put_off() -> None:
    step = one(Mount("/x", "tmpfs", "/y", ("bind", "ro")))
    assert step == MountBind(".mounts[0]", "/y", "/x", False, Attributes(set=RDONLY, propagation=(PRIVATE,)))


# Idmapped mounts


@pytest.mark.parametrize("option", ["idmap", "ridmap"])
def test_own_mappings_of_a_mount(option: str) -> None:
    uids, gids = (IDMapping(0, 1000, 1), IDMapping(1, 5, 9)), (IDMapping(0, 2000, 1),)
    step = one(Mount("/x", None, "/y", ("bind", option), uids, gids), at=place(id_maps=ID_MAPS))
    assert isinstance(step, MountBind)
    assert step.idmap == IdMaps((IdMap(0, 1000, 1), IdMap(1, 5, 9)), (IdMap(0, 2000, 1),))
    assert step.idmap_recursive is (option == "ridmap")


def test_mappings_alone_ask_for_an_idmapped_mount() -> None:
    step = one(Mount("/x", None, "/y", ("bind",), (IDMapping(0, 7, 1),), (IDMapping(0, 8, 1),)))
    assert isinstance(step, MountBind)
    assert step.idmap == IdMaps((IdMap(0, 7, 1),), (IdMap(0, 8, 1),))


def test_idmap_alone_takes_the_containers_mappings() -> None:
    step = one(Mount("/x", None, "/y", ("bind", "idmap")), at=place(id_maps=ID_MAPS))
    assert isinstance(step, MountBind)
    assert step.idmap == ID_MAPS


def test_a_joined_user_namespace_stands_for_its_mappings() -> None:
    step = one(Mount("/x", None, "/y", ("bind", "idmap")), at=place(user_namespace=True))
    assert isinstance(step, MountBind)
    assert step.idmap == IdMaps((), ())


def test_without_being_asked_owners_stay() -> None:
    step = one(Mount("/x", None, "/y", ("bind",)), at=place(id_maps=ID_MAPS))
    assert isinstance(step, MountBind)
    assert step.idmap is None


@pytest.mark.parametrize("option", ["idmap", "ridmap"])
def test_a_new_filesystem_has_the_containers_mappings_or_its_own(option: str) -> None:
    own = Mount("/x", "tmpfs", "t", (option, "mode=755"), (IDMapping(0, 7, 1),), (IDMapping(0, 8, 1),))
    maps = IdMaps((IdMap(0, 7, 1),), (IdMap(0, 8, 1),))
    for entry, idmap in ((own, maps), (own.but(uid_mappings=(), gid_mappings=()), ID_MAPS)):
        step = one(entry, at=place(id_maps=ID_MAPS))
        assert step == MountFs(".mounts[0]", "tmpfs", "t", "/x", ("mode=755",), idmap=idmap)


@pytest.mark.parametrize("word", ["iversion", "silent"])
def test_mapped_ids_cannot_be_had_from_the_old_call(word: str) -> None:
    assert refusal(Mount("/x", "ext4", "/dev/sda", ("idmap", word))).path == ".mounts[1].options"


# SELinux


@pytest.mark.parametrize("kind", ["tmpfs", "overlay", "devpts", "ext4"])
def test_a_label_is_an_option_of_the_filesystem(kind: str) -> None:
    step = one(Mount("/x", kind, "s", ("mode=755",)), at=place(mount_label="u:r:t:s0:c1,c2"))
    assert step == MountFs(".mounts[0]", kind, "s", "/x", ("mode=755", "context=u:r:t:s0:c1,c2"))


def test_a_label_is_put_on_what_has_no_such_option() -> None:
    step = one(Mount("/x", "mqueue", "s"), at=place(mount_label="u:r:t:s0"))
    assert step == MountFs(".mounts[0]", "mqueue", "s", "/x", label="u:r:t:s0")


@pytest.mark.parametrize("kind", ["proc", "sysfs"])
def test_what_shows_the_kernel_keeps_its_labels(kind: str) -> None:
    assert one(Mount("/x", kind, "s"), at=place(mount_label="u:r:t:s0")) == one(Mount("/x", kind, "s"))


# The moment at which the cgroups are joined


def order(*entries: Mount, namespace: bool) -> list[str]:
    now, _ = plan_mounts(entries, place(cgroup_namespace=namespace))
    return ["join" if isinstance(step, JoinCgroups) else step.where for step in now]


PROC, CGROUP, SYS = Mount("/proc", "proc"), Mount("/c", "cgroup"), Mount("/sys", "sysfs")


def test_a_cgroup_namespace_is_made_before_any_mount() -> None:
    assert order(PROC, CGROUP, namespace=True) == ["join", ".mounts[0]", ".mounts[1]"]


def test_else_the_cgroups_are_joined_when_they_are_to_be_seen() -> None:
    first = [".mounts[0]", "join", ".mounts[1]", ".mounts[2]", ".mounts[3]"]
    assert order(PROC, CGROUP, SYS, CGROUP, namespace=False) == first


def test_or_at_the_end() -> None:
    assert order(PROC, SYS, namespace=False) == [".mounts[0]", ".mounts[1]", "join"]
    assert order(namespace=False) == ["join"]


@pytest.mark.parametrize("namespace", [False, True])
def test_joining_says_whether_there_is_a_namespace(namespace: bool) -> None:
    now, _ = plan_mounts((PROC,), place(cgroup_namespace=namespace))
    assert JoinCgroups(".linux.cgroupsPath", namespace) in now
