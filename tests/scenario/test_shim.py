"""The shim by its own protocol, task service v3: what containerd would ask of it, and what this host's does not."""

from __future__ import annotations

import os
import re
import select
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyrunc.shim import ttrpc
from pyrunc.shim.codec import decode, encode
from pyrunc.shim.protos import metrics_v2, task, types
from pyrunc.shim.protos.options import CheckpointOptions
from tests.scenario import host
from tests.scenario.shim import PROGRAM, RefusedError, Shim, serving
from tests.scenario.test_checkpoint import COUNTER, count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenario.bundle import Bundle

MIB = 1 << 20
WHOLE = [{"containerID": 0, "hostID": 100000, "size": 65536}]
PROGRAMS = 200
MAPPED = ("uidmap=0:100000:65536", "gidmap=0:100000:65536")


@pytest.fixture(autouse=True)
def only_with_a_shim(runtime: str, runtime_name: str) -> None:
    if runtime_name != "pyrunc":
        pytest.skip("the shim is pyrunc's own")
    if not Path(runtime).with_name(PROGRAM).exists():
        pytest.skip(f"{PROGRAM} is not installed beside {runtime}")


@pytest.fixture
def shim(bundle: Bundle) -> Iterator[Shim]:
    """A shim for the bundle, in namespaces of its own."""
    with serving(bundle) as made:
        yield made


def test_a_life_in_events(shim: Shim) -> None:
    assert shim.run("sh", "-c", "echo hello", binary_name="/no/such/runtime") == "hello\n"
    shim.until(lambda: len(shim.events) == 4)
    assert shim.topics() == ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]


def test_a_trace_has_each_call_with_its_code_and_its_time(bundle: Bundle) -> None:
    """In the FIFO that containerd reads, if it has asked for it."""
    os.mkfifo(bundle.dir / "log")
    reader = os.open(bundle.dir / "log", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with serving(bundle, "-debug") as shim:
            shim.run("true")
            with pytest.raises(RefusedError):
                shim.tell("Pause", task.PauseRequest("nosuch"))
            said = ""
            while "Pause:" not in said:  # it is written when the call has been answered
                assert select.select([reader], [], [], 10)[0]
                said += os.read(reader, 1 << 16).decode()
    finally:
        os.close(reader)
    calls = re.findall(r'level=debug msg="(\w+): (\d+) \([0-9.]+ ms\)"', said)
    assert dict(calls) == {"Create": "0", "Start": "0", "Wait": "0", "Delete": "0", "Pause": str(ttrpc.NOT_FOUND)}


# options


def test_pipes_belong_to_whom_the_options_say(shim: Shim) -> None:
    """Their group at least: the program's user gets them in any case."""
    assert shim.run("stat", "-L", "-c", "%u %g", "/proc/self/fd/1", io_uid=1234, io_gid=5678) == "0 5678\n"


def test_a_root_may_be_entered_without_pivot_root(shim: Shim) -> None:
    shim.bundle.without_namespace("cgroup")
    assert shim.run("sh", "-c", "cat /proc/self/root/etc/passwd > /dev/null && echo ok", no_pivot_root=True) == "ok\n"


def test_a_keyring_of_the_session_is_left_out(shim: Shim) -> None:
    """keyrings(7): /proc/keys lists those that its reader has."""
    ours = f"_ses.{shim.bundle.id}"
    assert ours not in shim.run("cat", "/proc/keys", no_new_keyring=True)
    shim.output.unlink()
    assert ours in shim.run("cat", "/proc/keys")


def test_the_shim_is_put_into_a_cgroup(bundle: Bundle) -> None:
    """And the container is not: it has its own. In a v1 cpuset nobody may be before that is set."""
    tops = host.hierarchies()
    places = [Path(top, f"{bundle.token}-shim") for top in set(tops.values()) - {tops.get("cpuset")}]
    for place in places:
        place.mkdir()
    try:
        with serving(bundle) as shim:
            shim.create(shim_cgroup=f"/{bundle.token}-shim")
            pid = shim.shim_pid()
            entered = {place: (place / "cgroup.procs").read_text().split() for place in places}
        assert all(str(pid) in pids for pids in entered.values())
        accounting = Path(tops.get("memory", tops.get("cgroup2", "")), f"{bundle.token}-shim")
        assert entered[accounting] == [str(pid)]
    finally:
        assert host.eventually(lambda: not any((place / "cgroup.procs").read_text() for place in places))
        for place in places:
            place.rmdir()


@pytest.mark.parametrize("path", ["/no/such/cgroup", "relative", "/../up", "/"])
def test_a_cgroup_that_the_shim_cannot_enter_is_an_error(shim: Shim, path: str) -> None:
    with pytest.raises(RefusedError, match="ShimCgroup"):
        shim.create(shim_cgroup=path)
    assert shim.run("echo", "it goes on") == "it goes on\n"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (CheckpointOptions(), "CriuImagePath"),
        (CheckpointOptions(image_path="relative"), "absolute"),
        (CheckpointOptions(image_path="/i", empty_namespaces=("ipc",)), "only network"),
        (CheckpointOptions(image_path="/i", cgroups_mode="most"), "none of"),
    ],
)
def test_a_checkpoint_that_cannot_be_is_refused(shim: Shim, options: CheckpointOptions, why: str) -> None:
    shim.bundle.process(args=["sleep", "1000"]).save()
    shim.create()
    shim.start()
    packed = types.Any("containerd.runc.v1.CheckpointOptions", encode(options))
    with pytest.raises(RefusedError, match=why):
        shim.tell("Checkpoint", task.CheckpointTaskRequest(shim.bundle.id, "", packed))


