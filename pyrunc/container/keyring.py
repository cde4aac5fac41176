"""The container's session keyring (session-keyring(7)): made by create, joined by exec."""

from __future__ import annotations

from pyrunc.errors import StepError, reason
from pyrunc.kernel.processes import join_session_keyring, let_keyring_be_joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.steps import Step


def join_keyring(name: str, policies: tuple[Step, ...], new: bool, proc: int = -1) -> None:
    """Leave the caller's keys for those of the container; with `new` exec may find the keyring by its name later.

    `proc` is a private procfs, -1 where one can be had. Raises StepError.
    """
    try:
        if policies:
            from pyrunc.container.policies import label_keys  # see init.load_for

            label_keys(policies, True, proc)
        serial = join_session_keyring(name)
        if new:
            let_keyring_be_joined(serial)
        if policies:
            label_keys(policies, False, proc)
    except OSError as err:
        raise StepError(f"cannot join the session keyring: {reason(err)}", "--no-new-keyring does without") from err
