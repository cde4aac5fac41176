"""Control groups: find the host's, make a container's, control and remove them.

The two halves are loaded when first used: create needs no Cgroup, and delete nothing of creation.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cgroups.control import Cgroup as Cgroup
    from pyrunc.cgroups.control import guard as guard
    from pyrunc.cgroups.creation import add as add
    from pyrunc.cgroups.creation import apply as apply
    from pyrunc.cgroups.creation import create as create
    from pyrunc.cgroups.creation import entry_fds as entry_fds
    from pyrunc.cgroups.creation import missing_directories as missing_directories
    from pyrunc.cgroups.creation import open_directory as open_directory


def __getattr__(name: str) -> object:
    """Find a public name in the half it belongs to. Raises AttributeError."""
    if name in ("Cgroup", "guard"):
        from pyrunc.cgroups import control

        return getattr(control, name)
    if name in ("add", "apply", "create", "entry_fds", "missing_directories", "open_directory"):
        from pyrunc.cgroups import creation

        return getattr(creation, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
