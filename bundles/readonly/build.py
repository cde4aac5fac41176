"""The root file system of the readonly bundle: busybox, and a set-user-ID program."""

from __future__ import annotations

import os
from pathlib import Path

from bundles import rootfs

SOMEBODY = 1000


def build(folder: Path) -> None:
    """Make the root, with an `id` that whoever runs it becomes somebody else by. Raises OSError."""
    rootfs.build(folder / "rootfs", ["id"])
    program = folder / "rootfs/bin/id"
    if os.geteuid() == 0:
        os.chown(program, SOMEBODY, SOMEBODY)
    program.chmod(0o4755)  # after chown(2), which takes the bit away
