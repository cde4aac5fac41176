"""Mount options become what mount_setattr(2), fsconfig(2) and mount(2) are told."""

from __future__ import annotations

import pytest

from pyrunc.kernel import flags
from pyrunc.plan.mounts import Options, read_options
from pyrunc.plan.steps import Attributes

ATIME = flags.MOUNT_ATTR__ATIME
NOTHING = Attributes()
PLAIN = {
    "ro": (flags.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, flags.MOUNT_ATTR_RDONLY),
    "nosuid": (flags.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, flags.MOUNT_ATTR_NOSUID),
    "nodev": (flags.MOUNT_ATTR_NODEV, 0),
    "dev": (0, flags.MOUNT_ATTR_NODEV),
    "noexec": (flags.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, flags.MOUNT_ATTR_NOEXEC),
    "nodiratime": (flags.MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, flags.MOUNT_ATTR_NODIRATIME),
    "nosymfollow": (flags.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, flags.MOUNT_ATTR_NOSYMFOLLOW),
    "noatime": (flags.MOUNT_ATTR_NOATIME, ATIME),
    "strictatime": (flags.MOUNT_ATTR_STRICTATIME, ATIME),
    "relatime": (0, ATIME),
    "atime": (0, ATIME),
    "norelatime": (0, ATIME),
    "nostrictatime": (0, ATIME),
}
PROPAGATION = {
    "shared": flags.MS_SHARED,
    "slave": flags.MS_SLAVE,
    "private": flags.MS_PRIVATE,
    "unbindable": flags.MS_UNBINDABLE,
}
# config.md#linux-mount-options
OF_THE_SPEC = """
    async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev nodiratime
    noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev
    rdiratime relatime remount rexec rnoatime rnodiratime rnoexec rnorelatime rnostrictatime rnosuid
    rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw
    shared silent slave strictatime suid symfollow sync tmpcopyup unbindable idmap ridmap
""".split()


def attributes(*options: str) -> Attributes:
    return read_options(options).attributes


@pytest.mark.parametrize("option", PLAIN)
def test_an_attribute_is_set_or_cleared(option: str) -> None:
    to_set, to_clear = PLAIN[option]
    expected = Options(Attributes(set=to_set, clear=to_clear), (), (), 0, frozenset({option}))
    assert read_options((option,)) == expected


@pytest.mark.parametrize("option", PLAIN)
def test_an_r_before_it_means_the_whole_tree(option: str) -> None:
    to_set, to_clear = PLAIN[option]
    expected = Attributes(recursive_set=to_set, recursive_clear=to_clear)
    assert read_options((f"r{option}",)) == Options(expected, (), (), 0, frozenset({f"r{option}"}))


@pytest.mark.parametrize("option", OF_THE_SPEC)
def test_no_option_of_the_spec_is_left_to_the_filesystem(option: str) -> None:
    assert read_options((option,)).data == ()


@pytest.mark.parametrize("option", ["size=64k", "mode=755", "nosuid ", "RO", "", "rbindx", "context=\"a,b\"", "user"])
def test_what_nobody_knows_is_the_filesystems(option: str) -> None:
    assert read_options((option, option)) == Options(NOTHING, (), (option, option), 0, frozenset({option}))


@pytest.mark.parametrize(
    ("off", "on"),
    [("ro", "rw"), ("nosuid", "suid"), ("nodev", "dev"), ("noexec", "exec"), ("nosymfollow", "symfollow")],
)
@pytest.mark.parametrize("prefix", ["", "r"])
def test_the_last_of_two_wins(off: str, on: str, prefix: str) -> None:
    first, second = prefix + off, prefix + on
    assert attributes(first, second) == attributes(second)
    assert attributes(second, first) == attributes(first)
    assert attributes(first, second, first) == attributes(first)


@pytest.mark.parametrize("first", ["noatime", "strictatime", "relatime", "atime"])
@pytest.mark.parametrize("second", ["noatime", "strictatime", "relatime", "atime"])
def test_the_last_access_time_mode_wins(first: str, second: str) -> None:
    assert attributes(first, second) == attributes(second)
    assert attributes(second).clear == ATIME, "the kernel wants the whole field cleared"


def test_directory_times_are_not_part_of_the_field() -> None:
    expected = Attributes(
        set=flags.MOUNT_ATTR_NODIRATIME | flags.MOUNT_ATTR_NOATIME | flags.MOUNT_ATTR_NOSUID, clear=ATIME
    )
    assert attributes("nosuid", "nodiratime", "noatime") == expected
    assert attributes("noatime", "nodiratime", "nosuid") == expected


def test_one_mount_and_the_tree_are_told_apart() -> None:
    expected = Attributes(
        set=flags.MOUNT_ATTR_RDONLY,
        recursive_set=flags.MOUNT_ATTR_NOEXEC,
        recursive_clear=flags.MOUNT_ATTR_RDONLY,
    )
    assert attributes("ro", "rrw", "rnoexec") == expected


@pytest.mark.parametrize("option", PROPAGATION)
def test_propagation_of_one_mount_or_the_tree(option: str) -> None:
    bit = PROPAGATION[option]
    assert attributes(option) == Attributes(propagation=(bit,))
    assert attributes(f"r{option}") == Attributes(propagation=(bit | flags.MS_REC,))


def test_propagation_keeps_its_order() -> None:
    """The slave of a peer group that is then shared is both (mount_namespaces(7))."""
    assert attributes("slave", "ro", "shared").propagation == (flags.MS_SLAVE, flags.MS_SHARED)
    assert attributes("shared", "slave").propagation == (flags.MS_SHARED, flags.MS_SLAVE)


def test_words_of_the_superblock_keep_their_order() -> None:
    words = ("sync", "lazytime", "mand", "async", "nomand", "nolazytime", "dirsync")
    assert read_options(words) == Options(NOTHING, words, (), 0, frozenset(words))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("iversion",), flags.MS_I_VERSION),
        (("silent", "iversion"), flags.MS_I_VERSION | flags.MS_SILENT),
        (("noiversion", "loud"), 0),
    ],
)
def test_what_only_the_old_call_knows(options: tuple[str, ...], expected: int) -> None:
    assert read_options(options) == Options(NOTHING, (), (), expected, frozenset(options))


@pytest.mark.parametrize(("on", "off"), [("iversion", "noiversion"), ("silent", "loud")])
def test_the_last_of_two_of_those_wins_too(on: str, off: str) -> None:
    assert read_options((on, off)).classic == 0
    assert read_options((off, on)).classic == read_options((on,)).classic != 0


@pytest.mark.parametrize(
    ("options", "bind"), [(("bind",), True), (("ro", "rbind"), True), (("ro",), False), (("bind=1",), False)]
)
def test_the_options_make_a_bind_mount(options: tuple[str, ...], bind: bool) -> None:
    assert read_options(options).bind is bind
