"""process: args, env, cwd, user, limits, what is inherited and what is not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle


def test_args_and_env_are_exactly_those_of_the_config(bundle: Bundle) -> None:
    env = ["PATH=/bin", "HOME=/root", "EMPTY=", "SPACE=a b", "EQUALS=a=b", "UNICODE=\u00e4"]
    said = bundle.process(env=env, args=["/bin/probe", "self", "", "two words", "\u00e4"]).run().ok().json()
    assert said["args"] == ["self", "", "two words", "\u00c3\u00a4"]  # the probe prints bytes
    assert said["env"] == [*env[:-1], "UNICODE=\u00c3\u00a4"]


def test_nothing_of_the_callers_environment_comes_in(bundle: Bundle) -> None:
    caller = bundle.environment(LC_ALL="C", PYTHONPATH="/x", SECRET="42")
    said = bundle.run("/bin/probe", "self", env=caller).ok().json()
    assert sorted(said["env"]) == ["HOME=/root", "PATH=/bin:/usr/bin"]


@pytest.mark.parametrize(("uid", "home"), [(0, "/root"), (1000, "/home/user"), (4711, "/")])
def test_home_comes_from_the_containers_passwd(bundle: Bundle, uid: int, home: str) -> None:
    said = bundle.process(env=["PATH=/bin"], user={"uid": uid, "gid": 0}).probe("self")
    assert f"HOME={home}" in said["env"]


def test_numeric_name_in_passwd_is_no_uid(bundle: Bundle) -> None:
    """CVE-2016-3697: a user called "1000" with uid 0 must not make uid 1000 root, nor give it root's home."""
    bundle.write("/etc/passwd", "1000:x:0:0::/evil:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
    said = (
        bundle.process(env=["PATH=/bin"], user={"uid": 1000, "gid": 1000})
        .run("sh", "-c", "echo $HOME; probe ids")
        .ok()
        .stdout
    )
    assert said.startswith('/home/user\n{"uid":[1000,1000,1000]')


def test_program_is_looked_up_in_the_path_of_the_config(bundle: Bundle) -> None:
    bundle.write("/custom/tool", "#!/bin/sh\necho custom $0\n", mode=0o755)
    bundle.process(env=["PATH=/nowhere:/custom:/bin"])
    assert bundle.run("tool").ok().stdout == "custom /custom/tool\n"


def test_program_is_not_looked_up_in_the_path_of_the_caller(bundle: Bundle) -> None:
    result = bundle.process(env=["PATH=/nowhere"]).run("probe", "self")
    assert result.returncode == 1
    assert "executable file not found in $PATH" in result.stderr


def test_file_that_is_not_executable_is_passed_over(bundle: Bundle) -> None:
    bundle.write("/first/tool", "no program").write("/second/tool", "#!/bin/sh\necho second\n", mode=0o755)
    assert bundle.process(env=["PATH=/first:/second:/bin"]).run("tool").ok().stdout == "second\n"


def test_name_with_a_slash_is_relative_to_cwd(bundle: Bundle) -> None:
    bundle.write("/opt/tool", "#!/bin/sh\necho here\n", mode=0o755)
    assert bundle.process(cwd="/opt").run("./tool").ok().stdout == "here\n"


def test_first_argument_is_kept_as_given(bundle: Bundle) -> None:
    said = bundle.run("sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline; exit").ok().stdout
    assert said.startswith("sh -c tr")


def test_cwd(bundle: Bundle) -> None:
    assert bundle.mkdir("/opt/deep").process(cwd="/opt/deep").probe("self")["cwd"] == "/opt/deep"


def test_missing_cwd_is_made(bundle: Bundle) -> None:
    assert bundle.process(cwd="/new/deep").probe("self")["cwd"] == "/new/deep"


def test_cwd_that_only_its_user_may_enter(bundle: Bundle) -> None:
    bundle.mkdir("/private").path("/private").chmod(0o700)
    os.chown(bundle.path("/private"), 1000, 1000)
    bundle.process(cwd="/private", user={"uid": 1000, "gid": 1000}, capabilities={})
    assert bundle.probe("self")["cwd"] == "/private"


def test_cwd_that_is_a_file_is_refused(bundle: Bundle) -> None:
    assert bundle.process(cwd="/etc/passwd").run("true").returncode == 1


# user


def test_user_and_groups(bundle: Bundle) -> None:
    said = bundle.process(user={"uid": 1000, "gid": 1001, "additionalGids": [5, 6, 1001]}).probe("ids")
    assert (said["uid"], said["gid"]) == ([1000] * 3, [1001] * 3)
    assert set(said["groups"]) == {5, 6, 1001}


def test_groups_of_the_caller_do_not_come_in(bundle: Bundle) -> None:
    wrap = ["setpriv", "--groups", "7,8,9"]
    assert bundle.run("/bin/probe", "ids", wrap=wrap).ok().json()["groups"] == []


def test_umask(bundle: Bundle) -> None:
    assert bundle.process(user={"uid": 0, "gid": 0, "umask": 0o027}).probe("ids")["umask"] == 0o027


@pytest.mark.differs_from_runc("sets 022 (config.md, user.umask: unspecified SHOULD leave the umask unchanged)")
def test_umask_that_is_not_given_is_the_callers(bundle: Bundle) -> None:
    wrap = ["sh", "-c", 'umask 007; exec "$@"', "sh"]
    assert bundle.run("/bin/probe", "ids", wrap=wrap).ok().json()["umask"] == 0o007


def test_umask_of_the_config_does_not_change_what_the_runtime_makes(bundle: Bundle) -> None:
    bundle.process(user={"uid": 0, "gid": 0, "umask": 0o777}, cwd="/new").mount("/data/deep", "tmpfs", "tmpfs").run(
        "true"
    ).ok()
    assert bundle.path("/data").stat().st_mode & 0o777 == 0o755
    assert bundle.path("/new").stat().st_mode & 0o777 == 0o755


# limits and scores


def status_of(bundle: Bundle) -> dict[str, str]:
    said = bundle.run("cat", "/proc/self/status").ok().stdout
    return {key: value.strip() for key, value in (line.split(":", 1) for line in said.splitlines())}


NAMES = """
    CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME
""".split()
NO_ROOM = {"NICE", "RTPRIO"}  # 0 at the caller of these tests, and raising them needs CAP_SYS_RESOURCE


@pytest.mark.parametrize("name", NAMES)
def test_rlimit(bundle: Bundle, name: str) -> None:
    soft, hard = (0, 0) if name in NO_ROOM else (1000, 2000)
    if name in ("FSIZE", "DATA", "STACK", "AS", "MEMLOCK", "RSS"):
        soft, hard = soft << 12, hard << 12
    said = bundle.process(rlimits=[{"type": f"RLIMIT_{name}", "soft": soft, "hard": hard}]).probe("rlimits")
    assert said[f"RLIMIT_{name}"] == [soft, hard]


def test_rlimits_that_are_not_given_are_the_callers(bundle: Bundle) -> None:
    wrap = ["sh", "-c", 'ulimit -S -c 0; ulimit -H -f 123456; ulimit -n 321; exec "$@"', "sh"]
    said = bundle.run("/bin/probe", "rlimits", wrap=wrap).ok().json()
    assert said["RLIMIT_NOFILE"] == [321, 321]
    assert said["RLIMIT_CORE"][0] == 0


def test_unlimited_rlimit(bundle: Bundle) -> None:
    said = bundle.process(rlimits=[{"type": "RLIMIT_CPU", "soft": 2**64 - 1, "hard": 2**64 - 1}]).probe("rlimits")
    assert said["RLIMIT_CPU"] == [2**64 - 1, 2**64 - 1]


def test_soft_limit_above_the_hard_one_is_refused(bundle: Bundle) -> None:
    assert bundle.process(rlimits=[{"type": "RLIMIT_NOFILE", "soft": 20, "hard": 10}]).run("true").returncode == 1


def test_oom_score(bundle: Bundle) -> None:
    assert bundle.process(oomScoreAdj=321).run("cat", "/proc/self/oom_score_adj").ok().stdout == "321\n"


def test_oom_score_that_is_not_given_is_the_callers(bundle: Bundle) -> None:
    said = bundle.run("cat", "/proc/self/oom_score_adj", wrap=["choom", "-n", "300", "--"]).ok().stdout
    assert said == "300\n"


@pytest.mark.parametrize("value", [True, False])
def test_no_new_privileges(bundle: Bundle, value: bool) -> None:
    assert status_of(bundle.process(noNewPrivileges=value))["NoNewPrivs"] == str(int(value))


# kernel settings


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("net.ipv4.ip_forward", "1"),
        ("kernel.shm_rmid_forced", "1"),
        ("kernel.msgmax", "4096"),
        ("fs.mqueue.msg_max", "77"),
    ],
)
def test_sysctl_of_a_namespace(bundle: Bundle, key: str, value: str) -> None:
    path = Path("/proc/sys") / key.replace(".", "/")
    before = path.read_text()
    assert bundle.linux(sysctl={key: value}).run("cat", str(path)).ok().stdout.strip() == value
    assert path.read_text() == before


