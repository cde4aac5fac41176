"""A machine inside the machine: an engine and all that it starts live and end in it.

Private are the process ids, mounts, network, hostname, IPC and cgroups. /run is a new tmpfs, /etc, /var and /opt are
written to copies: an engine's state, sockets and images are gone with the box. An engine that kills, freezes or
unmounts too much harms only itself.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.scenario import host
from tests.scenario.bundle import Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HOME = "/run/box"
USER, USER_HOME = "jo", "/run/jo"
UID = 1000
FIRST_SUBORDINATE, SUBORDINATES = 200000, 65536

TIMEOUT = 60.0
NAMESPACES = ["--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup"]

# Joins cgroups, then makes the namespaces: a new cgroup namespace has as its root where its maker is.
OUTER = 'for folder; do echo 0 > "$folder/cgroup.procs" || exit 97; done; exec unshare --fork --kill-child --mount-proc'

# The box's init: it only reaps. "up" tells that the box stands.
INIT = "import signal as s; s.signal(s.SIGCHLD, s.SIG_IGN); print('up', flush=True)\nwhile True: s.pause()"

# A process that comes in from outside is still in the host's cgroups. `tasks` takes a single thread at once, where
# cgroup.procs waits for a grace period.
ENTER = 'for file in $0; do echo 0 > "$file" || exit 98; done; exec "$@"'


class Box:
    """One box. Commands and daemons are started in it; what it holds is read through `path`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = folder.name
        self.init = 0
        self._process: subprocess.Popen[str] | None = None
        self._calls = 0
        self._mounts = [mount for mount in host.host_mounts() if mount.fstype in ("cgroup", "cgroup2")]
        self._unified = all(mount.fstype == "cgroup2" for mount in self._mounts)

    @classmethod
    @contextlib.contextmanager
    def open(cls) -> Iterator[Self]:
        """Make a box, and take it away with everything in it."""
        folder = Path(tempfile.mkdtemp(prefix=f"pyrunc-engines-{secrets.token_hex(4)}-"))
        folder.chmod(0o755)
        box = cls(folder)
        try:
            box._start()
            yield box
        finally:
            box._end()

    # life

    def _start(self) -> None:
        self._drop_unmounted_hierarchies()
        folders = self._make_cgroups()
        words = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", f"{OUTER} {' '.join(NAMESPACES)} {self._inner()}", "sh"]
        with (self.folder / "box.log").open("w") as log:
            self._process = subprocess.Popen(
                [*words, *folders], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, cwd="/"
            )
        assert self._process.stdout
        said = self._process.stdout.readline()
        assert said == "up\n", f"the box does not stand up: {(self.folder / 'box.log').read_text()}"
        unshare = self._process.pid
        self.init = int(Path(f"/proc/{unshare}/task/{unshare}/children").read_text())

    def _drop_unmounted_hierarchies(self) -> None:
        """A v1 hierarchy that some test has mounted lives on until its last mount goes when it is idle.

        Engines find it in /proc/self/cgroup, and give up looking for limits where its mount point is missing.
        """
        mounted = {option for mount in self._mounts for option in mount.super_options}
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            names = line.split(":")[1]
            if names and not mounted & set(names.split(",")):
                script = 'mount -t cgroup -o "$0" cgroup /mnt && umount /mnt'
                which = f"none,{names}" if names.startswith("name=") else names
                subprocess.run(["unshare", "--mount", "sh", "-c", script, which], check=True)

    def _make_cgroups(self) -> list[str]:
        made = []
        for top in sorted({mount.point for mount in self._mounts}):
            folder = Path(top, self.token)
            folder.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):  # v1: nobody may enter before they are set
                if (folder / name).exists() and not self._unified:
                    (folder / name).write_text(Path(top, name).read_text())
            made.append(str(folder))
        return made

    def _inner(self) -> str:
        """What runs as pid 1 of the box, quoted for a shell: the mounts, then the init."""
        script = self.folder / "init.sh"
        script.write_text("\n".join(["set -e", *self._cgroup_lines(), *self._file_lines(), self._exec_line()]))
        return f"sh {script}"

    def _cgroup_lines(self) -> list[str]:
        if self._unified:
            top = self._mounts[0].point
            return [
                f"mount -t cgroup2 cgroup2 {top}; mkdir {top}/init; echo 0 > {top}/init/cgroup.procs",
                f'for name in $(cat {top}/cgroup.controllers); do echo "+$name" > {top}/cgroup.subtree_control; done',
            ]
        lines = ["mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup"]
        for mount in sorted({each.point: each for each in self._mounts}.values()):
            which = mount.super_options - {"rw", "ro", "xattr", "nsdelegate", "memory_recursiveprot"}
            named = {"none"} if any(option.startswith("name=") for option in which) else set()
            options = f"-o {','.join(sorted(which | named))}" if mount.fstype == "cgroup" else ""
            lines.append(f"mkdir {mount.point}; mount -t {mount.fstype} {options} cgroup {mount.point}")
        return lines

    def _file_lines(self) -> list[str]:
        """A /run of its own, copies on write of what engines write to, and an ordinary user with subordinate ids."""
        lines = ["mount -t tmpfs -o mode=755 tmpfs /run"]
        for top in ("etc", "var", "opt"):
            layers = f"lowerdir=/{top},upperdir={HOME}/upper/{top},workdir={HOME}/work/{top}"
            lines.append(f"mkdir -p {HOME}/upper/{top} {HOME}/work/{top}; mount -t overlay -o {layers} overlay /{top}")
        lines.append(f"mkdir -p {HOME}/tmp {USER_HOME}/tmp {USER_HOME}/run; chmod 700 {USER_HOME}/run")
        lines.append(f"chown -R {UID}:{UID} {USER_HOME}")
        files = {
            "passwd": f"{USER}:x:{UID}:{UID}:{USER}:{USER_HOME}:/bin/sh",
            "group": f"{USER}:x:{UID}:",
            "subuid": f"{USER}:{FIRST_SUBORDINATE}:{SUBORDINATES}",
            "subgid": f"{USER}:{FIRST_SUBORDINATE}:{SUBORDINATES}",
        }
        for name, line in files.items():
            # An id may have one name only: whoever has ours on the host is not in the box.
            kept = f"grep -s -v -e ':{UID}:' -e '^{USER}:' /etc/{name}"
            lines.append(f"{{ {kept} || true; echo {line}; }} > {HOME}/tmp/{name}; cp {HOME}/tmp/{name} /etc/{name}")
        # As systemd leaves it: what a runtime mounts in the wrong place comes back to the engine.
        return [*lines, "mount --make-rshared /", "ip link set lo up"]

    def _exec_line(self) -> str:
        (self.folder / "init.py").write_text(INIT)
        return f"exec {sys.executable} -I -S {self.folder / 'init.py'}"

    def _end(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
        gone = host.eventually(lambda: not host.processes_of(self.token), 20)
        host.sweep(self.token)
        assert gone, "something has outlived its box"
        assert not host.cgroups_of(self.token), f"cgroups are left: {host.cgroups_of(self.token)}"
        assert not host.mounts_of(self.token), "a mount came out of the box: nothing is deleted there"
        shutil.rmtree(self.folder)

    # use

    def path(self, inside: str) -> Path:
        """Where a path of the box is seen from outside."""
        return Path(f"/proc/{self.init}/root{inside}")

    def environment(self, user: bool) -> dict[str, str]:
        """What every command in the box gets: nothing of the caller's."""
        home = USER_HOME if user else HOME
        own = {"USER": USER, "XDG_RUNTIME_DIR": f"{USER_HOME}/run"} if user else {}
        path = ":".join(_program_folders())
        return {"PATH": path, "HOME": home, "TMPDIR": f"{home}/tmp", "LANG": "C.UTF-8", "TERM": "dumb", **own}

    def command(self, words: tuple[str, ...], user: bool = False) -> list[str]:
        """The argument vector that runs these words inside, as root or as the ordinary user."""
        drop = ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups"] if user else []
        home = USER_HOME if user else HOME
        where = f"--wd=/proc/{self.init}/root{home}"
        return ["nsenter", f"--target={self.init}", *NAMESPACES, where, "sh", "-c", ENTER, self._joins(), *drop, *words]

    def _joins(self) -> str:
        if self._unified:
            return f"{self._mounts[0].point}/init/cgroup.procs"
        files = {mount.point: "tasks" if mount.fstype == "cgroup" else "cgroup.procs" for mount in self._mounts}
        return " ".join(f"{point}/{name}" for point, name in files.items())

    def run(
        self,
        *words: str,
        stdin: str = "",
        user: bool = False,
        env: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
    ) -> Result:
        """Run a command inside. Output goes through files: a pipe would stay open in what it leaves running."""
        self._calls += 1
        out, err, inp = (self.folder / f"{self._calls}.{kind}" for kind in ("out", "err", "in"))
        inp.write_text(stdin)
        with inp.open() as source, out.open("w") as stdout, err.open("w") as stderr:
            streams: dict[str, Any] = {"stdin": source, "stdout": stdout, "stderr": stderr}
            code = self._wait(words, user, env, timeout, streams)
        return Result(words, code, _text(out), _text(err))

    def run_on_terminal(
        self, *words: str, user: bool = False, env: Mapping[str, str] | None = None, timeout: float = TIMEOUT
    ) -> Result:
        """Run a command that has a terminal; what it shows is stdout."""
        master, slave = os.openpty()
        try:
            streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), slave)
            code = self._wait(words, user, env, timeout, streams)
            # Few words fit a pty's buffer, so it can be read when all is said.
            os.set_blocking(master, False)
            with contextlib.suppress(BlockingIOError):
                return Result(words, code, os.read(master, 65536).decode(errors="replace"), "")
            return Result(words, code, "", "")
        finally:
            os.close(master)
            os.close(slave)

    def _wait(
        self,
        words: tuple[str, ...],
        user: bool,
        env: Mapping[str, str] | None,
        timeout: float,
        streams: dict[str, Any],
    ) -> int:
        whole = {**self.environment(user), **(env or {})}
        with subprocess.Popen(self.command(words, user), env=whole, start_new_session=True, **streams) as process:
            try:
                return process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise AssertionError(f"{' '.join(words)}: no end in {timeout:.0f} seconds") from None

    def daemon(self, *words: str, log: str) -> None:
        """Start a program that runs as long as the box; it writes to a file in the box's folder on the host."""
        with (self.folder / log).open("w") as file:
            streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": file}
            # In the background of a shell, or its parent would be ours to wait for.
            line = ("sh", "-c", '"$@" &', "sh", *words)
            subprocess.run(self.command(line), env=self.environment(False), check=True, **streams)

    def log(self, name: str) -> str:
        """What a daemon has written."""
        return _text(self.folder / name)


def _program_folders() -> list[str]:
    """Where programs are looked for; first, if PYRUNC_ENGINES names one, below a directory with other engines."""
    others = os.environ.get("PYRUNC_ENGINES")
    first = [f"{others}/usr/sbin", f"{others}/usr/bin"] if others else []
    return [*first, "/usr/sbin", "/usr/bin", "/sbin", "/bin"]


def _text(path: Path) -> str:
    return path.read_text(errors="replace")
