"""From calls to methods: messages read, errors answered with a code and in the words that engines look for."""

from __future__ import annotations

import time

from pyrunc.errors import ConfigError, ExistsError, NotFoundError, PyruncError, StatusError
from pyrunc.shim import ttrpc
from pyrunc.shim.codec import Message, decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrunc.shim.ttrpc import Call, Handler

    Methods = dict[str, tuple[type[Message], Callable[[Call, Any], None]]]

_CODES: tuple[tuple[type[PyruncError], int], ...] = (
    (NotFoundError, ttrpc.NOT_FOUND),
    (ExistsError, ttrpc.ALREADY_EXISTS),
    (StatusError, ttrpc.FAILED_PRECONDITION),
    (ConfigError, ttrpc.INVALID_ARGUMENT),
)


class Refusal(Exception):  # noqa: N818 - a verdict on a call, which is answered with it
    """Why a call is refused, and the code of it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def handlers(methods: Methods, trace: Callable[[str], None] | None = None) -> dict[str, Handler]:
    """Return a handler for each method; `trace` hears of each call, its code and how long it took."""
    return {method: _handler(request, act, trace) for method, (request, act) in methods.items()}


def _handler(
    request: type[Message], act: Callable[[Call, Any], None], trace: Callable[[str], None] | None
) -> Handler:
    def handle(call: Call) -> None:
        begin = time.monotonic()
        if trace is not None:
            call.on_answer(lambda code: trace(f"{call.method}: {code} ({(time.monotonic() - begin) * 1000:.1f} ms)"))
        try:
            act(call, decode(request, call.payload))
        except Refusal as err:
            call.fail(err.code, str(err))
        except PyruncError as err:
            refuse(call, err, call.method.lower())
        except ValueError as err:
            call.fail(ttrpc.INVALID_ARGUMENT, f"{call.method}: {err}")
        except OSError as err:
            call.fail(ttrpc.INTERNAL, f"{call.method}: {err}")

    return handle


def refuse(call: Call, err: PyruncError, what: str) -> None:
    """Answer with an error of ours."""
    code = next((code for kind, code in _CODES if isinstance(err, kind)), ttrpc.UNKNOWN)
    call.fail(code, f"OCI runtime {what} failed: {err}")
