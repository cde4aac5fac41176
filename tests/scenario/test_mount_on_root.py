"""A mount on "/": the container's root is then what is mounted there, as with a hostPath volume of "/" in Kubernetes.

config.md says of a destination only that it is a path in the container. What comes after such a mount in the list
belongs into it, and so do devices, masks and the working directory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.scenario.test_user_namespaces import in_user_namespace

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scenario.bundle import Bundle


@pytest.fixture
def covered(bundle: Bundle, new_bundle: Callable[[], Bundle]) -> Bundle:
    """A container whose own rootfs is empty, with another one mounted over it, and the usual mounts after that."""
    other = new_bundle()
    other.write("/mark", "the other one")
    bundle.write("/mark", "its own")
    usual = bundle.config["mounts"]
    bundle.config["mounts"] = [{"destination": "/", "source": str(other.rootfs), "options": ["rbind"]}, *usual]
    return bundle


def root_options(bundle: Bundle, *options: str) -> Bundle:
    bundle.config["mounts"][0]["options"] = list(options)
    return bundle


@pytest.mark.parametrize("kind", ["bind", "rbind"])
def test_root_is_what_is_mounted(covered: Bundle, kind: str) -> None:
    assert root_options(covered, kind).run("cat", "/mark").ok().stdout == "the other one"


def test_later_mounts_are_in_it(covered: Bundle) -> None:
    points = [mount.point for mount in covered.mount("/tmp", "tmpfs", "tmpfs").mounted()]
    assert {"/", "/proc", "/dev", "/dev/pts", "/tmp"} <= set(points)


def test_devices_and_masks_are_in_it(covered: Bundle) -> None:
    covered.linux(maskedPaths=["/mark"])
    assert covered.run("sh", "-c", "cat /mark; test -c /dev/null && echo there").ok().stdout == "there\n"


def test_nothing_of_the_hosts_is_left(covered: Bundle) -> None:
    """No way back: neither the covered root nor the host's tree is among the mounts."""
    mounts = covered.mounted()
    assert [mount.point for mount in mounts].count("/") == 1
    assert not any(covered.token in mount.point for mount in mounts)


def test_read_only(covered: Bundle) -> None:
    said = root_options(covered, "rbind", "ro").run("touch", "/new")
    assert "Read-only file system" in said.stderr


def test_read_only_root(covered: Bundle) -> None:
    covered.config["root"]["readonly"] = True
    assert "Read-only file system" in covered.run("touch", "/new").stderr


def test_tmpfs_as_root(bundle: Bundle, new_bundle: Callable[[], Bundle]) -> None:
    other = new_bundle()
    bundle.config["mounts"] = [
        {"destination": "/", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/bin", "source": f"{other.rootfs}/bin", "options": ["bind"]},
        *bundle.config["mounts"],
    ]
    assert sorted(bundle.run("ls", "/").ok().stdout.split()) == ["bin", "dev", "proc"]


def test_user_namespace(covered: Bundle) -> None:
    assert in_user_namespace(covered).run("sh", "-c", "cat /mark; id -u").ok().stdout == "the other one0\n"


@pytest.mark.parametrize("options", [["rbind"], ["rbind", "ro"], ["rbind", "rro"], ["rbind", "rslave"]])
def test_root_of_the_host(bundle: Bundle, options: list[str]) -> None:
    """The tests of a whole host: /proc and /dev come with it, and the container's own are mounted over them."""
    usual = bundle.config["mounts"]
    bundle.config["mounts"] = [{"destination": "/", "source": "/", "options": options}, *usual]
    bundle.write("/only-in-the-rootfs", "")
    said = bundle.run("/bin/sh", "-c", "test ! -e /only-in-the-rootfs && echo $$ && ls /proc/1/ns | head -1").ok()
    assert said.stdout == "1\ncgroup\n"


def test_root_of_the_host_in_a_user_namespace(bundle: Bundle) -> None:
    usual = bundle.config["mounts"]
    bundle.config["mounts"] = [{"destination": "/", "source": "/", "options": ["rbind"]}, *usual]
    assert in_user_namespace(bundle).run("/bin/sh", "-c", "echo $$").ok().stdout == "1\n"


def test_terminal_is_in_it(covered: Bundle) -> None:
    with covered.process(terminal=True, args=["tty"]).console() as console:
        covered.create("--console-socket", console.path)
        console.master()
        covered.delete("--force")


def test_no_pivot(covered: Bundle) -> None:
    covered.process(args=["cat", "/mark"])
    assert covered.attempt("run", "--no-pivot").ok().stdout == "the other one"
