"""Reading: what is refused before any rule is asked, in which words, and all at once."""

from __future__ import annotations

import json
import posix
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pyrunc.errors import ConfigError
from pyrunc.spec.load import load, parse, parse_process, parse_resources
from tests.unit.spec.spec_documents import ABSENT, changed, complaints, full, problems_of, read, small

WRONG_MEMBERS: list[tuple[dict[str, Any], str]] = [
    ({"hostname": 5}, ".hostname: must be a string, not a number"),
    ({"hostname": {}}, ".hostname: must be a string, not an object"),
    ({"root": {"path": ABSENT}}, ".root.path: is required"),
    ({"root": {"path": None}}, ".root.path: is required"),
    ({"root": {"readonly": "yes"}}, ".root.readonly: must be a boolean, not a string"),
    ({"root": {"readonly": 1}}, ".root.readonly: must be a boolean, not a number"),
    ({"root": []}, ".root: must be an object, not an array"),
    ({"mounts": {}}, ".mounts: must be an array, not an object"),
    ({"mounts": [None]}, ".mounts[0]: must be an object, not null"),
    (
        {"mounts": [{"destination": "/x", "options": "ro"}]},
        ".mounts[0].options: must be an array, not a string",
    ),
    (
        {"mounts": [{"destination": "/x", "options": ["ro", 1]}]},
        ".mounts[0].options[1]: must be a string, not a number",
    ),
    ({"annotations": {"a.b": 1}}, '.annotations["a.b"]: must be a string, not a number'),
    ({"annotations": {"plain": None}}, ".annotations.plain: must be a string, not null"),
    ({"annotations": []}, ".annotations: must be an object, not an array"),
    ({"process": {"user": {"uid": True}}}, ".process.user.uid: must be an integer, not a boolean"),
    ({"process": {"user": {"uid": "0"}}}, ".process.user.uid: must be an integer, not a string"),
    ({"process": {"user": {"uid": -1}}}, ".process.user.uid: must be between 0 and 4294967295"),
    ({"process": {"user": {"uid": 2**32}}}, ".process.user.uid: must be between 0 and 4294967295"),
    (
        {"process": {"user": {"uid": 1.0}}},
        ".process.user.uid: must be an integer, without fraction or exponent",
    ),
    (
        {"process": {"user": {"additionalGids": [0, -1]}}},
        ".process.user.additionalGids[1]: must be between 0 and 4294967295",
    ),
    (
        {"process": {"user": {"additionalGids": 0}}},
        ".process.user.additionalGids: must be an array, not a number",
    ),
    ({"process": {"cwd": "/a\0b"}}, ".process.cwd: must not contain a NUL character"),
    ({"process": {"args": ["sh", "\0"]}}, ".process.args[1]: must not contain a NUL character"),
    ({"process": {"env": ["A=\ud800"]}}, ".process.env[0]: must not contain half of a surrogate pair"),
    ({"process": {"oomScoreAdj": 1001}}, ".process.oomScoreAdj: must be between -1000 and 1000"),
    (
        {"process": {"terminal": True, "consoleSize": {"height": 1}}},
        ".process.consoleSize.width: is required",
    ),
    (
        {"process": {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}}},
        ".process.ioPriority.priority: must be between 0 and 7",
    ),
    (
        {"linux": {"rootfsPropagation": "x"}},
        ".linux.rootfsPropagation: must be one of shared, slave, private, unbindable, rshared, rslave,"
        " rprivate, runbindable",
    ),
    ({"linux": {"namespaces": [{}]}}, ".linux.namespaces[0].type: is required"),
    (
        {"linux": {"namespaces": [{"type": "net"}]}},
        ".linux.namespaces[0].type: must be one of pid, network, mount, ipc, uts, user, cgroup, time",
    ),
    (
        {"linux": {"sysctl": {"net.a\0": "1"}}},
        '.linux.sysctl["net.a\\u0000"]: must not contain a NUL character',
    ),
    ({"linux": {"resources": {"devices": [{}]}}}, ".linux.resources.devices[0].allow: is required"),
    ({"linux": {"resources": {"pids": {}}}}, ".linux.resources.pids.limit: is required"),
    ({"linux": {"resources": {"cpu": {"idle": 2}}}}, ".linux.resources.cpu.idle: must be between 0 and 1"),
    (
        {"linux": {"resources": {"memory": {"swappiness": 101}}}},
        ".linux.resources.memory.swappiness: must be between 0 and 100",
    ),
    (
        {"linux": {"resources": {"rdma": {"m": {"hcaHandles": "many"}}}}},
        ".linux.resources.rdma.m.hcaHandles: must be an integer, not a string",
    ),
    (
        {"linux": {"netDevices": {"eth0": {"name": 23}}}},
        ".linux.netDevices.eth0.name: must be a string, not a number",
    ),
    (
        {"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_LOG"}]}}},
        ".linux.seccomp.syscalls[0].names: is required",
    ),
]


