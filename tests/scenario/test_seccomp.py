"""linux.seccomp: actions, arguments, profiles of the size that engines use."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario.profiles import ALLOWED, FOREIGN, engine_profile

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle

pytestmark = [
    pytest.mark.requires("seccomp"),
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="system call numbers of x86-64"),
]

# Of no use to a runtime between loading the filter and execve, and without arguments that the kernel would
# look at.
GETPGRP = "111"
MKDIR, UNSHARE, PERSONALITY, SOCKET, CLONE3 = "83", "272", "135", "41", "435"
SIGSYS = 31


def seccomp(bundle: Bundle, *rules: dict[str, Any], default: str = "SCMP_ACT_ALLOW", **more: Any) -> Bundle:
    return bundle.linux(
        seccomp={
            "defaultAction": default,
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": list(rules),
            **more,
        }
    )


def rule(action: str, *names: str, **more: Any) -> dict[str, Any]:
    return {"names": list(names), "action": action, **more}


def test_no_filter_without_a_profile(bundle: Bundle) -> None:
    assert bundle.run("grep", "^Seccomp:", "/proc/self/status").ok().stdout == "Seccomp:\t0\n"


def test_one_filter_is_loaded(bundle: Bundle) -> None:
    seccomp(bundle, rule("SCMP_ACT_ERRNO", "mkdir"))
    assert bundle.run("grep", "^Seccomp", "/proc/self/status").ok().stdout == "Seccomp:\t2\nSeccomp_filters:\t1\n"


@pytest.mark.parametrize("privileges", ["root", "user", "no-new-privileges", "user-without-capabilities"])
def test_errno(bundle: Bundle, privileges: str) -> None:
    """The filter is there whatever the process may do: with noNewPrivileges it is loaded last, without it
    earlier.
    """
    seccomp(bundle, rule("SCMP_ACT_ERRNO", "getpgrp"))
    bundle.process(noNewPrivileges=privileges in ("no-new-privileges", "user-without-capabilities"))
    if privileges.startswith("user"):
        bundle.process(user={"uid": 1000, "gid": 1000})
    if privileges == "user-without-capabilities":
        bundle.process(capabilities={})
    assert bundle.probe("syscall", GETPGRP) == {"error": "EPERM"}


@pytest.mark.parametrize(("number", "name"), [(38, "ENOSYS"), (13, "EACCES"), (0, None)])
def test_errno_of_a_rule(bundle: Bundle, number: int, name: str | None) -> None:
    said = seccomp(bundle, rule("SCMP_ACT_ERRNO", "getpgrp", errnoRet=number)).probe("syscall", GETPGRP)
    assert said == ({"error": name} if name else {"error": None, "value": 0})


def test_default_errno(bundle: Bundle) -> None:
    seccomp(
        bundle,
        rule("SCMP_ACT_ALLOW", *ALLOWED, "clone", "clone3"),
        default="SCMP_ACT_ERRNO",
        defaultErrnoRet=95,
    )
    assert bundle.probe("syscall", UNSHARE, "0")["error"] == "EOPNOTSUPP"


@pytest.mark.parametrize("action", ["SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP"])
def test_deadly_action(bundle: Bundle, action: str) -> None:
    result = seccomp(bundle, rule(action, "getpgrp")).run("/bin/probe", "syscall", GETPGRP)
    assert result.returncode == 128 + SIGSYS


def test_trace_without_a_tracer(bundle: Bundle) -> None:
    assert seccomp(bundle, rule("SCMP_ACT_TRACE", "getpgrp", errnoRet=7)).probe("syscall", GETPGRP) == {
        "error": "ENOSYS"
    }


def test_log_lets_the_call_pass(bundle: Bundle) -> None:
    assert seccomp(bundle, rule("SCMP_ACT_LOG", "getpgrp")).probe("syscall", GETPGRP)["value"] == 1


COMPARISONS = [
    ("SCMP_CMP_EQ", 5, 0, [5], [4, 6, 2**32 + 5]),
    ("SCMP_CMP_NE", 5, 0, [4, 6], [5]),
    ("SCMP_CMP_LT", 5, 0, [0, 4], [5, 6, 2**40]),
    ("SCMP_CMP_LE", 5, 0, [0, 5], [6, 2**40]),
    ("SCMP_CMP_GT", 5, 0, [6, 2**40], [5, 4]),
    ("SCMP_CMP_GE", 5, 0, [5, 2**40], [4, 0]),
    ("SCMP_CMP_MASKED_EQ", 0xF0, 0x50, [0x50, 0x5F, 0x350], [0x60, 0x05]),
]


@pytest.mark.parametrize(
    ("operator", "value", "value_two", "hit", "missed"), COMPARISONS, ids=[row[0] for row in COMPARISONS]
)
def test_comparison(
    bundle: Bundle, operator: str, value: int, value_two: int, hit: list[int], missed: list[int]
) -> None:
    comparison = {"index": 0, "value": value, "valueTwo": value_two, "op": operator}
    seccomp(bundle, rule("SCMP_ACT_ERRNO", "getpgrp", args=[comparison]))
    calls = "; ".join(f"probe syscall {GETPGRP} {argument}" for argument in (*hit, *missed))
    lines = bundle.run("sh", "-c", calls).ok().stdout.splitlines()
    assert ["EPERM" in line for line in lines] == [True] * len(hit) + [False] * len(missed)


def test_all_comparisons_of_a_rule_must_hold(bundle: Bundle) -> None:
    both = [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 2, "op": "SCMP_CMP_EQ"}]
    seccomp(bundle, rule("SCMP_ACT_ERRNO", "getpgrp", args=both))
    calls = f"probe syscall {GETPGRP} 1 2; probe syscall {GETPGRP} 1 3; probe syscall {GETPGRP} 0 2"
    assert [("EPERM" in line) for line in bundle.run("sh", "-c", calls).ok().stdout.splitlines()] == [
        True,
        False,
        False,
    ]


def test_comparisons_of_one_argument_are_alternatives(bundle: Bundle) -> None:
    """libseccomp takes one comparison per argument; engines write several, and mean any of them."""
    either = [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 3, "op": "SCMP_CMP_EQ"}]
    seccomp(bundle, rule("SCMP_ACT_ERRNO", "getpgrp", args=either))
    calls = "; ".join(f"probe syscall {GETPGRP} {number}" for number in (1, 2, 3))
    assert [("EPERM" in line) for line in bundle.run("sh", "-c", calls).ok().stdout.splitlines()] == [
        True,
        False,
        True,
    ]


def test_unknown_names_are_skipped(bundle: Bundle) -> None:
    assert (
        seccomp(bundle, rule("SCMP_ACT_ERRNO", "no_such_call", "getpgrp")).probe("syscall", GETPGRP)["error"] == "EPERM"
    )


# system calls that are newer than the profile


NEW, OLDER = "467", "451"  # open_tree_attr of Linux 6.15, and cachestat


@pytest.mark.parametrize("default", [{"default": "SCMP_ACT_ERRNO"}, {"default": "SCMP_ACT_KILL_PROCESS"}])
def test_newer_calls_do_not_exist(bundle: Bundle, default: dict[str, str]) -> None:
    """A program can do without what does not exist, and not without what is forbidden to it."""
    seccomp(bundle, rule("SCMP_ACT_ALLOW", *ALLOWED, "clone", "clone3"), **default)
    assert bundle.probe("syscall", NEW, "-1", "0", "0")["error"] == "ENOSYS"


def test_older_calls_are_refused_as_the_profile_says(bundle: Bundle) -> None:
    seccomp(bundle, rule("SCMP_ACT_ALLOW", *ALLOWED, "clone", "clone3"), default="SCMP_ACT_ERRNO")
    assert bundle.probe("syscall", UNSHARE, "0")["error"] == "EPERM"


def test_newer_calls_are_let_through_by_default(bundle: Bundle) -> None:
    seccomp(bundle, rule("SCMP_ACT_ERRNO", "getpgrp"))
    assert bundle.probe("syscall", OLDER, "-1", "0", "0", "0")["error"] == "EBADF"


# a profile as engines write it


def test_profile_has_the_size_of_an_engines() -> None:
    assert len(set(ALLOWED)) + len(set(FOREIGN)) > 330


@pytest.mark.parametrize("user", [{"uid": 0, "gid": 0}, {"uid": 1000, "gid": 1000}], ids=["root", "user"])
@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_engine_profile(bundle: Bundle, user: dict[str, int], no_new_privileges: bool) -> None:
    bundle.process(user=user, noNewPrivileges=no_new_privileges).linux(seccomp=engine_profile())
    questions = [
        *(
            f"syscall {MKDIR} 0",
            f"syscall {UNSHARE} 0x10000000",
            f"syscall {PERSONALITY} 0xffffffff",
            f"syscall {PERSONALITY} 1",
        ),
        *(f"syscall {SOCKET} 40 1 0", f"syscall {SOCKET} 1 1 0", f"syscall {CLONE3} 0 0"),
    ]
    script = "; ".join(f"probe {question}" for question in questions) + "; echo done | cat; ls / | wc -l"
    lines = bundle.run("sh", "-c", script).ok().stdout.splitlines()
    errors = [found.group(1) if (found := re.search(r'"error":(null|"\w+")', line)) else line for line in lines[:7]]
    assert errors == ['"EFAULT"', '"EPERM"', "null", '"EPERM"', '"EPERM"', "null", '"ENOSYS"']
    assert lines[7] == "done"


def test_engine_profile_does_not_slow_the_second_run_down(bundle: Bundle) -> None:
    """Compiled programs are cached or cheap: 300 rules may not cost what a container costs."""
    begin = time.monotonic()
    bundle.run("true").ok()
    plain = time.monotonic() - begin
    bundle.linux(seccomp=engine_profile())
    bundle.run("true").ok()
    begin = time.monotonic()
    bundle.run("true").ok()
    assert time.monotonic() - begin < plain + 0.1


@pytest.mark.differs_from_runc("linux.seccomp.flags is newer than runc 1.1.5")
@pytest.mark.parametrize("flag", ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"])
def test_flag(bundle: Bundle, flag: str) -> None:
    assert (
        seccomp(bundle, rule("SCMP_ACT_ERRNO", "getpgrp"), flags=[flag]).probe("syscall", GETPGRP)["error"] == "EPERM"
    )


def differs(value: dict[str, Any], why: str) -> Any:
    return pytest.param(value, marks=pytest.mark.differs_from_runc(why))


ERRNO_WITHOUT_ERRNO = "takes errnoRet with an action that has none (config-linux.md: MUST fail)"
NO_NAMES = "takes a rule without names (config-linux.md: MUST contain at least one entry)"
NO_SUCH_ARGUMENT = {"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}


@pytest.mark.parametrize(
    "members",
    [
        {"defaultAction": "SCMP_ACT_NOSUCH"},
        differs({"defaultAction": None}, "ignores a profile without a default action (config-linux.md: REQUIRED)"),
        {"architectures": ["SCMP_ARCH_NOSUCH"]},
        {"flags": ["SECCOMP_FILTER_FLAG_NOSUCH"]},
        {"syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOSUCH"}]},
        {
            "syscalls": [
                {
                    "names": ["mkdir"],
                    "action": "SCMP_ACT_ERRNO",
                    "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_NOSUCH"}],
                }
            ]
        },
        {"syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "args": [NO_SUCH_ARGUMENT]}]},
        differs({"syscalls": [{"action": "SCMP_ACT_ERRNO"}]}, NO_NAMES),
        differs({"syscalls": [{"names": [], "action": "SCMP_ACT_ERRNO"}]}, NO_NAMES),
        differs({"defaultErrnoRet": 1}, ERRNO_WITHOUT_ERRNO),
        differs(
            {"syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_TRACE", "errnoRet": 70000}]}, "cuts the number off"
        ),
        differs(
            {"syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_KILL", "errnoRet": 1}]},
            ERRNO_WITHOUT_ERRNO,
        ),
    ],
    ids=[
        "action",
        "no-action",
        "arch",
        "flag",
        "rule-action",
        "op",
        "index",
        "no-names",
        "empty-names",
        "default-errno",
        "large-errno",
        "rule-errno",
    ],
)
def test_invalid_profile_is_refused(bundle: Bundle, members: dict[str, Any]) -> None:
    whole = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], **members}
    bundle.linux(seccomp={key: value for key, value in whole.items() if value is not None})
    result = bundle.attempt("create")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
