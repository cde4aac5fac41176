"""Save a running container to disk, with criu (criu.org, and man page criu(8))."""

from __future__ import annotations

import posix

from pyrunc.cgroups.control import Cgroup
from pyrunc.errors import StateError, StatusError, StepError
from pyrunc.host import external
from pyrunc.host.criu import DUMP, PRE_DUMP, Criu, Launch
from pyrunc.host.delete import destroy
from pyrunc.host.facts import look
from pyrunc.host.images import Images, Options, cgroup_options, criu_options
from pyrunc.plan.make import Request, make_plan
from pyrunc.record import Record
from pyrunc.spec.load import parse
from pyrunc.state.status import PAUSED, RUNNING, status_of
from pyrunc.state.store import CONFIG, NOTIFY_DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.host.criu import Option
    from pyrunc.plan.steps import Plan
    from pyrunc.state.store import Entry, State

_NO_TRACKING = "the kernel needs CONFIG_MEM_SOFT_DIRTY"
_NO_FAULTS = "the kernel needs userfaultfd(2)"


class Checkpoint(Record):
    """What checkpoint is asked for.

    `parent_path` is relative to the image path. With `pre_dump` only memory is saved, and the container goes on. With
    `lazy_pages` the memory is served at `page_server` ("address:port"), once `status_fd` (-1: nobody waits) has
    got its NUL byte.
    """

    options: Options
    parent_path: str = ""
    leave_running: bool = False
    tcp_skip_in_flight: bool = False
    status_fd: int = -1
    page_server: str = ""
    pre_dump: bool = False


def checkpoint(entry: Entry, wanted: Checkpoint, warn: Callable[[str], None]) -> None:
    """Save a running or paused container; unless it is left running, it is deleted then, as runc does.

    Raises StatusError, StepError with criu's reason and the container as it was, and others of errors.py.
    """
    entry.lock()
    state = entry.load()
    status = status_of(entry, state)
    if state is None or status not in (RUNNING, PAUSED):
        raise StatusError(f"cannot checkpoint container {entry.id} that is {status}", "it has to run")
    _check(wanted)
    plan = _plan(entry, state)
    external.check(plan)
    with Images(wanted.options, "dump.log", make=True) as images:
        _check_parent(wanted, images)
        keep = (images.directory, images.work, *((wanted.status_fd,) if wanted.status_fd >= 0 else ()))
        criu = Criu(Launch(images.log, terminal=wanted.options.shell_job, keep=keep, program=wanted.options.criu))
        try:
            _check_criu(criu, wanted)
            if wanted.pre_dump:
                criu.request(PRE_DUMP, _pre_dump_options(wanted, state, plan, images), _heed)
                return
            names, outside = external.streams(state.pid)
            images.write_descriptors(names)
            criu.request(DUMP, _dump_options(wanted, state, plan, images, outside), _heed)
        finally:
            criu.end()
    if not wanted.leave_running:
        _finish(entry, state, warn)


def _plan(entry: Entry, state: State) -> Plan:
    notify = f"{entry.root}/{entry.id}/{NOTIFY_DIRECTORY}"
    if not posix.access(notify, posix.F_OK):
        notify = ""
    request = Request(
        state.id, state.bundle, cgroups=bool(state.cgroup_leaves), systemd=bool(state.unit), notify=notify
    )
    spec = parse(entry.kept_config(), f"{entry.root}/{entry.id}/{CONFIG}")
    return make_plan(spec, request, look())


def _check(wanted: Checkpoint) -> None:
    """Refuse combinations that criu would find out about late, or never."""
    if wanted.options.lazy_pages and not wanted.page_server:
        raise StepError("--lazy-pages needs --page-server", "an address to serve the memory at")
    if wanted.pre_dump and (wanted.options.lazy_pages or wanted.page_server):
        raise StepError("--pre-dump writes to the image path: it does not go with --lazy-pages or --page-server")
    if wanted.parent_path.startswith("/"):
        raise StepError("--parent-path has to be relative to --image-path")
    if wanted.status_fd >= 0:
        try:
            posix.fstat(wanted.status_fd)
        except OSError as err:
            raise StepError(f"--status-fd: file descriptor {wanted.status_fd} is not open") from err


def _check_parent(wanted: Checkpoint, images: Images) -> None:
    if not wanted.parent_path:
        return
    try:
        posix.stat(wanted.parent_path, dir_fd=images.directory)
    except OSError as err:
        raise StateError(f"--parent-path: {wanted.parent_path} is not there, seen from --image-path") from err


def _check_criu(criu: Criu, wanted: Checkpoint) -> None:
    criu.check_version()
    if wanted.pre_dump or wanted.parent_path:
        criu.check_feature("mem_track", "--pre-dump" if wanted.pre_dump else "--parent-path", _NO_TRACKING)
    if wanted.options.lazy_pages:
        criu.check_feature("lazy_pages", "--lazy-pages", _NO_FAULTS)


def _pre_dump_options(wanted: Checkpoint, state: State, plan: Plan, images: Images) -> dict[str, Option]:
    options = criu_options(wanted.options, images, plan)
    options |= {"pid": state.pid, "leave_running": True, "track_mem": True, **_freezer(state)}
    if wanted.parent_path:
        options["parent_img"] = wanted.parent_path
    return options


def _dump_options(
    wanted: Checkpoint, state: State, plan: Plan, images: Images, outside: list[str]
) -> dict[str, Option]:
    joins = plan.namespaces.join
    options = criu_options(wanted.options, images, plan)
    options |= {
        "pid": state.pid,
        "root": state.rootfs,
        "leave_running": wanted.leave_running,
        "tcp_skip_in_flight": wanted.tcp_skip_in_flight,
        "ext_mnt": list(external.dumped_mounts(plan, state.pid)),
        "external": [*external.dumped_namespaces(joins, state.pid), *outside],
        **_freezer(state),
        **cgroup_options(wanted.options, state.cgroup_leaves, state.pid),
    }
    options.pop("cg_root", None)  # the paths are written down as they are
    if wanted.parent_path:
        options |= {"parent_img": wanted.parent_path, "track_mem": True}
    if wanted.page_server:
        address, _, port = wanted.page_server.rpartition(":")
        if not address or not port.isdigit():
            raise StepError(f"--page-server is ADDRESS:PORT, not {wanted.page_server!r}")
        options["ps"] = (address, int(port))
    if wanted.status_fd >= 0:
        options["status_fd"] = wanted.status_fd
    return options


def _freezer(state: State) -> dict[str, Option]:
    """Name the cgroup that criu freezes; that is the container's, and was made by create, or none."""
    path = state.freezer.rpartition("/")[0]
    if path not in state.cgroup_leaves:
        return {}
    Cgroup((path,))  # raises CgroupError for what can be no container's
    return {"freeze_cgroup": path}


def _heed(_script: str, _pid: int, fds: tuple[int, ...]) -> None:
    """Nothing of a dump needs us; criu wants an answer all the same."""
    for fd in fds:
        posix.close(fd)


def _finish(entry: Entry, state: State, warn: Callable[[str], None]) -> None:
    """Delete what criu has ended. Were the container paused, its processes would not die before they are thawed."""
    cgroup = Cgroup(state.cgroup_leaves, state.cgroup_made) if state.cgroup_leaves else None
    if cgroup is not None and cgroup.frozen():
        cgroup.thaw()
    destroy(entry, state, poststop=True, warn=warn, cgroup=cgroup)