UNLISTED_VALUES: list[tuple[dict[str, Any], str]] = [
    ({"process": {"scheduler": {"policy": "SCHED_FAIR"}}}, ".process.scheduler.policy"),
    (
        {"process": {"scheduler": {"policy": "SCHED_RR", "flags": ["SCHED_FLAG_X"]}}},
        ".process.scheduler.flags[0]",
    ),
    ({"process": {"scheduler": {"policy": "SCHED_RR", "nice": 2**31}}}, ".process.scheduler.nice"),
    ({"process": {"ioPriority": {"class": "IOPRIO_CLASS_NONE"}}}, ".process.ioPriority.class"),
    ({"process": {"rlimits": [{"type": "RLIMIT_FOO", "soft": 0, "hard": 0}]}}, ".process.rlimits[0].type"),
    ({"linux": {"devices": [{"type": "x", "path": "/x"}]}}, ".linux.devices[0].type"),
    (
        {"linux": {"devices": [{"type": "c", "path": "/x", "major": 4096, "minor": 0}]}},
        ".linux.devices[0].major",
    ),
    ({"linux": {"devices": [{"type": "p", "path": "/x", "fileMode": 2**16}]}}, ".linux.devices[0].fileMode"),
    ({"linux": {"personality": {"domain": "LINUX64"}}}, ".linux.personality.domain"),
    ({"linux": {"memoryPolicy": {"mode": "MPOL_X"}}}, ".linux.memoryPolicy.mode"),
    ({"linux": {"memoryPolicy": {"mode": "MPOL_BIND", "flags": ["X"]}}}, ".linux.memoryPolicy.flags[0]"),
    ({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_X"}}}, ".linux.seccomp.defaultAction"),
    ({"linux": {"seccomp": {"architectures": ["X"]}}}, ".linux.seccomp.architectures[0]"),
    ({"linux": {"seccomp": {"flags": ["SECCOMP_FILTER_FLAG_X"]}}}, ".linux.seccomp.flags[0]"),
    ({"linux": {"seccomp": {"defaultErrnoRet": -1}}}, ".linux.seccomp.defaultErrnoRet"),
]


def refusal(bundle: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(str(bundle))
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].path == "."
    assert "\n" not in str(caught.value)
    assert caught.value.file == f"{bundle}/config.json"
    return caught.value.problems[0].problem


def test_a_bundle_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(full(), ensure_ascii=False))
    assert load(str(tmp_path)) == read(full())


def test_a_long_configuration_is_read_to_its_end(tmp_path: Path) -> None:
    document = changed(small(), {"annotations": {f"key.{i}": "x" * 1000 for i in range(1000)}})
    (tmp_path / "config.json").write_text(json.dumps(document))
    assert load(str(tmp_path)).annotations["key.999"] == "x" * 1000


def test_a_missing_configuration_is_named_without_the_words_of_errno(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "is missing: a bundle has a config.json"


def test_a_directory_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    assert refusal(tmp_path) == "cannot be read (EISDIR)"


def test_a_loop_of_links_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.json").symlink_to("config.json")
    assert refusal(tmp_path) == "cannot be read (ELOOP)"


def test_a_fifo_does_not_keep_us_waiting(tmp_path: Path) -> None:
    posix.mkfifo(tmp_path / "config.json")
    assert refusal(tmp_path).startswith("is not JSON: ")


def test_a_configuration_is_utf_8(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b'{"ociVersion": "\xff"}')
    assert refusal(tmp_path) == "must be UTF-8 (byte 16 is not)"


@pytest.mark.parametrize("text", ["", "{", "{}x", "{'a': 1}", '{"a": NaN}', "[" * 100000, "1" * 5000])
def test_what_is_not_json_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert refusal(tmp_path).startswith("is not JSON: ")


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ([], "an array"),
        ("x", "a string"),
        (1, "a number"),
        (1.5, "a number"),
        (True, "a boolean"),
        (None, "null"),
    ],
)
def test_the_document_is_an_object(document: Any, kind: str) -> None:
    assert complaints(document) == [f".: must be an object, not {kind}"]