def test_criu_is_the_one_that_the_options_name(shim: Shim) -> None:
    """One that says something by which to know it."""
    criu, images = shim.bundle.dir / "its-criu", shim.bundle.dir / "images"
    criu.write_text("#!/bin/sh\necho 'Error (me): this is its criu' >&2\nexit 1\n")
    criu.chmod(0o755)
    shim.bundle.process(args=["sleep", "1000"]).save()
    shim.create(criu_path=str(criu), criu_image_path=str(images))
    shim.start()
    with pytest.raises(RefusedError, match="this is its criu"):
        shim.tell("Checkpoint", task.CheckpointTaskRequest(shim.bundle.id))
    assert images.is_dir()


# checkpoint and restore


@pytest.mark.requires("criu")
def test_a_task_goes_on_from_its_checkpoint(shim: Shim) -> None:
    bundle, images = shim.bundle, str(shim.bundle.dir / "images")
    bundle.without_namespace("network").process(args=["sh", "-c", COUNTER]).save()
    work = f"{bundle.dir}/work"
    shim.create(stdout="", criu_work_path=work)
    shim.start()
    shim.until(lambda: bundle.path("/tmp/count").exists() and count(bundle) > 3)
    packed = types.Any("containerd.runc.v1.CheckpointOptions", encode(CheckpointOptions(exit=True)))
    shim.tell("Checkpoint", task.CheckpointTaskRequest(bundle.id, images, packed))
    assert Path(work, "dump.log").exists()
    assert shim.ended() == 137
    shim.delete()
    before = count(bundle)
    assert shim.create(checkpoint=images, stdout="", criu_work_path=work) == 0
    pid = shim.start()
    shim.until(lambda: count(bundle) > before)
    shim.tell("Kill", task.KillRequest(bundle.id, signal=9))
    assert shim.ended() == 137
    assert pid > 0
    assert shim.topics().count("/tasks/checkpointed") == 1


# cgroup v2


@pytest.mark.requires("cgroup2-memory", "cgroup2-pids")
def test_memory_that_is_used_up_is_told_and_counted_on_v2(shim: Shim) -> None:
    """Stats are the messages of v2, and an end for want of memory is an event."""
    greedy = "until [ -e /go ]; do sleep 0.1; done; x=a; while :; do x=$x$x$x$x; done"
    shim.bundle.resources(memory={"limit": 16 * MIB, "swap": 16 * MIB}, pids={"limit": 50})
    shim.bundle.process(args=["sh", "-c", greedy]).save()
    shim.create()
    shim.start()
    counted = shim.call("Stats", task.StatsRequest(shim.bundle.id), task.StatsResponse).stats
    assert counted is not None
    assert counted.type_url == "io.containerd.cgroups.v2.Metrics"
    found = decode(metrics_v2.Metrics, counted.value)
    assert found.pids is not None
    assert found.memory is not None
    assert (found.pids.limit, found.memory.usage_limit) == (50, 16 * MIB)
    assert found.pids.current > 0
    assert found.memory.usage > 0
    shim.bundle.write("/go", "")
    assert shim.ended() == 137
    shim.until(lambda: "/tasks/exit" in shim.topics())
    assert "/tasks/oom" in shim.topics()[: shim.topics().index("/tasks/exit")]


