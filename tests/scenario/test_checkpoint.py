"""checkpoint and restore: a container goes on where it was, confined as before, and nothing of it stays behind.

All of this happens in pid and mount namespaces of the test's own. What is restored, frozen and killed by mistake
would be processes there, not of the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import host_has
from tests.lanes import SLOWNESS
from tests.scenario import host
from tests.scenario.bundle import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenario.bundle import Bundle, Result

pytestmark = pytest.mark.requires("criu")

# Whole at every moment, also at the one when it is saved. It must leave a slow machine's processor to the test.
PAUSE = 0.02 * min(SLOWNESS, 5)
COUNTER = f"i=0; while :; do i=$((i+1)); echo $i > /tmp/new; mv /tmp/new /tmp/count; sleep {PAUSE:g}; done"
# What is started with "&" would read /dev/null by itself.
# A system call that criu interrupts may fail afterwards (EINTR), and not every program begins it again.
ECHO = f"exec 3<&0; (while :; do read line <&3 && echo got $line; done) & {COUNTER}"
# As pid 1 a shell collects whatever is orphaned in the box.
INIT = "trap : TERM; while :; do sleep 1000 & wait; done"
# A container's streams that are files of the host's are saved by pyrunc alone; what a runtime says is in its log.
NULL = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
STREAMS: dict[str, Any] = {"stdin": NULL, "stdout": NULL, "stderr": NULL}
QUIET: dict[str, Any] = {"stdin_fd": NULL, "stdout": NULL, "stderr": NULL}


@contextlib.contextmanager
def box() -> Iterator[int]:
    """A pid and a mount namespace; gives the pid of the first process, and everything in there ends with it."""
    words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", INIT]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as holder:
        children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children")
        assert host.eventually(lambda: children.read_text().split())
        first = int(children.read_text())
        own = os.stat("/proc/self/ns/mnt")
        # unshare mounts /proc, and then becomes the shell.
        assert host.eventually(lambda: Path(f"/proc/{first}/comm").read_text() == "sh\n")
        assert os.stat(f"/proc/{first}/ns/mnt") != own
        yield first
        holder.kill()


@pytest.fixture
def counter(bundle: Bundle) -> Iterator[Bundle]:
    """A container that counts in /tmp/count, in a box.

    It has the host's network: criu's dump of a network needs more of the kernel than a counter does.
    """
    runtime = bundle.runtime
    with box() as first:
        wrapper = bundle.dir / "runtime"
        wrapper.write_text(f'#!/bin/sh\nexec nsenter --target {first} --mount --pid --wd=/ {runtime} "$@"\n')
        wrapper.chmod(0o755)
        bundle.runtime = str(wrapper)
        bundle.options = ["--log", f"{bundle.dir}/log"]
        yield bundle.without_namespace("network").process(args=["sh", "-c", COUNTER])
        bundle.attempt("delete", "--force")
        bundle.runtime = runtime


def images(bundle: Bundle) -> list[str]:
    return ["--image-path", f"{bundle.dir}/images", "--work-path", f"{bundle.dir}/work"]


def count(bundle: Bundle) -> int:
    """The counter's number, as soon as there is one."""
    file = bundle.path("/tmp/count")
    assert host.eventually(file.exists)
    return int(file.read_text())


def started(bundle: Bundle, least: int = 3) -> Bundle:
    bundle.attempt("run", "--detach", **QUIET)._replace(stderr=said(bundle)).ok()
    assert host.eventually(lambda: count(bundle) >= least)
    return bundle


def checkpointed(bundle: Bundle, *flags: str) -> int:
    """Checkpoint the container; returns what it had counted to."""
    bundle.attempt("checkpoint", *images(bundle), *flags).ok()
    return count(bundle)


def restore(bundle: Bundle, *flags: str, **more: Any) -> Result:
    bundle.save()
    where = ["--bundle", str(bundle.dir), *images(bundle)]
    result = bundle.attempt("restore", *where, "--detach", *flags, **{**QUIET, **more})
    return result._replace(stderr=said(bundle))


def goes_on(bundle: Bundle, from_: int) -> None:
    assert host.eventually(lambda: count(bundle) > from_ + 3)
    assert count(bundle) < from_ + 3000, "it began anew, or somebody else counts"


