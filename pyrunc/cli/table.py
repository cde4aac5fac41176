"""Commands and flags as a table: it parses the command line, and prints help, man pages and completions.

Here are the commands that an engine calls for every container; table_more.py has the others, which are worth a
module of their own only because each entry here is built at every start.
"""

from __future__ import annotations

from pyrunc.record import Record


class Flag(Record):
    """One option; it may be written with one dash or two.

    `kind` is "switch", "text", "number", "size" (of memory), "duration", or "list" for a text that may be given several
    times. `value` is what help calls its value, and what completion completes: DIR, FILE, or words to choose from.
    """

    name: str
    kind: str
    help: str
    short: str = ""
    default: str = ""
    value: str = ""


class Command(Record):
    """One command: its module in pyrunc/cli, what it takes, and how many arguments."""

    module: str
    summary: str
    arguments: str
    at_least: int
    at_most: int
    flags: tuple[Flag, ...] = ()
    flags_anywhere: bool = True
    """False where what follows the container id may look like a flag but is not ours."""
    enters_container: bool = False
    """True where a process of ours becomes one of the container's: it has to be sealed (CVE-2019-5736)."""


HELP = Flag("help", "switch", "print this text", short="h")
GLOBAL_FLAGS = (
    Flag("root", "text", "directory for the state of containers", value="DIR"),
    Flag("log", "text", "file to which errors, and with --debug every step, are appended", value="FILE"),
    Flag("log-format", "text", "how lines of the log look", default="text", value="text|json"),
    Flag("log-level", "text", "the most detailed to log", default="error", value="error|warning|info|debug"),
    Flag("debug", "switch", "print each step as it is done"),
    Flag("systemd-cgroup", "switch", "let systemd make the cgroups"),
    Flag("cgroup-manager", "text", "who makes the cgroups", default="cgroupfs", value="cgroupfs|systemd|disabled"),
    Flag("strict", "switch", "follow the spec where the default follows engines (docs/strict.md)"),
    Flag("rootless", "text", "accepted for callers of runc: pyrunc looks for itself", value="true|false|auto"),
    Flag("criu", "text", "accepted for callers of older versions of runc: criu is looked for in PATH", value="FILE"),
    Flag("version", "switch", "print the version", short="v"),
    HELP,
)
_CREATE_FLAGS = (
    Flag("bundle", "text", "directory with config.json", short="b", default=".", value="DIR"),
    Flag("console-socket", "text", "unix socket that gets the master of the container's pty", value="SOCKET"),
    Flag("pid-file", "text", "file to write the init's pid to", value="FILE"),
    Flag("pidfd-socket", "text", "unix socket that gets a pidfd of the init", value="SOCKET"),
    Flag("no-pivot", "switch", "move the root instead of pivot_root(2), for roots on initramfs"),
    Flag("no-new-keyring", "switch", "keep the caller's session keyring"),
    Flag("preserve-fds", "number", "pass on so many file descriptors from 3 on (after LISTEN_FDS)", default="0"),
)
_RUN_FLAGS = (
    Flag("detach", "switch", "return when the program runs", short="d"),
    Flag("keep", "switch", "do not delete the container when it ends"),
    Flag("no-subreaper", "switch", "do not reap what the container leaves behind"),
)
_EXEC_FLAGS = (
    Flag("process", "text", "file with the whole process, as .process of config.json", short="p", value="FILE"),
    Flag("detach", "switch", "return when the program runs", short="d"),
    Flag("pid-file", "text", "file to write the program's pid to", value="FILE"),
    Flag("console-socket", "text", "unix socket that gets the master of the program's pty", value="SOCKET"),
    Flag("pidfd-socket", "text", "unix socket that gets a pidfd of the program", value="SOCKET"),
    Flag("cwd", "text", "working directory", value="DIR"),
    Flag("env", "list", "environment variable", short="e", value="NAME=VALUE"),
    Flag("tty", "switch", "give it a terminal", short="t"),
    Flag("user", "text", "user and group, as numbers", short="u", value="UID[:GID]"),
    Flag("additional-gids", "list", "one more group", short="g", value="GID"),
    Flag("cap", "list", "one more capability", short="c", value="CAP"),
    Flag("no-new-privs", "switch", "let no program gain privileges"),
    Flag("apparmor", "text", "AppArmor profile", value="PROFILE"),
    Flag("process-label", "text", "SELinux label", value="LABEL"),
    Flag("preserve-fds", "number", "pass on so many file descriptors from 3 on (after LISTEN_FDS)", default="0"),
    Flag("cgroup", "list", "cgroup below the container's", value="[CONTROLLER[,...]:]PATH"),
    Flag("ignore-paused", "switch", "in a paused container, wait until it is resumed"),
)
_ANY_NUMBER = 1 << 30
COMMANDS = {
    "create": Command("create", "create a container from a bundle", "ID", 1, 1, _CREATE_FLAGS, enters_container=True),
    "start": Command("start", "run the program of a created container", "ID", 1, 1),
    "run": Command(
        "run", "create and start a container", "ID", 1, 1, (*_CREATE_FLAGS, *_RUN_FLAGS), enters_container=True
    ),
    "exec": Command(
        "exec",
        "run another program in a container",
        "ID [PROGRAM [ARGS...]]",
        1,
        _ANY_NUMBER,
        _EXEC_FLAGS,
        flags_anywhere=False,
        enters_container=True,
    ),
    "state": Command("state", "print the state of a container as JSON", "ID", 1, 1),
    "kill": Command(
        "kill",
        "send a signal to a container's init (TERM unless named)",
        "ID [SIGNAL]",
        1,
        2,
        (Flag("all", "switch", "signal all processes of the container", short="a"),),
        flags_anywhere=False,
    ),
    "delete": Command(
        "delete",
        "remove what create made",
        "ID",
        1,
        1,
        (Flag("force", "switch", "kill it first; no error if it does not exist", short="f"),),
    ),
}


def find(name: str) -> Command | None:
    """Return the command of that name, None where there is none."""
    if name == "shim":
        from pyrunc.cli.table_more import SHIM

        return SHIM
    return COMMANDS.get(name) or all_commands().get(name)


def all_commands() -> dict[str, Command]:
    """Return every command by its name, in the order of the help."""
    from pyrunc.cli.table_more import MORE_COMMANDS

    return {**COMMANDS, **MORE_COMMANDS}
