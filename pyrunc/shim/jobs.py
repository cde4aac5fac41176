"""What is done in forks of the shim: the work of the runtime's commands, without their command lines."""

from __future__ import annotations

import posix

from pyrunc.cgroups.control import Cgroup
from pyrunc.errors import NotFoundError, PyruncError, StateError, reason
from pyrunc.host import exec, pause
from pyrunc.host.checkpoint import Checkpoint, checkpoint
from pyrunc.host.create import Created, Order, create
from pyrunc.host.delete import delete
from pyrunc.host.images import Options as Images
from pyrunc.host.kill import kill
from pyrunc.host.restore import Restore, restore
from pyrunc.host.start import start
from pyrunc.host.update import update
from pyrunc.jsontext import dump, parse
from pyrunc.plan.exec import ExecRequest
from pyrunc.plan.make import Request
from pyrunc.shim.rootfs import mount_all, unmount_all
from pyrunc.shim.work import Result
from pyrunc.spec.load import parse_process, parse_resources
from pyrunc.state.store import open_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.shim.log import Log
    from pyrunc.shim.task import Container, Process

NOTE = "pyrunc.json"
"""The file in the bundle that tells `delete` where the state is, should the shim be gone."""


class Jobs:
    """The jobs, each told the container as it is when the fork is made."""

    def __init__(self, namespace: str, log: Log) -> None:
        self._namespace = namespace
        self._log = log.fd
        self._say = log.debug
        self._warn = log.warning

    def create(self, container: Container) -> Result:
        """Mount the root and create the container. Raises what host.create does, with nothing left."""
        note = {"root": container.root, "mounted": bool(container.mounts)}
        _write(f"{container.bundle}/{NOTE}", dump(note))
        mount_all(container.mounts, container.rootfs)
        try:
            if container.checkpoint:
                return Result({"pid": 0})
            container.init.stdio.start_logger(self._environment(container))
            order = self._order(container)
            _enter(container.bundle)
            created = create(order, self._say, self._warn)
        except BaseException:
            unmount_all(container.rootfs)
            raise
        return _made(created)

    def start(self, container: Container) -> Result:
        """Start what was created, or restore it."""
        if container.checkpoint:
            order = self._order(container)
            work = container.options.criu_work_path or f"{container.bundle}/work"
            images = Images(container.checkpoint, work, criu=container.options.criu_path)
            _enter(container.bundle)
            return _made(restore(Restore(order, images), self._say, self._warn))
        with open_entry(container.root, container.id) as entry:
            start(entry, self._warn)
        return Result()

    def exec(self, container: Container, process: Process) -> Result:
        """Run another program in the container."""
        process.stdio.start_logger(self._environment(container))
        request = ExecRequest(process=parse_process(process.spec, "the process"))
        order = exec.Order(container.root, container.id, request, log=self._log)
        started = exec.start(order, exec.find(order, self._warn), self._say)
        return Result({"pid": started.pid}, (started.console,) if started.console >= 0 else ())

    def delete(self, container: Container) -> Result:
        """Remove the container and its mounts, whatever is left of them."""
        remove(container.root, container.id, self._warn)
        if container.mounts:
            unmount_all(container.rootfs)
        return Result()

    def pause(self, container: Container) -> Result:
        """Freeze it."""
        with open_entry(container.root, container.id) as entry:
            pause.pause(entry)
        return Result()

    def resume(self, container: Container) -> Result:
        """Thaw it."""
        with open_entry(container.root, container.id) as entry:
            pause.resume(entry)
        return Result()

    def update(self, container: Container, resources: str) -> Result:
        """Change its limits to those of a JSON document."""
        with open_entry(container.root, container.id) as entry:
            update(entry, parse_resources(resources, "resources"))
        return Result()

    def checkpoint(self, container: Container, images: Images, leave_running: bool) -> Result:
        """Save it, and remove it unless it is left running."""
        with open_entry(container.root, container.id) as entry:
            checkpoint(entry, Checkpoint(images, leave_running=leave_running), self._warn)
        return Result()

    def kill_all(self, container: Container, signal: int) -> Result:
        """Signal all its processes."""
        with open_entry(container.root, container.id) as entry:
            kill(entry, signal, every=True)
        return Result()

    def kill_rest(self, container: Container) -> Result:
        """Kill what an init leaves behind in a pid namespace that is not its own."""
        if container.cgroups:
            Cgroup(container.cgroups, container.made).kill_all()
        return Result()

    def _order(self, container: Container) -> Order:
        options = container.options
        request = Request(
            id=container.id,
            bundle=container.bundle,
            pivot=not options.no_pivot_root,
            session_keyring=not options.no_new_keyring,
            systemd=options.systemd_cgroup,
        )
        return Order(container.root, request, foreground=True, log=self._log)

    def _environment(self, container: Container) -> dict[bytes, bytes]:
        own = {b"CONTAINER_ID": container.id.encode(), b"CONTAINER_NAMESPACE": self._namespace.encode()}
        return {**posix.environ, **own}


def remove(root: str, container_id: str, warn: Callable[[str], None]) -> None:
    """Delete a container by force; one that is not there is no error."""
    try:
        with open_entry(root, container_id) as entry:
            delete(entry, True, warn)
    except NotFoundError:
        return


def read_note(bundle: str) -> dict[str, object]:
    """Return what the bundle's note says; nothing if there is none: then nothing was made."""
    try:
        fd = posix.open(f"{bundle}/{NOTE}", posix.O_RDONLY | posix.O_CLOEXEC)
    except FileNotFoundError:
        return {}
    try:
        document = parse(posix.read(fd, 1 << 16).decode())
    except ValueError:  # it was being written
        return {}
    finally:
        posix.close(fd)
    return document if isinstance(document, dict) else {}


def _made(created: Created) -> Result:
    state = created.state
    created.entry.close()
    facts: dict[str, object] = {
        "pid": state.pid,
        "private_pids": state.private_pids,
        "cgroups": list(state.cgroup_leaves),
        "made": list(state.cgroup_made),
    }
    return Result(facts, (created.console,) if created.console >= 0 else ())


def _enter(bundle: str) -> None:
    """Hooks of the runtime's namespaces run in the bundle (CVE-2025-23266 had them in the image)."""
    try:
        posix.chdir(bundle)
    except OSError as err:
        raise StateError(f"cannot enter the bundle {bundle}: {reason(err)}") from err


def _write(path: str, text: str) -> None:
    try:
        fd = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC, 0o600)
        try:
            posix.write(fd, text.encode())
        finally:
            posix.close(fd)
    except OSError as err:
        raise PyruncError(f"cannot write {path}: {reason(err)}") from err
