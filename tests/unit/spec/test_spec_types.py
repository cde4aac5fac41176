"""Every member of config.json arrives in the attribute that is named after it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pyrunc.record import Record
from pyrunc.spec.linux import sysctl_file
from pyrunc.spec.read import number_ranges
from tests.unit.spec.spec_documents import ABSENT, changed, full, read, small


def snake_case(name: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    return "class_" if words == "class" else words


def assert_same(value: Any, json: Any) -> None:
    """Compare what was read with the JSON it comes from, down to the last scalar."""
    if isinstance(json, dict) and isinstance(value, Record):
        for name, inner in json.items():
            assert_same(getattr(value, snake_case(name)), inner)
    elif isinstance(json, dict):
        assert isinstance(value, dict)
        assert list(value) == list(json)
        for name, inner in json.items():
            assert_same(value[name], inner)
    elif isinstance(json, list):
        assert isinstance(value, tuple)
        assert len(value) == len(json)
        for read_item, item in zip(value, json, strict=True):
            assert_same(read_item, item)
    else:
        assert value == json
        assert type(value) is type(json)


def records_in(value: Any) -> list[Record]:
    """List all records in a record, itself included."""
    if isinstance(value, Record):
        return [value, *(each for inner in vars(value).values() for each in records_in(inner))]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
    return [each for inner in inside for each in records_in(inner)]


def test_every_member_is_read() -> None:
    assert_same(read(full()), full())


def test_the_full_document_leaves_no_attribute_unset() -> None:
    set_somewhere: dict[str, set[str]] = {}
    unset: dict[str, set[str]] = {}
    for record in records_in(read(full())):
        kind = type(record).__name__
        for name, value in vars(record).items():
            (unset if value in (None, (), {}) else set_somewhere).setdefault(kind, set()).add(name)
    assert {kind: names - set_somewhere.get(kind, set()) for kind, names in unset.items()} == {
        kind: {"flags"} if kind == "Personality" else set() for kind in unset
    }


def test_what_is_absent_has_its_default() -> None:
    spec = read({"ociVersion": "1.0.0", "root": {"path": "/r"}, "process": {"args": ["sh"], "cwd": "/"}})
    assert (spec.hostname, spec.mounts, spec.hooks, spec.annotations, spec.linux) == (
        None,
        (),
        None,
        {},
        None,
    )
    assert spec.root is not None
    assert spec.root.readonly is False
    assert spec.process is not None
    assert (spec.process.user.uid, spec.process.user.gid, spec.process.user.umask) == (0, 0, None)
    assert (spec.process.terminal, spec.process.console_size, spec.process.capabilities) == (
        False,
        None,
        None,
    )


def test_seccomp_flags_tell_absent_from_empty() -> None:
    absent = read(changed(full(), {"linux": {"seccomp": {"flags": ABSENT}}}))
    empty = read(changed(full(), {"linux": {"seccomp": {"flags": []}}}))
    assert absent.linux is not None
    assert empty.linux is not None
    assert absent.linux.seccomp is not None
    assert empty.linux.seccomp is not None
    assert absent.linux.seccomp.flags is None
    assert empty.linux.seccomp.flags == ()


def test_null_is_absent() -> None:
    nothing = {
        "process": {"env": None, "rlimits": None, "oomScoreAdj": None},
        "hostname": None,
        "mounts": None,
    }
    assert read(changed(small(), nothing)) == read(small())


def test_unknown_members_are_ignored_at_every_level() -> None:
    junk: dict[str, Any] = {"x-unknown": [1, {"y": None}]}

    def with_junk(value: Any) -> Any:
        if isinstance(value, list):
            return [with_junk(item) for item in value]
        return (
            {**{key: with_junk(item) for key, item in value.items()}, **junk}
            if isinstance(value, dict)
            else value
        )

    document = with_junk(full())
    maps = {"annotations": full()["annotations"]}
    linux = {key: full()["linux"][key] for key in ("sysctl", "timeOffsets", "netDevices")}
    for key in ("annotations", "sysctl", "timeOffsets", "netDevices"):
        (document if key in document else document["linux"])[key] = {**maps, **linux}[key]
    for key in ("rdma", "unified"):
        document["linux"]["resources"][key] = full()["linux"]["resources"][key]
    assert read(document) == read(full())


def test_a_console_size_without_terminal_is_ignored() -> None:
    spec = read(changed(small(), {"process": {"terminal": False, "consoleSize": {"height": "tall"}}}))
    assert spec.process is not None
    assert spec.process.console_size is None


@pytest.mark.parametrize(
    ("options", "kind", "is_bind"),
    [(["rbind"], "none", True), (["ro", "bind"], None, True), ([], "bind", False), (["rw"], "tmpfs", False)],
)
def test_the_options_alone_make_a_bind_mount(options: list[str], kind: str | None, is_bind: bool) -> None:
    spec = read(changed(small(), {"mounts": [{"destination": "/x", "type": kind, "options": options}]}))
    assert spec.mounts[0].is_bind is is_bind


def test_device_modes_lose_their_type_bits() -> None:
    device = {"type": "c", "path": "/dev/x", "major": 1, "minor": 3, "fileMode": 0o20666}
    spec = read(changed(small(), {"linux": {"devices": [device]}}))
    assert spec.linux is not None
    assert spec.linux.devices[0].file_mode == 0o666


def test_minus_one_is_any_device_number_in_a_rule() -> None:
    rule = {"allow": True, "type": "c", "major": -1, "minor": -1, "access": "m"}
    spec = read(changed(small(), {"linux": {"resources": {"devices": [rule]}}}))
    assert spec.linux is not None
    assert spec.linux.resources is not None
    assert (spec.linux.resources.devices[0].major, spec.linux.resources.devices[0].minor) == (None, None)


def test_a_namespace_is_found_by_its_type() -> None:
    linux = read(full()).linux
    assert linux is not None
    network = linux.namespace("network")
    assert network is not None
    assert network.path == "/run/netns/a"
    small_linux = read(small()).linux
    assert small_linux is not None
    assert small_linux.namespace("time") is None


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.100/forwarding", "net/ipv4/conf/eth0.100/forwarding"),
        ("net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding"),
        ("plain", "plain"),
    ],
)
def test_sysctl_names_become_paths(name: str, file: str) -> None:
    assert sysctl_file(name) == file


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0-2,7", [0, 1, 2, 7]), ("", []), (" 3 , 5-5 ,", [3, 5]), ("1 - 2", [1, 2])],
)
def test_number_lists(text: str, numbers: list[int]) -> None:
    assert [number for part in number_ranges(text) or () for number in part] == numbers


@pytest.mark.parametrize("text", ["x", "1-", "-1", "3-1", "1-2-3", "0:2", "99999", "\u0663"])
def test_no_number_lists(text: str) -> None:
    assert number_ranges(text) is None
