"""Programs that tests exec in a running container."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenario.bundle import Bundle, Result


def probe(bundle: Bundle, question: str, *flags: str, **more: Any) -> Any:
    """Exec the probe and parse its answer."""
    return bundle.exec("/bin/probe", *question.split(), flags=flags, **more).ok().json()


def with_process(bundle: Bundle, *flags: str, **fields: Any) -> Result:
    """Exec what a file says: the container's own process with some members changed, as engines do it."""
    file = bundle.dir / "process.json"
    file.write_text(json.dumps({**bundle.config["process"], **fields}))
    return bundle.exec(flags=["--process", str(file), *flags])


def detached(bundle: Bundle, *args: str, flags: tuple[str, ...] = (), **fields: Any) -> int:
    """Exec in the background; returns the pid, which is now a child of ours."""
    file = bundle.dir / "exec.pid"
    with_process(bundle, "--detach", "--pid-file", str(file), *flags, args=list(args), **fields).ok()
    return int(file.read_text())


@contextlib.contextmanager
def background(bundle: Bundle, *args: str, **fields: Any) -> Iterator[int]:
    """Exec in the background for a while. pid_namespaces(7): a container cannot end before its last zombie is gone."""
    pid = detached(bundle, *args, **fields)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        bundle.wait(pid)
