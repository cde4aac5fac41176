"""Namespaces, and the fork that goes with them."""

from __future__ import annotations

import errno
import os
import select
import socket

import pytest

from pyrunc.kernel import mounts, namespaces, paths
from pyrunc.kernel.flags import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    CLONE_PARENT,
    NAMESPACES,
    PROC_NAMES,
)
from tests.kernel.apart import apart

pytestmark = pytest.mark.requires("root")


def test_clone3_makes_a_child_with_a_pidfd() -> None:
    pid, pidfd = namespaces.clone3(0)
    if pid == 0:
        os._exit(7)
    assert select.select([pidfd], [], [], 10)[0] == [pidfd]
    assert os.waitid(os.P_PIDFD, pidfd, os.WEXITED).si_status == 7  # type: ignore[union-attr]
    assert not os.get_inheritable(pidfd)
    os.close(pidfd)


def test_the_child_is_in_the_new_namespaces_and_no_others() -> None:
    asked = CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC
    pid, pidfd = namespaces.clone3(asked)
    if pid == 0:
        while True:
            os.sched_yield()
    try:
        differ = {
            name
            for name, file in PROC_NAMES.items()
            if os.stat(f"/proc/{pid}/ns/{file}").st_ino != os.stat(f"/proc/self/ns/{file}").st_ino
        }
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(pidfd)
    assert differ == {"pid", "uts", "ipc"}


def test_what_is_foreign_of_a_process() -> None:
    asked = CLONE_NEWUTS | CLONE_NEWIPC
    pid, pidfd = namespaces.clone3(asked)
    if pid == 0:
        while True:
            os.sched_yield()
    try:
        found = namespaces.foreign(pid), namespaces.foreign(os.getpid())
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(pidfd)
    assert found == (asked, 0)
    with pytest.raises(FileNotFoundError):
        namespaces.foreign(pid)


def test_the_child_can_work_as_any_python() -> None:
    """What the C library and the interpreter keep about a process must not be needed, or be right."""

    def body() -> tuple[int, int, bytes]:
        reader, writer = os.pipe()
        pid, _ = namespaces.clone3(CLONE_NEWPID)
        if pid == 0:
            grandchild = os.fork()
            if grandchild == 0:
                os.write(writer, b"grandchild %d" % os.getpid())
                os._exit(0)
            waited, _ = os.waitpid(grandchild, 0)
            os._exit(os.getpid() * 10 + (waited == grandchild))
        os.close(writer)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), pid, os.read(reader, 100)

    status, pid, said = apart(body)
    assert (status, said) == (11, b"grandchild 2")
    assert pid > 2


@pytest.mark.vm
def test_the_child_starts_in_a_cgroup() -> None:
    def body() -> tuple[str, str]:
        root = mounts.new_filesystem("cgroup2", "", (), 0)
        name = f"pyrunc-test-{os.getpid()}"
        os.mkdir(name, dir_fd=root)
        try:
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)
            pid, _ = namespaces.clone3(0, cgroup_fd=fd)
            if pid == 0:
                while True:
                    os.sched_yield()
            with open(f"/proc/{pid}/cgroup") as lines:
                found = next(line for line in lines if line.startswith("0::"))
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        finally:
            os.rmdir(name, dir_fd=root)
        return name, found.strip()

    name, found = apart(body)
    assert found.endswith(f"/{name}")


def test_a_sibling_has_no_exit_signal_of_its_own() -> None:
    """clone3(2) refuses CLONE_PARENT with a signal; without one the child is our parent's."""
    with pytest.raises(OSError, match="Invalid argument"):
        namespaces.clone3(CLONE_PARENT)

    def body() -> tuple[int, int]:
        reader, writer = os.pipe()
        pid, _ = namespaces.clone3(CLONE_PARENT, exit_signal=0)
        if pid == 0:
            os.write(writer, str(os.getppid()).encode())
            os._exit(0)
        os.close(writer)
        return int(os.read(reader, 100)), os.getppid()

    parent_of_sibling, our_parent = apart(body)
    assert parent_of_sibling == our_parent == os.getpid()
    os.waitpid(-1, os.WNOHANG)


def test_clone3_says_why_it_fails() -> None:
    def body() -> None:
        with pytest.raises(OSError, match="Bad file descriptor"):
            namespaces.clone3(0, cgroup_fd=999)

    apart(body)


@pytest.mark.parametrize("name", NAMESPACES)
def test_ns_type_tells_the_flag(name: str) -> None:
    fd = os.open(f"/proc/self/ns/{PROC_NAMES[name]}", os.O_RDONLY)
    assert namespaces.ns_type(fd) == NAMESPACES[name]
    os.close(fd)


def test_ns_type_of_something_else_is_an_error() -> None:
    fd = os.open("/dev/null", os.O_RDONLY)
    with pytest.raises(OSError, match="ioctl") as caught:
        namespaces.ns_type(fd)
    assert caught.value.errno == errno.ENOTTY
    os.close(fd)


def test_names_are_set_in_this_namespace_only() -> None:
    before = socket.gethostname()

    def body() -> tuple[str, str]:
        namespaces.sethostname("inside")
        namespaces.setdomainname("domain")
        with open("/proc/sys/kernel/domainname") as file:
            return socket.gethostname(), file.read()

    assert apart(body, CLONE_NEWUTS) == ("inside", "domain\n")
    assert socket.gethostname() == before


def test_a_name_may_be_too_long() -> None:
    def body() -> None:
        for function in (namespaces.sethostname, namespaces.setdomainname):
            function("x" * 64)
            with pytest.raises(OSError, match="Invalid argument"):
                function("x" * 65)

    apart(body, CLONE_NEWUTS)


def test_setns_goes_back() -> None:
    def body() -> tuple[bool, bool]:
        home = os.open("/proc/self/ns/uts", os.O_RDONLY)
        namespaces.unshare(CLONE_NEWUTS)
        away = os.open("/proc/self/ns/uts", os.O_RDONLY)
        namespaces.setns(home, CLONE_NEWUTS)
        back = os.open("/proc/self/ns/uts", os.O_RDONLY)
        return namespaces.same(home, away), namespaces.same(home, back)

    assert apart(body) == (False, True)


def test_setns_refuses_another_kind() -> None:
    def body() -> None:
        with pytest.raises(OSError, match="Invalid argument"):
            namespaces.setns(os.open("/proc/self/ns/uts", os.O_RDONLY), CLONE_NEWIPC)

    apart(body)


def test_a_namespace_knows_its_owner() -> None:
    def body() -> tuple[bool, bool]:
        before = os.open("/proc/self/ns/user", os.O_RDONLY)
        namespaces.unshare(CLONE_NEWUSER | CLONE_NEWCGROUP)
        now = os.open("/proc/self/ns/user", os.O_RDONLY)
        owner = namespaces.owner_of(os.open("/proc/self/ns/cgroup", os.O_RDONLY))
        return namespaces.same(owner, now), namespaces.same(owner, before)

    assert apart(body) == (True, False)


def test_unshare_leaves_the_mounts_of_the_host() -> None:
    def body() -> int:
        target = paths.open_root("/mnt")
        mounts.move_mount(mounts.new_filesystem("tmpfs", "", (), 0), target)
        return os.stat("/mnt").st_dev

    assert apart(body, CLONE_NEWNS) != os.stat("/mnt").st_dev