def said(bundle: Bundle) -> str:
    """All that the runtime has put into its log so far."""
    log = bundle.dir / "log"
    return log.read_text() if log.exists() else ""


def pids(bundle: Bundle, hierarchy: str = "freezer") -> list[str]:
    return Path(host.hierarchies().get(hierarchy, "/sys/fs/cgroup"), bundle.token, "cgroup.procs").read_text().split()


def test_a_counter_goes_on_where_it_stopped(counter: Bundle) -> None:
    reached = checkpointed(started(counter))
    assert counter.attempt("state").returncode == 1, "it was to be deleted"
    time.sleep(0.2)
    assert count(counter) == reached
    restore(counter).ok()
    assert counter.status == "running"
    goes_on(counter, reached)


def test_nothing_is_left_of_a_container_that_was_saved(counter: Bundle) -> None:
    checkpointed(started(counter))
    assert host.eventually(lambda: host.leftovers(counter.token, counter.root) == [])


def test_it_can_be_saved_and_restored_again(counter: Bundle) -> None:
    reached = checkpointed(started(counter))
    for _ in range(2):
        restore(counter).ok()
        goes_on(counter, reached)
        reached = checkpointed(counter)


def test_left_running(counter: Bundle) -> None:
    pid = started(counter).pid
    reached = checkpointed(counter, "--leave-running")
    assert (counter.status, counter.pid) == ("running", pid)
    goes_on(counter, reached)


def test_a_paused_container(counter: Bundle) -> None:
    """As containerd does it: pause, checkpoint, resume."""
    started(counter).attempt("pause").ok()
    reached = count(counter)
    checkpointed(counter)
    assert host.eventually(lambda: host.leftovers(counter.token, counter.root) == [])
    restore(counter).ok()
    goes_on(counter, reached)


def test_a_paused_container_that_is_left_running(counter: Bundle) -> None:
    started(counter).attempt("pause").ok()
    checkpointed(counter, "--leave-running")
    reached = count(counter)
    assert counter.status == "paused"
    counter.attempt("resume").ok()
    goes_on(counter, reached)


def test_pid_file_and_flags_of_containerd(counter: Bundle) -> None:
    checkpointed(started(counter))
    restore(counter, "--pid-file", f"{counter.dir}/pid", "-no-subreaper").ok()
    assert (counter.dir / "pid").read_text() == str(counter.pid)


def test_logs_of_criu_are_in_the_work_path(counter: Bundle) -> None:
    checkpointed(started(counter))
    restore(counter).ok()
    assert {path.name for path in (counter.dir / "work").iterdir()} >= {"dump.log", "restore.log"}


def test_it_can_be_killed_and_deleted_like_any_other(counter: Bundle) -> None:
    checkpointed(started(counter))
    restore(counter).ok()
    counter.kill("KILL")
    assert host.eventually(lambda: counter.status == "stopped")
    counter.delete()


def test_a_new_id(counter: Bundle) -> None:
    """In a cgroup that is another one as well."""
    reached = checkpointed(started(counter))
    counter.id += "-new"
    counter.linux(cgroupsPath=f"/{counter.token}-new")
    restore(counter).ok()
    goes_on(counter, reached)
    assert counter.attempt("state", id=counter.token).returncode == 1
    counter.delete("--force")
    counter.id = counter.token


def test_processes_of_the_container_come_along(counter: Bundle) -> None:
    script = f"(while :; do sleep 1000; done) & (while :; do sleep 1001; done) & {COUNTER}"
    started(counter.process(args=["sh", "-c", script]))
    assert host.eventually(lambda: sleepers(counter) == ["1000", "1001"])
    checkpointed(counter)
    restore(counter).ok()
    assert host.eventually(lambda: sleepers(counter) == ["1000", "1001"])


def sleepers(bundle: Bundle) -> list[str]:
    """How long the container's processes sleep, except for the counter's."""
    found = [arguments(pid) for pid in pids(bundle, controller())]
    return sorted(words[1] for words in found if words[0] == "sleep" and words[1] > "1")


