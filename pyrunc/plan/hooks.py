"""Hooks (config.md, "POSIX-platform Hooks")."""

from __future__ import annotations

from pyrunc.plan.steps import Hook, Hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.spec.hooks import Hook as HookSpec
    from pyrunc.spec.hooks import Hooks as HooksSpec


def plan_hooks(hooks: HooksSpec | None) -> Hooks:
    """Give each hook its JSON path; without args a program's name is its path."""
    if hooks is None:
        return Hooks()
    return Hooks(
        prestart=_list("prestart", hooks.prestart),
        create_runtime=_list("createRuntime", hooks.create_runtime),
        create_container=_list("createContainer", hooks.create_container),
        start_container=_list("startContainer", hooks.start_container),
        poststart=_list("poststart", hooks.poststart),
        poststop=_list("poststop", hooks.poststop),
    )


def _list(name: str, hooks: tuple[HookSpec, ...]) -> tuple[Hook, ...]:
    return tuple(
        Hook(f".hooks.{name}[{index}]", each.path, each.args or (each.path,), each.env, each.timeout)
        for index, each in enumerate(hooks)
    )
