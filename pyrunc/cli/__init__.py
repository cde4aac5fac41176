"""The command line: the only room that prints or picks exit codes. Only the command that was asked for is loaded."""

from __future__ import annotations

import posix
import sys

from pyrunc.cli.arguments import parse, parse_command
from pyrunc.cli.log import Log, open_log
from pyrunc.cli.table import GLOBAL_FLAGS, find
from pyrunc.errors import ConfigError, PyruncError, StateError, UsageError, reason
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from pyrunc.cli.arguments import Arguments
else:
    import _signal  # signal would import enum

SPEC_VERSION = "1.3.0"
_INTERRUPTED = 130  # 128 + SIGINT
_SHORT = (12, 23, 24)  # ENOMEM, ENFILE, EMFILE: any call may meet them, and where says nothing


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
            from pyrunc.cli.version import version

            return _print(version())
        if not rest or options.switch("help"):
            return _help()
        if rest[0] == "help":
            return _help(*rest[1:2])
        return _dispatch(rest, options, log, words)
    except UsageError as err:
        log.error(f"{err} (see pyrunc help)", type(err).__name__)
        return err.exit_code
    except OSError as err:
        log.error(f"cannot write the output: {reason(err)}")
        return 1
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
    arguments = parse_command(words[1:], command)
    if arguments.switch("help"):
        return _help(name)
    subject = f" {arguments.positional[0]}" if arguments.positional else ""
    log = log.but(prefix=" ".join(f"pyrunc: {name}{subject}".splitlines()))
    # Who ignores it hands that on to us, and then the kernel keeps no child's exit code (wait(2), "Notes").
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    try:
        if command.enters_container:
            sealing = __import__("pyrunc.sealing", fromlist=["ensure"])
            sealing.ensure(whole)
        module = __import__(f"pyrunc.cli.{command.module}", fromlist=["main"])
        status: int = module.main(Context(_root(options), log, options), arguments)
        log.finish()
        return status
    except ConfigError as err:
        log.error(str(_in_full(name, err, options)), type(err).__name__)
        return err.exit_code
    except PyruncError as err:
        log.error(str(err), type(err).__name__)
        return err.exit_code
    except (OSError, MemoryError, RecursionError) as err:
        # Nothing below should let one through; a user gets a line all the same, and --debug the place.
        if isinstance(err, OSError) and err.errno in _SHORT:
            log.error(reason(err))
            return 1
        log.error(f"internal error: {type(err).__name__}: {err}")
        if options.switch("debug"):
            raise
        return 1


def _in_full(name: str, refused: ConfigError, options: Arguments) -> ConfigError:
    """create stops at the first stage that finds something; a user gets all that `check --host` says."""
    if name not in ("create", "run"):
        return refused
    from pyrunc.host.check import in_full, working_request

    manager = options.text("cgroup-manager")
    systemd = manager == "systemd" or options.switch("systemd-cgroup")
    return in_full(refused, working_request().but(cgroups=manager != "disabled", systemd=systemd))


def _root(options: Arguments) -> str:
    """Return the state root: --root, or the usual one. Made absolute: commands change directory."""
    root = options.text("root")
    if not root:
        from pyrunc.state.store import default_root

        root = default_root()
    return absolute(root)


def absolute(path: str) -> str:
    """Return a path that still holds after a change of directory."""
    return path.rstrip("/") or "/" if path.startswith("/") else f"{working_directory()}/{path}".rstrip("/")


def working_directory() -> str:
    """Return where the caller has started us. Raises StateError where that is gone."""
    try:
        return posix.getcwd()
    except OSError as err:
        raise StateError(f"cannot tell the working directory: {reason(err)}", "give absolute paths") from err


def _print(text: str) -> int:
    sys.stdout.write(text)
    sys.stdout.flush()
    return 0


def _help(name: str = "") -> int:
    from pyrunc.cli.help import command_help, overview

    return _print(command_help(name) if name else overview())
