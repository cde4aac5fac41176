"""An image of three layers as a tar, the same unpacked layer by layer, and two containers with a root of them all."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from bundles import image, rootfs
from bundles.config import basic, with_capabilities, write

MOTD = "app/motd"
Layer = dict[str, str | None]  # a name and its text; None: a directory

# What somebody might have built with three steps of a Dockerfile.
SECOND: Layer = {MOTD: "from the second layer\n", "app/old": "to be deleted\n", "app/cache": None, "app/cache/a": "a\n"}
THIRD: Layer = {
    MOTD: "from the third layer\n",
    "app/.wh.old": "",  # rm /app/old
    "app/cache": None,
    "app/cache/.wh..wh..opq": "",  # rm -r /app/cache; mkdir /app/cache
    "app/cache/b": "b\n",
}


def build(folder: Path) -> None:
    """Write image.tar, unpack it, and give each container its writable layer. Raises OSError; root only."""
    if os.geteuid():
        raise PermissionError("a deleted file is a device in a layer, and only root can make devices")
    script = {"app/look.sh": (folder / "look.sh").read_text()}
    asked = {"Cmd": ["sh", "/app/look.sh"], "Env": ["PATH=/bin:/usr/bin", "LAYERS=3"], "WorkingDir": "/app"}
    image.write(folder / "image.tar", [first(), layer(SECOND), layer({**THIRD, **script})], asked, "layers")
    shutil.rmtree(folder / "image", ignore_errors=True)
    lower = rootfs.from_layers(folder / "image", folder / "image.tar")
    with image.read(folder / "image.tar") as found:
        process = dict(image.process_of(found.config))
    for name in ("one", "two"):
        container(folder / name, lower, process)


def container(folder: Path, lower: list[Path], process: dict[str, object]) -> None:
    """Write a config.json whose root is an overlay. What an earlier run has written stays."""
    for name in ("upper", "work", "rootfs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    config = with_capabilities(basic(folder.name))
    config["process"].update(process)
    config["root"]["readonly"] = False
    layers = [f"lowerdir={':'.join(map(str, lower))}", f"upperdir={folder}/upper", f"workdir={folder}/work"]
    root = {"destination": "/", "type": "overlay", "source": "overlay", "options": layers}
    config["mounts"].insert(0, root)
    write(folder, config)


def first() -> bytes:
    """Return the lowest layer: busybox, and the directories that every root file system has."""
    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=buffer, mode="w") as tar:
        rootfs.build(Path(folder), [])
        tar.add(folder, arcname=".", filter=of_root)
    return buffer.getvalue()


def of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Make everything root's, and the same whenever it is built."""
    member.uid = member.gid = member.mtime = 0
    if member.name == ".":
        member.mode = 0o755  # a temporary directory is closed to others
    return member


def layer(content: Layer) -> bytes:
    """Return a layer as a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in content.items():
            member = tarfile.TarInfo(name)
            data = (text or "").encode()
            member.size = len(data)
            member.mode = 0o644
            if text is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