def arguments(pid: str) -> list[str]:
    """The command line of a process, which may end meanwhile."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except FileNotFoundError:
        return [""]


def controller() -> str:
    return "freezer" if "freezer" in host.hierarchies() else "cgroup2"


# The container's surroundings


def test_bind_mounts_masks_and_read_only_paths(counter: Bundle) -> None:
    (counter.dir / "shared").mkdir()
    counter.mount("/tmp", "bind", f"{counter.dir}/shared", ["rbind", "rw"])
    counter.mount("/etc/passwd", "bind", f"{counter.dir}/config.json", ["bind", "ro"])
    counter.linux(maskedPaths=["/proc/kcore", "/proc/keys", "/proc/acpi"], readonlyPaths=["/proc/sys"])
    counter.symlink("/var/run", "/run").mount("/var/run/secrets", "bind", f"{counter.dir}/shared", ["rbind", "ro"])
    counted = counter.dir / "shared/count"
    counter.attempt("run", "--detach", **QUIET).ok()
    before = mount_table(counter)
    assert before["/run/secrets"] == before["/etc/passwd"] == before["/proc/sys"] == "ro"
    counter.attempt("checkpoint", *images(counter)).ok()
    reached = counted.read_text()
    restore(counter).ok()
    assert host.eventually(lambda: counted.read_text() not in ("", reached))
    assert mount_table(counter) == before


def test_mount_points_that_a_new_root_lacks(counter: Bundle) -> None:
    (counter.dir / "shared").mkdir()
    counter.mount("/run/shared", "bind", f"{counter.dir}/shared", ["bind"])
    counter.mount("/run/passwd", "bind", f"{counter.dir}/config.json", ["bind", "ro"])
    reached = checkpointed(started(counter))
    counter.path("/run/shared").rmdir()
    counter.path("/run/passwd").unlink()
    restore(counter).ok()
    goes_on(counter, reached)


@pytest.mark.differs_from_runc("the root is writable afterwards")
def test_a_read_only_root(counter: Bundle) -> None:
    counter.set(root={"path": "rootfs", "readonly": True}).mount("/tmp", "tmpfs", "tmpfs")
    counter.attempt("run", "--detach", **QUIET).ok()
    counter.attempt("checkpoint", *images(counter)).ok()
    restore(counter).ok()
    assert mount_table(counter)["/"] == "ro"
    counter.delete("--force")


@pytest.mark.differs_from_runc("they are copies")
def test_mounts_below_a_bind_source(counter: Bundle) -> None:
    """They are the host's afterwards as well, and not copies of what was in them."""
    (counter.dir / "shared/below").mkdir(parents=True)
    enter = ["nsenter", "--target", str(first_of_box(counter)), "--mount", "--"]
    subprocess.run([*enter, "mount", "-t", "tmpfs", "t", f"{counter.dir}/shared/below"], check=True)
    counter.mount("/shared", "bind", f"{counter.dir}/shared", ["rbind"])
    counter.process(args=["sh", "-c", COUNTER.replace("/tmp/", "/shared/below/")])
    counter.attempt("run", "--detach", **QUIET).ok()
    read = [*enter, "cat", f"{counter.dir}/shared/below/count"]
    assert host.eventually(lambda: subprocess.run(read, capture_output=True, check=False).stdout)
    counter.attempt("checkpoint", *images(counter)).ok()
    reached = subprocess.run(read, capture_output=True, check=True).stdout
    restore(counter).ok()
    assert host.eventually(lambda: subprocess.run(read, capture_output=True, check=True).stdout != reached)


