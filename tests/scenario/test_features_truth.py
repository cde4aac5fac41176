"""What `features` lists is really so: every name in it is used in a container, many in one where that goes.

A name that no test here knows how to try fails: it cannot be listed without a proof.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario.host import parse_mountinfo
from tests.scenario.test_mounts import FLAGS, NESTED_MOUNTS, PROPAGATION, RECURSIVE, SYSTEM_FLAGS, UNBINDABLE, holds

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle

# Neither flags of a mount nor of its file system: each has a test of its own below.
MEANINGS = {"bind", "rbind", "remount", "tmpcopyup", "idmap", "ridmap"}
WHOLE = [{"containerID": 0, "hostID": 100000, "size": 65536}]
# System calls that this kernel does not have: ENOSYS unless a filter decides otherwise.
UNUSED = tuple(range(600, 640))
SIGSYS_STATUS = 128 + 31


@pytest.fixture
def features(bundle: Bundle) -> dict[str, Any]:
    found: dict[str, Any] = bundle.execute([bundle.runtime, "features"]).ok().json()
    return found


@pytest.mark.differs_from_runc("acl and noacl do nothing there; idmap is newer than 1.1.5")
def test_every_option_has_its_proof(features: dict[str, Any]) -> None:
    proved = {*FLAGS, *SYSTEM_FLAGS, *RECURSIVE, *PROPAGATION, *UNBINDABLE, *MEANINGS}
    assert set(features["mountOptions"]) == proved


@pytest.mark.differs_from_runc("defaults is listed and is no option of tmpfs")
def test_every_flag_on_tmpfs(bundle: Bundle, features: dict[str, Any]) -> None:
    flags = [option for option in features["mountOptions"] if option in {**FLAGS, **SYSTEM_FLAGS}]
    for option in flags:
        bundle.mount(f"/mnt/{option}", "tmpfs", "tmpfs", [option])
    made = {mount.point: mount for mount in bundle.mounted()}
    wrong = [option for option in flags if not holds(made[f"/mnt/{option}"], {**FLAGS, **SYSTEM_FLAGS}[option])]
    assert wrong == []


def test_every_flag_on_a_bind_mount(bundle: Bundle, features: dict[str, Any]) -> None:
    """Flags of the file system, such as sync, are not a bind mount's to change: they are only understood."""
    flags = [option for option in features["mountOptions"] if option in {**FLAGS, **SYSTEM_FLAGS}]
    (bundle.dir / "data").mkdir()
    for option in flags:
        bundle.mount(f"/mnt/{option}", "none", "data", ["bind", option])
    made = {mount.point: mount for mount in bundle.mounted()}
    assert [option for option in flags if not holds(made[f"/mnt/{option}"], FLAGS.get(option, "+rw"))] == []


@pytest.mark.differs_from_runc("ratime is listed and refused by the kernel")
def test_every_recursive_flag(bundle: Bundle, features: dict[str, Any]) -> None:
    (bundle.dir / "data").mkdir()
    flags = [option for option in features["mountOptions"] if option in RECURSIVE]
    for option in flags:
        bundle.mount(f"/mnt/{option}", "none", "data", ["rbind", option])
    wrap = ["unshare", "-m", "sh", "-c", NESTED_MOUNTS, str(bundle.dir / "data")]
    made = parse_mountinfo(bundle.run("cat", "/proc/self/mountinfo", wrap=wrap).ok().stdout)
    by_point = {mount.point: mount for mount in made}
    both = [f"/mnt/{option}{below}" for option in flags for below in ("", "/sub")]
    assert [point for point in both if not holds(by_point[point], RECURSIVE[point.split("/")[2]])] == []


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_every_propagation(bundle: Bundle, features: dict[str, Any], kind: str) -> None:
    (bundle.dir / "data").mkdir()
    words = {**PROPAGATION, **UNBINDABLE}
    asked = [option for option in features["mountOptions"] if option in words]
    for option in asked:
        bundle.mount(f"/mnt/{option}", kind, "data", ["bind", option] if kind == "bind" else [option])
    made = {mount.point: mount for mount in bundle.mounted()}
    found = {option: [tag.split(":")[0] for tag in made[f"/mnt/{option}"].propagation] for option in asked}
    assert found == {option: [words[option]] if words[option] else [] for option in asked}


@pytest.mark.differs_from_runc("idmap is newer than 1.1.5")
def test_every_option_with_a_meaning_of_its_own(bundle: Bundle, features: dict[str, Any]) -> None:
    assert set(features["mountOptions"]) >= MEANINGS
    (bundle.dir / "data").mkdir()
    (bundle.dir / "data/file").write_text("7")
    bundle.write("/copied/file", "8")
    mappings = {"uidMappings": WHOLE, "gidMappings": WHOLE}
    bundle.mount("/bind", "none", "data", ["bind"]).mount("/rbind", "none", "data", ["rbind"])
    bundle.mount("/idmap", "none", "data", ["bind", "idmap"], **mappings)
    bundle.mount("/ridmap", "none", "data", ["rbind", "ridmap"], **mappings)
    bundle.mount("/copied", "tmpfs", "tmpfs", ["tmpcopyup"])
    bundle.mount("/again", "tmpfs", "tmpfs").mount("/again", "tmpfs", "tmpfs", ["remount", "ro"])
    script = (
        "cat /bind/file /rbind/file /copied/file; echo; stat -c %u /bind/file /idmap/file /ridmap/file;"
        " touch /again/x 2>&1 | grep -c Read-only"
    )
    assert bundle.run("sh", "-c", script).stdout.split() == ["778", "0", "100000", "100000", "1"]


