"""config-linux.md, "Seccomp": filters, and what is wrong with some."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from conformance.case import case, equal

if TYPE_CHECKING:
    from conformance.box import Box

# Harmless system calls with the number that this machine has for them.
NUMBERS = {
    "x86_64": {"getpriority": 140, "setpriority": 141, "getitimer": 36, "personality": 135},
    "aarch64": {"getpriority": 141, "setpriority": 140, "getitimer": 102, "personality": 92},
}.get(platform.machine(), {})
# What runtimes and small programs need, so that a profile can refuse all else.
NEEDED = """
    accept accept4 access arch_prctl bind brk capget capset chdir chmod chown chroot clock_gettime clock_nanosleep
    clone clone3 close close_range connect dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
    epoll_pwait epoll_wait eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fallocate
    fchdir fchmod fchmodat fchown fchownat fcntl fdatasync fgetxattr flock fork fstat fstatfs fsync ftruncate futex
    get_robust_list getcwd getdents64 getegid geteuid getgid getgroups getpgrp getpid getppid getpriority getrandom
    getresgid getresuid getrlimit getrusage getsid getsockopt gettid gettimeofday getuid getxattr inotify_init1
    io_setup ioctl ioprio_get ioprio_set keyctl kill lchown lgetxattr link linkat listen lseek lstat madvise
    membarrier memfd_create mincore mkdir mkdirat mknodat mmap mount mprotect mremap msync munmap name_to_handle_at
    nanosleep newfstatat open openat openat2 pause personality pidfd_open pidfd_send_signal pipe2 pivot_root poll
    ppoll prctl pread64 preadv prlimit64 process_vm_readv pselect6 pwrite64 read readahead readlink readlinkat readv
    recvfrom recvmsg rename renameat2 restart_syscall rseq rt_sigaction rt_sigprocmask rt_sigreturn rt_sigsuspend
    sched_get_priority_max sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_setaffinity
    sched_setattr sched_setscheduler sched_yield seccomp select sendfile sendmsg sendto set_robust_list
    set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setns setpgid setpriority setresgid setresuid
    setrlimit setsid setsockopt setuid shutdown sigaltstack signalfd4 socket socketpair splice stat statfs statx
    symlink symlinkat sysinfo tee tgkill time timer_create timer_settime timerfd_create timerfd_settime tkill
    truncate umask umount2 uname unlink unlinkat unshare utimensat vfork wait4 waitid write writev
