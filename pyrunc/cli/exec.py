"""pyrunc exec: run another program in a container."""

from __future__ import annotations

from pyrunc.cli import Context, absolute
from pyrunc.cli.descriptors import environ, listen_fds, pass_on
from pyrunc.errors import ExecError, PyruncError, UsageError
from pyrunc.host.exec import Order, check_streams, find, run, start
from pyrunc.plan.exec import ExecRequest
from pyrunc.spec.load import parse_process, read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cli.arguments import Arguments

_LAST_ID = 2**32 - 2  # the one above stands for "leave it" in setresuid(2)


def main(context: Context, arguments: Arguments) -> int:
    """Run a program; in the foreground its exit code is ours, 128 + n for signal n, and 255 if it cannot be run."""
    order = order_of(context, arguments)
    try:
        target = find(order, context.log.warning)
        check_streams(order, target, arguments.switch("detach"))
        if not arguments.switch("detach"):
            return run(order, target, context.log.debug)
        start(order, target, context.log.debug)
    except PyruncError as err:
        err.exit_code = ExecError.exit_code
        raise
    return 0


def order_of(context: Context, arguments: Arguments) -> Order:
    """Turn flags into an order. Raises UsageError, or ConfigError for what --process names."""
    container_id, *args = arguments.positional
    file = arguments.text("process")
    if not args and not file:
        raise UsageError("exec takes ID PROGRAM [ARGS...], or ID with --process")
    passed = listen_fds()
    preserved = arguments.number("preserve-fds")
    pass_on(passed + preserved)
    request = ExecRequest(preserve_fds=preserved, listen_fds=passed, listen_fdnames=environ(b"LISTEN_FDNAMES"))
    if file:
        request = request.but(process=parse_process(read_text(file), file))
    else:
        request = _with_flags(request.but(args=tuple(args)), arguments)
    pid_file, console, pidfd = (
        absolute(path) if path else ""
        for path in (arguments.text(name) for name in ("pid-file", "console-socket", "pidfd-socket"))
    )
    return Order(
        root=context.root,
        id=container_id,
        request=request,
        cgroups=cgroups_of(arguments.texts("cgroup")),
        ignore_paused=arguments.switch("ignore-paused"),
        pid_file=pid_file,
        console_socket=console,
        pidfd_socket=pidfd,
        log=context.log.fd,
    )


def _with_flags(request: ExecRequest, arguments: Arguments) -> ExecRequest:
    uid, gid = user_of(arguments.text("user"))
    return request.but(
        cwd=arguments.text("cwd"),
        env=arguments.texts("env"),
        terminal=arguments.switch("tty"),
        uid=uid,
        gid=gid,
        additional_gids=tuple(_number(text, "--additional-gids") for text in arguments.texts("additional-gids")),
        capabilities=tuple(map(_capability, arguments.texts("cap"))),
        no_new_privileges=arguments.switch("no-new-privs") if "no-new-privs" in arguments.flags else None,
        apparmor_profile=arguments.text("apparmor"),
        selinux_label=arguments.text("process-label"),
    )


def user_of(text: str) -> tuple[int | None, int | None]:
    """Read UID[:GID]; None is what was not given. Raises UsageError.

    CVE-2016-3697, CVE-2026-30892: numbers only, and all of them, or the program would run as somebody else.
    """
    if not text:
        return None, None
    uid, colon, gid = text.partition(":")
    return _number(uid, "--user"), _number(gid, "--user") if colon else None


def _number(text: str, flag: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > _LAST_ID:
        raise UsageError(f"{flag}: {text!r} is not the number of a user or group", "names are not looked up")
    return int(text)


def _capability(text: str) -> str:
    name = text.upper()
    return name if name.startswith("CAP_") else f"CAP_{name}"


def cgroups_of(words: tuple[str, ...]) -> dict[str, str]:
    """Read PATH, or CONTROLLER[,CONTROLLER]:PATH several times; the key "" stands for all. Raises UsageError."""
    below: dict[str, str] = {}
    for word in words:
        controllers, colon, path = word.rpartition(":")
        for controller in controllers.split(",") if colon else [""]:
            if (colon and not controller) or controller in below:
                raise UsageError(f"--cgroup: {word!r} names no controller, or one that was named before")
            below[controller] = path
    return below
