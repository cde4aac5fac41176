"""The command line: the only room that prints or picks exit codes. Only the command that was asked for is loaded."""

from __future__ import annotations

import posix
import sys

from pyrunc import __version__
from pyrunc.cli.arguments import parse, parse_command
from pyrunc.cli.log import Log, open_log
from pyrunc.cli.table import GLOBAL_FLAGS, all_commands, find
from pyrunc.errors import ConfigError, PyruncError, UsageError
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cli.arguments import Arguments
    from pyrunc.cli.table import Command

SPEC_VERSION = "1.3.0"
_INTERRUPTED = 130  # 128 + SIGINT


class Context(Record):
    """What every command gets from the global flags: the state root, where to report, and the flags themselves."""

    root: str
    log: Log
    options: Arguments


def main(words: list[str]) -> int:
    """Run one command line, without the program's name, and return the exit code."""
    log = Log()
    try:
        options, rest = parse(words, GLOBAL_FLAGS, stop_at_word=True)
        log = open_log(
            options.text("log"), options.text("log-format"), options.text("log-level"), options.switch("debug")
        )
        _check_rootless(options)
        if options.switch("version"):
            return _print(f"pyrunc version {__version__}\ncommit: {__version__}\nspec: {SPEC_VERSION}\n")
        if options.switch("help") or not rest or rest[0] in ("help", "-h", "--help"):
            return _print(_help())
        return _dispatch(rest, options, log, words)
    except UsageError as err:
        log.error(f"{err} (see pyrunc --help)")
        return err.exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED


def _check_rootless(options: Arguments) -> None:
    if options.text("rootless") not in ("", "auto", "true", "false"):
        raise UsageError(f"--rootless is true, false or auto, not {options.text('rootless')!r}")


def _dispatch(words: list[str], options: Arguments, log: Log, whole: list[str]) -> int:
    name = words[0]
    command = find(name)
    if command is None:
        raise UsageError(f"unknown command {name!r}")
    if any(word in ("-h", "--help") for word in words[1:]):
        return _print(_command_help(name, command))
    arguments = parse_command(words[1:], command)
    subject = f" {arguments.positional[0]}" if arguments.positional else ""
    log = log.but(prefix=" ".join(f"pyrunc: {name}{subject}".splitlines()))
    try:
        if command.enters_container:
            sealing = __import__("pyrunc.sealing", fromlist=["ensure"])
            sealing.ensure(whole)
        module = __import__(f"pyrunc.cli.{command.module}", fromlist=["main"])
        status: int = module.main(Context(_root(options), log, options), arguments)
        return status
    except ConfigError as err:
        log.error(str(_in_full(name, err, options)))
        return err.exit_code
    except PyruncError as err:
        log.error(str(err))
        return err.exit_code
    except (OSError, MemoryError, RecursionError) as err:
        # Nothing below should let one through; a user gets a line all the same, and --debug the place.
        log.error(f"internal error: {type(err).__name__}: {err}")
        if options.switch("debug"):
            raise
        return 1


def _in_full(name: str, refused: ConfigError, options: Arguments) -> ConfigError:
    """create stops at the first stage that finds something; a user gets all that `check --host` says."""
    if name not in ("create", "run"):
        return refused
    from pyrunc.host.check import in_full, working_request

    cgroups = options.text("cgroup-manager") != "disabled"
    return in_full(refused, working_request().but(cgroups=cgroups))


def _root(options: Arguments) -> str:
    """Return the state root: --root, or where runc's users look for it. Made absolute: commands change directory."""
    root = options.text("root")
    if not root:
        runtime = posix.environ.get(b"XDG_RUNTIME_DIR", b"").decode("utf-8", "surrogateescape")
        root = f"{runtime}/pyrunc" if posix.geteuid() and runtime else "/run/pyrunc"
    return absolute(root)


def absolute(path: str) -> str:
    """Return a path that still holds after a change of directory."""
    return path.rstrip("/") or "/" if path.startswith("/") else f"{posix.getcwd()}/{path}".rstrip("/")


def _print(text: str) -> int:
    sys.stdout.write(text)
    sys.stdout.flush()
    return 0


def _help() -> str:
    lines = ["pyrunc: an OCI runtime (runtime-spec 1.3)", "", "usage: pyrunc [global flags] COMMAND [flags] ...", ""]
    lines += [f"  {name:10} {command.summary}" for name, command in all_commands().items()]
    lines += ["", "global flags:"]
    lines += [f"  --{flag.name:18} {flag.help}" for flag in GLOBAL_FLAGS]
    return "\n".join(lines) + "\n"


def _command_help(name: str, command: Command) -> str:
    lines = [f"usage: pyrunc {name} [flags] {command.arguments}".rstrip(), "", command.summary, ""]
    for flag in command.flags:
        short = f"-{flag.short}, " if flag.short else ""
        default = f" (default {flag.default})" if flag.default else ""
        lines.append(f"  {short}--{flag.name:18} {flag.help}{default}")
    return "\n".join(lines) + "\n"
