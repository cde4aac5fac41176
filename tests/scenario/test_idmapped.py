"""Mapped owners of filesystems that the container gets anew (config.md, "Linux mount options", idmap)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario.test_user_namespaces import in_user_namespace

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scenario.bundle import Bundle

pytestmark = pytest.mark.differs_from_runc("id-mapped mounts are newer than runc 1.1.5")

# Files of 0 on the filesystem are seen as those of 1234.
IDS = [{"containerID": 0, "hostID": 1234, "size": 10}]
NO_MAPS: dict[str, Any] = {"uidMappings": [], "gidMappings": []}
MAPPED: dict[str, Any] = {"uidMappings": IDS, "gidMappings": IDS}


def layers(bundle: Bundle) -> list[str]:
    """Lower, upper and work directories of an overlay, with a file of root's in the lower one."""
    for name in ("lower", "upper", "work"):
        (bundle.dir / name).mkdir()
    (bundle.dir / "lower/file").write_text("42")
    return ["lowerdir=lower", "upperdir=upper", "workdir=work"]


def owner(bundle: Bundle, path: str) -> str:
    return bundle.run("stat", "-c", "%u %g", path).ok().stdout.strip()


@pytest.mark.parametrize("option", [[], ["idmap"], ["ridmap"]])
def test_tmpfs(bundle: Bundle, option: list[str]) -> None:
    assert owner(bundle.mount("/mnt", "tmpfs", "tmpfs", ["mode=755", *option], **MAPPED), "/mnt") == "1234 1234"


def test_read_only_tmpfs_with_what_was_there(bundle: Bundle) -> None:
    bundle.write("/mnt/file", "42").mount("/mnt", "tmpfs", "tmpfs", ["ro", "tmpcopyup", "idmap"])
    os.chown(bundle.path("/mnt/file"), 100000, 100000)
    os.chown(bundle.path("/mnt"), 100000, 100000)
    said = in_user_namespace(bundle).run("sh", "-c", "cat /mnt/file; touch /mnt/new")
    assert said.stdout == "42"
    assert "Read-only" in said.stderr


def test_what_was_there_is_copied_as_a_user_who_is_mapped(bundle: Bundle) -> None:
    bundle.write("/mnt/file", "42").mount("/mnt", "tmpfs", "tmpfs", ["tmpcopyup"], **MAPPED)
    for path in ("/mnt", "/mnt/file"):
        os.chown(bundle.path(path), 1235, 1236)
    said = bundle.run("sh", "-c", "stat -c '%u %g' /mnt /mnt/file; cat /mnt/file").ok().stdout
    assert said == "1235 1236\n1235 1236\n42"


def test_what_was_there_may_have_no_owner_in_a_mapped_tmpfs(bundle: Bundle) -> None:
    bundle.write("/mnt/file", "42").mount("/mnt", "tmpfs", "tmpfs", ["tmpcopyup"], **MAPPED)
    result = bundle.run("true")
    assert result.returncode == 1
    assert "one has an owner who is not mapped" in result.stderr


def test_tmpfs_of_the_containers_own_maps(bundle: Bundle) -> None:
    """The filesystem is one of the host's root, and the container's root owns it all the same."""
    in_user_namespace(bundle).mkdir("/mnt").mount("/mnt", "tmpfs", "tmpfs", ["idmap", "mode=700"])
    said = bundle.run("sh", "-c", "stat -c '%u %g' /mnt; touch /mnt/new; stat -c '%u %g' /mnt/new").ok()
    assert said.stdout == "0 0\n0 0\n"


@pytest.mark.requires("overlay", "idmapped-overlay")
def test_overlay(bundle: Bundle) -> None:
    assert owner(bundle.mount("/mnt", "overlay", "overlay", layers(bundle), **MAPPED), "/mnt/file") == "1234 1234"


@pytest.mark.requires("overlay", "idmapped-overlay")
def test_what_is_written_to_an_overlay_belongs_to_the_unmapped_id(bundle: Bundle) -> None:
    bundle.mkdir("/mnt").mount("/mnt", "overlay", "overlay", [*layers(bundle), "idmap"])
    in_user_namespace(bundle).run("sh", "-c", "echo new > /mnt/new; echo 43 > /mnt/file").ok()
    found = [os.stat(bundle.dir / "upper" / name) for name in ("new", "file")]
    assert [(each.st_uid, each.st_gid) for each in found] == [(0, 0)] * 2
    assert (bundle.dir / "lower/file").read_text() == "42"


@pytest.mark.requires("overlay", "idmapped-overlay")
def test_overlay_with_the_maps_of_a_joined_namespace(bundle: Bundle, new_bundle: Callable[[], Bundle]) -> None:
    holder = in_user_namespace(new_bundle()).process(args=["sleep", "60"]).create()
    bundle.namespace("user", f"/proc/{holder.pid}/ns/user").linux(**NO_MAPS).mkdir("/mnt")
    bundle.mount("/mnt", "overlay", "overlay", [*layers(bundle), "idmap"])
    bundle.run("sh", "-c", "stat -c %u /mnt/file; echo new > /mnt/new").ok()
    assert (bundle.dir / "upper/new").stat().st_uid == 0


@pytest.mark.requires("overlay", "idmapped-overlay")
def test_overlay_without_an_upper_layer(bundle: Bundle) -> None:
    layers(bundle)
    bundle.mount("/mnt", "overlay", "overlay", ["lowerdir=lower:upper"], **MAPPED)
    assert owner(bundle, "/mnt/file") == "1234 1234"


def test_filesystem_that_cannot_be_mapped_is_refused(bundle: Bundle) -> None:
    result = bundle.mount("/mnt", "mqueue", "mqueue", ["idmap"], **MAPPED).run("true")
    assert result.returncode == 1
    assert ".mounts[4]" in result.stderr
    assert "cannot map the owners of mqueue" in result.stderr
