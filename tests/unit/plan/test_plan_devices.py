"""What ends up below /dev (config-linux.md, "Devices", "Default Devices")."""

from __future__ import annotations

import pytest

from pyrunc.plan.devices import plan_devices
from pyrunc.plan.steps import BindDevice, MakeDevice, MakeLink, Step
from pyrunc.spec.linux import Device
from pyrunc.spec.mounts import Mount

NODES = {
    "/dev/null": (1, 3),
    "/dev/zero": (1, 5),
    "/dev/full": (1, 7),
    "/dev/random": (1, 8),
    "/dev/urandom": (1, 9),
    "/dev/tty": (5, 0),
}
TMPFS = Mount("/dev", "tmpfs", "tmpfs")


def nodes(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    return tuple(step for step in steps if not isinstance(step, MakeLink))


def configured(*devices: Device, user_namespace: bool = False) -> Step:
    """The step of the only node that is configured."""
    steps = plan_devices(devices, (TMPFS,), user_namespace)
    (step,) = (step for step in steps if step.where)
    assert step.where == ".linux.devices[0]"
    return step


def test_default_devices_are_anybodys() -> None:
    expected = tuple(
        MakeDevice("", path, "c", major, minor, 0o666, 0, 0) for path, (major, minor) in NODES.items()
    )
    assert nodes(plan_devices((), (TMPFS,), False)) == expected


def test_in_a_user_namespace_the_hosts_are_bound() -> None:
    expected = tuple(BindDevice("", path, "c", major, minor) for path, (major, minor) in NODES.items())
    assert nodes(plan_devices((), (TMPFS,), True)) == expected


def test_links_are_made_where_they_lead_somewhere() -> None:
    steps = plan_devices((), (), False)
    assert tuple(step for step in steps if isinstance(step, MakeLink)) == (
        MakeLink("", "/dev/fd", "/proc/self/fd", "/proc/self/fd"),
        MakeLink("", "/dev/stdin", "/proc/self/fd/0", "/proc/self/fd/0"),
        MakeLink("", "/dev/stdout", "/proc/self/fd/1", "/proc/self/fd/1"),
        MakeLink("", "/dev/stderr", "/proc/self/fd/2", "/proc/self/fd/2"),
        MakeLink("", "/dev/core", "/proc/kcore", "/proc/kcore"),
        MakeLink("", "/dev/ptmx", "pts/ptmx", "/dev/pts/ptmx"),
    )


def test_a_configured_device_stands_in_for_the_default_one() -> None:
    own = Device("c", "/dev/null", 1, 3, 0o600, 5, 6)
    steps = [step for step in plan_devices((own,), (TMPFS,), False) if "/dev/null" in step.describe()]
    assert steps == [MakeDevice(".linux.devices[0]", "/dev/null", "c", 1, 3, 0o600, 5, 6)]


def test_what_a_device_leaves_open() -> None:
    expected = MakeDevice(".linux.devices[0]", "/dev/fuse", "c", 10, 229, 0o666, 0, 0)
    assert configured(Device("c", "/dev/fuse", 10, 229)) == expected


def test_a_mode_of_zero_is_a_mode() -> None:
    assert configured(Device("b", "/d", 8, 0, 0)) == MakeDevice(".linux.devices[0]", "/d", "b", 8, 0, 0, 0, 0)


def test_an_unbuffered_device_is_a_character_device() -> None:
    step = configured(Device("u", "/d", 10, 1))
    assert step == MakeDevice(".linux.devices[0]", "/d", "c", 10, 1, 0o666, 0, 0)


@pytest.mark.parametrize("user_namespace", [False, True])
def test_a_fifo_can_always_be_made(user_namespace: bool) -> None:
    step = configured(Device("p", "/run/pipe", file_mode=0o620, uid=1, gid=2), user_namespace=user_namespace)
    assert step == MakeDevice(".linux.devices[0]", "/run/pipe", "p", 0, 0, 0o620, 1, 2)


def test_configured_devices_are_bound_in_a_user_namespace() -> None:
    step = configured(Device("b", "/dev/sda", 8, 0, 0o600), user_namespace=True)
    assert step == BindDevice(".linux.devices[0]", "/dev/sda", "b", 8, 0)


def test_devices_come_before_links_in_the_order_of_the_config() -> None:
    steps = plan_devices((Device("c", "/b", 1, 1), Device("c", "/a", 1, 2)), (TMPFS,), False)
    assert [step.where for step in nodes(steps)[-2:]] == [".linux.devices[0]", ".linux.devices[1]"]
    assert [type(step) for step in steps[len(nodes(steps)) :]] == [MakeLink] * 6


@pytest.mark.parametrize("option", ["bind", "rbind"])
@pytest.mark.parametrize("destination", ["/dev", "/dev/", "dev"])
def test_a_dev_that_is_bound_is_the_hosts_and_left_alone(destination: str, option: str) -> None:
    assert plan_devices((), (Mount(destination, "bind", "/dev", ("ro", option)),), False) == ()


@pytest.mark.parametrize(
    "mount", [TMPFS, Mount("/dev/pts", "bind", "/x", ("bind",)), Mount("/d", None, "/dev", ("rbind",))]
)
def test_any_other_dev_is_filled(mount: Mount) -> None:
    assert len(nodes(plan_devices((), (mount,), False))) == len(NODES)
