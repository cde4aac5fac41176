"""containerd and docker with io.containerd.pyrunc.v1, pyrunc's own shim, against io.containerd.runc.v2 with runc."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.engines import containerd, cri, docker, documents
from tests.engines.engine import IMAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.engines.box import Box
    from tests.engines.engine import Operation
    from tests.scenario.bundle import Result

SHIM = "containerd-shim-pyrunc-v1"
RUNTIME = "io.containerd.pyrunc.v1"


def folders_with_shims(runtimes: dict[str, Path]) -> str:
    """Where engines have to look for shims, which they do in PATH."""
    return ":".join(str(path.parent) for path in runtimes.values() if path.with_name(SHIM).exists())


class ContainerdShim(containerd.Containerd):
    """`ctr --runtime`; the reference goes by the other shim."""

    name = "containerd with pyrunc's shim"

    @classmethod
    def operations(cls) -> tuple[Operation[containerd.Containerd], ...]:
        return containerd.OPERATIONS

    @classmethod
    def start(cls, box: Box, runtimes: dict[str, Path]) -> str:
        version = containerd.serve(box, containerd.SETTINGS, folders_with_shims(runtimes))
        containerd.import_images(box, *runtimes)
        return version

    @property
    def chosen(self) -> list[str]:
        """The flags that choose the runtime."""
        ours = Path(self.runtime).with_name(SHIM)
        return ["--runtime", RUNTIME] if ours.exists() else ["--runc-binary", self.runtime]

    def run(self, *command: str, flags: Sequence[str] = (), tty: bool = False) -> Result:
        flags = [*flags, "--tty"] if tty else flags
        return self.ctr("run", "--rm", *self.chosen, *flags, IMAGE, self.new_id(), *command, tty=tty)

    def detached(self, *command: str, flags: Sequence[str] = ()) -> str:
        id = self.new_id()
        whole = command or containerd.FOREVER
        self.ctr("run", "--detach", *self.chosen, *flags, IMAGE, id, *whole).ok()
        return id

    def state_folders(self) -> list[str]:
        ours = [f"/run/containerd/pyrunc/{self.runtime_name}/[!@]*", "/run/containerd/s/*"]
        return [*super().state_folders(), *ours]


class CriShim(cri.Cri):
    """The CRI plugin with a handler of that type; the reference has runc's."""

    name = "kubernetes with pyrunc's shim"

    @classmethod
    def start(cls, box: Box, runtimes: dict[str, Path]) -> str:
        handlers = []
        for name, path in runtimes.items():
            page = "containerd.md" if path.with_name(SHIM).exists() else "kubernetes.md"
            line = documents.block(page, "toml", str(path)).replace(f"runtimes.{cri.HANDLER}", f"runtimes.{name}")
            handlers.append(line)
        box.path(cri.NETWORKS).mkdir()
        (box.path(cri.NETWORKS) / "pods.conflist").write_text(json.dumps(cri.NETWORK))
        settings = "\n".join([cri.SETTINGS, *handlers])
        version = containerd.serve(box, settings, folders_with_shims(runtimes))
        containerd.import_images(box, "k8s.io")
        return version

    def state_folders(self) -> list[str]:
        return [*super().state_folders(), "/run/containerd/pyrunc/k8s.io/[!@]*", "/run/containerd/s/*"]


class DockerShim(docker.Docker):
    """`docker run --runtime io.containerd.pyrunc.v1`; versions before 23 know only what they are configured with."""

    name = "docker with pyrunc's shim"

    @classmethod
    def start(cls, box: Box, runtimes: dict[str, Path]) -> str:
        return docker.serve(box, {}, folders_with_shims(runtimes))

    @property
    def chosen(self) -> str:
        ours = Path(self.runtime).with_name(SHIM)
        return RUNTIME if ours.exists() else "runc"

    def state_folders(self) -> list[str]:
        return [*super().state_folders(), "/run/containerd/pyrunc/moby/[!@]*", "/run/containerd/s/*"]
