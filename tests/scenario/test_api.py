"""pyrunc.Container: what a program that embeds pyrunc gets."""

from __future__ import annotations

import os
import posix
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import pyrunc
from pyrunc import Container, Streams
from pyrunc.errors import (
    ConfigError,
    ExistsError,
    NotFoundError,
    ProgramError,
    StatusError,
    StepError,
    UsageError,
)
from tests.conftest import REPOSITORY
from tests.scenario import test_checkpoint

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}


@pytest.fixture(autouse=True)
def only_pyrunc(runtime_name: str) -> None:
    if runtime_name != "pyrunc":
        pytest.skip("the library is pyrunc's own")


@pytest.fixture
def box(bundle: Bundle) -> Container:
    """A container that sleeps, not made yet."""
    bundle.process(args=["sleep", "60"]).save()
    return Container(bundle.id, str(bundle.root))


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[Streams]:
    """Nothing to read, and a file that is written to: `output` of the same directory."""
    null, output = os.open("/dev/null", os.O_RDONLY), os.open(tmp_path / "output", os.O_RDWR | os.O_CREAT)
    yield Streams(null, output, output)
    os.close(null)
    os.close(output)


def test_the_life_of_a_container(box: Container, bundle: Bundle, streams: Streams) -> None:
    box.create(str(bundle.dir), streams=streams)
    created = box.state()
    assert (created.status, created.id, created.bundle) == ("created", bundle.id, str(bundle.dir))
    box.start()
    running = box.state()
    assert (running.status, running.pid) == ("running", created.pid)
    assert box.processes() == (running.pid,)
    box.pause()
    assert box.state().status == "paused"
    box.resume()
    with pytest.raises(TimeoutError):
        box.wait(0.01)
    box.kill("TERM", every=True)
    box.kill(9)
    assert box.wait(10) == 137
    assert (box.state().status, box.state().pid) == ("stopped", 0)
    box.delete()
    assert box.wait() == 137
    with pytest.raises(NotFoundError, match="does not exist"):
        box.state()


@pytest.mark.parametrize(("program", "code"), [("exit 7", 7), ("exit 255", 255), ("true", 0)])
def test_wait_returns_the_exit_code(box: Container, bundle: Bundle, program: str, code: int) -> None:
    bundle.process(args=["sh", "-c", program]).save()
    box.create(str(bundle.dir))
    box.start()
    assert box.wait(10) == code
    box.delete()


def test_an_exit_code_is_not_lost_to_delete(box: Container, bundle: Bundle) -> None:
    bundle.process(args=["sh", "-c", "exit 7"]).save()
    box.create(str(bundle.dir))
    box.start()
    os.waitid(os.P_PID, box._init[0], os.WEXITED | os.WNOWAIT)
    box.delete()
    assert box.wait() == 7


