"""runtime.md: operations, states, and what they may not do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from conformance.case import case, check, equal

if TYPE_CHECKING:
    from conformance.box import Box


@case(1, 3)
def whole_life(box: Box) -> None:
    """A container is created, started, ends, and is deleted, and state tells each step."""
    box.process(args=["/bin/probe", "wait"])
    box.create().succeeded()
    equal(box.status(), "created", "status after create")
    box.start().succeeded()
    equal(box.status(), "running", "status after start")
    box.kill("KILL").succeeded()
    box.await_status("stopped")
    box.delete().succeeded()
    box.call("state", box.id).failed()


@case(3)
def state_names_the_process(box: Box) -> None:
    """While it runs, state has the pid of the container's process as the host sees it."""
    box.running()
    pid = box.state().get("pid")
    check(isinstance(pid, int), f"pid is {pid!r}")
    inside = os.stat(f"/proc/{pid}/root/bin/probe")
    check(os.path.samestat(inside, os.stat(box.rootfs / "bin/probe")), "its root is not the container's")
