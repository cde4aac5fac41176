"""Failure: one line that callers can parse, a known exit code, and everything undone."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario import host

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scenario.bundle import Bundle


def bad_source(bundle: Bundle) -> None:
    bundle.mount("/data", "bind", "/no/such/source", ["bind"])


def bad_filesystem(bundle: Bundle) -> None:
    bundle.mount("/data", "nosuchfs", "none")


def bad_data(bundle: Bundle) -> None:
    bundle.mount("/data", "tmpfs", "tmpfs", ["size=banana"])


def bad_program(bundle: Bundle) -> None:
    bundle.process(args=["nosuchprogram"])


def bad_namespace(bundle: Bundle) -> None:
    bundle.namespace("network", "/proc/self/ns/uts")


def bad_hook(bundle: Bundle) -> None:
    bundle.hook("createRuntime", "/bin/false")


def bad_inner_hook(bundle: Bundle) -> None:
    bundle.hook("createContainer", "/bin/false")


def bad_sysctl(bundle: Bundle) -> None:
    bundle.linux(sysctl={"net.ipv4.no_such_thing": "1"})


def bad_rootfs(bundle: Bundle) -> None:
    bundle.set(root={"path": "nowhere"})


def bad_cgroup(bundle: Bundle) -> None:
    bundle.resources(cpu={"cpus": "99999"})


def bad_device(bundle: Bundle) -> None:
    bundle.linux(devices=[{"path": "/dev/x", "type": "z"}])


def differs(breakage: Callable[[Bundle], None], why: str) -> Any:
    return pytest.param(breakage, marks=pytest.mark.differs_from_runc(why))


BREAKAGES = [
    *(
        bad_source,
        bad_filesystem,
        bad_data,
        bad_program,
        bad_hook,
        bad_inner_hook,
        bad_sysctl,
        bad_rootfs,
        bad_device,
    ),
    *(bad_namespace, bad_cgroup),
]


@pytest.mark.parametrize("command", ["create", "run"])
@pytest.mark.parametrize(
    "breakage",
    [
        *BREAKAGES[:-2],
        differs(bad_namespace, "prints three lines, the bootstrap's two and its own"),
        differs(bad_cgroup, "warns of a missing OOM counter as well"),
    ],
)
def test_failure_is_one_line_and_undoes_everything(
    bundle: Bundle, breakage: Callable[[Bundle], None], command: str
) -> None:
    breakage(bundle)
    result = bundle.attempt(command)
    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.endswith("\n")
    assert "Traceback" not in result.stderr
    assert host.eventually(lambda: host.leftovers(bundle.token, bundle.root) == []), host.leftovers(
        bundle.token, bundle.root
    )


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_id_is_free_after_a_failure(bundle: Bundle, breakage: Callable[[Bundle], None]) -> None:
    good = json.dumps(bundle.config)
    breakage(bundle)
    assert bundle.attempt("create").returncode == 1
    bundle.config = json.loads(good)
    bundle.create()


def test_missing_program_in_words_that_engines_know(bundle: Bundle) -> None:
    result = bundle.run("nosuchprogram")
    assert result.returncode == 1
    assert 'exec: "nosuchprogram": executable file not found in $PATH' in result.stderr.replace('\\"', '"')


def test_missing_absolute_program(bundle: Bundle) -> None:
    result = bundle.run("/no/such/program")
    assert result.returncode == 1
    assert "no such file or directory" in result.stderr.lower()


def test_program_without_permission(bundle: Bundle) -> None:
    result = bundle.write("/bin/plain", "#!/bin/sh\n", mode=0o644).run("/bin/plain")
    assert result.returncode == 1
    assert "permission denied" in result.stderr.lower()


def test_missing_bundle(bundle: Bundle) -> None:
    result = bundle.attempt("create", "--bundle", "/no/such/bundle")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1


def test_missing_config(bundle: Bundle) -> None:
    result = bundle.execute(bundle.command("create"))
    assert result.returncode == 1
    assert "config.json" in result.stderr


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "{}", '{"ociVersion": "1.0.2"} x', '{"ociVersion": NaN}', "[" * 100000, "\xff"),
        pytest.param("null", marks=pytest.mark.differs_from_runc("panics")),
    ],
)
def test_config_that_is_no_config(bundle: Bundle, text: str) -> None:
    (bundle.dir / "config.json").write_text(text, encoding="latin-1")
    result = bundle.execute(bundle.command("create"))
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "Traceback" not in result.stderr
    assert host.leftovers(bundle.token, bundle.root) == []


def set_cwd(bundle: Bundle) -> None:
    bundle.process(cwd="relative")


def set_no_args(bundle: Bundle) -> None:
    bundle.process(args=[])


def set_no_root(bundle: Bundle) -> None:
    del bundle.config["root"]


def set_wrong_type(bundle: Bundle) -> None:
    bundle.process(args="true")


def set_namespace_twice(bundle: Bundle) -> None:
    bundle.config["linux"]["namespaces"].append({"type": "pid"})


def set_unknown_namespace(bundle: Bundle) -> None:
    bundle.config["linux"]["namespaces"].append({"type": "nosuch"})


def set_hostname_of_the_host(bundle: Bundle) -> None:
    bundle.without_namespace("uts").set(hostname=os.uname().nodename)


def set_unknown_rlimit(bundle: Bundle) -> None:
    bundle.process(rlimits=[{"type": "RLIMIT_FOO", "hard": 1, "soft": 1}])


def set_host_sysctl(bundle: Bundle) -> None:
    bundle.linux(sysctl={"vm.swappiness": Path("/proc/sys/vm/swappiness").read_text().strip()})


def set_sysctl_without_its_namespace(bundle: Bundle) -> None:
    now = Path("/proc/sys/net/ipv4/ip_forward").read_text().strip()
    bundle.without_namespace("network").linux(sysctl={"net.ipv4.ip_forward": now})


def set_masked_relative(bundle: Bundle) -> None:
    bundle.linux(maskedPaths=["proc/kcore"])


def set_unknown_propagation(bundle: Bundle) -> None:
    bundle.linux(rootfsPropagation="sideways")


def set_unknown_action(bundle: Bundle) -> None:
    bundle.linux(seccomp={"defaultAction": "SCMP_ACT_NOSUCH"})


def set_huge_number(bundle: Bundle) -> None:
    bundle.process(user={"uid": 2**40, "gid": 0})


def set_negative_uid(bundle: Bundle) -> None:
    bundle.process(user={"uid": -1, "gid": 0})


def set_nul_in_env(bundle: Bundle) -> None:
    bundle.env("A=b\0c")


def set_old_version(bundle: Bundle) -> None:
    bundle.set(ociVersion="2.0.0")


def set_no_version(bundle: Bundle) -> None:
    bundle.set(ociVersion="1.0")


def set_relative_hook(bundle: Bundle) -> None:
    bundle.hook("poststop", "true")


def set_hook_timeout(bundle: Bundle) -> None:
    bundle.hook("poststop", "/bin/true", timeout=0)


def set_rlimit_twice(bundle: Bundle) -> None:
    bundle.process(
        rlimits=[
            {"type": "RLIMIT_NOFILE", "hard": 64, "soft": 64},
            {"type": "RLIMIT_NOFILE", "hard": 32, "soft": 32},
        ]
    )


def set_empty_annotation(bundle: Bundle) -> None:
    bundle.set(annotations={"": "x"})


def set_numeric_annotation(bundle: Bundle) -> None:
    bundle.set(annotations={"a": 1})


def set_unknown_personality(bundle: Bundle) -> None:
    bundle.linux(personality={"domain": "SOLARIS"})


@pytest.mark.parametrize(
    "breakage",
    [
        *(
            set_cwd,
            set_no_args,
            set_no_root,
            set_wrong_type,
            set_namespace_twice,
            set_unknown_namespace,
            set_hostname_of_the_host,
        ),
        *(set_unknown_rlimit, set_host_sysctl, set_sysctl_without_its_namespace, set_unknown_propagation),
        *(set_unknown_action, set_huge_number, set_negative_uid, set_nul_in_env, set_numeric_annotation),
        differs(set_old_version, "does not look at ociVersion (config.md: MUST be SemVer)"),
        differs(set_no_version, "does not look at ociVersion (config.md: MUST be SemVer)"),
        differs(set_relative_hook, "takes a relative hook path (config.md: MUST be absolute)"),
        differs(set_hook_timeout, "takes a timeout of 0 (config.md: MUST be greater than zero)"),
        differs(set_rlimit_twice, "takes two rlimits of a type (config.md: MUST generate an error)"),
        differs(set_masked_relative, "takes a relative masked path (config-linux.md: MUST be absolute)"),
        differs(set_empty_annotation, "takes an empty key (config.md: MUST NOT be an empty string)"),
        differs(set_unknown_personality, "linux.personality is newer than runc 1.1.5"),
    ],
)
def test_config_against_the_spec_is_refused(bundle: Bundle, breakage: Callable[[Bundle], None]) -> None:
    breakage(bundle)
    result = bundle.attempt("create")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert host.eventually(lambda: host.leftovers(bundle.token, bundle.root) == [])


def test_nul_in_an_argument_is_an_error(bundle: Bundle) -> None:
    result = bundle.run("echo", "a\0b")
    assert result.returncode == 1
    assert result.stdout == ""


@pytest.mark.differs_from_runc("stops at the first problem")
def test_all_problems_of_a_config_are_told_at_once_with_their_paths(bundle: Bundle) -> None:
    bundle.process(cwd="relative", args="true").linux(rootfsPropagation="sideways")
    said = bundle.attempt("create").stderr
    assert all(path in said for path in (".process.cwd", ".process.args", ".linux.rootfsPropagation"))


def test_unknown_members_are_ignored(bundle: Bundle) -> None:
    for part in (bundle.config, *(bundle.config[name] for name in ("process", "linux", "root"))):
        part["org.example.unknown"] = {"a": [1]}
    bundle.mount("/mnt", "tmpfs", "tmpfs", unknown=1).run("true").ok()


def test_log_file_has_one_json_object_for_one_error(bundle: Bundle) -> None:
    """podman parses the whole file as one object; containerd takes the last of level error and its RFC
    3339 time.
    """
    bundle.options = ["--log", f"{bundle.dir}/log.json", "--log-format", "json"]
    assert bundle.run("nosuchprogram").returncode == 1
    entry = json.loads((bundle.dir / "log.json").read_text())
    assert entry["level"] == "error"
    assert "executable file not found in $PATH" in entry["msg"]
    assert datetime.datetime.fromisoformat(entry["time"]).tzinfo


def test_error_goes_to_stderr_as_well_when_there_is_a_log_file(bundle: Bundle) -> None:
    bundle.options = ["--log", f"{bundle.dir}/log.json", "--log-format", "json"]
    result = bundle.run("nosuchprogram")
    assert "executable file not found in $PATH" in result.stderr


def test_log_is_empty_when_all_goes_well(bundle: Bundle) -> None:
    bundle.options = ["--log", f"{bundle.dir}/log.json", "--log-format", "json"]
    bundle.run("true").ok()
    assert not (bundle.dir / "log.json").exists() or (bundle.dir / "log.json").read_text() == ""


def test_log_file_grows(bundle: Bundle) -> None:
    bundle.options = ["--log", f"{bundle.dir}/log.json", "--log-format", "json"]
    for _ in range(2):
        assert bundle.attempt("state").returncode == 1
    lines = (bundle.dir / "log.json").read_text().splitlines()
    assert ["does not exist" in json.loads(line)["msg"] for line in lines] == [True, True]


@pytest.mark.differs_from_runc("names neither the mount's place in the config nor what it did there")
def test_error_names_the_config_path(bundle: Bundle) -> None:
    bad_source(bundle)
    assert f".mounts[{len(bundle.config['mounts']) - 1}]" in bundle.run("true").stderr