@pytest.mark.parametrize(("change", "complaint"), WRONG_MEMBERS)
def test_a_wrong_member_is_one_complaint(change: dict[str, Any], complaint: str) -> None:
    assert complaints(changed(small(), change)) == [complaint]


@pytest.mark.parametrize(("change", "path"), UNLISTED_VALUES)
def test_a_value_from_no_list_is_refused_at_its_place(change: dict[str, Any], path: str) -> None:
    base = changed(small(), {"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}}})
    assert [problem.path for problem in problems_of(changed(base, change))] == [path]


@pytest.mark.parametrize(("member", "value"), [("index", 6), ("value", 2**64), ("op", "SCMP_CMP_X")])
def test_a_wrong_seccomp_argument_is_refused(member: str, value: Any) -> None:
    arg = {"index": 0, "value": 0, "op": "SCMP_CMP_EQ", member: value}
    syscall = {"names": ["read"], "action": "SCMP_ACT_LOG", "args": [arg]}
    seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [syscall]}
    problems = problems_of(changed(small(), {"linux": {"seccomp": seccomp}}))
    assert [problem.path for problem in problems] == [f".linux.seccomp.syscalls[0].args[0].{member}"]


def test_all_problems_are_told_at_once() -> None:
    change = {
        "ociVersion": "1.0",
        "hostname": 1,
        "mounts": [{"destination": "/a"}, {}, {"destination": 3}],
        "process": {"cwd": "x", "args": []},
        "hooks": {"poststop": [{"path": "rm", "timeout": 0}]},
    }
    assert {problem.path for problem in problems_of(changed(small(), change))} == {
        ".ociVersion",
        ".hostname",
        ".mounts[1].destination",
        ".mounts[2].destination",
        ".process.cwd",
        ".process.args",
        ".hooks.poststop[0].path",
        ".hooks.poststop[0].timeout",
    }


def test_a_member_that_cannot_be_read_is_not_also_a_broken_rule() -> None:
    assert complaints(changed(small(), {"process": {"args": [1], "cwd": 2}, "root": 3})) == [
        ".root: must be an object, not a number",
        ".process.args[0]: must be a string, not a number",
        ".process.cwd: must be a string, not a number",
    ]


@pytest.mark.parametrize("linux", [{"namespaces": "uts"}, 7])
def test_namespaces_that_cannot_be_read_are_not_also_missing(linux: Any) -> None:
    document = {**small(), "hostname": "x", "linux": linux}
    assert len(complaints(document)) == 1


def test_a_process_alone_is_read_and_checked() -> None:
    assert parse_process(json.dumps(full()["process"]), "process.json") == read(full()).process
    with pytest.raises(ConfigError) as caught:
        parse_process('{"cwd": "x", "args": [2]}', "process.json")
    assert [problem.path for problem in caught.value.problems] == [".process.args[0]", ".process.cwd"]


def test_resources_alone_are_read_and_checked() -> None:
    linux = read(full()).linux
    assert linux is not None
    assert parse_resources(json.dumps(full()["linux"]["resources"]), "-") == linux.resources
    with pytest.raises(ConfigError) as caught:
        parse_resources('{"pids": {"limit": "x"}, "unified": {"a/b": "1"}}', "-")
    assert [problem.path for problem in caught.value.problems] == [
        ".linux.resources.pids.limit",
        '.linux.resources.unified["a/b"]',
    ]


def test_text_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ConfigError):
        parse('{"ociVersion": "1.0.0", "root": {"path": "\ud800"}}', "config.json")


def test_loading_brings_in_nothing_but_the_room_and_what_everyone_may_use() -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules)\n"
        "import pyrunc.spec.load; print(*sorted(set(sys.modules) - before))"
    )
    root = str(Path(__file__).parents[3])
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, root], check=True, capture_output=True, text=True
    )
    loaded = {name for name in run.stdout.split() if not name.startswith("pyrunc.spec")}
    assert loaded == {"__future__", "errno", "pyrunc", "pyrunc.errors", "pyrunc.jsontext", "pyrunc.record"}
