"""Carry out the mounts of a plan, below the container's root (config.md, "Mounts").

Each target is resolved once, with openat2(RESOLVE_IN_ROOT), to a descriptor, and the mount is moved onto that
descriptor: a name that is swapped for a symbolic link in between changes nothing (CVE-2021-30465).
"""

from __future__ import annotations

import posix

from pyrunc.errors import StepError
from pyrunc.kernel import flags, mounts, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.steps import Attributes, ChangeMount, MakeReadonly, MountBind, MountFs

_KERNEL_FILESYSTEMS = {"/proc": ("proc", flags.PROC_SUPER_MAGIC), "/sys": ("sysfs", flags.SYSFS_MAGIC)}
# What may be mounted over inside /proc: files that hide nothing which we, or an LSM, write to (CVE-2019-16884).
_PROC_EXCEPTIONS = (
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
)


class Root:
    """The container's root while it is being filled.

    `fd` is a descriptor of it; a mount on "/" itself replaces it. `trees` are mounts the host side opened because
    the ids inside may not: a step's `where` + `target` -> detached mount.
    """

    def __init__(self, fd: int, trees: dict[str, int]) -> None:
        self.fd = fd
        self.trees = trees


def mount_fs(step: MountFs, root: Root) -> None:
    """Mount a new instance of a filesystem."""
    target = _target_directory(step.target, root, step.fstype)
    try:
        if step.idmap is None and (step.flags or any(len(option) > mounts.VALUE_MAX for option in step.options)):
            _mount_classic(step, target)
            return
        tree = root.trees.pop(step.where + step.target, -1)
        if tree < 0:
            tree = mounts.new_filesystem(step.fstype, step.source, step.options, step.attributes.set)
        if step.copy_up:
            from pyrunc.container import copyup  # see init.load_for

            copyup.copy_tree(target, tree, *step.copy_as)
        if step.label:
            # A detached mount has no other name; by its descriptor no link can be in the way.
            posix.setxattr(f"/proc/self/fd/{tree}", "security.selinux", step.label.encode("utf-8", "surrogateescape"))
        _change(tree, step.attributes)
        _attach(tree, target, step.target, root)
    finally:
        posix.close(target)


def _mount_classic(step: MountFs, target: int) -> None:
    """mount(2), for superblock flags that fsconfig(2) has no word for and values too long for it (overlay)."""
    here = f"/proc/self/fd/{target}"
    # A context has commas of its own: "system_u:object_r:container_file_t:s0:c1,c2".
    quoted = (f'context="{each[8:]}"' if each.startswith("context=") else each for each in step.options)
    data = ",".join(quoted)
    mounts.mount(step.source or step.fstype, here, step.fstype, step.flags, data)
    # The descriptor is of what is below the new mount; its name leads to the top.
    top = posix.open(paths.real_path_of(target), posix.O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC)
    try:
        mounts.set_attributes(top, set=step.attributes.set, clear=step.attributes.clear)
        _change(top, step.attributes)
    finally:
        posix.close(top)


def mount_bind(step: MountBind, root: Root) -> None:
    """Bind a tree of the host's into the container."""
    tree = root.trees.pop(step.where + step.target, -1)
    if tree < 0:
        tree = open_source(step)
    target = _target_for(tree, step.target, root)
    try:
        if step.recursive:
            mounts.set_attributes(tree, set=step.attributes.set, clear=step.attributes.clear)
            _change(tree, step.attributes)
        else:
            _change_single(tree, step.attributes)
        _attach(tree, target, step.target, root)
    finally:
        posix.close(target)


def _change_single(tree: int, attributes: Attributes) -> None:
    """Change a tree that is one mount: what is for all mounts below is for it alone, in one call."""
    mounts.set_attributes(
        tree,
        set=attributes.set & ~attributes.recursive_clear | attributes.recursive_set,
        clear=attributes.clear | attributes.recursive_clear,
        propagation=attributes.propagation[-1] & ~flags.MS_REC,
    )


def open_source(step: MountBind) -> int:
    """Return the source of a bind mount as a detached copy.

    Raises StepError where the source is missing, OSError otherwise.
    """
    try:
        return mounts.open_tree(step.source, recursive=step.recursive)
    except FileNotFoundError as err:
        tried = f"{step.where}: cannot {step.describe()}: the source is missing on the host"
        raise StepError(tried, "make it, or correct .source") from err


