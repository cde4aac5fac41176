"""Start the inside process: clone3(2), directly or from a stage that joins other namespaces first."""

from __future__ import annotations

import posix

from pyrunc.container import namespaces
from pyrunc.container.init import Inherited, init
from pyrunc.errors import PyruncError, StepError, reason
from pyrunc.kernel import flags, mounts
from pyrunc.kernel.namespaces import clone3, ns_type, same
from pyrunc.plan.steps import MountBind, MountFs
from pyrunc.sync import give_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.plan.facts import Facts
    from pyrunc.plan.steps import JoinNamespace, Plan
    from pyrunc.sync import Channel

_PID_BYTES = 32


def start_inside(
    plan: Plan, theirs: Channel, inherited: Inherited, cgroup_fd: int, say: Callable[[str], None]
) -> int:
    """Start the process that becomes the container and return its pid, as we see it.

    `cgroup_fd` is a v2 cgroup to be born in, or -1.
    """
    if _needs_stage(plan):
        return _start_from_stage(plan, theirs, inherited, say, cgroup_fd)
    try:
        pid, pidfd = clone3(plan.namespaces.at_clone, cgroup_fd)
    except OSError as err:
        raise _cannot_clone(err, plan, cgroup_fd) from err
    if pid == 0:
        init(plan, theirs, inherited, say)
    posix.close(pidfd)
    return pid


def _cannot_clone(err: OSError, plan: Plan, cgroup_fd: int) -> PyruncError:
    """Say whose fault it was: the cgroup's, where the kernel has one more reason to refuse, or the namespaces'."""
    if cgroup_fd >= 0 and plan.cgroup.unified is not None:
        from pyrunc.cgroups.v2 import refusal

        refused = refusal(plan.cgroup.unified, err)
        if refused is not None:
            return refused
    return StepError(f".linux.namespaces: cannot make new namespaces: {reason(err)}")


def _needs_stage(plan: Plan) -> bool:
    """A pid namespace is joined by children only; and from a new user namespace nothing older can be joined."""
    joined = {step.kind for step in plan.namespaces.join}
    return "pid" in joined or "user" in joined or bool(joined and plan.id_maps)


def _start_from_stage(
    plan: Plan, theirs: Channel, inherited: Inherited, say: Callable[[str], None], cgroup_fd: int
) -> int:
    """Let a process in between join, so that we stay where we are: hooks are to run in our namespaces.

    The container is its child but, by CLONE_PARENT, ours to wait for. Born in the cgroup is the stage: in a user
    namespace that it joins it may have no right to put somebody there.
    """
    reader, writer = posix.pipe2(posix.O_CLOEXEC)
    try:
        stage, pidfd = clone3(0, cgroup_fd)
    except OSError as err:
        raise _cannot_clone(err, plan, cgroup_fd) from err
    if stage == 0:
        _stage(plan, theirs, inherited, writer, say)
    posix.close(writer)
    posix.close(pidfd)
    said = posix.read(reader, _PID_BYTES)
    posix.close(reader)
    posix.waitpid(stage, 0)
    return int(said or b"0")


def _stage(plan: Plan, theirs: Channel, inherited: Inherited, writer: int, say: Callable[[str], None]) -> None:
    try:
        namespaces.join(plan.namespaces.join, inherited.joins)
        pid, _ = clone3(plan.namespaces.at_clone | flags.CLONE_PARENT, exit_signal=0)
    except PyruncError as err:
        give_up(theirs, err)
    except OSError as err:
        give_up(theirs, StepError(f".linux.namespaces: cannot make new namespaces: {reason(err)}"))
    if pid == 0:
        joined = plan.namespaces.but(join=())
        init(plan.but(namespaces=joined), theirs, inherited, say)
    posix.write(writer, str(pid).encode())
    posix._exit(0)


def open_joins(joins: tuple[JoinNamespace, ...]) -> dict[str, int]:
    """Open the namespaces to join and check what they are (config-linux.md#namespaces).

    One that we are in already is left out: setns(2) refuses a user namespace that is the caller's.
    """
    opened: dict[str, int] = {}
    for step in joins:
        try:
            fd = posix.open(step.path, posix.O_RDONLY | posix.O_CLOEXEC)
        except OSError as err:
            raise StepError(f"{step.where}: cannot open the {step.kind} namespace {step.path}: {reason(err)}") from err
        _check_type(fd, step)
        if step.kind == "user" and _is_ours(fd):
            posix.close(fd)
        else:
            opened[step.kind] = fd
    return opened


def _check_type(fd: int, step: JoinNamespace) -> None:
    wanted = flags.NAMESPACES[step.kind]
    try:
        found = ns_type(fd)
    except OSError as err:
        raise StepError(f"{step.where}: {step.path} is not a namespace") from err
    if found != wanted:
        name = next((name for name, flag in flags.NAMESPACES.items() if flag == found), "other")
        raise StepError(f"{step.where}: {step.path} is a {name} namespace, not a {step.kind} one")


def _is_ours(fd: int) -> bool:
    ours = posix.open("/proc/self/ns/user", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return same(fd, ours)
    finally:
        posix.close(ours)


def open_root(plan: Plan, facts: Facts) -> int:
    """Open the root as a detached mount where the ids inside may not reach it by its path; else -1.

    A user namespace's root is somebody else on the host, to whom directories on the way may be closed. As an
    ordinary user we have no more rights than it, and no right to copy mounts.
    """
    if not _is_closed(plan, facts):
        return -1
    try:
        return mounts.open_tree(plan.rootfs.path, recursive=True)
    except OSError as err:
        raise StepError(f".root.path: cannot open the root {plan.rootfs.path}: {reason(err)}") from err


def _is_closed(plan: Plan, facts: Facts) -> bool:
    """Tell whether the inside may be somebody to whom directories on the host are closed."""
    foreign = plan.id_maps is not None or any(step.kind == "user" for step in plan.namespaces.join)
    return foreign and facts.euid == 0 and plan.rootfs.entry != "chroot"


def open_trees(plan: Plan, facts: Facts, joins: dict[str, int]) -> dict[str, int]:
    """Open those sources of bind mounts that the inside cannot: step -> detached mount.

    That is all of them with a user namespace, and what is to be idmapped: that takes the privileges over the
    filesystem which a container does not have (mount_setattr(2), "ID-mapped mounts").
    """
    closed = _is_closed(plan, facts)
    trees: dict[str, int] = {}
    for step in plan.before_pivot:
        if isinstance(step, MountFs) and step.idmap is not None:
            from pyrunc.host import idmapped

            trees[step.where + step.target] = idmapped.new_filesystem(step, joins, facts)
        if not isinstance(step, MountBind) or not (closed or step.idmap):
            continue
        if step.source.startswith("/sys/fs/cgroup"):
            continue  # not made yet, and open to everybody
        try:
            tree = mounts.open_tree(step.source, recursive=step.recursive)
            if step.idmap is not None:
                from pyrunc.host import idmapped

                idmapped.map_owners(tree, step.idmap, step.idmap_recursive, joins, facts)
        except OSError as err:
            raise StepError(f"{step.where}: cannot {step.describe()}: {reason(err)}") from err
        trees[step.where + step.target] = tree
    return trees
