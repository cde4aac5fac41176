"""A seccomp profile of the size and shape that engines hand over: an allow list for several architectures."""

from __future__ import annotations

from typing import Any

ALLOWED = """
    read write open close stat fstat lstat poll lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask
    rt_sigreturn ioctl pread64 pwrite64 readv writev access pipe select sched_yield mremap msync mincore
    madvise shmget shmat shmctl dup dup2 pause nanosleep getitimer alarm setitimer getpid sendfile connect
    accept sendto recvfrom sendmsg recvmsg shutdown bind listen getsockname getpeername socketpair
    setsockopt getsockopt fork vfork execve exit wait4 kill uname semget semop semctl shmdt msgget msgsnd
    msgrcv msgctl fcntl flock fsync fdatasync truncate ftruncate getdents getcwd chdir fchdir rename mkdir
    rmdir creat link unlink symlink readlink chmod fchmod chown fchown lchown umask gettimeofday getrlimit
    getrusage sysinfo times ptrace getuid getgid setuid setgid geteuid getegid setpgid getppid getpgrp
    setsid setreuid setregid getgroups setgroups setresuid getresuid setresgid getresgid getpgid setfsuid
    setfsgid getsid capget capset rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend sigaltstack
    utime mknod statfs fstatfs getpriority setpriority sched_setparam sched_getparam sched_setscheduler
    sched_getscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval mlock munlock
    mlockall munlockall modify_ldt prctl arch_prctl adjtimex setrlimit chroot sync gettid readahead setxattr
    lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr
    lremovexattr fremovexattr tkill time futex sched_setaffinity sched_getaffinity set_thread_area io_setup
    io_destroy io_getevents io_submit io_cancel get_thread_area epoll_create epoll_ctl_old epoll_wait_old
    remap_file_pages getdents64 set_tid_address restart_syscall semtimedop fadvise64 timer_create
    timer_settime timer_gettime timer_getoverrun timer_delete clock_gettime clock_getres clock_nanosleep
    exit_group epoll_wait epoll_ctl tgkill utimes mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify
    mq_getsetattr waitid ioprio_set ioprio_get inotify_init inotify_add_watch inotify_rm_watch openat
    mkdirat mknodat fchownat futimesat newfstatat unlinkat renameat linkat symlinkat readlinkat fchmodat
    faccessat pselect6 ppoll set_robust_list get_robust_list splice tee sync_file_range vmsplice utimensat
    epoll_pwait signalfd timerfd_create eventfd fallocate timerfd_settime timerfd_gettime accept4 signalfd4
    eventfd2 epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev rt_tgsigqueueinfo recvmmsg prlimit64
    name_to_handle_at syncfs sendmmsg getcpu process_vm_readv process_vm_writev sched_setattr sched_getattr
    renameat2 seccomp getrandom memfd_create execveat membarrier mlock2 copy_file_range preadv2 pwritev2
    pkey_mprotect pkey_alloc pkey_free statx io_pgetevents rseq pidfd_send_signal pidfd_open close_range
    openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2 landlock_create_ruleset landlock_add_rule
    landlock_restrict_self memfd_secret process_mrelease futex_waitv
""".split()
# Of other architectures, or of kernels to come: unknown names are skipped, not refused.
FOREIGN = """
    _llseek _newselect chown32 fadvise64_64 fchown32 fcntl64 fstat64 fstatat64 fstatfs64 ftruncate64
    getegid32 geteuid32 getgid32 getgroups32 getresgid32 getresuid32 getuid32 ipc lchown32 lstat64 mmap2
    recv send sendfile64 setfsgid32 setfsuid32 setgid32 setgroups32 setregid32 setresgid32 setresuid32
    setreuid32 setuid32 sigprocmask sigreturn socketcall stat64 statfs64 truncate64 ugetrlimit waitpid
    arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls s390_pci_mmio_read
    s390_pci_mmio_write s390_runtime_instr riscv_flush_icache clock_gettime64 clock_nanosleep_time64
    futex_time64 ppoll_time64 pselect6_time64 recvmmsg_time64 utimensat_time64 cachestat fchmodat2
    futex_wake map_shadow_stack listmount statmount mseal setxattrat getxattrat
    a_system_call_of_the_year_2040
""".split()
CLONE_NEW_ANYTHING = 0x7E020000
ENOSYS = 38
AF_VSOCK = 40


def engine_profile() -> dict[str, Any]:
    """Everything is EPERM but some 300 names, a few of them only with certain arguments."""
    allow = "SCMP_ACT_ALLOW"

    def personality(value: int) -> dict[str, Any]:
        return {
            "names": ["personality"],
            "action": allow,
            "args": [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}],
        }

    plain_clone = {"index": 0, "value": CLONE_NEW_ANYTHING, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    no_vsock = {"index": 0, "value": AF_VSOCK, "op": "SCMP_CMP_NE"}
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": [
            "SCMP_ARCH_X86_64",
            "SCMP_ARCH_X86",
            "SCMP_ARCH_X32",
            "SCMP_ARCH_AARCH64",
            "SCMP_ARCH_ARM",
        ],
        "syscalls": [
            {"names": [*ALLOWED, *FOREIGN], "action": allow},
            *(personality(value) for value in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)),
            {"names": ["socket"], "action": allow, "args": [no_vsock]},
            {"names": ["clone"], "action": allow, "args": [plain_clone]},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS},
        ],
    }
