"""pyrunc create: everything but running the program."""

from __future__ import annotations

import posix

from pyrunc.cli import Context, absolute, working_directory
from pyrunc.cli.descriptors import environ, listen_fds, pass_on
from pyrunc.errors import StateError, UsageError, reason
from pyrunc.host.create import Order, create
from pyrunc.plan.make import Request
from pyrunc.state.store import NOTIFY_DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cli.arguments import Arguments


def main(context: Context, arguments: Arguments) -> int:
    """Create a container and leave it waiting for start."""
    created = create(order_of(context, arguments, foreground=False), context.log.debug, context.log.warning)
    created.entry.close()
    return 0


def order_of(context: Context, arguments: Arguments, foreground: bool) -> Order:
    """Turn flags into an order, with every path absolute before the directory is changed to the bundle's."""
    manager = context.options.text("cgroup-manager")
    if manager not in ("cgroupfs", "systemd", "disabled"):
        raise UsageError(f"--cgroup-manager is cgroupfs, systemd or disabled, not {manager!r}")
    pid_file, console, pidfd = (
        absolute(path) if path else ""
        for path in (arguments.text(name) for name in ("pid-file", "console-socket", "pidfd-socket"))
    )
    bundle = absolute(arguments.text("bundle")).removesuffix("/.")
    _enter(bundle)
    passed = listen_fds()
    preserved = arguments.number("preserve-fds")
    pass_on(passed + preserved)
    request = Request(
        id=arguments.positional[0],
        bundle=working_directory(),
        pivot=not arguments.switch("no-pivot"),
        session_keyring=not arguments.switch("no-new-keyring"),
        preserve_fds=preserved,
        listen_fds=passed,
        listen_fdnames=environ(b"LISTEN_FDNAMES"),
        cgroups=manager != "disabled",
        systemd=manager == "systemd" or context.options.switch("systemd-cgroup"),
        notify=f"{context.root}/{arguments.positional[0]}/{NOTIFY_DIRECTORY}" if environ(b"NOTIFY_SOCKET") else "",
    )
    return Order(context.root, request, pid_file, console, pidfd, foreground, context.log.fd)


def _enter(bundle: str) -> None:
    """Hooks of the runtime's namespaces run in the bundle (CVE-2025-23266 had them in the image)."""
    try:
        posix.chdir(bundle)
    except OSError as err:
        raise StateError(f"cannot enter the bundle {bundle}: {reason(err)}", "--bundle names another") from err
