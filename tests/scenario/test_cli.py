"""The commands that make no container, global flags, and what callers parse."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scenario.bundle import Bundle, Result

KINDS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
# config.md#mounts, "Linux mount options": those marked MUST.
MUST_OPTIONS = """
    async atime bind defaults dev diratime dirsync exec iversion lazytime loud noatime nodev nodiratime
    noexec noiversion nolazytime norelatime nostrictatime nosuid private rbind relatime remount ro rprivate
    rshared rslave runbindable rw shared silent slave strictatime suid sync unbindable
""".split()
RECURSIVE_OPTIONS = """
    ratime rdev rdiratime rexec rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid
    rnosymfollow rrelatime rro rrw rstrictatime rsuid rsymfollow
""".split()


def call(bundle: Bundle, *words: str, **more: Any) -> Result:
    """A command line without a container id."""
    return bundle.execute([bundle.runtime, "--root", bundle.root, *words], **more)


def test_version_is_what_engines_parse(bundle: Bundle, runtime_name: str) -> None:
    lines = call(bundle, "--version").ok().stdout.splitlines()
    assert re.fullmatch(rf"{runtime_name} version \d+\.\d+\S*", lines[0])
    assert any(line.startswith("commit: ") for line in lines)
    assert any(re.match(r"spec: 1\.\d+", line) for line in lines)


@pytest.fixture
def features(bundle: Bundle) -> dict[str, Any]:
    found: dict[str, Any] = bundle.execute([bundle.runtime, "features"]).ok().json()
    return found


def test_features_name_a_range_of_versions(features: dict[str, Any]) -> None:
    low, high = (
        tuple(int(part) for part in features[key].split("-")[0].split("."))
        for key in ("ociVersionMin", "ociVersionMax")
    )
    assert (1, 0, 0) <= low <= high < (2, 0, 0)


def test_features_list_all_hooks(features: dict[str, Any]) -> None:
    assert sorted(features["hooks"]) == sorted(KINDS)


def test_features_list_all_mount_options(features: dict[str, Any]) -> None:
    assert {*MUST_OPTIONS, *RECURSIVE_OPTIONS} - set(features["mountOptions"]) == set()


def test_features_of_linux(features: dict[str, Any]) -> None:
    linux = features["linux"]
    assert {"pid", "network", "mount", "ipc", "uts", "user", "cgroup"} <= set(linux["namespaces"])
    assert {"CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE"} <= set(linux["capabilities"])
    assert linux["cgroup"]["v1"] is True
    assert linux["cgroup"]["v2"] is True
    assert linux["seccomp"]["enabled"] is True
    assert {"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"} <= set(linux["seccomp"]["actions"])
    assert {"SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ"} <= set(linux["seccomp"]["operators"])
    assert {"SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"} <= set(linux["seccomp"]["archs"])


@pytest.mark.differs_from_runc("1.1 of the spec, which brought these members, is newer than runc 1.1.5")
def test_features_that_engines_ask_for(features: dict[str, Any]) -> None:
    assert features["linux"]["mountExtensions"]["idmap"]["enabled"] is True
    assert "time" in features["linux"]["namespaces"]
    assert {"knownFlags", "supportedFlags"} <= features["linux"]["seccomp"].keys()


@pytest.mark.parametrize("edge", ["ociVersionMin", "ociVersionMax"])
def test_versions_that_features_names_are_accepted(bundle: Bundle, features: dict[str, Any], edge: str) -> None:
    bundle.set(ociVersion=features[edge]).run("true").ok()


def test_every_namespace_that_features_lists_can_be_made(bundle: Bundle, features: dict[str, Any]) -> None:
    for kind in features["linux"]["namespaces"]:
        bundle.namespace(kind)
    whole = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    bundle.linux(uidMappings=whole, gidMappings=whole).run("true").ok()


@pytest.mark.differs_from_runc("hands `defaults` to the file system, which refuses it")
def test_every_mount_option_that_features_lists_is_accepted(bundle: Bundle, features: dict[str, Any]) -> None:
    """Those of a file system (acl) and those that need more than an option (bind, idmap, remount) are left
    out.
    """
    special = {"acl", "noacl", "bind", "rbind", "idmap", "ridmap", "remount"}
    for option in set(features["mountOptions"]) - special:
        bundle.mount(f"/mnt/{option}", "tmpfs", "tmpfs", [option])
    bundle.run("true").ok()


def test_spec_writes_a_config(bundle: Bundle) -> None:
    call(bundle, "spec", cwd=bundle.dir).ok()
    config = json.loads((bundle.dir / "config.json").read_text())
    assert config["ociVersion"].startswith("1.")
    assert config["root"] == {"path": "rootfs", "readonly": True}
    assert config["process"]["args"] == ["sh"]
    assert config["process"]["terminal"] is True
    assert config["process"]["noNewPrivileges"] is True
    assert config["process"]["rlimits"] == [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}]
    assert [entry["destination"] for entry in config["mounts"]] == [
        *("/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup")
    ]
    assert {"pid", "network", "ipc", "uts", "mount"} <= {entry["type"] for entry in config["linux"]["namespaces"]}
    assert {"/proc/kcore", "/proc/keys", "/sys/firmware"} <= set(config["linux"]["maskedPaths"])
    assert "/proc/sys" in config["linux"]["readonlyPaths"]


def test_spec_into_a_bundle(bundle: Bundle) -> None:
    call(bundle, "spec", "--bundle", str(bundle.dir)).ok()
    assert (bundle.dir / "config.json").exists()


def test_spec_does_not_overwrite(bundle: Bundle) -> None:
    bundle.save()
    before = (bundle.dir / "config.json").read_text()
    assert call(bundle, "spec", cwd=bundle.dir).returncode != 0
    assert (bundle.dir / "config.json").read_text() == before


def test_what_spec_writes_runs(bundle: Bundle) -> None:
    call(bundle, "spec", "--bundle", str(bundle.dir)).ok()
    bundle.config = json.loads((bundle.dir / "config.json").read_text())
    bundle.process(terminal=False).linux(cgroupsPath=f"/{bundle.token}")
    assert bundle.run("echo", "hello").ok().stdout == "hello\n"


def test_rootless_spec(bundle: Bundle) -> None:
    call(bundle, "spec", "--rootless", cwd=bundle.dir).ok()
    config = json.loads((bundle.dir / "config.json").read_text())
    kinds = {entry["type"] for entry in config["linux"]["namespaces"]}
    assert "user" in kinds
    assert "network" not in kinds
    assert config["linux"]["uidMappings"] == [{"containerID": 0, "hostID": 0, "size": 1}]
    assert config["linux"]["gidMappings"] == [{"containerID": 0, "hostID": 0, "size": 1}]
    assert config["linux"].get("resources") is None
    sysfs = next(entry for entry in config["mounts"] if entry["destination"] == "/sys")
    assert "rbind" in sysfs["options"]


def test_empty_list(bundle: Bundle) -> None:
    assert call(bundle, "list").ok().stdout.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert call(bundle, "list", "--format", "json").ok().json() in (None, [])
    assert call(bundle, "list", "--quiet").ok().stdout == ""


def test_list_as_a_table(bundle: Bundle) -> None:
    bundle.create()
    lines = call(bundle, "list").ok().stdout.splitlines()
    assert lines[0].split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert lines[1].split()[:4] == [bundle.id, str(bundle.pid), "created", str(bundle.dir)]
    assert lines[1].split()[5] == "root"


def test_list_as_json(bundle: Bundle, new_bundle: Callable[[], Bundle]) -> None:
    second = new_bundle()
    second.root = bundle.root
    pid = second.process(args=["true"]).create().pid
    second.start().wait(pid)
    bundle.create()
    found = {entry["id"]: entry for entry in call(bundle, "list", "--format", "json").ok().json()}
    assert {key: entry["status"] for key, entry in found.items()} == {
        bundle.id: "created",
        second.id: "stopped",
    }
    assert found[bundle.id]["pid"] == bundle.pid
    assert found[bundle.id]["bundle"] == str(bundle.dir)
    second.delete()


def test_list_of_ids(bundle: Bundle) -> None:
    bundle.create()
    assert call(bundle, "list", "-q").ok().stdout == f"{bundle.id}\n"


@pytest.mark.parametrize("stamp", ["state", "list"])
def test_time_of_creation_is_rfc_3339(bundle: Bundle, stamp: str) -> None:
    bundle.create()
    entry = bundle.state() if stamp == "state" else call(bundle, "list", "-f", "json").ok().json()[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", entry["created"])


@pytest.mark.parametrize(
    "words", [["nosuch"], ["--nosuch"], ["state"], ["start", "a", "b"], ["create", "--nosuch", "a"]]
)
def test_bad_usage_is_an_error(bundle: Bundle, words: list[str]) -> None:
    result = call(bundle, *words)
    assert result.returncode != 0
    assert result.stderr


@pytest.mark.parametrize("flags", [["--log-format", "xml"], ["--rootless", "maybe"]])
def test_bad_value_of_a_global_flag_is_an_error(bundle: Bundle, flags: list[str]) -> None:
    bundle.save()
    result = call(bundle, *flags, "create", "--bundle", str(bundle.dir), bundle.id)
    assert result.returncode != 0
    assert "does not exist" not in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--debug"],
        ["--rootless=false"],
        ["--rootless", "auto"],
        ["-root={root}"],
        ["--log={dir}/log", "--log-format=json"],
        pytest.param(["--log-level", "debug"], marks=pytest.mark.differs_from_runc("a flag of crun")),
        pytest.param(["--cgroup-manager", "cgroupfs"], marks=pytest.mark.differs_from_runc("a flag of crun")),
    ],
    ids=lambda options: options[0],
)
def test_global_flags_are_accepted(bundle: Bundle, options: list[str]) -> None:
    bundle.options = [option.format(root=bundle.root, dir=bundle.dir) for option in options]
    assert bundle.run("echo", "hello").ok().stdout == "hello\n"


@pytest.mark.parametrize(
    "flags",
    [
        ["--no-pivot"],
        ["--no-new-keyring"],
        ["--no-subreaper"],
        ["-no-subreaper"],
        ["--preserve-fds", "0"],
        ["-preserve-fds=0"],
    ],
)
def test_flags_of_run_are_accepted_with_one_dash_or_two(bundle: Bundle, flags: list[str]) -> None:
    bundle.process(args=["echo", "hello"])
    assert bundle.attempt("run", *flags).ok().stdout == "hello\n"


def test_systemd_driver_without_systemd_is_a_clear_error(bundle: Bundle) -> None:
    bundle.options = ["--systemd-cgroup"]
    bundle.linux(cgroupsPath=f"system.slice:test:{bundle.id}")
    result = bundle.run("true")
    assert result.returncode != 0
    assert "systemd" in result.stderr


def test_help_goes_to_stdout(bundle: Bundle) -> None:
    said = call(bundle, "--help").ok().stdout
    assert all(
        command in said for command in ("create", "start", "state", "kill", "delete", "run", "list", "spec", "features")
    )


@pytest.fixture
def warned(bundle: Bundle) -> Bundle:
    """A container with something to warn of, and a log in JSON as engines ask for it."""
    bundle.process(capabilities={"bounding": ["CAP_NOSUCH"]})
    bundle.options += ["--log", str(bundle.dir / "log"), "--log-format", "json"]
    return bundle


def last_error(log: str) -> dict[str, Any]:
    """As containerd reads it: a stream of objects, of which the last error counts."""
    errors = [each for each in map(json.loads, log.splitlines()) if each["level"] == "error"]
    datetime.fromisoformat(errors[-1]["time"].replace("Z", "+00:00"))
    return dict(errors[-1])


def test_the_last_error_of_the_log_says_why(warned: Bundle) -> None:
    assert warned.run("nosuch").returncode == 1
    assert 'exec: "nosuch": executable file not found in $PATH' in last_error((warned.dir / "log").read_text())["msg"]


@pytest.mark.differs_from_runc("its warnings are in there too: podman, which reads one object, does not understand")
def test_the_log_of_a_command_that_failed_is_one_object(warned: Bundle) -> None:
    ended = warned.run("nosuch")
    assert json.loads((warned.dir / "log").read_text())["level"] == "error"
    assert "warning: capability CAP_NOSUCH" in ended.stderr


def test_warnings_do_not_get_into_the_containers_output(warned: Bundle) -> None:
    ended = warned.run("echo", "hello").ok()
    assert (ended.stdout, ended.stderr) == ("hello\n", "")
    assert [json.loads(line)["level"] for line in (warned.dir / "log").read_text().splitlines()] == ["warning"]


@pytest.mark.parametrize("flag", ["--rootless=", "--rootless=auto", "--criu=/usr/sbin/criu"])
def test_global_flags_of_older_callers(bundle: Bundle, flag: str) -> None:
    bundle.options.append(flag)
    assert bundle.run("true").returncode == 0
