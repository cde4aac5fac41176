"""The folders of bundles/: which there are, and how one is made ready to run. README.md describes them."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

from bundles import rootfs

HERE = Path(__file__).resolve().parent


def names() -> list[str]:
    """Return the names of all bundles: the folders that have a README.md."""
    return sorted(path.parent.name for path in HERE.glob("*/README.md"))


def build(name: str, into: Path | None = None) -> Path:
    """Make everything that a bundle's folder lacks, and return the folder.

    A folder with build.py is filled by its function `build`; any other gets a root file system with busybox. With
    `into` this is done to a copy, so that several can run at once and the checkout need not be ours to write in.

    Raises OSError: FileNotFoundError for a bundle that is not there, or a program that it needs of this host.
    """
    if name not in names():
        raise FileNotFoundError(f"{name}: no such bundle (there are {', '.join(names())})")
    folder = HERE / name
    if into:
        shutil.copytree(folder, into, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*made_in(folder)))
        folder = into
    builder = folder / "build.py"
    if builder.exists():
        runpy.run_path(str(builder))["build"](folder)
    else:
        rootfs.build(folder / "rootfs", [])
    return folder


def clean(name: str) -> None:
    """Remove what build() has made in a bundle's own folder. Raises OSError."""
    for path in made(name):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def made(name: str) -> list[Path]:
    """Return what is there now of what build() makes in a bundle's own folder."""
    return [path for pattern in made_in(HERE / name) for path in (HERE / name).glob(pattern)]


def made_in(folder: Path) -> list[str]:
    """Return what in a folder is not a source: rootfs, and what its .gitignore names."""
    ignored = folder / ".gitignore"
    lines = ignored.read_text().split() if ignored.exists() else []
    return ["rootfs", "__pycache__", *(line.strip("/") for line in lines)]
