"""Make device nodes and links below the container's root (config-linux.md, "Devices").

The directory that a node goes into is resolved inside the root to a descriptor first: an image whose /dev is a
link to somewhere on the host gets its nodes inside all the same (CVE-2026-41579, CVE-2026-47766).
"""

from __future__ import annotations

import errno
import posix

from pyrunc.errors import StepError
from pyrunc.kernel import mounts, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.container.mounts import Root
    from pyrunc.plan.steps import BindDevice, MakeDevice, MakeLink

_KINDS = {"c": 0o020000, "b": 0o060000, "p": 0o010000}
_KIND = 0o170000


def make_device(step: MakeDevice, root: Root) -> None:
    """mknod(2), with the mode and owner of config.json whatever the umask is."""
    parent, name = paths.parent_in(root.fd, step.path)
    try:
        try:
            posix.mknod(name, _KINDS[step.kind] | step.mode, posix.makedev(step.major, step.minor), dir_fd=parent)
        except FileExistsError:
            _verify(posix.stat(name, dir_fd=parent, follow_symlinks=False), step)
        # O_NOFOLLOW on a descriptor of the node itself: chmod by name would follow a link put there since.
        node = posix.open(name, posix.O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=parent)
        try:
            _verify(posix.fstat(node), step)
            posix.chmod(f"/proc/self/fd/{node}", step.mode)
            posix.chown(f"/proc/self/fd/{node}", step.uid, step.gid)
        finally:
            posix.close(node)
    finally:
        posix.close(parent)


def _verify(status: posix.stat_result, step: MakeDevice | BindDevice) -> None:
    """config-linux.md#devices: what is there already has to be the device that is asked for."""
    kind = status.st_mode & _KIND
    if kind != _KINDS[step.kind]:
        raise StepError(_there(step, "something else is there already"), "remove it from the image")
    if step.kind != "p" and status.st_rdev != posix.makedev(step.major, step.minor):
        found = f"{posix.major(status.st_rdev)}:{posix.minor(status.st_rdev)}"
        raise StepError(_there(step, f"a device {found} is there already"), "remove it from the image")


def _there(step: MakeDevice | BindDevice, problem: str) -> str:
    where = f"{step.where}: " if step.where else ""
    return f"{where}cannot {step.describe()}: {problem}"


def bind_device(step: BindDevice, root: Root) -> None:
    """Show the host's node: in a user namespace mknod(2) is refused."""
    tree = mounts.open_tree(step.path)
    try:
        _verify(posix.fstat(tree), step)
        target = paths.make_file_in(root.fd, step.path)
        try:
            mounts.move_mount(tree, target)
        finally:
            posix.close(target)
    finally:
        posix.close(tree)


def make_link(step: MakeLink, root: Root) -> None:
    """symlink(2); a link or node that the image has there already gives way."""
    if step.only_if and not _exists(step.only_if, root):
        return
    parent, name = paths.parent_in(root.fd, step.path)
    try:
        try:
            posix.symlink(step.target, name, dir_fd=parent)
        except FileExistsError:
            if _links_to(name, parent, step.target):
                return
            posix.unlink(name, dir_fd=parent)
            posix.symlink(step.target, name, dir_fd=parent)
    finally:
        posix.close(parent)


def _links_to(name: str, parent: int, target: str) -> bool:
    try:
        return posix.readlink(name, dir_fd=parent) == target
    except OSError as err:
        if err.errno != errno.EINVAL:  # EINVAL: not a link
            raise
        return False


def _exists(path: str, root: Root) -> bool:
    """True where a path is there; magic links of procfs are not followed, being there is enough."""
    try:
        posix.close(paths.open_in(root.fd, path, posix.O_PATH | posix.O_NOFOLLOW))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
