"""Namespaces, id maps and the root: who makes what, and when."""

from __future__ import annotations

import pytest

from pyrunc.kernel import flags
from pyrunc.plan.namespaces import plan_id_maps, plan_namespaces
from pyrunc.plan.rootfs import plan_identity, plan_masks, plan_rootfs
from pyrunc.plan.steps import (
    IdMap,
    IdMaps,
    JoinNamespace,
    MaskPath,
    Namespaces,
    ReadonlyPath,
    Rootfs,
    SetDomainname,
    SetHostname,
    WriteSysctl,
)
from pyrunc.spec.config import Root, Spec
from pyrunc.spec.linux import Linux, Namespace, TimeOffset
from pyrunc.spec.mounts import IDMapping

ALL = ("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time")


def namespaces(*kinds: str | tuple[str, str]) -> tuple[Namespace, ...]:
    """Namespaces to make, and, given with a path, to join."""
    return tuple(Namespace(kind) if isinstance(kind, str) else Namespace(*kind) for kind in kinds)


def test_none_is_the_runtimes_own() -> None:
    assert plan_namespaces(Linux()) == Namespaces(0, 0, False, False, ())


def test_all_new_ones_have_their_moment() -> None:
    planned = plan_namespaces(Linux(namespaces(*ALL)))
    assert planned.at_clone == flags.CLONE_NEWUSER | flags.CLONE_NEWPID | flags.CLONE_NEWNS
    assert planned.in_child == flags.CLONE_NEWNET | flags.CLONE_NEWIPC | flags.CLONE_NEWUTS
    assert (planned.cgroup, planned.time, planned.join, planned.names) == (True, True, (), ALL)


@pytest.mark.parametrize("kind", ALL)
def test_one_new_namespace_is_made_in_one_place(kind: str) -> None:
    planned = plan_namespaces(Linux(namespaces(kind)))
    made = planned.at_clone | planned.in_child
    made |= flags.CLONE_NEWCGROUP * planned.cgroup | flags.CLONE_NEWTIME * planned.time
    assert made == flags.NAMESPACES[kind]
    assert not planned.at_clone & planned.in_child


@pytest.mark.parametrize("kind", ALL)
def test_a_path_is_joined_and_nothing_is_made(kind: str) -> None:
    planned = plan_namespaces(Linux(namespaces((kind, "/run/ns/x"))))
    join = (JoinNamespace(".linux.namespaces[0].path", kind, "/run/ns/x"),)
    assert planned == Namespaces(0, 0, False, False, join, names=(kind,))


def test_joins_keep_their_order_and_their_place() -> None:
    planned = plan_namespaces(Linux(namespaces("pid", ("network", "/n"), "ipc", ("uts", "/u"))))
    assert [(each.where, each.path) for each in planned.join] == [
        (".linux.namespaces[1].path", "/n"),
        (".linux.namespaces[3].path", "/u"),
    ]


OFFSETS = {"monotonic": TimeOffset(-5, 7), "boottime": TimeOffset(86400)}


def test_time_offsets_are_the_kernels_lines() -> None:
    planned = plan_namespaces(Linux(namespaces("time"), time_offsets=OFFSETS))
    assert planned.time_offsets == "monotonic -5 7\nboottime 86400 0\n"


def test_time_offsets_are_not_written_for_a_joined_namespace() -> None:
    planned = plan_namespaces(Linux(namespaces(("time", "/t")), time_offsets=OFFSETS))
    assert planned.time_offsets == ""


UIDS, GIDS = (IDMapping(0, 1000, 1), IDMapping(1, 100000, 65535)), (IDMapping(0, 7, 1),)


def test_id_maps_of_a_new_user_namespace() -> None:
    maps = plan_id_maps(Linux(namespaces("user"), UIDS, GIDS))
    assert maps == IdMaps((IdMap(0, 1000, 1), IdMap(1, 100000, 65535)), (IdMap(0, 7, 1),))


@pytest.mark.parametrize("kinds", [(), ("mount",), (("user", "/u"),)])
def test_no_id_maps_without_a_new_user_namespace(kinds: tuple[str | tuple[str, str], ...]) -> None:
    assert plan_id_maps(Linux(namespaces(*kinds), UIDS, GIDS)) is None


# The root


SHARED, SLAVE, PRIVATE = flags.MS_SHARED, flags.MS_SLAVE, flags.MS_PRIVATE
UNBINDABLE, REC = flags.MS_UNBINDABLE, flags.MS_REC


@pytest.mark.parametrize(
    ("wanted", "host", "root"),
    [
        (None, SLAVE | REC, PRIVATE | REC),
        ("shared", SHARED | REC, SHARED),
        ("rshared", SHARED | REC, SHARED | REC),
        ("slave", SLAVE | REC, SLAVE),
        ("rslave", SLAVE | REC, SLAVE | REC),
        ("private", PRIVATE | REC, PRIVATE),
        ("rprivate", PRIVATE | REC, PRIVATE | REC),
        ("unbindable", SLAVE | REC, UNBINDABLE),
        ("runbindable", SLAVE | REC, UNBINDABLE | REC),
    ],
)
def test_propagation_of_the_root_and_of_the_tree_around_it(wanted: str | None, host: int, root: int) -> None:
    assert plan_rootfs("/r", True, wanted, True, True) == Rootfs("/r", True, "pivot", host, root)


@pytest.mark.parametrize(
    ("mount_namespace", "pivot", "entry"),
    [(True, True, "pivot"), (True, False, "move"), (False, True, "chroot"), (False, False, "chroot")],
)
def test_how_the_root_is_entered(mount_namespace: bool, pivot: bool, entry: str) -> None:
    assert plan_rootfs("/r", False, None, mount_namespace, pivot).entry == entry


def test_readonly_paths_stand_before_masks_each_in_its_order() -> None:
    linux = Linux(masked_paths=("/proc/kcore", "/sys/x"), readonly_paths=("/proc/sys", "/proc/irq"))
    assert plan_masks(linux) == (
        ReadonlyPath(".linux.readonlyPaths[0]", "/proc/sys"),
        ReadonlyPath(".linux.readonlyPaths[1]", "/proc/irq"),
        MaskPath(".linux.maskedPaths[0]", "/proc/kcore"),
        MaskPath(".linux.maskedPaths[1]", "/sys/x"),
    )


def test_names_and_kernel_parameters() -> None:
    linux = Linux(sysctl={"net.ipv4.ip_forward": "1", "kernel.shmmax": "2"})
    steps = plan_identity(Spec("1.3.0", Root("r"), hostname="h", domainname="d", linux=linux))
    assert steps[:2] == (SetHostname(".hostname", "h"), SetDomainname(".domainname", "d"))
    assert [(step.name, step.value) for step in steps[2:] if isinstance(step, WriteSysctl)] == [
        ("net.ipv4.ip_forward", "1"),
        ("kernel.shmmax", "2"),
    ]


def test_a_kernel_parameter_has_the_path_that_the_rules_of_the_spec_give_it() -> None:
    (step,) = plan_identity(Spec("1.3.0", Root("r"), linux=Linux(sysctl={"kernel.sem": "1"})))
    assert step.where == '.linux.sysctl["kernel.sem"]'


@pytest.mark.parametrize("name", [None, ""])
def test_no_name_leaves_the_namespaces_alone(name: str | None) -> None:
    assert plan_identity(Spec("1.3.0", Root("r"), hostname=name, domainname=name)) == ()