def test_who_is_not_the_parent_has_no_code(bundle: Bundle, box: Container) -> None:
    box.create(str(bundle.dir))
    box.start()
    other = f"import pyrunc; print(pyrunc.Container({box.id!r}, {box.root!r}).wait(30))"
    with subprocess.Popen([sys.executable, "-c", other], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as asked:
        box.kill("KILL")
        assert asked.communicate()[0] == "None\n"
    assert box.wait(10) == 137


def test_run_returns_the_exit_code(box: Container, bundle: Bundle, streams: Streams, tmp_path: Path) -> None:
    bundle.process(args=["sh", "-c", "echo hello; cat; exit 3"]).save()
    assert box.run(str(bundle.dir), streams=streams) == 3
    assert (tmp_path / "output").read_text() == "hello\n"


def test_descriptors_are_passed_on(box: Container, bundle: Bundle, streams: Streams, tmp_path: Path) -> None:
    bundle.process(args=["sh", "-c", "echo three >&3; echo four >&4; ls /proc/self/fd"]).save()
    more = [os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in ("three", "four")]
    assert box.run(str(bundle.dir), streams=Streams(streams.stdin, streams.stdout, streams.stderr, tuple(more))) == 0
    for fd in more:
        os.close(fd)
    assert ((tmp_path / "three").read_text(), (tmp_path / "four").read_text()) == ("three\n", "four\n")
    # The one above is the directory that ls reads.
    assert (tmp_path / "output").read_text().split() == ["0", "1", "2", "3", "4", "5"]


def test_exec(box: Container, bundle: Bundle, streams: Streams, tmp_path: Path) -> None:
    box.create(str(bundle.dir))
    box.start()
    ended = box.exec("sh", "-c", "echo $WHO; exit 5", flags=["--env", "WHO=me"], streams=streams)
    assert ended.wait(10) == ended.wait() == 5
    assert (tmp_path / "output").read_text() == "me\n"
    process = {"args": ["sleep", "60"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"]}
    slow = box.exec(process=process)
    assert set(box.processes()) == {box.state().pid, slow.pid}
    slow.kill("KILL")
    assert slow.wait(10) == 137
    with pytest.raises(StatusError, match="has ended"):
        slow.kill()
    with pytest.raises(ProgramError, match='exec: "nosuch": executable file not found'):
        box.exec("nosuch")
    box.delete(force=True)


def test_limits_are_counted_and_changed(box: Container, bundle: Bundle) -> None:
    box.create(str(bundle.dir))
    box.update({"pids": {"limit": 77}})
    assert box.stats().cgroup.pids.limit == 77
    box.delete(force=True)


def test_errors_are_those_of_the_command_line(box: Container, bundle: Bundle) -> None:
    with pytest.raises(StepError, match=r"^cannot enter the bundle|^\.root"):
        bundle.set(root={"path": "nosuch"}).save()
        box.create(str(bundle.dir))
    bundle.set(root={"path": "rootfs"}).process(cwd="here").save()
    with pytest.raises(ConfigError, match=r"\.process\.cwd"):
        box.create(str(bundle.dir))
    with pytest.raises(UsageError, match="unknown flag --nosuch"):
        box.create(str(bundle.dir), "--nosuch")
    with pytest.raises(NotFoundError):
        box.start()
    bundle.process(cwd="/").save()
    box.create(str(bundle.dir))
    with pytest.raises(ExistsError, match=f"^container {bundle.id} already exists"):
        box.create(str(bundle.dir))
    box.delete(force=True)
    box.delete(force=True)
    with pytest.raises(NotFoundError):
        box.delete()


def test_containers_of_a_root(box: Container, bundle: Bundle) -> None:
    assert pyrunc.containers(box.root) == []
    box.create(str(bundle.dir))
    assert [each.id for each in pyrunc.containers(box.root)] == [box.id]
    box.delete(force=True)


def test_a_program_with_threads_may_use_it(box: Container, bundle: Bundle) -> None:
    """Neither fork nor anything of the container ever happens in a process that has threads."""
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    try:
        box.create(str(bundle.dir))
        box.start()
        assert box.state().status == "running"
    finally:
        box.delete(force=True)
        ended.set()
        thread.join()


def test_what_a_service_manager_gave_us_is_not_passed_on(
    box: Container, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(posix.environ, b"LISTEN_FDS", b"500")
    assert box.run(str(bundle.process(args=["true"]).save().dir)) == 0


SEALED = """
    import os, sys
    from pyrunc import Container, sealing
    if not sealing.is_sealed():
        exe = os.readlink("/proc/self/exe")
        os.execve(sealing._open_in_overlay(exe), [sys.executable, *sys.argv], os.environ)
    from pyrunc import workers
    def refuse(*_):
        raise AssertionError("started anew")
    workers.spawn = refuse
    box = Container(sys.argv[2], sys.argv[3])
    box.create(sys.argv[1])
    init = box.state().pid
    assert os.readlink(f"/proc/{init}/exe") == os.readlink("/proc/self/exe"), "sealed as its parent is"
    box.start()
    assert box.exec("sh", "-c", "exit 4").wait(10) == 4
    box.kill("KILL")
    assert box.wait(10) == 137
    box.delete()
    print("done")
"""


@pytest.mark.requires("overlay")
def test_a_sealed_program_forks(bundle: Bundle, tmp_path: Path) -> None:
    """As a shim does; the copy of its process is the worker, and what the container sees is sealed."""
    bundle.process(args=["sleep", "60"]).save()
    script = tmp_path / "shim.py"
    script.write_text(textwrap.dedent(SEALED))
    words = [sys.executable, str(script), str(bundle.dir), bundle.id, str(bundle.root)]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("done\n", "")


SAVED = """
    import os, sys, time
    from pyrunc import Container, Streams, containers
    null = os.open("/dev/null", os.O_RDWR)
    streams = Streams(null, null, null)
    bundle, name, root = sys.argv[1:]
    def count():
        try:
            return int(open(f"{bundle}/rootfs/tmp/count").read() or 0)
        except FileNotFoundError:
            return 0
    def await_more(than):
        end = time.monotonic() + 20
        while count() <= than and time.monotonic() < end:
            time.sleep(0.01)
        return count() > than
    box = Container(name, root)
    box.create(bundle, streams=streams)
    box.start()
    print(await_more(3))
    box.checkpoint(f"{bundle}/images", "--work-path", f"{bundle}/work")
    print([each.id for each in containers(root)])
    before = count()
    box.restore(f"{bundle}/images", bundle, "--work-path", f"{bundle}/work", streams=streams)
    print(box.state().status, await_more(before))
    box.kill("KILL")
    print(box.wait(10))
    box.delete()
"""


@pytest.mark.requires("criu")
def test_checkpoint_and_restore(bundle: Bundle, tmp_path: Path) -> None:
    """In a box, as test_checkpoint.py does it."""
    script = tmp_path / "saved.py"
    script.write_text(textwrap.dedent(SAVED))
    bundle.without_namespace("network").process(args=["sh", "-c", test_checkpoint.COUNTER]).save()
    words = [sys.executable, str(script), str(bundle.dir), bundle.id, str(bundle.root)]
    with (tmp_path / "said").open("w+") as said, test_checkpoint.box() as first:
        enter = ["nsenter", "--target", str(first), "--mount", "--pid", "--wd=/"]
        done = subprocess.run([*enter, *words], env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        said.seek(0)
        assert said.read() == "True\n[]\nrunning True\n137\n"
    assert done.returncode == 0


def test_the_example_of_the_documentation(bundle: Bundle) -> None:
    bundle.process(args=["sleep", "60"]).save()
    (bundle.dir / "bundle").symlink_to(bundle.dir)
    program = (REPOSITORY / "docs/api.md").read_text().partition("```python\n")[2].partition("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=ENVIRONMENT,
        cwd=bundle.dir,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("running 1\nexec: 3\nmemory: True\nended: 137\n", "")
    assert pyrunc.containers(str(bundle.root)) == []


def test_to_import_pyrunc_loads_nothing_of_it() -> None:
    program = "import sys, pyrunc; print([name for name in sys.modules if name.startswith('pyrunc.')])"
    words = [sys.executable, "-S", "-c", program]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
