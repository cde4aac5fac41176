"""pyrunc for Python programs: containers as objects (docs/api.md).

    box = Container("box")
    box.create("/bundles/hello", streams=Streams(stdout=file.fileno()))
    box.start()
    code = box.wait()
    box.delete()

What becomes a part of a container, or enters one, is a worker process (workers.py says why): create, run, exec,
checkpoint and restore. The others are done here and now, by the functions that the command line calls as well; they
start no threads and keep nothing but what is in the state directory.
"""

from __future__ import annotations

import posix

from pyrunc.errors import NotFoundError, StatusError
from pyrunc.jsontext import dump
from pyrunc.kernel.pidfd import open_process, send_signal, start_time
from pyrunc.record import Record
from pyrunc.state.status import STOPPED, status_of
from pyrunc.state.store import State, default_root, ids, open_entry
from pyrunc.workers import Streams, wait_for, work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from pyrunc.host.events import Event
    from pyrunc.host.stats import ContainerStats
    from pyrunc.state.store import Entry

STANDARD = Streams()
__all__ = ["Container", "ContainerState", "Process", "Streams", "containers"]


class ContainerState(Record):
    """What is known of a container (runtime.md, "State"); `pid` is 0 for one that is stopped, `owner` a uid."""

    oci_version: str
    id: str
    status: str
    pid: int
    bundle: str
    rootfs: str
    created: str
    owner: int
    annotations: dict[str, str]


class Process:
    """A program that runs in a container besides its own: what exec returns."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._start = start_time(pid)
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until it has ended and return its exit code, 128 + n if signal n ended it.

        None if somebody else has waited for it. Raises TimeoutError after `timeout` seconds.
        """
        if self._code is None:
            self._code = wait_for(self.pid, self._start, timeout)
        return self._code

    def kill(self, signal: int | str = "TERM") -> None:
        """Send a signal, by number or name. Raises StatusError if it has ended."""
        from pyrunc.host.kill import signal_number

        number = signal_number(str(signal))
        try:
            pidfd = open_process(self.pid, self._start)
            try:
                send_signal(pidfd, number)
            finally:
                posix.close(pidfd)
        except ProcessLookupError as err:
            raise StatusError(f"process {self.pid} has ended") from err


