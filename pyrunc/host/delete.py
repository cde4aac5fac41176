"""Undo create (runtime.md, "Delete"): everything that state.json says was, or was going to be, made.

Each part tolerates that it was never made, and none is called done while anything of it is left.
"""

from __future__ import annotations

import errno
import posix

from pyrunc.errors import HookError, PyruncError, StateError, StatusError, reason
from pyrunc.kernel.pidfd import exiting, open_process, send_signal, wait_for_end
from pyrunc.state.status import CREATED, CREATING, PAUSED, STOPPED, status_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrunc.cgroups.control import Cgroup
    from pyrunc.plan.steps import Hook
    from pyrunc.state.store import Entry, State

_SIGKILL = 9
_DEATH_TIMEOUT = 10.0  # seconds
_USUAL_DEATH = 0.2
_UNREAPED = 1.0  # seconds after which an init that has ended but for its zombies is taken for dead


def delete(entry: Entry, force: bool, warn: Callable[[str], None], strict: bool = False) -> None:
    """Delete a stopped container; with force one in any status.

    A created one is deleted without force as well: engines count on it, although runtime.md calls it an error, as
    it is with `strict`.
    Raises StatusError with the container as it was.
    """
    if force:
        # Before the lock: whoever holds it may wait for the process that is to be killed.
        _kill_for(entry)
    entry.lock()
    state = entry.load() if not force else _load_anyway(entry, warn)
    status = status_of(entry, state)
    if not force and status not in ((STOPPED,) if strict else (STOPPED, CREATED)):
        raise StatusError(f"cannot delete container {entry.id} that is {status}", "stop it first, or use --force")
    destroy(entry, state, poststop=True, warn=warn)


def _load_anyway(entry: Entry, warn: Callable[[str], None]) -> State | None:
    try:
        return entry.load()
    except StateError as err:
        warn(str(err))
        return None


def _kill_for(entry: Entry) -> None:
    """Kill the init, and a create that is still at work on it."""
    try:
        state = entry.load()
    except StateError:
        return  # delete goes on without, and says so
    if state is None:
        return
    status = status_of(entry, state)
    if status == CREATING:
        kill_process(state.creator, state.creator_start)
    if status == PAUSED:
        from pyrunc.cgroups.control import Cgroup

        # Frozen on cgroup v1 a process does not even die: this freezes, kills and thaws.
        Cgroup(state.cgroup_leaves, state.cgroup_made).kill_all()
    kill_process(state.pid, state.start_time, lambda: _thaw(state))


def _thaw(state: State) -> None:
    """Let the processes of a pid namespace die, for which its init waits: on cgroup v1 a frozen one does not.

    The container may have frozen it, in a cgroup of its own below ours.
    """
    from pyrunc.cgroups.control import Cgroup

    if state.cgroup_leaves:
        Cgroup(state.cgroup_leaves, state.cgroup_made).thaw_all()


def kill_process(pid: int, start: int, rescue: Callable[[], None] = lambda: None) -> None:
    """Kill one process and wait until it has ended. Raises StateError when it does not.

    `rescue` is called if that takes longer than usual. An init whose pid namespace has a zombie that its parent, an
    exec that was killed or an engine that is busy, has not reaped cannot end, but is dead: who still lives in
    there is found in the cgroups.
    """
    try:
        pidfd = open_process(pid, start)
    except ProcessLookupError:
        return
    try:
        send_signal(pidfd, _SIGKILL)
        if wait_for_end(pidfd, _USUAL_DEATH):
            return
        rescue()
        if wait_for_end(pidfd, _UNREAPED) or exiting(pid, start):
            return
        if not wait_for_end(pidfd, _DEATH_TIMEOUT):
            raise StateError(f"process {pid} does not end after SIGKILL", "the kernel may be stuck in it")
    except ProcessLookupError:
        return
    finally:
        posix.close(pidfd)


def destroy(
    entry: Entry,
    state: State | None,
    poststop: bool,
    warn: Callable[[str], None] = lambda _: None,
    cgroup: Cgroup | None = None,
) -> None:
    """Remove everything of a container that is locked by us: processes, cgroups, mounts, directory.

    `cgroup` is the container's, where the caller has looked at it already. poststop hooks come last
    (config.md#poststop); one that fails is a warning, and the others run all the same.
    """
    if state is not None:
        kill_process(state.pid, state.start_time, lambda: _thaw(state))
        _reap(state.pid)
        if state.cgroup_leaves or state.unit:
            _remove_cgroups(state, cgroup)
        if state.resctrl_made:
            from pyrunc.host import resctrl

            resctrl.remove(state.resctrl_made)
        if state.host_mounts:
            _unmount_below(state.rootfs)
    entry.remove()
    if state is not None and poststop:
        _run_poststop(state, warn)


def _remove_cgroups(state: State, cgroup: Cgroup | None) -> None:
    if state.unit:
        from pyrunc.host import scope

        if not scope.is_ours(state.unit):
            return
    if cgroup is None:
        from pyrunc.cgroups.control import Cgroup

        cgroup = Cgroup(state.cgroup_leaves, state.cgroup_made)
    if cgroup.processes():
        # Whoever shares the host's pid namespace outlives its init.
        cgroup.kill_all()
    if state.unit:
        scope.release(state.unit)
    cgroup.remove()


def _reap(pid: int) -> None:
    """Take the status of an init that was our own child (a create that failed), so that no zombie stays."""
    try:
        if pid > 0:
            posix.waitpid(pid, posix.WNOHANG)
    except ChildProcessError:
        return


def _unmount_below(rootfs: str) -> None:
    """Without a mount namespace the container's mounts are the host's, and ours to take away."""
    from pyrunc.kernel.flags import MNT_DETACH
    from pyrunc.kernel.mounts import umount
    from pyrunc.kernel.procfs import own_mounts

    for mount in reversed(own_mounts()):
        if f"{mount.mount_point}/".startswith(f"{rootfs}/"):
            try:
                umount(mount.mount_point, MNT_DETACH)
            except OSError as err:
                if err.errno != errno.EINVAL:
                    raise StateError(f"cannot unmount {mount.mount_point}: {reason(err)}") from err


def _run_poststop(state: State, warn: Callable[[str], None]) -> None:
    saved_hooks = state.hooks.get("poststop", ())
    if not saved_hooks:
        return
    from pyrunc.container.hooks import run_hook
    from pyrunc.sync import state_document

    document = state_document(state.oci_version, state.id, STOPPED, 0, state.bundle, state.annotations)
    for saved in saved_hooks:
        try:
            run_hook(kept_hook(saved), document)
        except HookError as err:
            warn(str(err))


def kept_hook(saved: dict[str, Any]) -> Hook:
    """Make a hook of what state.json keeps of it."""
    from pyrunc.plan.steps import Hook

    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in saved.items()
    }
    try:
        return Hook(**fields)
    except TypeError as err:
        raise PyruncError(f"a hook in the state cannot be read: {err}") from err
