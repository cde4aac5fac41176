"""Run hooks (config.md, "POSIX-platform Hooks"), on either side: the caller's namespaces are the hook's."""

from __future__ import annotations

from pyrunc.errors import HookError, reason
from pyrunc.kernel.processes import run_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.steps import Hook


def run_hooks(hooks: tuple[Hook, ...], state: str) -> None:
    """Run hooks in their order, each with the container's state on stdin.

    CVE-2025-23266: a hook gets the environment that config.json gives it and nothing of the container's.
    Raises HookError at the first that fails.
    """
    for hook in hooks:
        run_hook(hook, state)


def run_hook(hook: Hook, state: str) -> None:
    """Run one hook and wait for it; at its timeout (seconds) it is killed with all it started.

    Raises HookError with the end of what the hook printed.
    """
    tried = f"{hook.where}: hook {hook.path}"
    try:
        outcome = run_program(hook.path, hook.args, hook.env, state.encode(), hook.timeout)
    except OSError as err:
        raise HookError(f"{tried} cannot be run: {reason(err)}") from err
    said = " ".join(outcome.output.split())
    if outcome.timed_out:
        raise HookError(f"{tried} did not end within its timeout of {hook.timeout} s and was killed", said)
    if outcome.status:
        raise HookError(f"{tried} failed with exit status {outcome.status}", said)
