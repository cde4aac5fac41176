"""launcher/image.c: a python that goes on, in every process, from where it was when it was installed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tools.image import compile_interpreter

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.requires("libpython")

CONTENTS = """
import gc, posix, sys, time, _signal, _socket
gc.disable()
kept = {str(number): [number] for number in range(20000)}
forgotten = [bytes(number) for number in range(3000)]
del forgotten
standard_library = list(sys.path)
made_by = posix.getpid()
crowd = [(number, bytearray(number)) for number in range(1000)]
for number in range(0, 1000, 100):
    __import__("_making").mark(crowd[number])

def resume(arguments):
    import _io
    sys.stdout = _io.open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = _io.open(2, "w", 1, encoding="utf-8", closefd=False)
    try:
        names = {"arguments": arguments[2:], "kept": kept, "crowd": crowd, "made_by": made_by}
        exec(arguments[1], names)
        status = 0
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\\n")
        status = 1
    sys.stdout.flush()
    posix._exit(status)

gc.freeze()
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image whose program is its first argument."""
    folder = tmp_path_factory.mktemp("image")
    interpreter, contents, image = folder / "interpreter", folder / "contents.py", folder / "image"
    contents.write_text(CONTENTS)
    compile_interpreter(interpreter, Path(os.readlink("/proc/self/exe")))
    # A child of its own environment: nothing of that may be in the image.
    subprocess.run([interpreter, contents, image], check=True, env={"BAKED": "in"})
    return image


@pytest.fixture
def run(image: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a few words of python in the image."""

    def run(program: str, *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [image, program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **more)

    return run


def told(run: Callable[..., subprocess.CompletedProcess[str]], program: str, *arguments: str, **more: Any) -> Any:
    """What a program in the image has put into `answer`."""
    done = run(f"import _io, sys\n{program}\nsys.stdout.write(repr(answer))", *arguments, **more)
    assert (done.returncode, done.stderr) == (0, "")
    return eval(done.stdout)


def test_what_was_made_before_is_there(run: Any) -> None:
    assert told(run, "answer = (len(kept), kept['19999'])") == (20000, [19999])


def test_a_process_has_its_own_environment(run: Any) -> None:
    environment = {"A": "1", "EMPTY": "", "LATIN": "\udce4"}
    answer = told(run, "import posix; answer = dict(posix.environ)", env=environment)
    assert answer == {b"A": b"1", b"EMPTY": b"", b"LATIN": b"\xe4"}


def test_of_two_variables_of_a_name_the_first_counts(image: Path) -> None:
    """As in every python, and as getenv(3) has it."""
    program = "import posix; print(posix.environ)"
    strange = f"import os; os.execve({str(image)!r}, ['x', {program!r}], {{b'A': b'1'}})"
    done = subprocess.run([sys.executable, "-c", strange], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "{b'A': b'1'}"


def test_arguments_arrive_as_they_are(run: Any) -> None:
    words = ["", "--", "ä b", "\udcff"]
    assert told(run, "answer = arguments", *words) == words


def test_a_process_knows_who_it_is(run: Any) -> None:
    program = "import posix, _thread; answer = (posix.getpid() != made_by, _thread.get_native_id() == posix.getpid())"
    assert told(run, program) == (True, True)


def test_processes_do_not_see_each_other(image: Path, run: Any) -> None:
    before = hashlib.sha256(image.read_bytes()).hexdigest()
    assert told(run, "kept.clear(); kept['x'] = 1; answer = len(kept)") == 1
    assert told(run, "answer = len(kept)") == 20000
    assert hashlib.sha256(image.read_bytes()).hexdigest() == before


def test_memory_grows_shrinks_and_is_collected(run: Any) -> None:
    """Both what was in the image and what is new, small and large, is given back and asked for again."""
    program = """
import gc
for size in (1, 100, 5000, 300000):
    kept[str(size)] = list(range(size)) * 3
    kept[str(size)].append(kept)
for key in list(kept)[::2]:
    del kept[key]
grown = kept["1"] if "1" in kept else []
grown.extend(range(100000))
gc.unfreeze()
gc.enable()
gc.collect()
answer = (len(kept) > 9000, sorted(map(str, grown))[:2], gc.collect())
"""
    assert told(run, program)[0] is True


def test_what_is_marked_comes_first(run: Any) -> None:
    """So that a process touches few pages: it is together, before all else, though it was made among the rest."""
    program = """
marked = [id(crowd[number]) for number in range(0, 1000, 100)]
others = [id(each) for number, each in enumerate(crowd) if number % 100]
answer = (max(marked) < min(others), max(marked) - min(marked) < 4096)
"""
    assert told(run, program) == (True, True)


def test_shared_libraries_can_be_loaded_later(run: Any) -> None:
    program = "import _ctypes, _json, mmap; answer = [m.__name__ for m in (_ctypes, _json, mmap)]"
    assert told(run, program) == ["_ctypes", "_json", "mmap"]


def test_modules_of_the_standard_library_can_be_loaded_later(run: Any) -> None:
    program = """
import json, re, subprocess, ctypes
said = subprocess.run(["echo", "x"], capture_output=True, check=True).stdout
answer = (json.loads('[1]'), re.sub('a', 'b', 'aa'), said, ctypes.CDLL(None).getppid() > 0)
"""
    assert told(run, program) == ([1], "bb", b"x\n", True)


def test_threads_and_forks_work(run: Any) -> None:
    program = """
import posix, _thread, time
said = []
lock = _thread.allocate_lock()
lock.acquire()
def other():
    said.append(_thread.get_ident())
    lock.release()
_thread.start_new_thread(other, ())
lock.acquire()
pid = posix.fork()
if pid == 0:
    posix._exit(len(kept) % 256)
answer = (said != [_thread.get_ident()], posix.waitstatus_to_exitcode(posix.waitpid(pid, 0)[1]))
"""
    assert told(run, program) == (True, 20000 % 256)


def test_c_code_that_calls_back_finds_its_thread(run: Any) -> None:
    """By the C library's keys and the thread's own variables, which are another process's in the image."""
    program = """
import ctypes, threading
own = threading.local()
compared = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
def sort(name):
    own.seen = []
    numbers = (ctypes.c_int * 2)()
    ctypes.CDLL(None).qsort(numbers, 2, 4, compared(lambda one, other: own.seen.append(name) or 0))
    answer.append(own.seen)
answer = []
other = threading.Thread(target=sort, args=["other"])
other.start()
other.join()
sort("main")
answer.append(threading.main_thread() is threading.current_thread())
"""
    assert told(run, program) == [["other"], ["main"], True]


def test_what_is_allocated_can_be_traced(run: Any) -> None:
    program = """
import _tracemalloc
_tracemalloc.start(1)
kept["new"] = bytearray(1 << 20)
answer = _tracemalloc.get_traced_memory()[0] >= 1 << 20
_tracemalloc.stop()
"""
    assert told(run, program) is True


def test_every_process_draws_its_own_random_numbers_and_hashes(run: Any) -> None:
    """Also where python's own SHA-2 is not part of the image."""
    program = """
import hashlib, random, tempfile
answer = (hashlib.sha256(b"x").hexdigest(), hashlib.sha3_256(b"x").digest_size, random.getrandbits(64))
"""
    one, other = told(run, program), told(run, program)
    assert one[0] == other[0] == hashlib.sha256(b"x").hexdigest()
    assert one[2] != other[2]


def test_a_child_of_a_fork_is_a_whole_interpreter(run: Any) -> None:
    program = """
import posix, threading
pid = posix.fork()
if pid == 0:
    done = []
    thread = threading.Thread(target=lambda: done.append(len(kept)))
    thread.start()
    thread.join()
    posix._exit(done == [20000])
answer = posix.waitstatus_to_exitcode(posix.waitpid(pid, 0)[1])
"""
    assert told(run, program) == 1


def test_recursion_ends_in_an_error(run: Any) -> None:
    program = """
def deeper(level):
    return deeper(level + 1)
try:
    deeper(0)
except RecursionError:
    answer = "ended"
"""
    assert told(run, program) == "ended"


def test_signals_are_as_a_new_process_has_them(run: Any) -> None:
    """Handlers are installed by resume, not baked in; here there are none."""
    assert run("import posix; posix.kill(posix.getpid(), 15)").returncode == -signal.SIGTERM
    handled = """
import posix, _signal
got = []
_signal.signal(_signal.SIGUSR1, lambda number, frame: got.append(number))
posix.kill(posix.getpid(), _signal.SIGUSR1)
answer = got
"""
    assert told(run, handled) == [signal.SIGUSR1]


def test_no_descriptor_is_left_open(run: Any) -> None:
    program = """
import posix
fds = posix.listdir("/proc/self/fd")
answer = [fd for fd in fds if posix.access(f"/proc/self/fd/{fd}", posix.F_OK)]  # not the one that listed them
"""
    assert told(run, program) == ["0", "1", "2"]


def test_system_calls_raise_and_keep_their_arguments(run: Any) -> None:
    program = """
import _syscall, errno
answer = []
for words in ((-1,), (257, -100, b"/nowhere", 0), (437, -100, "no str", 0), (39, 0.5), (), (1,) * 8):
    try:
        answer.append(_syscall.call(*words))
    except (OSError, TypeError) as error:
        answer.append(getattr(error, "errno", type(error).__name__) or type(error).__name__)
buffer = bytearray(b"abc")
answer.append(_syscall.address_of(buffer) > 0)
"""
    number = {"x86_64": True}.get(os.uname().machine)
    if not number:
        pytest.skip("the numbers here are those of x86_64")
    assert told(run, program) == [38, 2, "TypeError", "TypeError", "TypeError", "TypeError", True]


def test_errors_of_the_program_are_not_silent(run: Any) -> None:
    done = run("raise ValueError('this')")
    assert (done.returncode, done.stderr) == (1, "ValueError: this\n")


def test_a_hundred_at_once(image: Path) -> None:
    program = "import sys; sys.stdout.write(str(len(kept)))"
    started = [subprocess.Popen([image, program], stdout=subprocess.PIPE, text=True) for _ in range(100)]
    assert {each.communicate(timeout=60)[0] for each in started} == {"20000"}


def test_the_installed_pyrunc_is_an_image(runtime: str, runtime_name: str) -> None:
    """Without one everything works as well, but nothing is fast: the build only warns."""
    if runtime_name != "pyrunc":
        pytest.skip("looks at this project's installation")
    assert list(Path(runtime).resolve().parents[1].glob("lib/python3*/*-packages/pyrunc/image"))


def test_documents_are_the_same_with_and_without_the_image(runtime: str, runtime_name: str) -> None:
    if runtime_name != "pyrunc":
        pytest.skip("looks at this project's installation")
    (frozen,) = Path(runtime).resolve().parents[1].glob("lib/python3*/*-packages/pyrunc/frozen.pyc")
    plain = [sys.executable, "-I", "-S", str(frozen), "features"]
    commands = [[runtime, "features"], plain]
    documents = [subprocess.run(command, check=True, capture_output=True).stdout for command in commands]
    assert json.loads(documents[0]) == json.loads(documents[1])
