"""The `process` object of config.json (config.md, "Process")."""

from __future__ import annotations

from pyrunc.record import Record
from pyrunc.spec.read import INT32, UINT16, UINT32, UINT64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.spec.read import Reader

SCHEDULER_POLICIES = (
    "SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE",
)  # fmt: skip
SCHEDULER_FLAGS = (
    "SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_KEEP_POLICY",
    "SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX",
)  # fmt: skip
IO_PRIORITIES = (0, 7)
OOM_SCORES = (-1000, 1000)
IO_PRIORITY_CLASSES = ("IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE")
RLIMIT_TYPES = (
    "RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_LOCKS", "RLIMIT_MEMLOCK",
    "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS", "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK",
)  # fmt: skip


class ConsoleSize(Record):
    """The terminal's size in characters, as many as struct winsize can say (config.md#process)."""

    height: int
    width: int


class User(Record):
    """Ids as seen inside the container (config.md#posix-platform-user); `umask` None: leave the caller's."""

    uid: int = 0
    gid: int = 0
    umask: int | None = None
    additional_gids: tuple[int, ...] = ()


class Capabilities(Record):
    """The five sets by name; unknown names are in them, a reason to warn (config.md#linux-process)."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


class Rlimit(Record):
    """One resource limit; 2**64-1 means unlimited (config.md#posix-process, getrlimit(2))."""

    type: str
    soft: int
    hard: int


class Scheduler(Record):
    """Arguments of sched_setattr(2); the three times are in nanoseconds (config.md#linux-process)."""

    policy: str
    nice: int = 0
    priority: int = 0
    flags: tuple[str, ...] = ()
    runtime: int = 0
    deadline: int = 0
    period: int = 0


class IOPriority(Record):
    """Class and level (0 highest, 7 lowest) of ioprio_set(2)."""

    class_: str
    priority: int = 0


class ExecCPUAffinity(Record):
    """CPU lists such as "0-3,7" for `exec`: before and after it enters the container's cgroup."""

    initial: str | None = None
    final: str | None = None


class Process(Record):
    """The container's program and everything that is a property of its process (config.md#process)."""

    terminal: bool
    console_size: ConsoleSize | None
    user: User
    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    capabilities: Capabilities | None = None
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    oom_score_adj: int | None = None
    scheduler: Scheduler | None = None
    io_priority: IOPriority | None = None
    exec_cpu_affinity: ExecCPUAffinity | None = None
    apparmor_profile: str | None = None
    selinux_label: str | None = None


def _read_console_size(r: Reader) -> ConsoleSize:
    return ConsoleSize(r.required_integer("height", UINT16), r.required_integer("width", UINT16))


def _read_user(r: Reader) -> User:
    return User(
        r.integer("uid", UINT32) or 0,
        r.integer("gid", UINT32) or 0,
        r.integer("umask", UINT32),
        r.integers("additionalGids", UINT32),
    )


def _read_capabilities(r: Reader) -> Capabilities:
    return Capabilities(
        r.strings("bounding"),
        r.strings("effective"),
        r.strings("inheritable"),
        r.strings("permitted"),
        r.strings("ambient"),
    )


def _read_rlimit(r: Reader) -> Rlimit:
    return Rlimit(
        r.required_one_of("type", RLIMIT_TYPES),
        r.required_integer("soft", UINT64),
        r.required_integer("hard", UINT64),
    )


def _read_scheduler(r: Reader) -> Scheduler:
    return Scheduler(
        r.required_one_of("policy", SCHEDULER_POLICIES),
        r.integer("nice", INT32) or 0,
        r.integer("priority", INT32) or 0,
        r.each_one_of("flags", SCHEDULER_FLAGS),
        r.integer("runtime", UINT64) or 0,
        r.integer("deadline", UINT64) or 0,
        r.integer("period", UINT64) or 0,
    )


def _read_io_priority(r: Reader) -> IOPriority:
    return IOPriority(
        r.required_one_of("class", IO_PRIORITY_CLASSES),
        r.integer("priority", IO_PRIORITIES) or 0,
    )


def _read_exec_cpu_affinity(r: Reader) -> ExecCPUAffinity:
    return ExecCPUAffinity(r.string("initial"), r.string("final"))


def read_process(r: Reader) -> Process:
    """Read the `process` object (config.md#process)."""
    terminal = r.boolean("terminal") or False
    return Process(
        terminal,
        # Without a terminal it MUST be ignored, even where it is wrong.
        r.object("consoleSize", _read_console_size) if terminal else None,
        r.object("user", _read_user) or User(),
        r.strings("args"),
        r.strings("env"),
        r.required_string("cwd"),
        r.object("capabilities", _read_capabilities),
        r.objects("rlimits", _read_rlimit),
        r.boolean("noNewPrivileges") or False,
        r.integer("oomScoreAdj", OOM_SCORES),
        r.object("scheduler", _read_scheduler),
        r.object("ioPriority", _read_io_priority),
        r.object("execCPUAffinity", _read_exec_cpu_affinity),
        r.string("apparmorProfile"),
        r.string("selinuxLabel"),
    )
