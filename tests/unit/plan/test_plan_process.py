"""The process and the hooks, as numbers and with their places in config.json."""

from __future__ import annotations

from typing import Any

import pytest

from pyrunc.plan.hooks import plan_hooks
from pyrunc.plan.process import plan_process
from pyrunc.plan.steps import CapabilitySets, Hook, Hooks, Process, Rlimit
from pyrunc.spec import hooks as spec_hooks
from pyrunc.spec import process as spec_process
from pyrunc.spec.process import Capabilities, ConsoleSize, User


def process(last_capability: int = 40, **members: Any) -> tuple[Process, tuple[str, ...]]:
    plain = {"terminal": False, "console_size": None, "user": User(), "args": ("sh",), "env": (), "cwd": "/"}
    return plan_process(spec_process.Process(**{**plain, **members}), last_capability)


def test_a_plain_process() -> None:
    planned, warnings = process()
    assert warnings == ()
    assert planned == Process(
        args=("sh",),
        env=(),
        cwd="/",
        uid=0,
        gid=0,
        additional_gids=(),
        umask=None,
        capabilities=None,
        no_new_privileges=False,
        rlimits=(),
        oom_score_adj=None,
        terminal=False,
        console_size=None,
        personality=None,
    )


def test_everything_is_handed_on() -> None:
    planned, _ = process(
        user=User(1, 2, 0o27, (3, 4)), args=("a", ""), cwd="/w", no_new_privileges=True, oom_score_adj=-1000
    )
    assert (planned.uid, planned.gid, planned.umask, planned.additional_gids) == (1, 2, 0o27, (3, 4))
    assert (planned.args, planned.cwd) == (("a", ""), "/w")
    assert (planned.no_new_privileges, planned.oom_score_adj) == (True, -1000)


def test_it_says_who_it_will_be() -> None:
    nobody, _ = process(user=User(5, 6, None, (7, 8)), no_new_privileges=True)
    assert nobody.acts() == (
        (".process.user", "become uid 5, gid 6, groups 7 8"),
        (".process.noNewPrivileges", "set no_new_privs"),
    )
    few, _ = process(capabilities=Capabilities(bounding=("CAP_KILL", "CAP_CHOWN")))
    assert few.acts()[1] == (".process.capabilities", "give up all capabilities but CAP_CHOWN CAP_KILL")


def test_a_umask_of_zero_is_not_the_callers() -> None:
    assert process(user=User(umask=0))[0].umask == 0


@pytest.mark.parametrize(
    ("env", "left"),
    [
        (("A=1", "B=2", "A=3"), {"A=3", "B=2"}),
        (("A=1", "A="), {"A="}),
        (("A=1=2", "A=1=3"), {"A=1=3"}),
        (("A=1", "AA=2", "a=3"), {"A=1", "AA=2", "a=3"}),
    ],
)
def test_the_last_setting_of_a_variable_wins(env: tuple[str, ...], left: set[str]) -> None:
    planned = process(env=env)[0].env
    assert set(planned) == left
    assert len(planned) == len(left)


def test_rlimits_have_numbers_and_places() -> None:
    limits = (
        spec_process.Rlimit("RLIMIT_NOFILE", 1, 2),
        spec_process.Rlimit("RLIMIT_CORE", 0, 2**64 - 1),
    )
    assert process(rlimits=limits)[0].rlimits == (
        Rlimit(".process.rlimits[0]", "RLIMIT_NOFILE", 7, 1, 2),
        Rlimit(".process.rlimits[1]", "RLIMIT_CORE", 4, 0, 2**64 - 1),
    )


def test_every_rlimit_of_the_spec_has_a_number() -> None:
    limits = tuple(spec_process.Rlimit(name, 1, 1) for name in spec_process.RLIMIT_TYPES)
    assert {limit.resource for limit in process(rlimits=limits)[0].rlimits} == set(range(16))


def test_the_five_sets_stay_five() -> None:
    names = Capabilities(("CAP_CHOWN",), ("CAP_KILL",), ("CAP_MKNOD",), ("CAP_FOWNER",), ("CAP_SETUID",))
    sets = CapabilitySets(*map(frozenset, ({0}, {5}, {27}, {3}, {7})))
    planned, warnings = process(capabilities=names)
    assert planned.capabilities == sets
    assert [line.split()[1] for line in warnings] == ["CAP_KILL", "CAP_SETUID"]


