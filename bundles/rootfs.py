"""Build a root file system from what this host has.

    python3 bundles/rootfs.py DEST [--with PROGRAM ...]           busybox, and programs of this host
    python3 bundles/rootfs.py DEST --tar FILE [--with ...]        a tar, such as `docker export` writes
    python3 bundles/rootfs.py DEST --image PATH [--layers]        an OCI layout or archive, or one of `docker save`
    python3 bundles/rootfs.py DEST --debian SUITE                 Debian, from the network

A static busybox is all that most bundles need. Where there is none, the host's own shell and tools are copied, each
with the libraries that it needs. With --layers every layer of an image becomes a folder of its own, DEST/0 and so on,
for overlay; what a tar may and may not do is in untar.py.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

REPOSITORY = Path(__file__).resolve().parents[1]
if __package__ in (None, ""):  # started as a script: python then looks for modules in bundles/ itself
    sys.path[0] = str(REPOSITORY)

if TYPE_CHECKING:
    from bundles.tree import Tree

BUSYBOX = ("/bin/busybox", "/usr/bin/busybox", "/usr/local/bin/busybox", "/usr/lib/busybox/busybox-static")

# What the bundles' scripts use, for hosts without busybox.
TOOLS = """
    sh cat chmod cp date dd df env false grep head hostname id kill ln ls mkdir mount mv ps rm rmdir sed sleep
    sort stat stty tail touch tr true tty umount uname uniq wc
""".split()

MIRROR = "http://deb.debian.org/debian"
DIRECTORIES = "bin dev etc home proc root run sys tmp usr var".split()
LINKS = {"sbin": "bin", "usr/bin": "../bin", "usr/sbin": "../bin", "var/run": "../run"}

FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\ntty:x:5:\nuser:x:1000:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
}


def build(destination: Path, programs: list[str]) -> str:
    """Make or complete a root file system and return what it was made from.

    `programs` are names in PATH or paths. Raises OSError: FileNotFoundError for a program that is not there, or a
    library of it; ValueError for a broken one.
    """
    from bundles.tree import Tree

    with Tree(destination) as tree:
        for name in DIRECTORIES:
            tree.directory(name)
        with tree.open("tmp") as fd:
            os.fchmod(fd, 0o1777)
        for name, target in LINKS.items():
            tree.link(name, target)
        for name, text in FILES.items():
            tree.write(name, text)
        busybox = next((path for path in BUSYBOX if is_static(path)), None)
        if busybox:
            install_busybox(tree, busybox)
        missing = [] if busybox else install_tools(tree)
        for program in programs:
            install(tree, find(program))
    without = f", without {', '.join(missing)}" if missing else ""
    return busybox or f"the host's own tools{without}"


def install_busybox(tree: Tree, busybox: str) -> None:
    """Copy busybox, and link every applet to it."""
    tree.copy(Path(busybox), "bin/busybox")
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout
    for applet in applets.split():
        if applet != "busybox":
            tree.link(f"bin/{applet}", "busybox")


def install_tools(tree: Tree) -> list[str]:
    """Copy the host's own tools; returns those that it does not have."""
    missing = []
    for tool in TOOLS:
        try:
            install(tree, find(tool))
        except FileNotFoundError:
            missing.append(tool)
    return missing


