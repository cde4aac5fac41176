"""Who answers for the system calls that a seccomp profile does not decide itself (config-linux.md, "Seccomp")."""

from __future__ import annotations

from pyrunc.errors import ConfigError, SpecError
from pyrunc.plan.steps import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.spec.seccomp import Seccomp

NOTIFY = "SCMP_ACT_NOTIFY"


class SendListener(Step):
    """Hand the filter's listener, with `metadata`, to the agent on the socket `path`.

    `brought`: the inside has to bring it out, where we have no right to take it (container/listener.py).
    """

    path: str
    metadata: str
    brought: bool = False

    def describe(self) -> str:
        return f"send the seccomp listener to {self.path}"


def plan_listener(seccomp: Seccomp, brought: bool) -> SendListener | None:
    """Return where the listener goes; None for a profile without SCMP_ACT_NOTIFY, which has none.

    Raises ConfigError where nobody would answer: such calls would fail with ENOSYS.
    """
    if NOTIFY not in (seccomp.default_action, *(rule.action for rule in seccomp.syscalls)):
        return None
    if not seccomp.listener_path:
        raise ConfigError(
            "config.json", (SpecError(".linux.seccomp.listenerPath", f"is required with {NOTIFY}"),)
        )
    path, metadata = seccomp.listener_path, seccomp.listener_metadata or ""
    return SendListener(".linux.seccomp.listenerPath", path, metadata, brought)
