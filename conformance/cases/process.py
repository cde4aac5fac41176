"""config.md, "Process": what the program is started with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from conformance.case import case, check, equal
from conformance.cases.engines import report_on_terminal

if TYPE_CHECKING:
    from conformance.box import Box

SETS = {
    "bounding": "CapBnd",
    "effective": "CapEff",
    "permitted": "CapPrm",
    "inheritable": "CapInh",
    "ambient": "CapAmb",
}
NUMBERS = {"CAP_CHOWN": 0, "CAP_KILL": 5, "CAP_SETPCAP": 8, "CAP_NET_RAW": 13, "CAP_AUDIT_WRITE": 29}


def status(report: dict[str, Any], name: str) -> str:
    """One line of /proc/PID/status, proc_pid_status(5)."""
    for line in str(report["status"]).splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    return ""


@case(52)
def arguments_arrive(box: Box) -> None:
    """The program gets args as they are, the empty and the strange ones too."""
    box.process(args=["/bin/probe", "report", "", "a b", "--", "exit", "0"])
    report = box.answers(box.run().succeeded().stdout)[0]
    equal(report["args"], ["report", "", "a b"], "args")


@case(52)
def program_is_looked_up(box: Box) -> None:
    """A name without a slash is looked for in the PATH of process.env."""
    box.process(args=["probe", "report"], env=["PATH=/nowhere:/bin"])
    check(box.answers(box.run().succeeded().stdout), "the program said nothing")


@case(52)
def path_of_the_caller_does_not_count(box: Box) -> None:
    """The caller's own PATH is not used to look for the program."""
    box.process(args=["probe", "report"], env=["PATH=/nowhere"])
    box.run(environment={"PATH": "/bin:/usr/bin"}).failed()


@case(52)
def no_arguments_is_an_error(box: Box) -> None:
    """Args without an entry, and a process without args, are errors."""
    box.process(args=[]).create().failed()
    del box.config["process"]["args"]
    box.create().failed()
    equal(box.left_behind(), [], "what is left")


@case(9)
def missing_program_is_an_error(box: Box) -> None:
    """A program that does not exist is an error, at create or at start."""
    box.process(args=["/bin/nothing-of-this-name"])
    box.run().failed()


@case(53)
def environment_is_exact(box: Box) -> None:
    """The program's environment is process.env; a runtime may add HOME and TERM, and nothing of its own environment."""
    box.process(env=["PATH=/bin", "ONE=1", "EMPTY=", "SPACE=a b", "EQUALS=a=b"])
    box.save()
    box.process(args=["/bin/probe", "report"])
    report = box.answers(box.run(environment={"CALLER": "leaks"}).succeeded().stdout)[0]
    seen = [each for each in report["env"] if each.partition("=")[0] not in ("HOME", "TERM", "CONFORMANCE_TOKEN")]
    equal(seen, ["PATH=/bin", "ONE=1", "EMPTY=", "SPACE=a b", "EQUALS=a=b"], "the environment")


@case(51)
def relative_cwd_is_an_error(box: Box) -> None:
    """A cwd that is not absolute is an error."""
    box.process(cwd="tmp").create().failed()
    equal(box.left_behind(), [], "what is left")


@case(51)
def cwd_is_where_it_starts(box: Box) -> None:
    """The program starts in cwd."""
    equal(box.process(cwd="/tmp").report()["cwd"], "/tmp", "the working directory")


@case(64)
def user_and_groups(box: Box) -> None:
    """Uid, gid and additionalGids are those of the configuration."""
    report = box.process(user={"uid": 1000, "gid": 1001, "additionalGids": [5, 6]}).report()
    equal(report["uid"], [1000] * 3, "real, effective and saved uid")
    equal(report["gid"], [1001] * 3, "real, effective and saved gid")
    equal(sorted(set(report["groups"]) - {1001}), [5, 6], "additional groups")


@case(64)
def no_groups_of_the_caller(box: Box) -> None:
    """Without additionalGids the program is in no other group."""
    equal(set(box.process(user={"uid": 1000, "gid": 1000}).report()["groups"]) - {1000}, set(), "additional groups")


@case(65)
def umask_is_set(box: Box) -> None:
    """User.umask is the program's umask."""
    equal(box.process(user={"uid": 0, "gid": 0, "umask": 0o27}).report()["umask"], 0o27, "umask")


@case(65, level="SHOULD", justified="config.md: unspecified means that the calling process's umask is not changed")
def umask_of_the_caller_stays(box: Box) -> None:
    """Without user.umask the caller's umask stays."""
    box.process(args=["/bin/probe", "report"]).save()
    report = box.answers(box.run(umask=0o35).succeeded().stdout)[0]
    equal(report["umask"], 0o35, "umask")