def test_every_namespace(bundle: Bundle, features: dict[str, Any]) -> None:
    kinds = features["linux"]["namespaces"]
    for kind in kinds:
        bundle.namespace(kind)
    inside = bundle.linux(uidMappings=WHOLE, gidMappings=WHOLE).probe("self")["ns"]
    names = {"network": "net", "mount": "mnt"}
    outside = {name: os.readlink(f"/proc/self/ns/{name}") for name in inside}
    assert kinds
    assert [kind for kind in kinds if inside[names.get(kind, kind)] == outside[names.get(kind, kind)]] == []


@pytest.mark.differs_from_runc("fails when one cannot be given (config.md: SHOULD NOT fail)")
def test_every_capability(bundle: Bundle, features: dict[str, Any]) -> None:
    """All that this host can give are in all five sets, and none is called unknown."""
    names = features["linux"]["capabilities"]
    sets = ("bounding", "effective", "inheritable", "permitted", "ambient")
    result = bundle.process(capabilities=dict.fromkeys(sets, names)).run("grep", "^Cap", "/proc/self/status").ok()
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    ours = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapBnd"))
    expected = int(ours.split()[1], 16) & ((1 << len(names)) - 1) & ((1 << (last + 1)) - 1)
    assert {int(line.split()[1], 16) for line in result.stdout.splitlines()} == {expected}
    assert "is not known" not in result.stderr or last < len(names) - 1