def test_capabilities_that_are_all_empty_are_not_absent() -> None:
    assert process(capabilities=Capabilities())[0].capabilities == CapabilitySets(*[frozenset[int]()] * 5)


def test_an_unknown_capability_is_left_out_with_one_warning() -> None:
    names = ("CAP_KILL", "CAP_OF_TOMORROW", "cap_chown")
    planned, warnings = process(capabilities=Capabilities(bounding=names, permitted=names))
    assert planned.capabilities is not None
    assert planned.capabilities.bounding == planned.capabilities.permitted == {5}
    assert len(warnings) == 2
    assert "CAP_OF_TOMORROW" in warnings[0]
    assert "cap_chown" in warnings[1]


KILL = ("CAP_KILL",)
GRANTED = Capabilities(*((("CAP_KILL", "CAP_CHOWN"),) * 5))


@pytest.mark.parametrize(
    ("held", "sets", "said"),
    [
        (None, GRANTED, []),
        (frozenset((0, 5)), GRANTED, []),
        (frozenset((5,)), GRANTED, ["capability CAP_CHOWN cannot be granted: it is not one of the runtime's own"]),
        (None, Capabilities(effective=KILL), ["capability CAP_KILL cannot be granted: it is effective without"]),
        (None, Capabilities(ambient=KILL, permitted=KILL), ["cannot be granted: it is ambient without"]),
        (None, Capabilities(ambient=KILL, inheritable=KILL), ["cannot be granted: it is ambient without"]),
    ],
)
def test_what_cannot_be_granted_is_a_warning(held: frozenset[int] | None, sets: Capabilities, said: list[str]) -> None:
    plain = spec_process.Process(False, None, User(), ("sh",), (), "/", capabilities=sets)
    _, warnings = plan_process(plain, 40, held)
    assert len(warnings) == len(said)
    assert all(words in warning for words, warning in zip(said, warnings, strict=True))


@pytest.mark.parametrize(("last", "granted"), [(37, set()), (38, {38}), (40, {38})])
def test_an_older_kernel_knows_fewer(last: int, granted: set[int]) -> None:
    planned, warnings = process(last, capabilities=Capabilities(permitted=("CAP_PERFMON",)))
    assert planned.capabilities is not None
    assert planned.capabilities.permitted == granted
    assert len(warnings) == 1 - len(granted)


def test_the_console_size_is_height_and_width() -> None:
    planned, _ = process(terminal=True, console_size=ConsoleSize(25, 80))
    assert (planned.terminal, planned.console_size) == (True, (25, 80))


def test_without_a_terminal_the_console_size_is_ignored() -> None:
    assert process(console_size=ConsoleSize(25, 80))[0].console_size is None


# Hooks

KINDS = {
    "prestart": "prestart",
    "create_runtime": "createRuntime",
    "create_container": "createContainer",
    "start_container": "startContainer",
    "poststart": "poststart",
    "poststop": "poststop",
}


def test_no_hooks_are_six_empty_lists() -> None:
    assert plan_hooks(None) == plan_hooks(spec_hooks.Hooks()) == Hooks((), (), (), (), (), ())


@pytest.mark.parametrize("kind", KINDS)
def test_each_list_keeps_its_name_and_order(kind: str) -> None:
    given = spec_hooks.Hooks(**{kind: (spec_hooks.Hook("/a"), spec_hooks.Hook("/b"))})
    first, second = (f".hooks.{KINDS[kind]}[{index}]" for index in (0, 1))
    planned = (Hook(first, "/a", ("/a",), (), None), Hook(second, "/b", ("/b",), (), None))
    assert plan_hooks(given) == Hooks(**{kind: planned})


def test_a_hook_is_given_what_it_asks_for() -> None:
    (hook,) = plan_hooks(spec_hooks.Hooks(poststop=(spec_hooks.Hook("/h", ("x", "y"), ("A=1",), 9),))).poststop
    assert hook == Hook(".hooks.poststop[0]", "/h", ("x", "y"), ("A=1",), 9)
