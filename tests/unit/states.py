"""Containers in a store, without anything of a container but its state."""

from __future__ import annotations

import os
from typing import Any

from pyrunc.kernel.pidfd import start_time
from pyrunc.state.store import State

NEVER = 1
"""A start time that no process of today has: one clock tick after boot."""


def state(container_id: str = "box", **more: Any) -> State:
    """A created container whose init is this process, unless told otherwise."""
    me = os.getpid()
    plain: dict[str, Any] = {
        "id": container_id,
        "oci_version": "1.3.0",
        "status": "created",
        "bundle": "/b",
        "rootfs": "/b/rootfs",
        "created": "2024-01-01T00:00:00.000000000Z",
        "owner": 0,
        "creator": me,
        "creator_start": start_time(me),
        "pid": me,
        "start_time": start_time(me),
    }
    return State(**{**plain, **more})
