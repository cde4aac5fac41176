"""Commands and flags as a table: it parses the command line, and prints help, man pages and completions.

Here are the commands that an engine calls for every container; table_more.py has the others, which are worth a
module of their own only because each entry here is built at every start.
"""

from __future__ import annotations

from pyrunc.record import Record


class Flag(Record):
    """One option: `kind` is "switch", "text" or "number"; a flag may be written with one dash or two."""

    name: str
    kind: str
    help: str
    short: str = ""
    default: str = ""


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


GLOBAL_FLAGS = (
    Flag("root", "text", "directory for the state of containers"),
    Flag("log", "text", "file to which errors, and with --debug every step, are appended"),
    Flag("log-format", "text", "text or json", default="text"),
    Flag("log-level", "text", "error, warning, info or debug", default="error"),
    Flag("debug", "switch", "print each step as it is done"),
    Flag("systemd-cgroup", "switch", "let systemd make the cgroups"),
    Flag("cgroup-manager", "text", "cgroupfs, systemd or disabled", default="cgroupfs"),
    Flag("strict", "switch", "follow the spec where the default follows engines (docs/strict.md)"),
    Flag("rootless", "text", "true, false or auto; accepted for callers of runc, pyrunc looks for itself"),
    Flag("version", "switch", "print the version", short="v"),
    Flag("help", "switch", "print this text", short="h"),
)
_CREATE_FLAGS = (
    Flag("bundle", "text", "directory with config.json", short="b", default="."),
    Flag("console-socket", "text", "unix socket that gets the master of the container's pty"),
    Flag("pid-file", "text", "file to write the init's pid to"),
    Flag("pidfd-socket", "text", "unix socket that gets a pidfd of the init"),
    Flag("no-pivot", "switch", "move the root instead of pivot_root(2), for roots on initramfs"),
    Flag("no-new-keyring", "switch", "keep the caller's session keyring"),
    Flag("preserve-fds", "number", "pass on so many file descriptors from 3 on (after LISTEN_FDS)", default="0"),
)
_RUN_FLAGS = (
    Flag("detach", "switch", "return when the program runs", short="d"),
    Flag("keep", "switch", "do not delete the container when it ends"),
    Flag("no-subreaper", "switch", "do not reap what the container leaves behind"),
)
COMMANDS = {
    "create": Command("create", "create a container from a bundle", "ID", 1, 1, _CREATE_FLAGS, enters_container=True),
    "start": Command("start", "run the program of a created container", "ID", 1, 1),
    "run": Command(
        "run", "create and start a container", "ID", 1, 1, (*_CREATE_FLAGS, *_RUN_FLAGS), enters_container=True
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
    return COMMANDS.get(name) or all_commands().get(name)


def all_commands() -> dict[str, Command]:
    """Return every command by its name, in the order of the help."""
    from pyrunc.cli.table_more import MORE_COMMANDS

    return {**COMMANDS, **MORE_COMMANDS}
