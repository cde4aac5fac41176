"""Run a piece of a test in a process of its own, so that what it mounts, drops or forbids ends with it."""

from __future__ import annotations

import os
import pickle
import traceback
from typing import TYPE_CHECKING, TypeVar

import pytest

from pyrunc.kernel import mounts, namespaces
from pyrunc.kernel.flags import CLONE_NEWNS, MS_PRIVATE, MS_REC

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def apart(body: Callable[[], T], flags: int = CLONE_NEWNS) -> T:
    """Fork, enter new namespaces, run the body and return what it returned; a failure there fails here.

    Mounts do not propagate back. Of a pid or time namespace only children of the body are members.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _inside(body, flags, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as report:
        said = report.read()
    _, status = os.waitpid(pid, 0)
    if not said:
        pytest.fail(f"the process apart said nothing, status {os.waitstatus_to_exitcode(status)}")
    result: T
    failure, result = pickle.loads(said)
    if failure:
        pytest.fail(failure, pytrace=False)
    return result


def _inside(body: Callable[[], T], flags: int, writer: int) -> None:
    failure, result = "", None
    try:
        namespaces.unshare(flags)
        if flags & CLONE_NEWNS:
            mounts.mount("", "/", flags=MS_REC | MS_PRIVATE)
        result = body()
    except BaseException:  # noqa: BLE001 - whatever it is, the parent reports it
        failure = traceback.format_exc()
    os.write(writer, pickle.dumps((failure, result)))
    os._exit(0)
