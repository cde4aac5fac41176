"""An image as a file: an OCI layout, as a folder or a tar, or what `docker save` writes. No registry, no network.

An image is a list of tars, its layers, and a little JSON that says how its program is started. Everything is named
by its SHA-256, and compared with it: image-spec, image-layout.md, manifest.md, config.md, descriptor.md.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import re
import subprocess
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bundles.untar import Opener

Json = dict[str, Any]

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386", "ppc64le": "ppc64le"}
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
JSON_BYTES = 4 << 20  # no manifest is larger
CHUNK = 1 << 20
REF_NAME = "org.opencontainers.image.ref.name"
MEDIA = "application/vnd.oci.image"


class Store:
    """Where an image's files are: a folder, or a tar that is not compressed. Raises OSError, tarfile.TarError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tar = None if path.is_dir() else tarfile.open(path)
        self.names = {member.name.removeprefix("./") for member in self.tar} if self.tar else set()

    def close(self) -> None:
        """Close the tar."""
        if self.tar:
            self.tar.close()

    def has(self, name: str) -> bool:
        """Say whether there is such a file."""
        return name in self.names if self.tar else Path(self.path, name).is_file()

    def open(self, name: str) -> IO[bytes]:
        """Open a file by its name. Raises FileNotFoundError."""
        if not self.has(name):
            raise FileNotFoundError(f"{self.path}: the image has no {name}")
        if not self.tar:
            return Path(self.path, name).open("rb")
        file = self.tar.extractfile(name if name in self.tar.getnames() else f"./{name}")
        if file is None:
            raise FileNotFoundError(f"{self.path}: {name} is not a file")
        return file

    def json(self, name: str) -> Any:
        """Parse a file."""
        with self.open(name) as file:
            return json.loads(file.read(JSON_BYTES))

    def blob(self, descriptor: Json) -> str:
        """Return the name of the file that a descriptor means, whose content is what its digest says.

        Raises ValueError if it is not, or if the digest is of a kind that we cannot compute.
        """
        digest = str(descriptor.get("digest", ""))
        if not DIGEST.fullmatch(digest):
            raise ValueError(f"{self.path}: {digest!r} is not a sha256 digest")
        name = f"blobs/sha256/{digest.removeprefix('sha256:')}"
        with self.open(name) as file:
            if f"sha256:{digest_of(file)}" != digest:
                raise ValueError(f"{self.path}: {name} has been changed: its content has another digest")
        return name


class Image(NamedTuple):
    """An image: config.json of image-spec, and for each layer, the lowest first, what opens it as a plain tar.

    A context manager: layers can be opened until it ends.
    """

    store: Store
    config: Json
    layers: list[Opener]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()


def is_image(path: Path) -> bool:
    """Say whether a folder or file is an image, and not, say, the tar of a single tree. Raises OSError."""
    if path.is_file() and not tarfile.is_tarfile(path):
        return False
    store = Store(path)
    try:
        return store.has("oci-layout") or store.has("manifest.json")
    finally:
        store.close()


def read(path: Path, name: str = "") -> Image:
    """Read an image, with every digest checked; `name` chooses one of several by its name or tag.

    Raises OSError, tarfile.TarError; ValueError for what is not an image, or has been changed.
    """
    store = Store(path)
    try:
        config, files = _parts(store, name)
        layers = [_opener(store, file) for file in files]
        _check_layers(path, config, layers)
    except BaseException:
        store.close()
        raise
    return Image(store, config, layers)


def _parts(store: Store, name: str) -> tuple[Json, list[str]]:
    """The config, and the files of the layers."""
    if store.has("oci-layout"):
        manifest = store.json(store.blob(_manifest(store, store.json("index.json"), name)))
        return store.json(store.blob(manifest["config"])), [store.blob(layer) for layer in manifest["layers"]]
    if store.has("manifest.json"):
        entry = _saved(store.json("manifest.json"), name)
        return store.json(entry["Config"]), entry["Layers"]
    raise ValueError(f"{store.path}: neither an OCI layout nor an archive of docker save")