def mount_table(bundle: Bundle) -> dict[str, str]:
    """Mount points of the container with ro or rw."""
    first = first_of_box(bundle)
    words = ["nsenter", "--target", str(first), "--mount", "cat", f"/proc/{bundle.pid}/mountinfo"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return {each.point: "ro" if "ro" in each.options else "rw" for each in host.parse_mountinfo(text)}


def first_of_box(bundle: Bundle) -> int:
    return int(Path(bundle.runtime).read_text().partition("--target ")[2].split()[0])


def test_streams_are_those_of_the_restoring_caller(counter: Bundle) -> None:
    counter.process(args=["sh", "-c", ECHO]).save()
    inner, outer = os.pipe()
    kept, written = os.pipe()
    with subprocess.Popen(
        counter.command("run", "--detach"), stdin=inner, stdout=written, stderr=subprocess.DEVNULL
    ) as running:
        assert running.wait(TIMEOUT) == 0
    assert host.eventually(lambda: count(counter) > 3)
    checkpointed(counter)
    for fd in (inner, outer, kept, written):
        os.close(fd)
    inner, outer = os.pipe()
    kept, written = os.pipe()
    restore(counter, stdin_fd=inner, stdout=written).ok()
    os.close(written)
    assert answer(kept, b"again\n", outer) == "got again"
    for fd in (inner, outer, kept):
        os.close(fd)


@pytest.mark.differs_from_runc("a stream that is a file of the host's cannot be saved")
def test_streams_that_are_files(counter: Bundle) -> None:
    """They have to be given again as they were."""
    script = f"echo before; while [ ! -e /tmp/go ]; do sleep 0.01; done; echo after; {COUNTER}"
    output = counter.dir / "output"
    counter.process(args=["sh", "-c", script])
    with output.open("a") as file:
        counter.attempt("run", "--detach", stdin_fd=NULL, stdout=file, stderr=file).ok()
        assert host.eventually(lambda: output.read_text() == "before\n")
        counter.attempt("checkpoint", *images(counter)).ok()
        restore(counter, stdout=file, stderr=file).ok()
    counter.write("/tmp/go", "")
    assert host.eventually(lambda: output.read_text() == "before\nafter\n")


def answer(from_: int, words: bytes, to: int = -1) -> str:
    """Say something to the container, on the same descriptor if `to` is none, and wait for what it says."""
    os.write(from_ if to < 0 else to, words)
    assert select.select([from_], [], [], TIMEOUT)[0], "no answer"
    return os.read(from_, 1000).decode().strip()


@pytest.mark.requires("tty")
def test_terminal(counter: Bundle) -> None:
    counter.process(terminal=True, args=["sh", "-c", f"stty -echo; {ECHO}"])
    with counter.console() as console:
        counter.attempt("run", "--detach", "--console-socket", console.path, **QUIET).ok()
        assert answer(console.master(), b"one\r") == "got one"
        assert host.eventually(lambda: count(counter) > 3)
        checkpointed(counter)
        restore(counter, "--console-socket", console.path).ok()
        assert answer(console.master(), b"two\r") == "got two"
        goes_on(counter, count(counter))
        counter.kill("KILL")


@pytest.mark.requires("tty")
def test_terminal_of_a_detached_container_needs_a_socket(counter: Bundle) -> None:
    checkpointed(started(counter))
    counter.process(terminal=True)
    assert restore(counter).returncode == 1


def test_foreground_restore_has_the_exit_code_of_the_program(counter: Bundle) -> None:
    counter.process(args=["sh", "-c", "trap 'exit 7' USR1; " + COUNTER])
    checkpointed(started(counter))
    words = counter.command("restore", "--bundle", str(counter.dir), *images(counter))
    with subprocess.Popen(words, env=counter.environment(), **STREAMS) as running:
        assert host.eventually(lambda: counter.attempt("state").returncode == 0 and counter.status == "running")
        counter.kill("USR1")
        assert running.wait(TIMEOUT) == 7
    assert counter.attempt("state").returncode == 1


def test_limits_hold_again(counter: Bundle) -> None:
    counter.resources(memory={"limit": 40 << 20}, pids={"limit": 20})
    checkpointed(started(counter))
    restore(counter).ok()
    assert limit(counter, "memory", "memory.limit_in_bytes", "memory.max") == str(40 << 20)
    assert limit(counter, "pids", "pids.max", "pids.max") == "20"


@pytest.mark.differs_from_runc("criu itself is held to the container's limits", strict=False)
def test_limits_that_leave_criu_no_room(counter: Bundle) -> None:
    counter.resources(memory={"limit": 6 << 20}, pids={"limit": 3})
    reached = checkpointed(started(counter))
    restore(counter).ok()
    goes_on(counter, reached)
    assert limit(counter, "memory", "memory.limit_in_bytes", "memory.max") == str(6 << 20)
    assert limit(counter, "pids", "pids.max", "pids.max") == "3"


def limit(bundle: Bundle, controller: str, v1: str, v2: str) -> str:
    mounts = host.hierarchies()
    place = Path(mounts[controller], bundle.token, v1) if controller in mounts else None
    return (place or Path(mounts["cgroup2"], bundle.token, v2)).read_text().strip()


def test_a_new_namespace_and_its_host_name(counter: Bundle) -> None:
    checkpointed(started(counter.set(hostname="counting")))
    restore(counter).ok()
    assert inside(counter, "hostname") == "counting\n"


def inside(bundle: Bundle, *words: str) -> str:
    enter = ["nsenter", "--target", str(first_of_box(bundle)), "--mount", "--pid", "--"]
    there = ["nsenter", "--target", str(bundle.pid), "--all", *words]
    return subprocess.run([*enter, *there], capture_output=True, text=True, check=True).stdout


def need_networks_of_criu() -> None:
    """No reason to fail in CI: with the lane's kernel criu dumps no network namespace, for runc neither."""
    if not host_has("criu-network"):
        pytest.skip("criu cannot dump network namespaces on this kernel")


@pytest.mark.differs_from_runc("lo is down", strict=False)
def test_a_network_of_its_own(counter: Bundle) -> None:
    """It is empty, for hooks and engines to fill, but for lo."""
    need_networks_of_criu()
    reached = checkpointed(started(counter.namespace("network")))
    restore(counter).ok()
    goes_on(counter, reached)
    assert "lo" in inside(counter, "ip", "-o", "link", "show", "up")


@pytest.mark.parametrize("kind", ["network", "ipc", "uts"])
def test_a_namespace_that_it_shares(counter: Bundle, kind: str) -> None:
    if kind == "network":
        need_networks_of_criu()
    file = {"network": "net"}.get(kind, kind)
    place = counter.dir / "namespace"
    place.write_text("")
    enter = ["nsenter", "--target", str(first_of_box(counter)), "--mount", "--pid", "--"]
    subprocess.run([*enter, "unshare", f"--{file}={place}", "true"], check=True)
    wanted = subprocess.run([*enter, "stat", "-L", "-c", "%i", place], capture_output=True, text=True, check=True)
    reached = checkpointed(started(counter.namespace(kind, str(place))))
    restore(counter).ok()
    goes_on(counter, reached)
    found = [*enter, "stat", "-L", "-c", "%i", f"/proc/{counter.pid}/ns/{file}"]
    assert subprocess.run(found, capture_output=True, text=True, check=True).stdout == wanted.stdout


@pytest.mark.differs_from_runc("it has the keyring of whoever restores it")
def test_a_session_keyring_of_its_own(counter: Bundle) -> None:
    counter.process(args=["sh", "-c", COUNTER.replace("mv /tmp/new", "cat /proc/keys > /tmp/keys; mv /tmp/new")])
    reached = checkpointed(started(counter))
    counter.path("/tmp/keys").unlink()
    restore(counter).ok()
    goes_on(counter, reached)
    assert f"_ses.{counter.id}" in counter.path("/tmp/keys").read_text()


@pytest.mark.requires("soft-dirty")
def test_memory_is_saved_beforehand(counter: Bundle) -> None:
    started(counter).attempt("checkpoint", "--image-path", f"{counter.dir}/before", "--pre-dump").ok()
    goes_on(counter, count(counter))
    reached = checkpointed(counter, "--parent-path", "../before")
    assert (counter.dir / "images/parent").exists()
    restore(counter).ok()
    goes_on(counter, reached)


@pytest.mark.parametrize(
    "flags",
    [
        ["--parent-path", "nowhere"],
        ["--parent-path", "/nowhere"],
        pytest.param(["--lazy-pages"], marks=pytest.mark.differs_from_runc("waits for somebody to ask for memory")),
    ],
)
def test_flags_that_lack_something(counter: Bundle, flags: list[str]) -> None:
    assert started(counter).attempt("checkpoint", *images(counter), *flags).returncode == 1
    assert counter.status == "running"


# Hooks


def record_hooks(bundle: Bundle) -> Path:
    log = bundle.dir / "hooks"
    for kind in ("prestart", "createRuntime", "createContainer", "poststart", "poststop"):
        bundle.hook(kind, "/bin/sh", "-c", f'echo "{kind} $(cat)" >> {log}')
    bundle.hook("startContainer", "/bin/sh", "-c", "echo startContainer >> /tmp/hooks")
    return log


def heard(log: Path) -> list[tuple[str, dict[str, Any]]]:
    words = (line.partition(" ") for line in log.read_text().splitlines())
    return [(kind, json.loads(state)) for kind, _, state in words]


@pytest.mark.differs_from_runc("poststart hooks do not run, and the others are told of a stopped container")
def test_hooks_of_a_restore(counter: Bundle) -> None:
    log = record_hooks(counter)
    checkpointed(started(counter))
    log.unlink()
    restore(counter).ok()
    assert [kind for kind, _ in heard(log)] == ["prestart", "createRuntime", "poststart"]
    assert [state["status"] for _, state in heard(log)] == ["creating", "creating", "running"]
    assert {state["pid"] for _, state in heard(log)} == {counter.pid}


def test_a_checkpoint_is_an_end_for_hooks(counter: Bundle) -> None:
    log = record_hooks(counter)
    checkpointed(started(counter))
    assert heard(log)[-1][0] == "poststop"


def test_a_hook_that_fails_ends_the_restore(counter: Bundle) -> None:
    checkpointed(started(counter))
    counter.hook("createRuntime", "/bin/false")
    assert restore(counter).returncode == 1
    assert counter.attempt("state").returncode == 1
    assert host.eventually(lambda: host.leftovers(counter.token, counter.root) == [])


# What is refused, and what is left when something fails


def test_only_what_runs_can_be_saved(counter: Bundle) -> None:
    counter.attempt("create", **QUIET).ok()
    assert counter.attempt("checkpoint", *images(counter)).returncode == 1
    assert counter.status == "created"


def test_an_id_that_is_taken(counter: Bundle) -> None:
    checkpointed(started(counter), "--leave-running")
    assert restore(counter).returncode == 1
    assert "exist" in said(counter)
    assert counter.status == "running"


def test_images_that_are_not_there(counter: Bundle) -> None:
    assert restore(counter).returncode == 1
    assert host.leftovers(counter.token, counter.root) == []


@pytest.mark.differs_from_runc("tries to delete the container all the same, and says neither what is wrong nor where")
def test_a_checkpoint_that_fails_leaves_the_container_alone(counter: Bundle) -> None:
    """An open file of more than a megabyte that has been removed is too much for criu."""
    script = "exec 9>/tmp/big; dd if=/dev/zero bs=1M count=2 >&9 2>/dev/null; rm /tmp/big; "
    started(counter.process(args=["sh", "-c", script + COUNTER]))
    assert counter.attempt("checkpoint", *images(counter)).returncode == 1
    assert "ghost file" in said(counter)
    assert f"{counter.dir}/work/dump.log" in said(counter)
    goes_on(counter, count(counter))


@pytest.mark.differs_from_runc("says neither what is wrong nor where")
def test_the_reason_is_criu_s_own(counter: Bundle) -> None:
    checkpointed(started(counter))
    (counter.dir / "images/core-1.img").unlink()
    assert restore(counter).returncode == 1
    assert "Unexpected EOF" in said(counter)
    assert f"{counter.dir}/work/restore.log" in said(counter)
    assert host.leftovers(counter.token, counter.root) == []


def test_without_criu(counter: Bundle) -> None:
    started(counter)
    result = counter.attempt("checkpoint", *images(counter), wrap=["env", "PATH=/usr/bin/only-here:/bin"])
    assert result.returncode == 1
    assert "criu" in said(counter)
    goes_on(counter, count(counter))


@pytest.mark.differs_from_runc("cgroups are left behind", strict=False)
def test_kill_9_of_a_restore_leaves_what_delete_finds(counter: Bundle) -> None:
    checkpointed(started(counter))
    counter.save()
    words = counter.command("restore", "--bundle", str(counter.dir), *images(counter), "--detach")
    for moment in range(6):
        with subprocess.Popen(words, env=counter.environment(), **STREAMS) as running:
            time.sleep((0.03 + 0.06 * moment) * min(SLOWNESS, 5))
            kill_tree(running.pid)
            running.wait(TIMEOUT)
        counter.attempt("delete", "--force").ok()
        assert host.eventually(lambda: host.leftovers(counter.token, counter.root) == []), moment


def kill_tree(pid: int) -> None:
    """Kill the runtime that nsenter waits for, which is its only child, and nothing else."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    with contextlib.suppress(OSError):
        for child in children.read_text().split():
            os.kill(int(child), signal.SIGKILL)


def test_help_of_checkpoint_is_podman_s_probe(counter: Bundle) -> None:
    result = counter.attempt("checkpoint", "--help")
    assert result.returncode == 0
    assert "--image-path" in result.stdout