def test_sysctl_with_slashes(bundle: Bundle) -> None:
    bundle.linux(sysctl={"net/ipv4/conf/lo/forwarding": "1"})
    assert bundle.run("cat", "/proc/sys/net/ipv4/conf/lo/forwarding").ok().stdout == "1\n"


@pytest.mark.parametrize(
    "key",
    [
        "kernel.core_pattern",
        "vm.overcommit_memory",
        "fs.file-max",
        "net/../kernel/core_pattern",
        "kernel.hostname",
    ],
)
def test_sysctl_of_the_host_is_refused(bundle: Bundle, key: str) -> None:
    """The value is the one that the host has, so that a hole is seen and yet does no harm."""
    path = Path("/proc/sys", key if "/" in key else key.replace(".", "/"))
    assert bundle.linux(sysctl={key: path.read_text().strip()}).run("true").returncode == 1


@pytest.mark.differs_from_runc("linux.personality is newer than runc 1.1.5")
@pytest.mark.parametrize(("domain", "number", "machine"), [("LINUX32", 8, "i686"), ("LINUX", 0, os.uname().machine)])
def test_personality(bundle: Bundle, domain: str, number: int, machine: str) -> None:
    # A personality of the caller must not show through.
    wrap = ["setarch", "--addr-no-randomize"]
    said = bundle.linux(personality={"domain": domain}).run("sh", "-c", "uname -m; probe self", wrap=wrap).ok().stdout
    assert said.splitlines()[0] == machine
    assert f'"personality":{number}' in said