@case(55)
def limits_are_exact(box: Box) -> None:
    """Soft and hard limits are as given."""
    wanted = {"RLIMIT_NOFILE": [512, 1024], "RLIMIT_CORE": [0, 0], "RLIMIT_STACK": [1 << 20, 1 << 21]}
    box.process(rlimits=[{"type": kind, "soft": soft, "hard": hard} for kind, (soft, hard) in wanted.items()])
    limits = box.report()["limits"]
    equal({kind: limits[kind] for kind in wanted}, wanted, "limits")


@case(54)
def unknown_limit_is_an_error(box: Box) -> None:
    """A limit of an unknown type is an error."""
    box.process(rlimits=[{"type": "RLIMIT_NOTHING", "soft": 1, "hard": 1}]).create().failed()
    equal(box.left_behind(), [], "what is left")


@case(56, justified="config.md: duplicated entries of one type of limit MUST be an error")
def limit_given_twice_is_an_error(box: Box) -> None:
    """Two entries for one type of limit are an error."""
    entries = [{"type": "RLIMIT_NOFILE", "soft": number, "hard": number} for number in (512, 1024)]
    box.process(rlimits=entries).create().failed()


@case(58)
def capabilities_are_exact(box: Box) -> None:
    """Each of the five sets is as given."""
    wanted = {
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETPCAP", "CAP_NET_RAW"],
        "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
        "effective": ["CAP_CHOWN", "CAP_KILL"],
        "inheritable": ["CAP_KILL", "CAP_NET_RAW"],
        "ambient": ["CAP_KILL"],
    }
    report = box.process(capabilities=wanted, user={"uid": 1000, "gid": 1000}).report()
    # execve(2) as an ordinary user: what is ambient becomes permitted and effective, all else is lost.
    expected = {**wanted, "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"]}
    for name, key in SETS.items():
        mask = sum(1 << NUMBERS[each] for each in expected[name])
        equal(status(report, key), f"{mask:016x}", f"the {name} set")


@case(58)
def root_has_its_capabilities(box: Box) -> None:
    """As root the program has the bounding set permitted and effective, and no more."""
    wanted = ["CAP_CHOWN", "CAP_AUDIT_WRITE"]
    box.process(capabilities=dict.fromkeys(("bounding", "permitted", "effective"), wanted))
    mask = f"{sum(1 << NUMBERS[each] for each in wanted):016x}"
    report = box.report()
    for name in ("bounding", "permitted", "effective"):
        equal(status(report, SETS[name]), mask, f"the {name} set")


@case(57, level="SHOULD")
def unknown_capability_is_a_warning(box: Box) -> None:
    """A capability that does not exist does not keep the container from running."""
    capabilities = box.config["process"]["capabilities"]
    for kind in ("bounding", "permitted", "effective"):
        capabilities[kind].append("CAP_NOTHING")
    check(box.report(), "the program said nothing")


@case(57)
def unknown_capability_is_logged(box: Box) -> None:
    """A capability that does not exist is a warning that names it, in the log or on stderr."""
    log = box.bundle / "log"
    box.config["process"]["capabilities"]["bounding"].append("CAP_NOTHING")
    box.process(args=["/bin/probe", "exit", "0"]).save()
    result = box.call("--log", str(log), "run", "--bundle", str(box.bundle), box.id).succeeded()
    said = result.stderr + (log.read_text() if log.exists() else "")
    check("CAP_NOTHING" in said, f"it says {said!r}")


@case(58)
def without_capabilities_none(box: Box) -> None:
    """Empty sets leave the program without any capability."""
    report = box.process(capabilities={kind: [] for kind in SETS}).report()
    for key in SETS.values():
        equal(status(report, key), "0" * 16, key)


@case(59)
def no_new_privileges(box: Box) -> None:
    """NoNewPrivileges is set when asked for, and not otherwise."""
    equal(box.process(noNewPrivileges=True).report()["no_new_privileges"], 1, "with noNewPrivileges true")
    equal(box.process(noNewPrivileges=False).report()["no_new_privileges"], 0, "with noNewPrivileges false")


@case(60)
def oom_score_is_set(box: Box) -> None:
    """OomScoreAdj is the program's."""
    equal(box.process(oomScoreAdj=321).report()["oom_score_adj"].strip(), "321", "oom_score_adj")


@case(60)
def oom_score_of_the_caller_stays(box: Box) -> None:
    """Without oomScoreAdj the caller's value stays."""
    with open("/proc/self/oom_score_adj", "r+") as file:
        before = file.read()
        file.write("123")
        file.flush()
        report = box.report()
        file.write(before)
    equal(report["oom_score_adj"].strip(), "123", "oom_score_adj")


@case(61, justified="config.md: scheduler properties for the process; runc 1.1 and crun 1.8 ignore them")
def scheduler(box: Box) -> None:
    """Policy and nice of process.scheduler are the program's."""
    for policy, number, nice in (("SCHED_OTHER", 0, 5), ("SCHED_BATCH", 3, 7), ("SCHED_IDLE", 5, 0)):
        seen = box.process(scheduler={"policy": policy, "nice": nice}).report()["scheduling"]
        equal((seen["policy"], seen["nice"]), (number, nice), f"policy and nice with {policy}")