class Container:
    """One container of a state root, which may not exist yet.

    `root` is the directory of the state, by default the command line's. `options` are global flags of the command
    line for all that is done with this object, such as ("--systemd-cgroup",). `warn` is called with warnings of
    what is done in this process. Every method raises errors of pyrunc.errors; NotFoundError where there is no such
    container.
    """

    def __init__(
        self,
        container_id: str,
        root: str = "",
        options: Sequence[str] = (),
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.id = container_id
        self.root = root or default_root()
        self._options = ("--root", self.root, *options)
        self._warn = warn
        self._init = (0, 0)
        self._code: int | None = None

    # in a worker

    def create(self, bundle: str = ".", *flags: str, streams: Streams = STANDARD) -> None:
        """Make everything but the program run; `flags` are those of the command `create`.

        `streams` become the program's. Raises ExistsError, ConfigError, StepError and others, with nothing left.
        """
        self._work("create", ("--bundle", bundle, *_passing(streams), *flags), streams=streams)
        self._note_init()

    def run(self, bundle: str = ".", *flags: str, streams: Streams = STANDARD) -> int:
        """create, start, wait and delete; return the program's exit code, 128 + n if signal n ended it."""
        return self._work("run", ("--bundle", bundle, *_passing(streams), *flags), streams=streams)

    def exec(
        self,
        *args: str,
        flags: Sequence[str] = (),
        process: Mapping[str, Any] | None = None,
        streams: Streams = STANDARD,
    ) -> Process:
        """Run another program in the container, and return when it runs.

        `args` are its words, and `flags` those of the command `exec`; or `process` is an object as in config.json.
        Raises ExecError and ProgramError where it cannot be run, StatusError where nothing can.
        """
        import tempfile  # noqa: TID251 - not on the path of any command

        with tempfile.TemporaryDirectory(prefix="pyrunc-") as directory:
            more: tuple[str, ...] = ()
            if process is not None:
                _write(f"{directory}/process.json", dump(process))
                more = ("--process", f"{directory}/process.json")
            ours = ("--detach", "--pid-file", f"{directory}/pid", *_passing(streams), *more)
            self._work("exec", (*ours, *flags), args, streams)
            fd = posix.open(f"{directory}/pid", posix.O_RDONLY | posix.O_CLOEXEC)
            try:
                return Process(int(posix.read(fd, 32)))
            finally:
                posix.close(fd)

    def checkpoint(self, image_path: str, *flags: str) -> None:
        """Save the container with criu(8); `flags` are those of the command `checkpoint`."""
        self._work("checkpoint", ("--image-path", image_path, *flags))

    def restore(self, image_path: str, bundle: str = ".", *flags: str, streams: Streams = STANDARD) -> None:
        """Make the container of saved images; it runs then. `flags` are those of the command `restore`."""
        ours = ("--detach", "--image-path", image_path, "--bundle", bundle)
        self._work("restore", (*ours, *flags), streams=streams)
        self._note_init()

    # in this process

    def start(self) -> None:
        """Let the program run, and return when it does. Raises StatusError unless the container is created."""
        from pyrunc.host.start import start

        with self._open() as entry:
            start(entry, self._warn)

    def kill(self, signal: int | str = "TERM", every: bool = False) -> None:
        """Send a signal, by number or name, to the init, or to every process. Raises StatusError."""
        from pyrunc.host.kill import kill, signal_number

        with self._open() as entry:
            kill(entry, signal_number(str(signal)), every)

    def delete(self, force: bool = False) -> None:
        """Remove what create made. With `force` in any status, and no error if there is no such container.

        The exit code of one that is not stopped is lost with it.
        """
        from pyrunc.host.delete import delete

        try:
            self._take_code()
            with self._open() as entry:
                delete(entry, force, self._warn, strict="--strict" in self._options)
        except NotFoundError:
            if not force:
                raise

    def pause(self) -> None:
        """Freeze all processes. Raises StatusError for one that does not run."""
        from pyrunc.host.pause import pause

        with self._open() as entry:
            pause(entry)

    def resume(self) -> None:
        """Let a paused container go on. Raises StatusError for one that is not paused."""
        from pyrunc.host.pause import resume

        with self._open() as entry:
            resume(entry)

    def update(self, resources: Mapping[str, Any]) -> None:
        """Change limits: an object as .linux.resources, of which only what is in it is changed."""
        from pyrunc.host.update import update
        from pyrunc.spec.load import parse_resources

        with self._open() as entry:
            update(entry, parse_resources(dump(resources), "resources"))

    def state(self) -> ContainerState:
        """Return what is known of the container, its status asked of the kernel now."""
        with self._open() as entry:
            state = self._load(entry)
            status = status_of(entry, state)
        pid = 0 if status == STOPPED else state.pid
        return ContainerState(
            state.oci_version,
            state.id,
            status,
            pid,
            state.bundle,
            state.rootfs,
            state.created,
            state.owner,
            state.annotations,
        )

    def stats(self) -> ContainerStats:
        """Return what its cgroups and interfaces have counted. Raises StatusError for one that does not run."""
        from pyrunc.host.stats import running_state, stats

        with self._open() as entry:
            return stats(running_state(entry))

    def events(self, interval: float = 5.0) -> Iterator[Event]:
        """Yield statistics every `interval` seconds, and out-of-memory notices, until the container ends."""
        from pyrunc.host.events import watch

        with self._open() as entry:
            yield from watch(entry, interval)

    def processes(self) -> tuple[int, ...]:
        """Return the pids of all its processes, as the host numbers them."""
        from pyrunc.host.ps import processes

        with self._open() as entry:
            return processes(entry)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until the container's first process has ended; return its exit code, 128 + n if signal n ended it.

        None if this process is not its parent: then somebody else has the code. It is the parent if it created the
        container. Raises TimeoutError after `timeout` seconds.
        """
        if self._code is None:
            if not self._init[0]:
                self._note_init()
            self._code = wait_for(*self._init, timeout)
        return self._code

    def _take_code(self) -> None:
        """delete takes the init's exit code if nobody has."""
        try:
            self.wait(0)
        except TimeoutError:
            return

    def _open(self) -> Entry:
        return open_entry(self.root, self.id)

    def _load(self, entry: Entry) -> State:
        state = entry.load()
        if state is None:
            raise NotFoundError(f"container {self.id} does not exist")
        return state

    def _note_init(self) -> None:
        with self._open() as entry:
            state = entry.load()
            self._init = (state.pid, state.start_time) if state else (0, 0)
        self._code = None

    def _work(
        self, command: str, flags: tuple[str, ...], args: tuple[str, ...] = (), streams: Streams = STANDARD
    ) -> int:
        return work((*self._options, command, *flags, "--", self.id, *args), f"{command} {self.id}", streams)


def containers(root: str = "", options: Sequence[str] = ()) -> list[Container]:
    """Return all containers of a state root."""
    root = root or default_root()
    return [Container(container_id, root, options) for container_id in ids(root)]


def _passing(streams: Streams) -> tuple[str, ...]:
    return ("--preserve-fds", str(len(streams.passed))) if streams.passed else ()


def _write(path: str, text: str) -> None:
    fd = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o600)
    try:
        rest = text.encode()
        while rest:
            rest = rest[posix.write(fd, rest) :]
    finally:
        posix.close(fd)
