"""The report on a config.json: everything at once, in create's words, with what is allowed and where it says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyrunc.cli import main
from pyrunc.errors import ConfigError, SpecError
from pyrunc.host import schema
from pyrunc.host.check import Report, in_full, report_on
from pyrunc.plan.make import Request
from tests.unit.spec.spec_documents import changed, complaints, small

REQUEST = Request("a", "/bundle")


def report(change: dict[str, Any], host: bool = False) -> Report:
    return report_on(changed(small(), change), REQUEST, "config.json", host)


def errors(change: dict[str, Any]) -> list[str]:
    return [each.describe() for each in report(change).errors]


def warnings(change: dict[str, Any]) -> list[str]:
    return [each.describe() for each in report(change).warnings]


def test_a_good_config_is_clean() -> None:
    assert report({}) == Report("config.json", (), ())


def test_a_finding_says_where_what_is_allowed_and_who_says_so() -> None:
    (finding,) = report({"mounts": [{"destination": 4, "type": "tmpfs"}]}).errors
    assert dict(finding.__dict__) == {
        "path": ".mounts[0].destination",
        "problem": "must be a string, not a number",
        "allowed": "a string: a path in the container",
        "section": "config.md#mounts",
    }


def test_types_rules_and_plans_are_told_at_once() -> None:
    """The planner would not be asked while the document cannot be read: what is wrong is mended for it."""
    change = {
        "ociVersion": "1",
        "process": {"cwd": 5, "rlimits": [{"type": "RLIMIT_CPU", "soft": 2}]},
        "mounts": [
            "x",
            {"destination": "/a", "source": "b", "options": ["bind", "size=1"]},
            {"destination": "/b", "options": ["bind"]},
        ],
        "linux": {"resources": {"memory": {"limit": 4, "swap": 2}}, "maskedPaths": ["a"]},
    }
    assert [each.partition(": ")[0] for each in errors(change)] == [
        *(".process.cwd", ".process.rlimits[0].hard", ".mounts[0]", ".ociVersion", ".linux.maskedPaths[0]"),
        *(".linux.resources.memory.swap", ".mounts[1].options", ".mounts[2].source"),
    ]


def test_errors_are_in_the_words_of_create() -> None:
    bad = changed(small(), {"process": {"args": []}, "hostname": 1})
    said = [f"{each.path}: {each.problem}" for each in report_on(bad, REQUEST, "config.json", False).errors]
    assert said == complaints(bad)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"hostnme": "x"}, ".hostnme"),
        ({"linux": {"maskedPath": []}}, ".linux.maskedPath"),
        ({"mounts": [{"destination": "/a", "type": "tmpfs", "optoins": []}]}, ".mounts[0].optoins"),
        ({"windows": {"layerFolders": ["x"]}}, ".windows"),
        ({"windows": {}}, ".windows.layerFolders"),
        ({"hostname": None}, ".hostname"),
        ({"mounts": [{"destination": "a", "type": "tmpfs"}]}, ".mounts[0].destination"),
        ({"hooks": {"prestart": [{"path": "/bin/true"}]}}, ".hooks.prestart"),
        ({"process": {"capabilities": {"bounding": ["CAP_NO"]}}}, ".process.capabilities.bounding[0]"),
    ],
)
def test_what_create_does_not_mind_is_a_warning(change: dict[str, Any], path: str) -> None:
    assert errors(change) == []
    assert path in [each.partition(": ")[0] for each in warnings(change)]


def test_nothing_depends_on_this_host() -> None:
    assert errors({"linux": {"resources": {"unified": {"memory.high": "1"}}}}) == []
    assert errors({"linux": {"resources": {"memory": {"swappiness": 4}}}}) == []
    both = {"linux": {"resources": {"unified": {"memory.high": "1"}, "network": {"classID": 7}}}}
    assert len(errors(both)) == 1


ELSEWHERE: list[tuple[dict[str, Any], str]] = [
    ({"root": {"path": "/no/such/root"}}, ".root.path"),
    ({"mounts": [{"destination": "/a", "source": "/no/such/file", "options": ["bind"]}]}, ".mounts[0].source"),
    ({"mounts": [{"destination": "/a", "type": "overlay", "options": ["lowerdir=/no/such"]}]}, ".mounts[0].options"),
    ({"hooks": {"poststop": [{"path": "/no/such/hook"}]}}, ".hooks.poststop[0].path"),
    ({"process": {"apparmorProfile": "no-such-profile"}}, ".process.apparmorProfile"),
    ({"linux": {"netDevices": {"no_such_if0": {}}}}, '.linux.netDevices.no_such_if0'),
    ({"linux": {"namespaces": [{"type": "ipc", "path": "/no/such/ns"}]}}, ".linux.namespaces[0].path"),
]


@pytest.mark.parametrize(("change", "path"), ELSEWHERE)
def test_what_this_host_lacks(change: dict[str, Any], path: str) -> None:
    assert [each for each in errors(change) if "is not supported yet" not in each] == []
    assert path in [each.path for each in report(change, host=True).errors]


def test_file_systems_are_the_kernels() -> None:
    found = report({"mounts": [{"destination": "/a", "type": "nosuchfs"}]}, host=True)
    assert ".mounts[0].type" in [each.path for each in (*found.errors, *found.warnings)]


def test_commands_exit_code_and_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(small()))
    assert main(["check", "--bundle", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""
    bad = changed(small(), {"mounts": [{"destination": 4, "type": "tmpfs"}], "x": 1})
    (tmp_path / "config.json").write_text(json.dumps(bad))
    assert main(["check", "-b", str(tmp_path)]) == 1
    assert capsys.readouterr().out == (
        "error: .mounts[0].destination: must be a string, not a number (config.md#mounts)\n"
        "warning: .x: is not a property of the spec, and ignored (config.md)\n"
    )
    assert main(["check", "--json", "--bundle", str(tmp_path)]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["file"] == f"{tmp_path}/config.json"
    assert [each["path"] for each in document["errors"]] == [".mounts[0].destination"]
    assert [each["path"] for each in document["warnings"]] == [".x"]


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "\ud800", '{"x": ' + "[" * 600 + "]" * 600 + "}"])
def test_what_is_no_config_is_one_error(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert main(["check", "--bundle", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("error: .: ")
    assert out.count("\n") == 1


def test_a_missing_config_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--bundle", str(tmp_path)]) == 1
    assert "is missing" in capsys.readouterr().out


def test_names_from_the_file_do_not_reach_the_terminal_raw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**small(), "\x1b[31m\u202e": 1}))
    main(["check", "--bundle", str(tmp_path)])
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())


def test_create_refuses_with_the_same_report(tmp_path: Path) -> None:
    document = changed(small(), {"process": {"cwd": 5}, "linux": {"resources": {"memory": {"limit": 4, "swap": 2}}}})
    (tmp_path / "config.json").write_text(json.dumps(document))
    (tmp_path / "rootfs").mkdir()
    first = ConfigError("config.json", (SpecError(".process.cwd", "must be a string, not a number"),))
    said = str(in_full(first, Request("a", str(tmp_path))))
    assert ".process.cwd: must be a string, not a number (config.md#process)" in said
    assert ".linux.resources.memory.swap: " in said
    assert "(config-linux.md#memory)" in said


def test_a_file_that_was_changed_meanwhile_leaves_creates_words(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(small()))
    first = ConfigError("config.json", (SpecError(".root", "is required"),))
    assert in_full(first, Request("a", str(tmp_path))) is first


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        (".", ()),
        (".mounts[3].destination", ("mounts", 3, "destination")),
        ('.linux.sysctl["net.core.somaxconn"]', ("linux", "sysctl", "net.core.somaxconn")),
        ('.annotations["a\\"]b"].x[0][1]', ("annotations", 'a"]b', "x", 0, 1)),
        ('.annotations[""]', ("annotations", "")),
    ],
)
def test_paths_are_split_and_joined(path: str, keys: tuple[str | int, ...]) -> None:
    assert schema.keys_of(path) == keys
    assert schema.path_of(keys) == path


def test_every_chapter_is_named() -> None:
    """Each place of the schema has a section of its own file, so that no finding is without one."""
    config = schema.load("config")
    assert config.at(".linux.resources.cpu.quota").section == "config-linux.md#cpu"
    assert config.at(".linux.uidMappings[0].size").section == "config-linux.md#user-namespace-mappings"
    assert config.at(".process.consoleSize.height").allowed == "an integer from 0 to 65535"
    assert config.at(".nothing.of.this").section == "config.md"