def _target_for(tree: int, target: str, root: Root) -> int:
    """Open the mount point of a bind, made as what its source is: a directory or a file."""
    if posix.fstat(tree).st_mode & 0o170000 == 0o040000:
        return _target_directory(target, root, "bind")
    _refuse_cover(target, "bind")
    return paths.make_file_in(root.fd, target)


def _target_directory(target: str, root: Root, fstype: str) -> int:
    _refuse_cover(target, fstype)
    if target in _KERNEL_FILESYSTEMS:
        return _real_directory(target, root)
    return paths.make_directory_in(root.fd, target)


def _real_directory(target: str, root: Root) -> int:
    """CVE-2019-19921, CVE-2023-27561, CVE-2025-54867: /proc and /sys as links put procfs where nobody looks."""
    parent, name = paths.parent_in(root.fd, target)
    try:
        try:
            posix.mkdir(name, 0o755, dir_fd=parent)
        except FileExistsError:
            pass  # it may be what we need; the open below is the check
        flag = posix.O_PATH | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC
        return posix.open(name, flag, dir_fd=parent)
    except NotADirectoryError as err:
        tried = f"cannot mount on {target}: it is not a directory in the image"
        raise StepError(tried, "a link there is refused") from err
    finally:
        posix.close(parent)


def _refuse_cover(target: str, fstype: str) -> None:
    """CVE-2019-16884: what covers /proc can swallow the writes that confine the process."""
    plain = _plain(target)
    covers_proc = plain == "/proc" or plain.startswith("/proc/")
    if covers_proc and plain not in _PROC_EXCEPTIONS and not (plain == "/proc" and fstype in ("proc", "bind")):
        raise StepError(f"cannot mount {fstype} on {target}: only procfs belongs there")


def _change(tree: int, attributes: Attributes) -> None:
    if attributes.recursive_set or attributes.recursive_clear:
        mounts.set_attributes(
            tree, set=attributes.recursive_set, clear=attributes.recursive_clear, recursive=True
        )
    for propagation in attributes.propagation:
        recursive = bool(propagation & flags.MS_REC)
        mounts.set_attributes(tree, propagation=propagation & ~flags.MS_REC, recursive=recursive)


def _attach(tree: int, target: int, name: str, root: Root) -> None:
    _verify_kernel_filesystem(tree, target, name)
    mounts.move_mount(tree, target)
    if name.strip("/"):
        posix.close(tree)
        return
    # A mount on "/" covers the old root: what follows belongs into the new one.
    posix.close(root.fd)
    root.fd = tree


def _verify_kernel_filesystem(tree: int, target: int, name: str) -> None:
    """A bind on /proc has to bring a procfs: anything else can imitate /proc/self/attr (CVE-2019-16884).

    What was resolved counts too: a link in the image leads into /proc under another name (CVE-2023-28642).
    """
    plain = _plain(name)
    if plain == "/proc":
        wrong = paths.filesystem_type(tree) != flags.PROC_SUPER_MAGIC
    else:
        wrong = paths.filesystem_type(target) == flags.PROC_SUPER_MAGIC and plain not in _PROC_EXCEPTIONS
    if wrong:
        raise StepError(f"cannot mount on {name}: only procfs belongs there")


def _plain(path: str) -> str:
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def change_mount(step: ChangeMount, root: Root) -> None:
    """Change what is mounted at a path already."""
    target = paths.open_in(root.fd, step.target, posix.O_PATH)
    try:
        if step.options:
            mounts.reconfigure(target, step.options)
        mounts.set_attributes(target, set=step.attributes.set, clear=step.attributes.clear)
        _change(target, step.attributes)
    finally:
        posix.close(target)


def make_readonly(step: MakeReadonly, root: Root) -> None:
    """Take the right to write from a mount of ours."""
    target = paths.open_in(root.fd, step.target, posix.O_PATH)
    try:
        mounts.set_attributes(target, set=flags.MOUNT_ATTR_RDONLY)
    finally:
        posix.close(target)
