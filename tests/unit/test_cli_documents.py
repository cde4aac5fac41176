"""What `spec` and `features` say is what the other rooms take."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pyrunc.cli import main
from pyrunc.plan.facts import CgroupLayout, Facts, Hierarchy
from pyrunc.plan.make import Request, make_plan
from pyrunc.plan.mounts import read_options
from pyrunc.spec.config import Spec
from pyrunc.spec.load import load, parse
from tests.unit.plan.hosts import V1, V2
from tests.unit.plan.test_plan_options import OF_THE_SPEC

Captured = pytest.CaptureFixture[str]
V1_WITH_DEVICES = CgroupLayout((*V1.hierarchies, Hierarchy("/c/devices", 1, ("devices",))))


def written(bundle: Path, *flags: str) -> Spec:
    assert main(["spec", "--bundle", str(bundle), *flags]) == 0
    return load(str(bundle))


@pytest.mark.parametrize("flags", [(), ("--rootless",)])
def test_the_template_is_a_config_without_any_fault(tmp_path: Path, flags: tuple[str, ...]) -> None:
    spec = written(tmp_path, *flags)
    assert spec.process is not None
    assert (spec.process.args, spec.process.no_new_privileges) == (("sh",), True)


@pytest.mark.parametrize("flags", [(), ("--rootless",)])
@pytest.mark.parametrize("layout", [V1_WITH_DEVICES, V2])
def test_the_template_can_be_planned_without_a_warning(
    tmp_path: Path, flags: tuple[str, ...], layout: CgroupLayout
) -> None:
    user = bool(flags)
    facts = Facts(euid=1000 * user, privileged=not user, layout=layout)
    planned = make_plan(written(tmp_path, *flags), Request("box", str(tmp_path)), facts)
    assert planned.warnings == ()
    assert planned.rootfs.path == f"{tmp_path}/rootfs"


def test_rootless_maps_root_to_the_caller_and_takes_no_network(tmp_path: Path) -> None:
    linux = written(tmp_path, "--rootless").linux
    assert linux is not None
    assert [(each.container_id, each.host_id, each.size) for each in linux.uid_mappings] == [(0, os.geteuid(), 1)]
    assert [(each.container_id, each.host_id, each.size) for each in linux.gid_mappings] == [(0, os.getegid(), 1)]
    assert {"user", "mount", "pid"} <= {each.type for each in linux.namespaces}
    assert linux.namespace("network") is None
    assert linux.resources is None


def test_rootless_asks_for_no_ids_that_are_not_mapped(tmp_path: Path) -> None:
    options = [option for mount in written(tmp_path, "--rootless").mounts for option in mount.options]
    assert "newinstance" in options
    assert not [option for option in options if option.startswith(("uid=", "gid="))]


def test_the_template_hides_what_tells_of_the_host(tmp_path: Path) -> None:
    linux = written(tmp_path).linux
    assert linux is not None
    assert {"/proc/kcore", "/proc/keys", "/sys/firmware"} <= set(linux.masked_paths)
    assert {"/proc/sys", "/proc/sysrq-trigger"} <= set(linux.readonly_paths)


def test_a_config_that_is_there_is_kept(tmp_path: Path, capfd: Captured) -> None:
    (tmp_path / "config.json").write_text("mine")
    assert main(["spec", "--bundle", str(tmp_path)]) == 1
    assert "is there already" in capfd.readouterr().err
    assert (tmp_path / "config.json").read_text() == "mine"


def test_a_bundle_that_is_not_there_is_named(tmp_path: Path, capfd: Captured) -> None:
    assert main(["spec", "--bundle", str(tmp_path / "no")]) == 1
    assert f"cannot write {tmp_path}/no/config.json: not found" in capfd.readouterr().err


# features


@pytest.fixture
def features(capfd: Captured) -> dict[str, Any]:
    assert main(["features"]) == 0
    document: dict[str, Any] = json.loads(capfd.readouterr().out)
    return document


def test_every_mount_option_is_known_to_the_plan(features: dict[str, Any]) -> None:
    for option in features["mountOptions"]:
        assert read_options((option,)).data == (), option


def test_every_mount_option_of_the_spec_is_there_once(features: dict[str, Any]) -> None:
    assert set(OF_THE_SPEC) <= set(features["mountOptions"])
    assert features["mountOptions"] == sorted(set(features["mountOptions"]))


def config(**linux: Any) -> str:
    """A config.json with something in `linux`, as text."""
    kinds = ("pid", "mount", "ipc", "uts", "network")
    document = {"ociVersion": "1.3.0", "root": {"path": "r"}, "process": {"args": ["sh"], "cwd": "/", "user": {}}}
    return json.dumps({**document, "linux": {"namespaces": [{"type": kind} for kind in kinds], **linux}})


def test_every_namespace_is_one_that_config_json_may_name(features: dict[str, Any]) -> None:
    for kind in features["linux"]["namespaces"]:
        assert parse(config(namespaces=[{"type": kind, "path": "/x"}]), "c").linux is not None
    assert len(features["linux"]["namespaces"]) == 8


def test_every_version_in_the_range_is_taken(features: dict[str, Any]) -> None:
    for version in (features["ociVersionMin"], "1.1.0", features["ociVersionMax"]):
        assert parse(config().replace('"1.3.0"', f'"{version}"'), "c").oci_version == version


def test_every_hook_is_one_that_config_json_may_have(features: dict[str, Any]) -> None:
    hooks = json.dumps({name: [{"path": "/h"}] for name in features["hooks"]})
    spec = parse(config()[:-1] + f', "hooks": {hooks}}}', "c")
    assert [len(each) for each in vars(spec.hooks).values()] == [1] * 6


def test_all_of_seccomp_is_taken(features: dict[str, Any]) -> None:
    known = features["linux"]["seccomp"]
    for action in known["actions"]:
        for operator in known["operators"]:
            args = [{"index": 0, "value": 1, "op": operator}]
            profile = {
                "defaultAction": action,
                "architectures": known["archs"],
                "flags": known["knownFlags"],
                "syscalls": [{"names": ["mkdir"], "action": action, "args": args}],
            }
            linux = parse(config(seccomp=profile), "c").linux
            assert linux is not None
            assert linux.seccomp is not None
            assert linux.seccomp.default_action == action
    assert set(known["supportedFlags"]) <= set(known["knownFlags"])


def test_every_capability_is_known(features: dict[str, Any]) -> None:
    document = json.loads(config())
    document["process"]["capabilities"] = {"bounding": features["linux"]["capabilities"]}
    planned = make_plan(parse(json.dumps(document), "c"), Request("box", "/b"), Facts(layout=V2))
    assert planned.warnings == ()
    assert planned.process is not None
    assert planned.process.capabilities is not None
    assert planned.process.capabilities.bounding == set(range(41))
