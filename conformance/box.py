"""A box: one container of one case, with its bundle, made in a line and gone at the end.

box.linux(maskedPaths=["/secret"])
equal(box.report()["cwd"], "/", "the working directory")
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from conformance import host
from conformance.case import Failure, check
from conformance.probe import fill
from conformance.runtime import PATIENCE, Result, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable

CAPABILITIES = [
    f"CAP_{name}"
    for name in (
        "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP "
        "SETUID SYS_CHROOT"
    ).split()
]
MOUNTS = [
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
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
    },
]
NAMESPACES = ("pid", "network", "ipc", "uts", "mount")
CHECK_EVERY = 0.01


def default_config(token: str) -> dict[str, Any]:
    """A config.json as small as engines' ones get; version 1.0.2 is known to every runtime."""
    return {
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs"},
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/probe", "report"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {kind: list(CAPABILITIES) for kind in ("bounding", "effective", "permitted")},
        },
        "mounts": json.loads(json.dumps(MOUNTS)),
        "linux": {
            "cgroupsPath": f"/conformance-{token}",
            "namespaces": [{"type": kind} for kind in NAMESPACES],
        },
    }


@dataclass
class Box:
    """One container; `token` is in its id, its paths, its cgroups and the environment of all its processes."""

    runtime: Runtime
    probe: Path
    folder: Path
    token: str = field(default_factory=lambda: "c" + secrets.token_hex(5))
    siblings: list[Box] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.id = f"conformance-{self.token}"
        self.bundle = self.folder / self.id
        self.rootfs = self.bundle / "rootfs"
        self.state_root = self.folder / "state"
        self.config: dict[str, Any] = default_config(self.token)
        fill(self.rootfs, self.probe)

    # what is asked for

    def process(self, **values: Any) -> Box:
        """Change members of .process."""
        self.config["process"].update(values)
        return self

    def linux(self, **values: Any) -> Box:
        """Change members of .linux."""
        self.config["linux"].update(values)
        return self

    def resources(self, **values: Any) -> Box:
        """Set members of .linux.resources."""
        self.config["linux"].setdefault("resources", {}).update(values)
        return self

    def mount(self, destination: str, **values: Any) -> Box:
        """Add a mount."""
        self.config["mounts"].append({"destination": destination, **values})
        return self

    def hook(self, kind: str, label: str = "", status: int = 0, **values: Any) -> Box:
        """Add a hook that appends what it gets to `hooks.log`; see hooks(). Paths are those of its namespace."""
        inside = kind == "startContainer"
        log = "/hooks.log" if inside else str(self.bundle / "hooks.log")
        program = "/bin/probe" if inside else str(self.probe)
        hook = {"path": program, "args": ["probe", "hook", log, label or kind, str(status)], **values}
        self.config.setdefault("hooks", {}).setdefault(kind, []).append(hook)
        return self

    def without_namespace(self, kind: str) -> Box:
        """Leave out a namespace: the container shares that of the runtime."""
        self.config["linux"]["namespaces"] = [
            each for each in self.config["linux"]["namespaces"] if each["type"] != kind
        ]
        return self

    def with_namespace(self, kind: str, path: str = "") -> Box:
        """Ask for a namespace, new or to be joined, instead of what was asked for before."""
        self.without_namespace(kind)
        self.config["linux"]["namespaces"].append({"type": kind, **({"path": path} if path else {})})
        return self

    def in_user_namespace(self, outside: int = 100000, size: int = 65536) -> Box:
        """Map the ids 0 to `size` to those from `outside` on, and give the root to the container's root."""
        self.with_namespace("user")
        mapping = [{"containerID": 0, "hostID": outside, "size": size}]
        for path in (self.rootfs, *self.rootfs.rglob("*")):
            shutil.chown(path, outside, outside)
        self.folder.chmod(0o755)
        return self.linux(uidMappings=mapping, gidMappings=mapping)

    def file(self, path: str, text: str = "", mode: int = 0o644) -> Path:
        """Write a file into the root file system and return where it is on the host."""
        file = self.rootfs / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    def save(self) -> Box:
        """Write config.json."""
        (self.bundle / "config.json").write_text(json.dumps(self.config, indent=1))
        return self

    # what is done

    def call(self, *words: str, **more: Any) -> Result:
        """Run a command of the runtime; every process it starts has the token in its environment."""
        environment = {host.TOKEN_VARIABLE: self.token, **more.pop("environment", {})}
        return self.runtime.call(*words, root=self.state_root, environment=environment, **more)

    def create(self, *flags: str, **more: Any) -> Result:
        """Save config.json, then create."""
        self.save()
        self._carry_token()
        return self.call("create", "--bundle", str(self.bundle), *flags, self.id, **more)

    def create_into(self, file: IO[bytes], *flags: str) -> Result:
        """Create with a file as the container's stdout."""
        return self.create(*flags, stdout=file.fileno())

    def run(self, *flags: str, **more: Any) -> Result:
        """Save config.json, then run in the foreground."""
        self.save()
        self._carry_token()
        return self.call("run", "--bundle", str(self.bundle), *flags, self.id, **more)

    def start(self, **more: Any) -> Result:
        """start."""
        return self.call("start", self.id, **more)

    def kill(self, *words: str, **more: Any) -> Result:
        """kill, with TERM unless a signal is given."""
        return self.call("kill", self.id, *words, **more)

    def delete(self, *flags: str, **more: Any) -> Result:
        """delete."""
        return self.call("delete", *flags, self.id, **more)

    def state(self) -> dict[str, Any]:
        """The state document. Raises Failure if there is none."""
        document = self.call("state", self.id).document()
        check(isinstance(document, dict), "state is not a JSON object")
        return dict(document)

    def status(self) -> str:
        """The status in the state document."""
        return str(self.state().get("status"))

    def ask(self, *questions: str) -> Any:
        """Run the probe with one or more questions, separated by "--", and return the answer or all answers."""
        self.process(args=["/bin/probe", *questions])
        answers = self.answers(self.run().succeeded().stdout)
        check(answers, "the program said nothing")
        return answers if "--" in questions else answers[0]

    def report(self) -> dict[str, Any]:
        """Run the probe with "report"."""
        return dict(self.ask("report"))

    @staticmethod
    def answers(text: str) -> list[Any]:
        """What the probe said, line by line."""
        try:
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError:
            raise Failure(f"the program said {text[:300]!r}") from None

    def running(self, *flags: str, args: tuple[str, ...] = ("wait",), **more: Any) -> Box:
        """Create and start a container whose probe waits for signals. Its stdout is in stdout.log of the bundle."""
        self.process(args=["/bin/probe", *args])
        self.create(*flags, **more).succeeded()
        self.start().succeeded()
        return self

    def await_status(self, wanted: str, patience: float = PATIENCE) -> None:
        """Wait for a status. Raises Failure when it does not come."""
        self.until(lambda: self.status() == wanted, f"the status did not become {wanted}", patience)

    def until(self, holds: Callable[[], Any], otherwise: str, patience: float = PATIENCE) -> None:
        """Wait for something to hold. Raises Failure when it does not within `patience` seconds."""
        deadline = time.monotonic() + patience
        while not holds():
            check(time.monotonic() < deadline, otherwise)
            time.sleep(CHECK_EVERY)

    def hooks(self) -> list[dict[str, Any]]:
        """What the hooks saw, in the order in which they ran; those of startContainer after the others."""
        records = []
        for log in (self.bundle / "hooks.log", self.rootfs / "hooks.log"):
            # A hook may be at work on the last line.
            whole = log.read_text().rpartition("\n")[0] if log.exists() else ""
            records += self.answers(whole)
        return records

    def await_hooks(self, *labels: str) -> list[dict[str, Any]]:
        """Wait for hooks of these labels and return what they saw: nobody says that start waits for those inside.

        Raises Failure when they have not run after the usual patience, or others have.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            records = self.hooks()
            ran = [record["label"] for record in records]
            if set(ran) >= set(labels) or time.monotonic() > deadline:
                break
            time.sleep(CHECK_EVERY)
        check(sorted(ran) == sorted(labels), f"hooks: expected {sorted(labels)}, got {sorted(ran)}")
        return records

    def features(self) -> dict[str, Any]:
        """The features document, {} where the runtime has no such command (it is not one of runtime.md)."""
        result = self.call("features")
        return dict(result.document()) if result.status == 0 else {}

    # others, and the end

    def sibling(self) -> Box:
        """Another box of the same case, with the same state root."""
        number = len(self.siblings) + 1
        box = Box(self.runtime, self.probe, self.folder, f"{self.token}-{number}")
        self.siblings.append(box)
        return box

    def left_behind(self) -> list[str]:
        """What of this case is still there."""
        return host.left_behind(self.token, self.state_root)

    def tidy_up(self) -> list[str]:
        """Delete all containers of the case, by force; return what is there even after that, and take it away too."""
        for box in (*self.siblings, self):
            try:
                self.call("delete", "--force", box.id)
            except Failure:
                continue
        left = self.left_behind()
        host.take_away(self.token)
        host.reap()
        return left

    def _carry_token(self) -> None:
        environment = self.config.get("process", {}).get("env")
        variable = f"{host.TOKEN_VARIABLE}={self.token}"
        if isinstance(environment, list) and variable not in environment:
            environment.append(variable)
            self.save()
