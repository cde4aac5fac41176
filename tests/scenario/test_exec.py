"""`exec`: what another program in a running container is. What becomes of it: test_exec_life."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.scenario.bundle import CAPS
from tests.scenario.execs import background, probe, with_process

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle


def test_program_of_the_command_line(bundle: Bundle) -> None:
    assert bundle.sleeping().exec("echo", "one", "--two", "-h").stdout == "one --two -h\n"


def test_program_of_a_file(bundle: Bundle) -> None:
    assert with_process(bundle.sleeping(), args=["echo", "from a file"]).stdout == "from a file\n"


@pytest.mark.vm
def test_it_is_in_all_namespaces_of_the_container(bundle: Bundle) -> None:
    kinds = ["cgroup", *(["time"] if os.path.exists("/proc/self/ns/time") else [])]
    for kind in kinds if bundle.runtime.endswith("pyrunc") else ["cgroup"]:
        bundle.namespace(kind)
    pid = bundle.sleeping().pid
    found = probe(bundle, "self")["ns"]
    assert found == {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in found}
    assert {"pid", "net", "mnt", "ipc", "uts", "user", "cgroup"} <= set(found)


@pytest.mark.requires("userns")
def test_it_is_in_the_user_namespace(bundle: Bundle) -> None:
    whole = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    bundle.namespace("user").linux(uidMappings=whole, gidMappings=whole)
    pid = bundle.sleeping().pid
    assert probe(bundle, "self")["ns"]["user"] == os.readlink(f"/proc/{pid}/ns/user")
    said = probe(bundle, "ids", "--user", "1000:1001")
    assert (said["uid"], said["gid"]) == ([1000] * 3, [1001] * 3)


@pytest.mark.vm
@pytest.mark.differs_from_runc("cannot create a container that has no /proc")
def test_without_namespaces_it_is_in_the_container_all_the_same(bundle: Bundle) -> None:
    bundle.config["mounts"] = []
    bundle.without_namespace("network", "ipc", "uts", "pid", "cgroup")
    bundle.write("/here", "inside").sleeping()
    assert bundle.exec("cat", "/here").stdout == "inside"


@pytest.mark.differs_from_runc("enters the host's root in a container that has no mount namespace")
def test_without_a_mount_namespace_the_root_is_the_containers(bundle: Bundle) -> None:
    bundle.config["mounts"] = []
    bundle.without_namespace("mount").write("/here", "inside").sleeping()
    assert bundle.exec("/bin/cat", "/here").stdout == "inside"
    assert bundle.exec("/bin/cat", f"/../../..{bundle.rootfs}/here").returncode == 1


@pytest.mark.vm
def test_root_that_was_moved(bundle: Bundle) -> None:
    bundle.process(args=["/bin/probe", "sleep"]).write("/here", "inside").create("--no-pivot").start()
    assert bundle.exec("cat", "/here").stdout == "inside"


def test_defaults_are_those_of_config_json(bundle: Bundle) -> None:
    limit = {"type": "RLIMIT_NOFILE", "soft": 123, "hard": 456}
    bundle.env("COLOUR=blue").process(cwd="/home", user={"uid": 1000, "gid": 1001, "additionalGids": [7]})
    bundle.process(rlimits=[limit], noNewPrivileges=True, capabilities={}).sleeping()
    said, ids = probe(bundle, "self"), probe(bundle, "ids")
    assert (said["cwd"], "COLOUR=blue" in said["env"]) == ("/home", True)
    assert (ids["uid"], ids["gid"], ids["groups"]) == ([1000] * 3, [1001] * 3, [7])
    assert probe(bundle, "rlimits")["RLIMIT_NOFILE"] == [123, 456]
    assert "NoNewPrivs:\t1" in bundle.exec("cat", "/proc/self/status").stdout


@pytest.mark.differs_from_runc("reads the bundle's config.json as it is now")
def test_changes_of_config_json_since_create_do_not_matter(bundle: Bundle) -> None:
    """runtime.md, "Create": they must not affect the container."""
    bundle.sleeping().env("COLOUR=red").process(cwd="/etc").save()
    said = probe(bundle, "self")
    assert (said["cwd"], "COLOUR=red" in said["env"]) == ("/", False)


def test_flags_go_over_the_defaults(bundle: Bundle) -> None:
    bundle.env("COLOUR=blue").sleeping()
    said = probe(bundle, "self", "--cwd", "/home", "-e", "COLOUR=red", "-e", "SHAPE=round")
    assert said["cwd"] == "/home"
    assert {"COLOUR=red", "SHAPE=round"} <= set(said["env"])
    assert "COLOUR=blue" not in said["env"]


@pytest.mark.parametrize("user", ["1000", "1000:1001"])
def test_user(bundle: Bundle, user: str) -> None:
    uid, _, gid = user.partition(":")
    said = probe(bundle.sleeping(), "ids", "--user", user)
    assert (said["uid"], said["gid"]) == ([int(uid)] * 3, [int(gid or 0)] * 3)


def test_additional_groups(bundle: Bundle) -> None:
    said = probe(bundle.sleeping(), "ids", "-u", "1000:1000", "-g", "7", "-g", "8")
    assert said["groups"] == [7, 8]


def test_home_comes_from_the_containers_passwd(bundle: Bundle) -> None:
    bundle.process(env=["PATH=/bin"]).sleeping()
    assert "HOME=/home/user" in probe(bundle, "self", "--user", "1000")["env"]


def test_no_new_privileges(bundle: Bundle) -> None:
    said = bundle.sleeping().exec("cat", "/proc/self/status", flags=["--no-new-privs"]).stdout
    assert "NoNewPrivs:\t1" in said
    assert "NoNewPrivs:\t0" in bundle.exec("cat", "/proc/self/status").stdout


def test_it_leads_a_session_of_its_own(bundle: Bundle) -> None:
    said = probe(bundle.sleeping(), "self")
    assert said["sid"] == said["pid"]


def test_signals_are_at_their_defaults(bundle: Bundle) -> None:
    assert probe(bundle.sleeping(), "signals") == {"not_default": [], "blocked": []}


@pytest.mark.differs_from_runc("leaves the score as it is in exec")
def test_oom_score(bundle: Bundle) -> None:
    score = 321
    said = with_process(bundle.sleeping(), args=["cat", "/proc/self/oom_score_adj"], oomScoreAdj=score)
    assert said.stdout == f"{score}\n"


@pytest.mark.differs_from_runc("1.1 knows no umask of exec")
def test_umask(bundle: Bundle) -> None:
    said = with_process(bundle.sleeping(), args=["/bin/probe", "ids"], user={"uid": 0, "gid": 0, "umask": 0o27})
    assert said.ok().json()["umask"] == 0o27


def test_late_limits(bundle: Bundle) -> None:
    limits = [{"type": "RLIMIT_AS", "soft": 1 << 22, "hard": 1 << 22}, {"type": "RLIMIT_NPROC", "soft": 9, "hard": 9}]
    said = with_process(bundle.sleeping(), args=["/bin/probe", "rlimits"], rlimits=limits).ok().json()
    assert (said["RLIMIT_AS"], said["RLIMIT_NPROC"]) == ([1 << 22] * 2, [9, 9])


@pytest.mark.differs_from_runc("1.1 sets no scheduler")
@pytest.mark.parametrize("flags", [[], ["SCHED_FLAG_RESET_ON_FORK"]])
def test_scheduler(bundle: Bundle, flags: list[str]) -> None:
    wanted = {"policy": "SCHED_BATCH", "nice": 5, "flags": flags}
    reset = os.SCHED_RESET_ON_FORK if flags else 0
    with background(bundle.sleeping(), "/bin/probe", "sleep", scheduler=wanted) as pid:
        assert os.sched_getscheduler(pid) == os.SCHED_BATCH | reset
        assert os.getpriority(os.PRIO_PROCESS, pid) == 5


@pytest.mark.differs_from_runc("1.1 knows no execCPUAffinity")
def test_cpu_affinity(bundle: Bundle) -> None:
    """config.md#linux-process: without `final` nothing is changed after the move into the cgroup."""
    last = max(os.sched_getaffinity(0))
    pid = bundle.sleeping().pid
    for affinity, cpus in (
        ({"initial": str(last)}, {last}),
        ({"initial": "0", "final": str(last)}, {last}),
        ({"final": str(last)}, {last}),
        (None, os.sched_getaffinity(pid)),
    ):
        more = {"execCPUAffinity": affinity} if affinity else {}
        with background(bundle, "/bin/probe", "sleep", **more) as program:
            assert os.sched_getaffinity(program) == cpus


