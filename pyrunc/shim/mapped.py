"""Root file systems with mapped owners, which containerd 2 asks for by `uidmap=INSIDE:OUTSIDE:SIZE` among the options.

What comes of an image is mapped: an overlay's lower layers, or all of another mount. An overlay's upper directory is
not: the snapshotter has given it to the container's root, and what is written there has the ids that it has outside.
"""

from __future__ import annotations

import errno
import posix

from pyrunc.host.facts import look
from pyrunc.host.idmapped import map_owners
from pyrunc.kernel import mounts
from pyrunc.kernel.flags import CLONE_NEWNS, MS_PRIVATE, MS_REC
from pyrunc.kernel.namespaces import setns, unshare
from pyrunc.plan.steps import IdMap, IdMaps

_DIRECTORY = posix.O_PATH | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC
_LAYERS = "lowerdir="


def maps_of(options: tuple[str, ...]) -> IdMaps:
    """Return what the options uidmap= and gidmap= say. Raises OSError(EINVAL) for one alone and for what is no map."""
    uids, gids = (
        tuple(
            _map(text)
            for option in options
            if option.startswith(key)
            for text in option.removeprefix(key).split(",")
        )
        for key in ("uidmap=", "gidmap=")
    )
    if not uids or not gids:
        raise OSError(errno.EINVAL, "uidmap and gidmap go together")
    return IdMaps(uids, gids)


def _map(text: str) -> IdMap:
    try:
        inside, outside, size = (int(number) for number in text.split(":"))
    except ValueError:
        raise OSError(errno.EINVAL, f"'{text}' is no mapping: INSIDE:OUTSIDE:SIZE") from None
    return IdMap(inside, outside, size)


def mount_overlay(target: str, flags: int, options: list[str], maps: IdMaps) -> None:
    """Mount an overlay whose lower layers are mapped. Raises OSError.

    In a mount namespace for the moment: only from 6.15 on does overlayfs take layers that are attached nowhere, and in
    ours everybody could look at them.
    """
    ours = posix.open("/proc/self/ns/mnt", posix.O_RDONLY | posix.O_CLOEXEC)
    unshare(CLONE_NEWNS)
    try:
        mounts.mount("", "/", "", MS_PRIVATE | MS_REC)
        mounts.mount("layers", target, "tmpfs")
        posix.chdir(target)
        mapped = [_mapped_layers(each, maps) if each.startswith(_LAYERS) else each for each in options]
        posix.mkdir("root")
        mounts.mount("overlay", "root", "overlay", flags, ",".join(mapped))
        tree = mounts.open_tree("root")
    finally:
        setns(ours, CLONE_NEWNS)  # with the working directory back at "/"
        posix.close(ours)
    _attach(tree, target)


def _mapped_layers(option: str, maps: IdMaps) -> str:
    """Attach the layers, mapped, in the working directory, and return the option with their names there."""
    names = []
    for number, path in enumerate(option.removeprefix(_LAYERS).split(":")):
        tree = mounts.open_tree(path)
        map_owners(tree, maps, False, {}, look())
        names.append(str(number))
        posix.mkdir(names[-1])
        _attach(tree, names[-1])
    return _LAYERS + ":".join(names)


def mount_other(tree: int, target: str, recursive: bool, maps: IdMaps) -> None:
    """Map a detached mount, which this closes, and attach it. Raises OSError."""
    try:
        map_owners(tree, maps, recursive, {}, look())
    except OSError:
        posix.close(tree)
        raise
    _attach(tree, target)


def _attach(tree: int, target: str) -> None:
    try:
        place = posix.open(target, _DIRECTORY)
        try:
            mounts.move_mount(tree, place)
        finally:
            posix.close(place)
    finally:
        posix.close(tree)
