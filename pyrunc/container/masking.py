"""Hide and protect paths of the container (config-linux.md, "Masked Paths", "Readonly Paths").

Every path is opened once inside the root, and what is mounted goes onto that descriptor. What covers a file is the
host's /dev/null, opened before the root was entered and looked at: the image's own may be a link to anything
(CVE-2025-31133, CVE-2025-62161). A path that is not there needs no mask; any other failure ends the container.
"""

from __future__ import annotations

import posix

from pyrunc.errors import StepError
from pyrunc.kernel import flags, mounts, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.steps import MaskPath, ReadonlyPath

_QUIET = flags.MOUNT_ATTR_RDONLY | flags.MOUNT_ATTR_NOSUID | flags.MOUNT_ATTR_NODEV | flags.MOUNT_ATTR_NOEXEC


class Covers:
    """What paths are covered with: one mount for files and one for directories, copied for each further path."""

    def __init__(self, null: int) -> None:
        self._file = null
        self._directory = -1
        self._used = {"file": False, "directory": False}

    def for_file(self) -> int:
        """Return a detached mount of the null device."""
        return self._next("file", self._file)

    def for_directory(self) -> int:
        """Return a detached mount of an empty read-only directory."""
        if self._directory < 0:
            self._directory = mounts.new_filesystem("tmpfs", "tmpfs", ("size=0k", "nr_inodes=2", "mode=755"), _QUIET)
        return self._next("directory", self._directory)

    def _next(self, kind: str, mount: int) -> int:
        # The first use attaches the mount itself; an attached one can be copied.
        if self._used[kind]:
            return mounts.open_tree("", dirfd=mount)
        self._used[kind] = True
        return posix.dup(mount)


def prepare() -> Covers:
    """Take hold of the host's null device, while the host's tree is still there."""
    null = mounts.open_tree("/dev/null")
    status = posix.fstat(null)
    if status.st_mode & 0o170000 != 0o020000 or status.st_rdev != posix.makedev(1, 3):
        raise StepError("the host's /dev/null is not the null device")
    mounts.set_attributes(null, propagation=flags.MS_PRIVATE)
    return Covers(null)


def mask_path(step: MaskPath, root: int, covers: Covers | None) -> None:
    """Cover a file with the null device, a directory with an empty one."""
    target = _open(step.path, root)
    if target < 0:
        return
    if covers is None:
        raise StepError("there is nothing to mask paths with")
    try:
        directory = posix.fstat(target).st_mode & 0o170000 == 0o040000
        cover = covers.for_directory() if directory else covers.for_file()
        try:
            mounts.move_mount(cover, target)
        finally:
            posix.close(cover)
    finally:
        posix.close(target)


def make_path_readonly(step: ReadonlyPath, root: int) -> None:
    """Bind a path on itself and make the copy read-only, with every mount below it."""
    target = _open(step.path, root)
    if target < 0:
        return
    try:
        tree = mounts.open_tree("", dirfd=target, recursive=True)
        try:
            mounts.set_attributes(tree, set=flags.MOUNT_ATTR_RDONLY, recursive=True)
            mounts.move_mount(tree, target)
        finally:
            posix.close(tree)
    finally:
        posix.close(target)


def _open(path: str, root: int) -> int:
    """Return a descriptor of a path in the container, -1 where there is nothing to protect."""
    try:
        return paths.open_in(root, path, posix.O_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return -1