""".split()
ERRNO = {1: "EPERM", 13: "EACCES", 38: "ENOSYS", 95: "EOPNOTSUPP", 7: "E2BIG"}


def profile(box: Box, *rules: dict[str, Any], default: str = "SCMP_ACT_ALLOW", **values: Any) -> Box:
    """Set a profile."""
    return box.linux(seccomp={"defaultAction": default, "syscalls": list(rules), **values})


def rule(*names: str, action: str = "SCMP_ACT_ERRNO", **values: Any) -> dict[str, Any]:
    """One entry of linux.seccomp.syscalls."""
    return {"names": list(names), "action": action, **values}


def call(box: Box, name: str, *arguments: int) -> Any:
    """The error of a system call inside, None if it goes well."""
    return box.ask("syscall", str(NUMBERS[name]), *map(str, arguments))["error"]


@case(117, needs="seccomp")
def errno_action(box: Box) -> None:
    """A system call with SCMP_ACT_ERRNO fails with EPERM."""
    equal(call(profile(box, rule("getpriority")), "getpriority", 0, 0), "EPERM", "getpriority")


@case(118, needs="seccomp")
def errno_of_the_rule(box: Box) -> None:
    """ErrnoRet is the error that the program gets."""
    for number, name in ERRNO.items():
        equal(call(profile(box, rule("getpriority", errnoRet=number)), "getpriority", 0, 0), name, f"with {number}")


@case(118, needs="seccomp", justified="config-linux.md: defaultErrnoRet, since 1.1; crun 1.8 and runc 1.1 have it")
def default_errno(box: Box) -> None:
    """DefaultErrnoRet is the error of what no rule names."""
    profile(box, rule(*NEEDED, action="SCMP_ACT_ALLOW"), default="SCMP_ACT_ERRNO", defaultErrnoRet=95)
    equal(call(box, "getitimer", 0, 0), "EOPNOTSUPP", "a system call that no rule names")


@case(117, needs="seccomp")
def kill_action(box: Box) -> None:
    """A system call with SCMP_ACT_KILL ends the program with SIGSYS."""
    for action in ("SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD"):
        profile(box, rule("getpriority", action=action))
        box.process(args=["/bin/probe", "syscall", str(NUMBERS["getpriority"]), "0", "0"])
        equal(box.run().status, 128 + 31, f"exit code with {action}")


@case(117, 122, needs="seccomp")
def conditions_on_arguments(box: Box) -> None:
    """A rule with args holds for those arguments only; every operator is known."""
    for op, value, two, hits, misses in (
        ("SCMP_CMP_EQ", 5, 0, 5, 6),
        ("SCMP_CMP_NE", 5, 0, 6, 5),
        ("SCMP_CMP_LT", 5, 0, 4, 5),
        ("SCMP_CMP_LE", 5, 0, 5, 6),
        ("SCMP_CMP_GT", 5, 0, 6, 5),
        ("SCMP_CMP_GE", 5, 0, 5, 4),
        ("SCMP_CMP_MASKED_EQ", 0xF0, 0x50, 0x5A, 0x6A),
    ):
        condition = {"index": 1, "value": value, "valueTwo": two, "op": op}
        profile(box, rule("getpriority", args=[condition], errnoRet=95))
        equal(call(box, "getpriority", 0, hits) == "EOPNOTSUPP", True, f"{op} with {hits}")
        equal(call(box, "getpriority", 0, misses) == "EOPNOTSUPP", False, f"{op} with {misses}")


@case(117, needs="seccomp")
def unknown_words_are_errors(box: Box) -> None:
    """Actions, operators, architectures and flags that do not exist are errors."""
    condition = {"index": 0, "value": 1, "op": "SCMP_CMP_NOTHING"}
    for wrong in (
        {"defaultAction": "SCMP_ACT_NOTHING"},
        {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_NOTHING"]},
        {"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_NOTHING"]},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule("getpriority", action="SCMP_ACT_NOTHING")]},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule("getpriority", args=[condition])]},
    ):
        box.linux(seccomp=wrong).create().failed()
        equal(box.left_behind(), [], f"what is left after {wrong}")


@case(117, needs="seccomp")
def no_default_action_is_an_error(box: Box) -> None:
    """A profile without defaultAction is an error."""
    box.linux(seccomp={"syscalls": [rule("getpriority")]}).create().failed()


@case(122, needs="seccomp", justified="config-linux.md: names MUST contain at least one entry; runc 1.1 does not look")
def rule_without_names_is_an_error(box: Box) -> None:
    """A rule that names no system call is an error."""
    profile(box, rule()).create().failed()


@case(118, needs="seccomp", justified="config-linux.md: errnoRet with an action that does not support it MUST fail")
def errno_without_use_is_an_error(box: Box) -> None:
    """ErrnoRet with an action that returns no error is an error."""
    profile(box, rule("getpriority", action="SCMP_ACT_ALLOW", errnoRet=5), default="SCMP_ACT_ERRNO").create().failed()


@case(117, level="SHOULD", needs="seccomp")
def unknown_system_calls_are_skipped(box: Box) -> None:
    """A name that this machine has no system call for does not keep the container from running."""
    equal(call(profile(box, rule("no_such_system_call", "getpriority")), "getpriority", 0, 0), "EPERM", "getpriority")


@case(117, needs="seccomp")
def filter_holds_without_new_privileges(box: Box) -> None:
    """The filter is there with noNewPrivileges and without, for root and for others."""
    for nnp in (True, False):
        for uid in (0, 1000):
            box.process(noNewPrivileges=nnp, user={"uid": uid, "gid": uid})
            equal(call(profile(box, rule("getpriority")), "getpriority", 0, 0), "EPERM", f"for {uid}, {nnp}")


@case(117, needs="seccomp")
def listed_flags_are_accepted(box: Box) -> None:
    """Flags that the features document lists as supported are accepted."""
    flags = box.features().get("linux", {}).get("seccomp", {}).get("supportedFlags") or ["SECCOMP_FILTER_FLAG_LOG"]
    for flag in flags:
        equal(call(profile(box, rule("getpriority"), flags=[flag]), "getpriority", 0, 0), "EPERM", f"with {flag}")