def seccomp(bundle: Bundle, *rules: dict[str, Any], **more: Any) -> Bundle:
    return bundle.linux(seccomp={"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list(rules), **more})


HARMLESS = ("sysfs", "ustat", "uselib", "lookup_dcookie", "vhangup", "swapoff", "quotactl", "acct")
NUMBERS = {
    "sysfs": 139, "ustat": 136, "uselib": 134, "lookup_dcookie": 212,
    "vhangup": 153, "swapoff": 168, "quotactl": 179, "acct": 163,
}
# What becomes of a call under each action: an exit code of the probe, or what it must say.
OUTCOMES: dict[str, int | str] = {
    "SCMP_ACT_ERRNO": "EPERM",
    "SCMP_ACT_TRACE": "ENOSYS",
    "SCMP_ACT_KILL": SIGSYS_STATUS,
    "SCMP_ACT_KILL_PROCESS": SIGSYS_STATUS,
    "SCMP_ACT_KILL_THREAD": SIGSYS_STATUS,
    "SCMP_ACT_TRAP": SIGSYS_STATUS,
    "SCMP_ACT_ALLOW": "",
    "SCMP_ACT_LOG": "",
}


@pytest.mark.requires("seccomp")
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="system call numbers of x86-64")
def test_every_action(bundle: Bundle, features: dict[str, Any]) -> None:
    """SCMP_ACT_NOTIFY needs an agent: test_seccomp_notify.py has one, and asks it."""
    actions = features["linux"]["seccomp"]["actions"]
    assert set(actions) - {"SCMP_ACT_NOTIFY"} == set(OUTCOMES)
    calls = dict(zip(OUTCOMES, HARMLESS, strict=True))
    seccomp(bundle, *({"names": [name], "action": action} for action, name in calls.items()))
    # A call that passes is given an address that cannot be right.
    script = "; ".join(f"probe syscall {NUMBERS[name]} -1 -1 -1 2>&1; echo =$?" for name in calls.values())
    said = bundle.run("sh", "-c", script).stdout.split("=")
    for index, (action, expected) in enumerate(OUTCOMES.items()):
        answer, status = said[index].splitlines()[-1:], said[index + 1].split()[0]
        if isinstance(expected, int):
            assert status == str(expected), (action, said)
        else:
            assert status == "0", (action, said)
            assert expected in answer[0], (action, answer)


@pytest.mark.requires("seccomp")
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="system call numbers of x86-64")
def test_every_operator(bundle: Bundle, features: dict[str, Any]) -> None:
    matches = {
        "SCMP_CMP_NE": "46",
        "SCMP_CMP_LT": "4",
        "SCMP_CMP_LE": "45",
        "SCMP_CMP_EQ": "5",
        "SCMP_CMP_GE": "56",
        "SCMP_CMP_GT": "6",
        "SCMP_CMP_MASKED_EQ": "45",
    }
    operators = features["linux"]["seccomp"]["operators"]
    assert set(operators) == set(matches)
    rules = []
    calls = dict(zip(operators, HARMLESS, strict=False))
    for operator, name in calls.items():
        # For MASKED_EQ the value is the mask: 4 and 5 have what 6 does not, bit 2 without bit 1.
        masked = operator == "SCMP_CMP_MASKED_EQ"
        compare = {"index": 0, "value": 6 if masked else 5, "valueTwo": 4, "op": operator}
        rules.append({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": 77, "args": [compare]})
    # EBADFD, 77, is an answer that none of these calls gives itself.
    questions = [f"probe syscall {NUMBERS[name]} {value} -1 -1" for name in calls.values() for value in (4, 5, 6)]
    lines = seccomp(bundle, *rules).run("sh", "-c", "; ".join(questions)).stdout.splitlines()
    found = {
        operator: "".join(
            str(value) for value, line in zip((4, 5, 6), lines[3 * i : 3 * i + 3], strict=True) if "EBADFD" in line
        )
        for i, operator in enumerate(calls)
    }
    assert found == {operator: matches[operator] for operator in operators}


@pytest.mark.requires("seccomp")
def test_every_architecture(bundle: Bundle, features: dict[str, Any]) -> None:
    architectures = features["linux"]["seccomp"]["archs"]
    assert architectures
    seccomp(bundle, {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}, architectures=architectures)
    assert bundle.run("mkdir", "/x").returncode != 0


@pytest.mark.requires("seccomp")
@pytest.mark.differs_from_runc("linux.seccomp.flags is newer than 1.1.5")
def test_every_flag_of_seccomp(bundle: Bundle, features: dict[str, Any]) -> None:
    known, supported = (features["linux"]["seccomp"][key] for key in ("knownFlags", "supportedFlags"))
    assert set(supported) <= set(known)
    rule = {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}
    for flag in supported:
        assert seccomp(bundle, rule, flags=[flag]).run("mkdir", "/x").returncode == 1, flag
    seccomp(bundle, rule, flags=["SECCOMP_FILTER_FLAG_NOSUCH"])
    assert "SECCOMP_FILTER_FLAG_NOSUCH" not in known
    assert bundle.run("true").returncode == 1


@pytest.mark.differs_from_runc("memoryPolicy is newer than 1.1.5")
def test_every_memory_policy(bundle: Bundle, features: dict[str, Any]) -> None:
    """Flags want a mode that has nodes; MPOL_F_NUMA_BALANCING goes with MPOL_BIND only (set_mempolicy(2))."""
    listed = features["linux"]["memoryPolicy"]
    assert listed["modes"]
    for mode in listed["modes"]:
        without_nodes = mode in ("MPOL_DEFAULT", "MPOL_LOCAL")
        policy = {"mode": mode} if without_nodes else {"mode": mode, "nodes": "0"}
        assert bundle.linux(memoryPolicy=policy).run("true").returncode == 0, mode
    for flag in listed["flags"]:
        policy = {"mode": "MPOL_BIND", "nodes": "0", "flags": [flag]}
        assert bundle.linux(memoryPolicy=policy).run("true").returncode == 0, flag


def test_every_hook(bundle: Bundle, features: dict[str, Any]) -> None:
    log = bundle.dir / "log"
    for kind in features["hooks"]:
        where = "/log" if kind == "startContainer" else str(log)
        bundle.hook(kind, "/bin/sh", "-c", f"echo {kind} >> {where}")
    bundle.run("true").ok()
    assert {*log.read_text().split(), *bundle.path("/log").read_text().split()} == set(features["hooks"])


def test_both_edges_of_the_versions(bundle: Bundle, features: dict[str, Any]) -> None:
    for edge in ("ociVersionMin", "ociVersionMax"):
        bundle.set(ociVersion=features[edge]).run("true").ok()


# What features says is off must not be done halfway: it is refused.
DISABLED: dict[str, Any] = {
    "apparmor": {"process": {"apparmorProfile": "nobody-has-this"}},
    "selinux": {"process": {"selinuxLabel": "a:b:c:s0"}},
    "intelRdt": {"linux": {"intelRdt": {"closID": "nobody-has-this"}}},
    "mountLabel": {"linux": {"mountLabel": "a:b:c:s0"}},
    "netDevices": {"linux": {"netDevices": {"nobody-has-th": {}}}},
}


IGNORED = [
    pytest.param("intelRdt", marks=pytest.mark.differs_from_runc("left out where there is no resctrl")),
    pytest.param("netDevices", marks=pytest.mark.differs_from_runc("newer than 1.1.5")),
]


@pytest.mark.parametrize("feature", ["apparmor", "selinux", "mountLabel", *IGNORED])
def test_what_cannot_be_done_here_is_refused(bundle: Bundle, feature: str) -> None:
    """This holds where the feature is off, and where it is on and the host has no such profile or device."""
    change = DISABLED[feature]
    bundle.process(**change.get("process", {})).linux(**change.get("linux", {}))
    result = bundle.run("true")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1


def test_nothing_depends_on_who_asks_and_where(bundle: Bundle) -> None:
    """features.md: decided when the runtime was built, not by the state of the host."""
    plain = bundle.execute([bundle.runtime, "features"]).ok().stdout
    bare = bundle.execute(["unshare", "-Urmpf", bundle.runtime, "features"], env={}).ok().stdout
    assert bare == plain