def find(program: str) -> Path:
    """Return where a program of the host is. Raises FileNotFoundError."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if not found:
        raise FileNotFoundError(f"{program}: no such program on this host")
    return Path(found)


def install(tree: Tree, program: Path) -> None:
    """Copy a program to /bin, its loader and libraries to where the loader finds them. Raises OSError, ValueError."""
    from bundles import elf

    tree.copy(program, f"bin/{program.name}")
    for library in elf.loader_and_libraries(program):
        tree.copy(library.path, library.inside)


def is_static(path: str) -> bool:
    """Say whether a program exists and needs no libraries."""
    from bundles import elf

    return os.access(path, os.X_OK) and elf.is_elf(Path(path)) and not elf.Elf(Path(path)).interpreter


def from_tar(destination: Path, file: Path) -> list[str]:
    """Unpack a tar that is a whole root file system, compressed or not; return what was left out.

    Raises as untar.unpack does.
    """
    from bundles import image, untar
    from bundles.tree import Tree

    with Tree(destination) as tree:
        return untar.unpack(lambda: image.plain(file.open("rb")), tree)


def from_image(destination: Path, path: Path, name: str = "") -> list[str]:
    """Unpack all layers of an image into one tree, each over the one before; return what was left out.

    Raises as image.read and untar.unpack do.
    """
    from bundles import image, untar
    from bundles.tree import Tree

    with image.read(path, name) as found, Tree(destination) as tree:
        return [left for layer in found.layers for left in untar.unpack(layer, tree)]


def from_layers(destination: Path, path: Path, name: str = "") -> list[Path]:
    """Unpack every layer of an image into a folder of its own; return them as overlay wants them, the highest first.

    Only root can: a whiteout is a device. Raises as from_image does.
    """
    from bundles import image, untar
    from bundles.tree import Tree

    folders: list[Path] = []
    with image.read(path, name) as found:
        for number, layer in enumerate(found.layers):
            with Tree(destination / str(number)) as tree:
                untar.unpack(layer, tree, alone=True)
            folders.insert(0, destination / str(number))
    return folders


def debian(destination: Path, suite: str, mirror: str = MIRROR, variant: str = "minbase") -> str:
    """Install Debian from a mirror with mmdebstrap, or debootstrap; return which.

    Raises FileNotFoundError if neither is here, OSError with what it said if it failed.
    """
    for tool in ("mmdebstrap", "debootstrap"):
        if not shutil.which(tool):
            continue
        destination.mkdir(parents=True, exist_ok=True)
        # In a mount namespace of its own: what is mounted meanwhile ends with it, whatever happens.
        unshare = ["unshare", "--mount", "--propagation", "private"] if os.geteuid() == 0 else []
        command = [*unshare, tool, f"--variant={variant}", suite, str(destination), mirror]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"{tool} failed: {done.stderr.strip()[-300:]}")
        return tool
    raise FileNotFoundError("neither mmdebstrap nor debootstrap is installed")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("destination", metavar="DEST", type=Path)
    parser.add_argument("--with", dest="programs", metavar="PROGRAM", nargs="+", default=[])
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--tar", metavar="FILE", type=Path)
    source.add_argument("--image", metavar="PATH", type=Path)
    source.add_argument("--debian", metavar="SUITE")
    parser.add_argument("--layers", action="store_true", help="with --image: a folder for each layer")
    parser.add_argument("--name", default="", help="with --image: which of several, by its name or tag")
    parser.add_argument("--mirror", default=MIRROR, help="with --debian")
    return parser.parse_args()


def make(options: argparse.Namespace) -> list[str]:
    """Do what the command line asks for; return lines to print. Raises as the functions above do."""
    from bundles.tree import Tree

    destination = options.destination
    if options.layers:
        return [f"lowerdir={':'.join(map(str, from_layers(destination, options.image, options.name)))}"]
    if options.debian:
        return [f"{destination} made by {debian(destination, options.debian, options.mirror)}"]
    if not options.tar and not options.image:
        return [f"{destination} made from {build(destination, options.programs)}"]
    left_out = from_tar(destination, options.tar) if options.tar else from_image(destination, options.image)
    with Tree(destination) as tree:
        for program in options.programs:
            install(tree, find(program))
    return [f"{destination} made from {options.tar or options.image}", *(f"left out {line}" for line in left_out)]


def main() -> None:
    """Read the command line, build, and say what was built."""
    options = parse()
    if options.layers and not options.image:
        sys.exit("rootfs: --layers are those of an --image")
    try:
        lines = make(options)
    except (OSError, ValueError, tarfile.TarError) as error:
        sys.exit(f"rootfs: {error}")
    for line in lines:
        print(f"rootfs: {line}")


if __name__ == "__main__":
    main()