@case(61, justified="config.md: policy and flags are from two lists; runc 1.1 and crun 1.8 ignore them")
def unknown_scheduler_is_an_error(box: Box) -> None:
    """A policy or a flag that does not exist is an error."""
    box.process(scheduler={"policy": "SCHED_NOTHING"}).create().failed()
    box.process(scheduler={"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_NOTHING"]}).create().failed()


@case(62, justified="config.md: I/O priority settings of the process; runc 1.1 and crun 1.8 ignore them")
def io_priority(box: Box) -> None:
    """Class and priority of process.ioPriority are the program's."""
    for number, kind in enumerate(("IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"), 1):
        priority = 0 if number == 3 else 5
        box.process(ioPriority={"class": kind, "priority": priority})
        equal(box.report()["scheduling"]["io_priority"], number << 13 | priority, kind)


@case(62, justified="config.md: class is one of three, priority 0 to 7; runc 1.1 and crun 1.8 ignore them")
def wrong_io_priority_is_an_error(box: Box) -> None:
    """A class that does not exist, and a priority outside of 0 to 7, are errors."""
    for wrong in ({"class": "IOPRIO_CLASS_NOTHING", "priority": 0}, {"class": "IOPRIO_CLASS_BE", "priority": 8}):
        box.process(ioPriority=wrong).create().failed()


@case(48)
def console_size_without_terminal(box: Box) -> None:
    """ConsoleSize is ignored without a terminal."""
    box.process(terminal=False, consoleSize={"height": 10, "width": 20})
    equal(box.report()["terminal"]["isatty"], [0, 0, 0], "terminals on 0, 1 and 2")


@case(49, 50)
def console_size(box: Box) -> None:
    """ConsoleSize is the size of the program's terminal."""
    for height, width in ((11, 33), (200, 1)):
        report = report_on_terminal(box.process(consoleSize={"height": height, "width": width}))
        equal((report["rows"], report["columns"]), (height, width), "height and width")
        box.delete("--force").succeeded()


@case(63, level="SHOULD", needs="two-processors", justified="config.md, execCPUAffinity, since 1.2.1: newer than both")
def exec_cpu_affinity(box: Box) -> None:
    """ExecCPUAffinity.final is the affinity of what exec starts, and not of the container's own program."""
    all_of_them = sorted(os.sched_getaffinity(0))
    only = all_of_them[-1]
    pid = box.process(execCPUAffinity={"final": str(only)}).running().state()["pid"]
    equal(sorted(os.sched_getaffinity(pid)), all_of_them, "the processors of the container's program")
    (report,) = box.answers(box.call("exec", box.id, "/bin/probe", "report").succeeded().stdout)
    equal(report["scheduling"]["affinity"], [only], "the processors of what exec started")


@case(63, level="SHOULD", needs="two-processors", justified="config.md, execCPUAffinity: lists of processors")
def wrong_exec_cpu_affinity_is_an_error(box: Box) -> None:
    """An execCPUAffinity that is no list of processors is an error, at create or at exec."""
    for wrong in ({"final": "all"}, {"initial": "0-"}):
        if box.process(execCPUAffinity=wrong, args=["/bin/probe", "wait"]).create().status == 0:
            box.start().succeeded()
            box.call("exec", box.id, "/bin/probe", "exit", "0").failed()
            box.delete("--force").succeeded()


@case(29)
def only_stdio_is_open(box: Box) -> None:
    """The program has 0, 1 and 2 open and nothing else, whatever the caller leaked."""
    box.process(args=["/bin/probe", "report"]).save()
    with open("/dev/null", "rb") as leak:
        report = box.answers(box.run(pass_fds=(leak.fileno(),)).succeeded().stdout)[0]
    equal(sorted(map(int, report["descriptors"])), [0, 1, 2], "open descriptors")


@case(30, level="MAY")
def asked_for_descriptors_are_passed_on(box: Box) -> None:
    """With --preserve-fds the program has so many more descriptors, from 3 on."""
    box.process(args=["/bin/probe", "report"]).save()
    with open("/dev/null", "rb") as extra:
        os.dup2(extra.fileno(), 3)
        os.dup2(extra.fileno(), 4)
        report = box.answers(box.run("--preserve-fds", "2", pass_fds=(3, 4)).succeeded().stdout)[0]
    equal(sorted(map(int, report["descriptors"])), [0, 1, 2, 3, 4], "open descriptors")


@case(level="BEYOND")
def signals_are_at_their_default(box: Box) -> None:
    """No signal is ignored or blocked when the program starts."""
    equal(box.report()["signals"], {"not_default": [], "blocked": []}, "signals")


@case(level="BEYOND")
def program_has_a_session_of_its_own(box: Box) -> None:
    """The program leads its session: it cannot reach the caller's terminal."""
    report = box.report()
    equal(report["session"], report["pid"], "the session")
