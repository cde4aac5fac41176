"""pyrunc create: everything but running the program."""

from __future__ import annotations

import posix

from pyrunc.cli import Context, absolute
from pyrunc.container.exec import hide_descriptors
from pyrunc.errors import StateError, UsageError, reason
from pyrunc.host.create import Order, create
from pyrunc.plan.make import Request
from pyrunc.state.store import NOTIFY_DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cli.arguments import Arguments


def main(context: Context, arguments: Arguments) -> int:
    """Create a container and leave it waiting for start."""
    created = create(order_of(context, arguments, foreground=False), context.log.debug)
    created.entry.close()
    return 0


def order_of(context: Context, arguments: Arguments, foreground: bool) -> Order:
    """Turn flags into an order, with every path absolute before the directory is changed to the bundle's."""
    manager = context.options.text("cgroup-manager")
    if context.options.switch("systemd-cgroup") or manager == "systemd":
        raise UsageError("the systemd cgroup driver is not available yet", "leave --systemd-cgroup away")
    if manager not in ("cgroupfs", "disabled"):
        raise UsageError(f"--cgroup-manager is cgroupfs, systemd or disabled, not {manager!r}")
    pid_file, console, pidfd = (
        absolute(path) if path else ""
        for path in (arguments.text(name) for name in ("pid-file", "console-socket", "pidfd-socket"))
    )
    bundle = absolute(arguments.text("bundle")).removesuffix("/.")
    _enter(bundle)
    listen_fds = _listen_fds()
    preserved = arguments.number("preserve-fds")
    _check_descriptors(listen_fds + preserved)
    # What the caller leaked to us goes to nobody else: hooks and helpers would inherit it.
    hide_descriptors(listen_fds + preserved)
    request = Request(
        id=arguments.positional[0],
        bundle=posix.getcwd(),
        pivot=not arguments.switch("no-pivot"),
        session_keyring=not arguments.switch("no-new-keyring"),
        preserve_fds=preserved,
        listen_fds=listen_fds,
        listen_fdnames=_environ(b"LISTEN_FDNAMES"),
        cgroups=manager != "disabled",
        notify=f"{context.root}/{arguments.positional[0]}/{NOTIFY_DIRECTORY}" if _environ(b"NOTIFY_SOCKET") else "",
    )
    return Order(context.root, request, pid_file, console, pidfd, foreground, context.log.fd)


def _enter(bundle: str) -> None:
    """Hooks of the runtime's namespaces run in the bundle (CVE-2025-23266 had them in the image)."""
    try:
        posix.chdir(bundle)
    except OSError as err:
        raise StateError(f"cannot enter the bundle {bundle}: {reason(err)}", "--bundle names another") from err


def _environ(name: bytes) -> str:
    return posix.environ.get(name, b"").decode("utf-8", "surrogateescape")


def _listen_fds() -> int:
    """sd_listen_fds(3): how many sockets systemd, or an engine for it, passes on through us."""
    text = _environ(b"LISTEN_FDS")
    return int(text) if text.isascii() and text.isdigit() else 0


def _check_descriptors(count: int) -> None:
    """Refuse to pass on what is not open: the number would be taken by the next file we open ourselves."""
    for fd in range(3, 3 + count):
        try:
            posix.fstat(fd)
        except OSError as err:
            raise UsageError(f"file descriptor {fd} is to be passed on but is not open") from err