def _manifest(store: Store, index: Json, name: str) -> Json:
    """The descriptor of the manifest for this machine; an index may hold further ones."""
    found = [entry for entry in index.get("manifests", []) if _is_for_us(entry)]
    if name:
        found = [entry for entry in found if name in entry.get("annotations", {}).get(REF_NAME, "").split(":")]
    if len(found) != 1:
        names = [entry.get("annotations", {}).get(REF_NAME, "without a name") for entry in found]
        raise ValueError(f"{store.path}: not one image but {len(found)} ({', '.join(names)}): give the name of one")
    descriptor: Json = found[0]
    if "index" in descriptor.get("mediaType", "") or "manifest.list" in descriptor.get("mediaType", ""):
        return _manifest(store, store.json(store.blob(descriptor)), "")
    return descriptor


def _is_for_us(descriptor: Json) -> bool:
    machine = os.uname().machine
    platform = descriptor.get("platform", {})
    # "unknown" are attestations, which are no images.
    return platform.get("architecture", "") in ("", ARCHITECTURES.get(machine, machine))


def _saved(manifest: list[Json], name: str) -> Json:
    found = [entry for entry in manifest if not name or name in (entry.get("RepoTags") or [])]
    if len(found) != 1:
        raise ValueError(f"not one image but {len(found)}: give the name of one, with its tag")
    return found[0]


def _check_layers(path: Path, config: Json, layers: list[Opener]) -> None:
    expected = config.get("rootfs", {}).get("diff_ids", [])
    if len(expected) != len(layers):
        raise ValueError(f"{path}: {len(layers)} layers, and {len(expected)} in the image's config")
    for number, (opener, digest) in enumerate(zip(layers, expected, strict=True)):
        with opener() as file:
            if f"sha256:{digest_of(file)}" != digest:
                raise ValueError(f"{path}: layer {number} has been changed: its content is not {digest}")


def _opener(store: Store, name: str) -> Opener:
    return lambda: plain(store.open(name))


@contextmanager
def plain(opened: IO[bytes]) -> Iterator[IO[bytes]]:
    """Yield a tar without its compression, which is told by its first bytes; close it. Raises OSError."""
    with opened as file:
        magic = file.read(6)
        file.seek(0)
        if magic.startswith(b"\x28\xb5\x2f\xfd"):
            # Python 3.11 has no zstd. Raises FileNotFoundError with the program's name.
            done = subprocess.run(["zstd", "-dc"], input=file.read(), capture_output=True, check=True)
            yield io.BytesIO(done.stdout)
            return
        known: dict[bytes, Any]
        known = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
        opener = next((opener for start, opener in known.items() if magic.startswith(start)), None)
        if not opener:
            yield file
            return
        with opener(file) as content:
            yield content


def digest_of(file: IO[bytes]) -> str:
    """Return the SHA-256 of the rest of a file, in hexadecimal."""
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def process_of(config: Json) -> Iterator[tuple[str, Any]]:
    """Yield the members of .process that an image's config decides: image-spec, conversion.md."""
    asked = config.get("config", {})
    args = [*(asked.get("Entrypoint") or []), *(asked.get("Cmd") or [])]
    if args:
        yield "args", args
    if asked.get("Env"):
        yield "env", asked["Env"]
    yield "cwd", asked.get("WorkingDir") or "/"


def write(path: Path, layers: Sequence[bytes], asked: Json, name: str) -> None:
    """Write an image as an OCI layout in a tar; `asked` is Cmd, Env and the like, `layers` are plain tars.

    Raises OSError.
    """
    machine = os.uname().machine
    platform = {"architecture": ARCHITECTURES.get(machine, machine), "os": "linux"}
    blobs: dict[str, bytes] = {}

    def blob(kind: str, content: bytes) -> Json:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": f"{MEDIA}.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    diff_ids = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    config = {**platform, "config": asked, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{MEDIA}.manifest.v1+json",
        "config": blob("config.v1+json", json.dumps(config).encode()),
        "layers": [blob("layer.v1.tar+gzip", gzip.compress(layer, 1, mtime=0)) for layer in layers],
    }
    entry = blob("manifest.v1+json", json.dumps(manifest).encode())
    index = {"schemaVersion": 2, "manifests": [{**entry, "platform": platform, "annotations": {REF_NAME: name}}]}
    layout = {"imageLayoutVersion": "1.0.0"}
    files = {"oci-layout": json.dumps(layout).encode(), "index.json": json.dumps(index).encode(), **blobs}
    with tarfile.open(path, "w") as tar:
        for file, content in files.items():
            member = tarfile.TarInfo(file)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
