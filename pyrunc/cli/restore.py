"""pyrunc restore: bring a container back that checkpoint has saved."""

from __future__ import annotations

from pyrunc.cli import Context
from pyrunc.cli.checkpoint import options_of
from pyrunc.cli.create import order_of
from pyrunc.errors import UsageError
from pyrunc.host.restore import Restore, restore, run_restored

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cli.arguments import Arguments


def main(context: Context, arguments: Arguments) -> int:
    """Restore a container; in the foreground its exit code is ours, 128 + n for signal n."""
    detached = arguments.switch("detach")
    options = options_of(arguments)  # its paths are of the directory that we are in, and order_of leaves that
    lsm = arguments.text("lsm-profile")
    if lsm and ":" not in lsm:
        raise UsageError(f"--lsm-profile is TYPE:NAME, not {lsm!r}")
    # What create alone takes has its defaults.
    whole = arguments.but(defaults={**arguments.defaults, "pidfd-socket": "", "preserve-fds": "0"})
    wanted = Restore(
        order_of(context, whole, foreground=not detached),
        options,
        tcp_close=arguments.switch("tcp-close"),
        lsm_profile=lsm,
        lsm_mount_context=arguments.text("lsm-mount-context"),
    )
    if detached:
        restore(wanted, context.log.debug, context.log.warning).entry.close()
        return 0
    return run_restored(wanted, not arguments.switch("no-subreaper"), context.log.debug, context.log.warning)