@pytest.mark.differs_from_runc("1.1 keeps the affinity of its caller")
def test_affinity_of_the_caller_is_not_inherited(bundle: Bundle) -> None:
    bundle.sleeping()
    said = bundle.exec("cat", "/proc/self/status", wrap=["taskset", "-c", "0"]).stdout
    assert f"Cpus_allowed_list:\t{_listed(os.sched_getaffinity(bundle.pid))}\n" in said


def _listed(cpus: set[int]) -> str:
    return f"0-{max(cpus)}" if len(cpus) > 1 else "0"


def test_capabilities_are_exactly_those(bundle: Bundle) -> None:
    """CVE-2022-29162: --cap gave inheritable ones."""
    bundle.sleeping()
    plain, more = (_capabilities(bundle, flags) for flags in ([], ["--cap", "CAP_SYS_TIME"]))
    sys_time = 1 << 25
    assert plain["CapInh"] == more["CapInh"] == plain["CapAmb"] == more["CapAmb"] == 0
    assert plain["CapPrm"].bit_count() == len(CAPS)
    for kind in ("CapPrm", "CapEff", "CapBnd"):
        assert more[kind] == plain[kind] | sys_time


def _capabilities(bundle: Bundle, flags: list[str]) -> dict[str, int]:
    lines = bundle.exec("cat", "/proc/self/status", flags=flags).ok().stdout.splitlines()
    return {line[:6]: int(line[8:], 16) for line in lines if line.startswith("Cap")}
