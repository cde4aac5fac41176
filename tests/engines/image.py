"""An archive of images as `docker save` writes it, which every engine can import, from the host's own busybox."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from bundles import rootfs
from tests.engines.engine import IMAGE, PAUSE_IMAGE

LAYER = "layer.tar"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
CREATED = "2026-01-01T00:00:00Z"
COMMANDS = {IMAGE: ["sh"], PAUSE_IMAGE: ["sleep", "1000000"]}


def archive() -> bytes:
    """Return the archive: one layer that all images share, a configuration for each."""
    layer = _layer()
    files = {LAYER: layer}
    manifest = []
    for name, command in COMMANDS.items():
        config = json.dumps(_config(command, layer)).encode()
        file = f"{hashlib.sha256(config).hexdigest()}.json"
        files[file] = config
        manifest.append({"Config": file, "RepoTags": [name], "Layers": [LAYER]})
    files["manifest.json"] = json.dumps(manifest).encode()
    return _tar(files)


def _layer() -> bytes:
    """A root file system; pauses take the same."""
    with tempfile.TemporaryDirectory() as folder:
        rootfs.build(Path(folder), [])
        Path(folder, "etc/not-executable").write_text("#!/bin/sh\n")
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            tar.add(folder, arcname=".", filter=_of_root)
        return buffer.getvalue()


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    if member.name == ".":
        member.mode = 0o755
    return member


def _config(command: list[str], layer: bytes) -> dict[str, Any]:
    """image-spec, config.md."""
    return {
        "architecture": ARCHITECTURES.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "created": CREATED,
        "config": {"Cmd": command, "Env": ["PATH=/bin:/usr/bin"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created": CREATED, "created_by": "bundles/rootfs.py"}],
    }


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
