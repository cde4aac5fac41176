"""A bundle as the tests speak about it: made in one line, driven through the command line, gone at the end.

bundle.write("/secret", "42").linux(maskedPaths=["/secret"])
assert bundle.run("cat", "/secret").stdout == ""
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tests.lanes import SLOWNESS
from tests.scenario import host
from tests.scenario.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.scenario.rootfs import Template

TIMEOUT = 25.0 + 5.0 * SLOWNESS

CAPABILITIES = """
    AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP
    SETUID SYS_CHROOT
""".split()
CAPS = [f"CAP_{name}" for name in CAPABILITIES]

DEFAULT_MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {
        "destination": "/dev",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    {
        "destination": "/dev/shm",
        "type": "tmpfs",
        "source": "shm",
        "options": ["nosuid", "noexec", "nodev", "mode=1777"],
    },
]

DEFAULT_CONFIG: dict[str, Any] = {
    "ociVersion": "1.0.2",
    "root": {"path": "rootfs"},
    "process": {
        "user": {"uid": 0, "gid": 0},
        "args": ["true"],
        "env": ["PATH=/bin:/usr/bin", "HOME=/root"],
        "cwd": "/",
        "capabilities": {"bounding": CAPS, "effective": CAPS, "permitted": CAPS},
    },
    "mounts": DEFAULT_MOUNTS,
    "linux": {"namespaces": [{"type": name} for name in ("pid", "network", "ipc", "uts", "mount")]},
}


class Result(NamedTuple):
    """What a command of the runtime came to. For create, run and exec the streams hold the container's
    output as well.
    """

    command: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        """Parse stdout."""
        return json.loads(self.stdout)

    def ok(self) -> Self:
        """Fail the test unless the command succeeded."""
        assert self.returncode == 0, f"{' '.join(self.command)}: exit {self.returncode}\n{self.stdout}{self.stderr}"
        return self


class Bundle:
    """One bundle directory, one container id, one state root. What changes something returns the bundle
    itself.
    """

    def __init__(self, runtime: str, folder: Path, template: Template) -> None:
        self.runtime = runtime
        self.dir = folder
        self.token = folder.name
        self.id = self.token
        self.rootfs = folder / "rootfs"
        self.root = folder / "state"
        self.template = template
        self.options: list[str] = []
        self.config = copy.deepcopy(DEFAULT_CONFIG)
        self.config["linux"]["cgroupsPath"] = f"/{self.token}"
        self._calls = 0
        self._created = 0
        template.copy(self.rootfs)

    # config.json

    def set(self, **fields: Any) -> Self:
        """Set top-level members of config.json."""
        self.config.update(fields)
        return self

    def process(self, **fields: Any) -> Self:
        """Set members of .process."""
        self.config["process"].update(fields)
        return self

    def linux(self, **fields: Any) -> Self:
        """Set members of .linux."""
        self.config["linux"].update(fields)
        return self

    def resources(self, **fields: Any) -> Self:
        """Set members of .linux.resources."""
        self.config["linux"].setdefault("resources", {}).update(fields)
        return self

    def env(self, *assignments: str) -> Self:
        """Append to .process.env."""
        self.config["process"]["env"] = [*self.config["process"]["env"], *assignments]
        return self

    def capabilities(self, *names: str) -> Self:
        """Give more capabilities in the bounding, effective and permitted sets."""
        return self.process(capabilities={kind: [*CAPS, *names] for kind in ("bounding", "effective", "permitted")})

    def mount(
        self, destination: str, fstype: str = "", source: str = "", options: Sequence[str] = (), **more: Any
    ) -> Self:
        """Append to .mounts; members that are empty are left out."""
        entry = {
            "destination": destination,
            "type": fstype,
            "source": source,
            "options": list(options),
            **more,
        }
        self.config["mounts"] = [
            *self.config["mounts"],
            {key: value for key, value in entry.items() if value},
        ]
        return self

    def without_mount(self, *destinations: str) -> Self:
        """Take mounts out of the default set."""
        self.config["mounts"] = [entry for entry in self.config["mounts"] if entry["destination"] not in destinations]
        return self

    def namespace(self, kind: str, path: str = "") -> Self:
        """Ask for a namespace, new or joined by path; replaces an earlier entry of the kind."""
        self.without_namespace(kind)
        self.config["linux"]["namespaces"].append({"type": kind, "path": path} if path else {"type": kind})
        return self

    def without_namespace(self, *kinds: str) -> Self:
        """Inherit these namespaces from the runtime."""
        kept = [entry for entry in self.config["linux"]["namespaces"] if entry["type"] not in kinds]
        return self.linux(namespaces=kept)

    def hook(self, kind: str, path: str, *args: str, **more: Any) -> Self:
        """Append a hook of the kind; args become argv, the path's own name first."""
        entry = {"path": path, "args": [path, *args], **more}
        self.config.setdefault("hooks", {}).setdefault(kind, []).append(entry)
        return self

    # rootfs

    def path(self, inside: str) -> Path:
        """Where a path of the container lies on the host, symbolic links of the rootfs not followed."""
        return self.rootfs / inside.lstrip("/")

    def write(self, inside: str, text: str, mode: int = 0o644) -> Self:
        """Make a file in the rootfs; a link or file that is there already is replaced, never written
        through.
        """
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return self

    def mkdir(self, inside: str) -> Self:
        """Make a directory in the rootfs."""
        self.path(inside).mkdir(parents=True, exist_ok=True)
        return self

    def symlink(self, inside: str, target: str) -> Self:
        """Make a symbolic link in the rootfs, in place of an empty directory or file that is there."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        return self

    # commands

    def save(self) -> Self:
        """Write config.json."""
        (self.dir / "config.json").write_text(json.dumps(self.config))
        return self

    def command(self, name: str, *flags: str, operands: Sequence[str] = (), id: str | None = None) -> list[str]:
        """The whole argument vector of a command on this container."""
        where = ["--bundle", str(self.dir)] if name in ("create", "run") and "--bundle" not in flags else []
        operand = self.id if id is None else id
        return [
            self.runtime,
            "--root",
            str(self.root),
            *self.options,
            name,
            *where,
            *flags,
            operand,
            *operands,
        ]

    def environment(self, **more: str) -> dict[str, str]:
        """The runtime's environment: the caller's without what would change its behaviour, and the token."""
        dropped = ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "XDG_RUNTIME_DIR")
        kept = {key: value for key, value in os.environ.items() if key not in dropped}
        return {**kept, host.TOKEN_VARIABLE: self.token, **more}

    def execute(self, command: Sequence[str | Path], *, stdin: str = "", stdin_fd: int = -1, **more: Any) -> Result:
        """Run any program in the runtime's place. Output goes through files: a pipe would stay open in the
        container.
        """
        self._calls += 1
        out, err, inp = (self.dir / f"{self._calls}.{kind}" for kind in ("out", "err", "in"))
        inp.write_text(stdin)
        more.setdefault("env", self.environment())
        with inp.open() as source, out.open("w") as stdout, err.open("w") as stderr:
            streams = {
                "stdin": source if stdin_fd < 0 else stdin_fd,
                "stdout": stdout,
                "stderr": stderr,
                "timeout": TIMEOUT,
                "check": False,
            }
            done = subprocess.run(list(command), **{**streams, **more})
        return Result(tuple(map(str, command)), done.returncode, _text(out), _text(err))

    def attempt(
        self,
        name: str,
        *flags: str,
        operands: Sequence[str] = (),
        id: str | None = None,
        wrap: Sequence[str | Path] = (),
        **more: Any,
    ) -> Result:
        """Run a command that may fail; config.json is written first for create and run."""
        if name in ("create", "run"):
            self.save()
            self._created = self._calls + 1
        return self.execute([*wrap, *self.command(name, *flags, operands=operands, id=id)], **more)

    def run(self, *args: str, **more: Any) -> Result:
        """`run` in the foreground; args replace .process.args."""
        if args:
            self.process(args=list(args))
        return self.attempt("run", **more)

    def create(self, *flags: str, **more: Any) -> Self:
        """`create`, which must succeed."""
        self.attempt("create", *flags, **more).ok()
        return self

    def start(self) -> Self:
        """`start`, which must succeed."""
        self.attempt("start").ok()
        return self

    def sleeping(self) -> Self:
        """Create and start with a program that does nothing until it is killed."""
        return self.process(args=["/bin/probe", "sleep"]).create().start()

    def exec(self, *args: str, flags: Sequence[str] = (), **more: Any) -> Result:
        """`exec` of a program, with flags before the id."""
        return self.attempt("exec", *flags, operands=args, **more)

    def kill(self, *signal_and_flags: str) -> Self:
        """`kill`, which must succeed; flags have a dash."""
        flags = [word for word in signal_and_flags if word.startswith("-")]
        self.attempt("kill", *flags, operands=[word for word in signal_and_flags if word not in flags]).ok()
        return self

    def delete(self, *flags: str) -> Self:
        """`delete`, which must succeed."""
        self.attempt("delete", *flags).ok()
        return self

    def state(self) -> dict[str, Any]:
        """What `state` prints."""
        found: dict[str, Any] = self.attempt("state").ok().json()
        return found

    @property
    def status(self) -> str:
        """The status word of `state`."""
        return str(self.state()["status"])

    @property
    def pid(self) -> int:
        """The container process as the host numbers it."""
        return int(self.state()["pid"])

    # looking inside

    def probe(self, *question: str) -> Any:
        """Run the container with the probe as its program and parse the answer."""
        return self.run("/bin/probe", *question).ok().json()

    def mounted(self) -> list[host.Mount]:
        """Run the container and return its mounts, in order."""
        return host.parse_mountinfo(self.run("cat", "/proc/self/mountinfo").ok().stdout)

    def mount_at(self, point: str) -> host.Mount:
        """Run the container and return its topmost mount at a place."""
        return [mount for mount in self.mounted() if mount.point == point][-1]

    def output(self) -> str:
        """What the container created last has written to its stdout so far: `create` left it our file."""
        return _text(self.dir / f"{self._created}.out")

    def wait(self, pid: int, seconds: float = TIMEOUT) -> int:
        """Wait for the end of a container's init, which we adopted; returns its exit code, or 128+n for a
        signal.
        """
        code: list[int] = []

        def ended() -> bool:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                code.append(os.waitstatus_to_exitcode(status))
            return bool(found)

        assert host.eventually(ended, seconds), f"process {pid} did not end in {seconds} seconds"
        return code[0] if code[0] >= 0 else 128 - code[0]

    @contextlib.contextmanager
    def console(self) -> Iterator[Console]:
        """A socket for --console-socket."""
        with Console(self.dir / "tty.sock") as console:
            yield console

    # the end

    def clean(self, patience: float = 2.0) -> list[str]:
        """Delete by force what is still there, and report what even that leaves behind after so many
        seconds.
        """
        for entry in sorted(os.listdir(self.root)) if self.root.exists() else []:
            if self.token in entry:
                self.attempt("delete", "--force", id=entry)
        host.reap()
        left: list[str] = []
        if not host.eventually(lambda: not host.leftovers(self.token, self.root), patience):
            left = host.leftovers(self.token, self.root)
            host.sweep(self.token)
        assert not host.mounts_of(self.token), "a mount below the bundle cannot be removed: nothing is deleted there"
        shutil.rmtree(self.dir)
        return left


def _text(path: Path) -> str:
    return path.read_text(errors="backslashreplace")