@pytest.mark.requires("systemd", "cgroup2-memory")
def test_a_scope_of_systemd_is_made_where_the_options_say_so(bundle: Bundle) -> None:
    """systemd is asked by pids as it numbers them: so this shim is in no box."""
    bundle.linux(cgroupsPath=f"system.slice:pyrunc:{bundle.token}").process(args=["sleep", "1000"])
    with serving(bundle, boxed=False) as shim:
        pid = shim.create(systemd_cgroup=True)
        shim.start()
        place = Path(f"/proc/{pid}/cgroup").read_text().strip()
        assert place == f"0::/system.slice/pyrunc-{bundle.token}.scope"


# roots with mapped owners


@pytest.mark.requires("userns", "overlay")
def test_the_layers_of_an_overlay_are_mapped(shim: Shim) -> None:
    """As containerd 2 mounts it: the upper directory is the container's already."""
    top = shim.bundle.dir
    layers = [top / "one", top / "two"]
    for number, layer in enumerate(layers):
        layer.mkdir()
        (layer / f"file{number}").write_text("")
    shim.bundle.rootfs.rename(top / "image")
    shim.bundle.rootfs.mkdir()
    for name in ("upper", "work"):
        (top / name).mkdir()
        os.chown(top / name, 100000, 100000)
    below = ":".join(map(str, (*layers, top / "image")))
    options = (f"lowerdir={below}", f"upperdir={top}/upper", f"workdir={top}/work", "index=off", *MAPPED)
    shim.bundle.namespace("user").linux(uidMappings=WHOLE, gidMappings=WHOLE)
    script = "stat -c '%u %g' /file0 /file1 /bin; touch /new /file1 && rm /file0 && stat -c %u /new; id -u"
    root = (types.Mount("overlay", "overlay", "", options),)
    assert shim.run("sh", "-c", script, rootfs=root).split() == ["0"] * 8
    assert (top / "upper/new").stat().st_uid == 100000
    assert (layers[1] / "file1").stat().st_uid == 0


@pytest.mark.requires("userns")
@pytest.mark.parametrize("options", [("rbind", "ro"), ("bind",)])
def test_a_bound_root_is_mapped(shim: Shim, options: tuple[str, ...]) -> None:
    shim.bundle.rootfs.rename(shim.bundle.dir / "image")
    shim.bundle.rootfs.mkdir()
    shim.bundle.namespace("user").linux(uidMappings=WHOLE, gidMappings=WHOLE)
    root = (types.Mount("bind", f"{shim.bundle.dir}/image", "", (*options, *MAPPED)),)
    script = "stat -c %u /bin; touch /new 2>/dev/null; echo $?"
    assert shim.run("sh", "-c", script, rootfs=root).split() == ["0", "1" if "ro" in options else "0"]


@pytest.mark.parametrize("options", [MAPPED[:1], ("uidmap=0:1", "gidmap=0:1:1"), ("uidmap=a:b:c", "gidmap=0:1:1")])
def test_maps_that_are_none_are_refused(shim: Shim, options: tuple[str, ...]) -> None:
    with pytest.raises(RefusedError, match=r"go together|no mapping"):
        shim.create((types.Mount("bind", str(shim.bundle.rootfs), "", ("bind", *options)),))
    assert not shim.events


# what goes wrong around it