# what must not be inherited


def test_signals_are_at_their_defaults(bundle: Bundle) -> None:
    assert bundle.probe("signals") == {"not_default": [], "blocked": []}


def test_signals_that_the_caller_ignores_are_at_their_defaults(bundle: Bundle) -> None:
    wrap = ["sh", "-c", 'trap "" HUP PIPE USR1; exec "$@"', "sh"]
    assert bundle.run("/bin/probe", "signals", wrap=wrap).ok().json() == {"not_default": [], "blocked": []}


def test_only_the_standard_streams_are_open(bundle: Bundle) -> None:
    assert sorted(bundle.probe("fds")) == ["0", "1", "2"]


def test_descriptors_that_the_caller_leaks_are_closed(bundle: Bundle) -> None:
    wrap = [bundle.template.probe, "leak", "3", "20", "/"]
    assert sorted(bundle.run("/bin/probe", "fds", wrap=wrap).ok().json()) == ["0", "1", "2"]


def test_descriptors_of_a_created_container_are_closed(bundle: Bundle) -> None:
    pid = bundle.process(args=["/bin/probe", "fds"]).create(wrap=[bundle.template.probe, "leak", "3", "20", "/"]).pid
    bundle.start().wait(pid)
    assert bundle.output().count(":") == 3


def test_preserved_descriptors(bundle: Bundle) -> None:
    bundle.process(args=["/bin/probe", "fds"])
    said = (
        bundle.attempt("run", "--preserve-fds", "2", wrap=[bundle.template.probe, "leak", "3", "20", "/etc/hostname"])
        .ok()
        .json()
    )
    assert sorted(said) == ["0", "1", "2", "3", "4"]
    assert said["3"].endswith("/etc/hostname")


def as_activated(bundle: Bundle, sockets: int) -> dict[str, Any]:
    """Run the runtime as systemd would: so many sockets from descriptor 3 on, meant for its own pid."""
    wrap = [
        "sh",
        "-c",
        'export LISTEN_PID=$$; exec "$@"',
        "sh",
        bundle.template.probe,
        "leak",
        "3",
        "20",
        "/etc/hostname",
    ]
    return {"wrap": wrap, "env": bundle.environment(LISTEN_FDS=str(sockets))}


def test_sockets_of_systemd(bundle: Bundle) -> None:
    """sd_listen_fds(3): LISTEN_FDS descriptors from 3 on, and LISTEN_PID is the container's own pid 1."""
    bundle.process(args=["sh", "-c", "probe fds; probe self"])
    fds, process = bundle.attempt("run", **as_activated(bundle, 2)).ok().stdout.splitlines()
    assert '"4":' in fds
    assert '"5":' not in fds
    assert '"LISTEN_FDS=2"' in process
    assert '"LISTEN_PID=1"' in process


def test_sockets_of_systemd_come_before_preserved_descriptors(bundle: Bundle) -> None:
    bundle.process(args=["/bin/probe", "fds"])
    said = bundle.attempt("run", "--preserve-fds", "3", **as_activated(bundle, 1)).ok().json()
    assert sorted(said) == ["0", "1", "2", "3", "4", "5", "6"]


@pytest.mark.differs_from_runc("LISTEN_FDNAMES is not passed on")
def test_names_of_the_sockets_of_systemd(bundle: Bundle) -> None:
    activated = as_activated(bundle, 2)
    activated["env"]["LISTEN_FDNAMES"] = "web:admin"
    said = bundle.process(args=["sh", "-c", "echo $LISTEN_FDNAMES"]).attempt("run", **activated).ok().stdout
    assert said == "web:admin\n"


@pytest.mark.skipif(not os.path.exists("/proc/keys"), reason="this kernel does not list keys")
@pytest.mark.parametrize("flags", [[], ["--no-new-keyring"]])
def test_session_keyring_is_the_containers_own(bundle: Bundle, flags: list[str]) -> None:
    said = bundle.process(args=["cat", "/proc/keys"]).attempt("run", *flags).ok().stdout
    assert (f"_ses.{bundle.id}" in said) is (not flags)


def test_session_is_the_containers_own(bundle: Bundle) -> None:
    said: dict[str, Any] = bundle.probe("self")
    assert said["sid"] == said["pid"]
