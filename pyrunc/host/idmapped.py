"""New filesystems with mapped owners: made, mapped, and handed to the inside as detached mounts.

On the host's side, since mapping takes privileges over the filesystem that a container does not have over one of
the host's users. tmpfs is mapped as a whole (Linux 6.3). overlay cannot be; its layers are mapped instead, with the
same effect (5.19; layers that are attached nowhere: 6.15).
"""

from __future__ import annotations

import errno
import posix

from pyrunc.errors import StepError, reason
from pyrunc.kernel import flags, mounts
from pyrunc.kernel.credentials import FilesystemUser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.facts import Facts
    from pyrunc.plan.steps import IdMaps, MountFs


def map_owners(tree: int, maps: IdMaps, recursive: bool, joins: dict[str, int], facts: Facts) -> None:
    """Show the files of a detached mount with other owners; empty maps stand for the joined user namespace's."""
    from pyrunc.host.idmap import user_namespace_with

    namespace = user_namespace_with(maps, facts) if maps.uids else posix.dup(joins["user"])
    try:
        mounts.set_attributes(tree, set=flags.MOUNT_ATTR_IDMAP, recursive=recursive, userns_fd=namespace)
    finally:
        posix.close(namespace)


def new_filesystem(step: MountFs, joins: dict[str, int], facts: Facts) -> int:
    """Return a new filesystem with mapped owners as a detached mount. Raises StepError."""
    try:
        if step.fstype == "overlay":
            return _overlay(step, joins, facts)
        tree = mounts.new_filesystem(step.fstype, step.source, step.options, step.attributes.set)
        if step.idmap is not None:
            map_owners(tree, step.idmap, False, joins, facts)
    except OSError as err:
        hint = f"this kernel cannot map the owners of {step.fstype}" if err.errno == errno.EINVAL else ""
        raise StepError(f"{step.where}: cannot {step.describe()} with mapped ids: {reason(err)}", hint) from err
    return tree


def _overlay(step: MountFs, joins: dict[str, int], facts: Facts) -> int:
    layers: list[int] = []

    def mapped(path: str) -> str:
        layers.append(mounts.open_tree(path))
        if step.idmap is not None:
            map_owners(layers[-1], step.idmap, False, joins, facts)
        return f"/proc/self/fd/{layers[-1]}"

    try:
        options: list[str] = []
        writable: dict[str, str] = {}
        for option in step.options:
            key, _, value = option.partition("=")
            if key == "lowerdir":
                options += [f"lowerdir+={mapped(layer)}" for layer in value.split(":")]
            elif key in ("upperdir", "workdir"):
                writable[key] = value
            else:
                options.append(option)
        if writable:
            # overlayfs wants both on one mount: they have to be seen through one and the same copy.
            common = _common_parent(*writable.values())
            base = mapped(common)
            options += [f"{key}={base}/{path[len(common) :].lstrip('/')}" for key, path in writable.items()]
        with _mounter(_known(step.idmap, joins)):
            return mounts.new_filesystem(step.fstype, step.source, tuple(options), step.attributes.set)
    finally:
        for fd in layers:
            posix.close(fd)


def _known(maps: IdMaps | None, joins: dict[str, int]) -> IdMaps | None:
    """Return the maps; those of a user namespace that is joined are not in the plan."""
    if maps is None or maps.uids:
        return maps
    from pyrunc.host.idmap import maps_of

    return maps_of(joins["user"])


def _mounter(maps: IdMaps | None) -> FilesystemUser:
    """Return a user that the layers know: overlayfs writes to them as whoever mounted it.

    A user without an id in a mapped layer can make nothing there (EOVERFLOW), and the overlay would be read-only.
    """
    uid = maps.uids[0].outside if maps is not None and maps.uids else 0
    gid = maps.gids[0].outside if maps is not None and maps.gids else 0
    return FilesystemUser(uid, gid)


def _common_parent(*paths: str) -> str:
    parts = [path.split("/") for path in paths]
    common = []
    for names in zip(*parts, strict=False):
        if len(set(names)) > 1:
            break
        common.append(names[0])
    return "/".join(common) or "/"