def test_fifos_may_vanish_while_the_program_runs(shim: Shim) -> None:
    """Whoever has them open goes on."""
    fifos = [shim.bundle.dir / name for name in ("stdin", "stdout")]
    for fifo in fifos:
        os.mkfifo(fifo)
    shim.bundle.process(args=["cat"]).save()
    shim.create(stdin=str(fifos[0]), stdout=str(fifos[1]))
    shim.start()
    writer, reader = os.open(fifos[0], os.O_WRONLY), os.open(fifos[1], os.O_RDONLY | os.O_NONBLOCK)
    try:
        for fifo in fifos:
            fifo.unlink()
        os.write(writer, b"still heard")
        shim.until(lambda: select.select([reader], [], [], 0)[0])
        assert os.read(reader, 100) == b"still heard"
    finally:
        os.close(writer)
        os.close(reader)
    shim.tell("CloseIO", task.CloseIORequest(shim.bundle.id, stdin=True))
    assert shim.ended() == 0


def test_fifos_that_are_not_there_are_an_error_in_a_line(shim: Shim) -> None:
    shim.bundle.process(args=["sleep", "1000"]).save()
    with pytest.raises(RefusedError, match=r"cannot open .*/gone for the program's streams: not found"):
        shim.create(stdin=f"{shim.bundle.dir}/gone")
    shim.create()
    shim.start()
    with pytest.raises(RefusedError, match=r"cannot open .*/gone for the program's streams: not found"):
        shim.add("one", "true", stdout=f"{shim.bundle.dir}/gone")
    shim.add("one", "true")
    assert shim.call("Start", task.StartRequest(shim.bundle.id, "one"), task.StartResponse).pid > 0
    assert shim.ended("one") == 0


def test_a_log_on_a_full_disk_stalls_nobody(shim: Shim) -> None:
    """As much is kept as there is room for; containerd's own shim stops reading, and the program with it."""
    shim.inside("mount", "-t", "tmpfs", "-o", "size=16k", "log", "/mnt")
    script = "dd if=/dev/zero bs=1000 count=1000 2>/dev/null; exit 7"
    shim.bundle.process(args=["sh", "-c", script]).save()
    shim.create(stdout="file:///mnt/log", stderr="file:///mnt/log")
    shim.start()
    assert shim.ended() == 7
    assert 0 < int(shim.inside("stat", "-c", "%s", "/mnt/log")) <= 16384


@pytest.mark.requires("cgroup1-pids")
def test_of_many_programs_only_so_many_are_started_at_a_time(shim: Shim) -> None:
    """A fork for each at once would be more than the shim's own cgroup takes."""
    place = Path(host.hierarchies()["pids"], f"{shim.bundle.token}-shim")
    shim.bundle.process(args=["sleep", "1000"]).save()
    place.mkdir()
    try:
        (place / "pids.max").write_text("80")
        shim.create(shim_cgroup=f"/{place.name}")
        shim.start()
        codes: list[int] = []
        for number in range(PROGRAMS):
            shim.add(str(number), "sh", "-c", f"echo {number}", stdout=f"file://{shim.bundle.dir}/out{number}")
        for number in range(PROGRAMS):
            start, wait = (kind(shim.bundle.id, str(number)) for kind in (task.StartRequest, task.WaitRequest))
            shim.ask("Start", start, lambda status, _: codes.append(status.code))
            shim.ask("Wait", wait, lambda status, _: codes.append(status.code))
        shim.until(lambda: len(codes) == 2 * PROGRAMS)
        assert set(codes) == {ttrpc.OK}
        for number in range(PROGRAMS):  # then their output has arrived
            shim.call("Delete", task.DeleteRequest(shim.bundle.id, str(number)), task.DeleteResponse)
        said = [(shim.bundle.dir / f"out{number}").read_text() for number in range(PROGRAMS)]
        assert said == [f"{number}\n" for number in range(PROGRAMS)]
    finally:
        shim.end()
        assert host.eventually(lambda: not (place / "cgroup.procs").read_text())
        place.rmdir()


def test_pods_are_made_by_containerd_not_by_the_shim(shim: Shim) -> None:
    with pytest.raises(RefusedError) as err:
        shim.call("CreateSandbox", types.Empty(), types.Empty, "containerd.runtime.sandbox.v1.Sandbox")
    assert err.value.code == ttrpc.UNIMPLEMENTED
