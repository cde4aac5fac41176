"""pyrunc checkpoint: save a running container to disk."""

from __future__ import annotations

from pyrunc.cli import Context, absolute
from pyrunc.container.exec import hide_descriptors
from pyrunc.errors import UsageError
from pyrunc.host.checkpoint import Checkpoint, checkpoint
from pyrunc.host.criu import CGROUP_MODES, NETWORK_LOCKS
from pyrunc.host.images import Options
from pyrunc.state.store import open_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cli.arguments import Arguments

_DEFAULT_IMAGES = "checkpoint"  # below the working directory, as with runc


def main(context: Context, arguments: Arguments) -> int:
    """Save a container; unless it is left running it is deleted then."""
    wanted = Checkpoint(
        options_of(arguments),
        parent_path=arguments.text("parent-path"),
        leave_running=arguments.switch("leave-running"),
        tcp_skip_in_flight=arguments.switch("tcp-skip-in-flight"),
        status_fd=arguments.number("status-fd") if arguments.text("status-fd") not in ("", "-1") else -1,
        page_server=arguments.text("page-server"),
        pre_dump=arguments.switch("pre-dump"),
    )
    hide_descriptors(0)
    with open_entry(context.root, arguments.positional[0]) as entry:
        checkpoint(entry, wanted, context.log.warning)
    return 0


def options_of(arguments: Arguments) -> Options:
    """Read the flags that checkpoint and restore share. Raises UsageError."""
    if any(each != "network" for each in arguments.texts("empty-ns")):
        raise UsageError("--empty-ns knows only network")
    work = arguments.text("work-path")
    return Options(
        image_path=absolute(arguments.text("image-path") or _DEFAULT_IMAGES),
        work_path=absolute(work) if work else "",
        tcp_established=arguments.switch("tcp-established"),
        ext_unix_sk=arguments.switch("ext-unix-sk"),
        shell_job=arguments.switch("shell-job"),
        file_locks=arguments.switch("file-locks"),
        lazy_pages=arguments.switch("lazy-pages"),
        auto_dedup=arguments.switch("auto-dedup"),
        link_remap=arguments.switch("link-remap"),
        cgroups_mode=_one_of(arguments, "manage-cgroups-mode", CGROUP_MODES),
        network_lock=_one_of(arguments, "network-lock", NETWORK_LOCKS),
    )


def _one_of(arguments: Arguments, name: str, values: dict[str, int]) -> str:
    text = arguments.text(name)
    if text and text not in values:
        raise UsageError(f"--{name} is one of {', '.join(values)}, not {text!r}")
    return text
