"""Build a root file system from what this host has, without network or image.

    python bundles/rootfs.py DEST [--with PROGRAM ...]

A static busybox is all that a bundle needs. Where there is none, the host's own shell and tools are copied,
each with the libraries that its loader says it needs. `--with` adds further programs of the host.
"""

from __future__ import annotations

import argparse
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

BUSYBOX = ("/bin/busybox", "/usr/bin/busybox", "/usr/local/bin/busybox", "/usr/lib/busybox/busybox-static")

# What the bundles' scripts use, for hosts without busybox.
TOOLS = """
    sh cat chmod cp date dd df env false grep head hostname id kill ln ls mkdir mount mv ps rm rmdir sed sleep
    sort stat stty tail touch tr true tty umount uname uniq wc
""".split()

DIRECTORIES = "bin dev etc home proc root run sys tmp usr var".split()
LINKS = {"sbin": "bin", "usr/bin": "../bin", "usr/sbin": "../bin", "var/run": "../run"}

FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\ntty:x:5:\nuser:x:1000:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
}

ELF_PROGRAM_INTERPRETER = 3


def build(destination: Path, programs: list[str]) -> str:
    """Make or complete a root file system and return what it was made from.

    `programs` are names in PATH or paths. Raises OSError: FileNotFoundError for a program that is not there.
    """
    for name in DIRECTORIES:
        (destination / name).mkdir(parents=True, exist_ok=True)
    (destination / "tmp").chmod(0o1777)
    for name, target in LINKS.items():
        link(destination / name, target)
    for name, text in FILES.items():
        (destination / name).write_text(text)
    busybox = next((path for path in BUSYBOX if is_static(path)), None)
    if busybox:
        install_busybox(destination, busybox)
    missing = [] if busybox else install_tools(destination)
    for program in programs:
        install(destination, find(program))
    without = f", without {', '.join(missing)}" if missing else ""
    return busybox or f"the host's own tools{without}"


def install_busybox(destination: Path, busybox: str) -> None:
    """Copy busybox, and link every applet to it."""
    replace(Path(busybox), destination / "bin/busybox")
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout
    for applet in applets.split():
        if applet != "busybox":
            link(destination / "bin" / applet, "busybox")


def install_tools(destination: Path) -> list[str]:
    """Copy the host's own tools; returns those that it does not have."""
    missing = []
    for tool in TOOLS:
        try:
            install(destination, find(tool))
        except FileNotFoundError:
            missing.append(tool)
    return missing


def find(program: str) -> Path:
    """Return where a program of the host is. Raises FileNotFoundError."""
    found = shutil.which(program)
    if not found:
        raise FileNotFoundError(f"{program}: no such program on this host")
    return Path(found)


def install(destination: Path, program: Path) -> None:
    """Copy a program to /bin, its loader and libraries to the paths that they have here."""
    replace(program, destination / "bin" / program.name)
    for needed in loader_and_libraries(program):
        replace(Path(needed), destination / needed.lstrip("/"))


def loader_and_libraries(program: Path) -> list[str]:
    """Return what a program needs in order to start; nothing for scripts and static programs.

    The loader's own `--list` answers (ldd is a script around it). It maps the program and runs none of its
    code, and these are the host's own programs.
    """
    loader = interpreter(program)
    if not loader:
        return []
    command = [loader, "--list", str(program)]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)", or the path alone; linux-vdso.so.1 has none.
    words = [line.split() for line in listed.splitlines()]
    paths = [word for line in words for word in line if word.startswith("/")]
    return [loader, *(path for path in paths if path != loader)]


def interpreter(program: Path) -> str:
    """Return the path in an ELF's PT_INTERP (elf(5)), or "" if there is none. Raises OSError."""
    with program.open("rb") as file:
        header = file.read(64)
        if header[:5] != b"\x7fELF\x02":  # every 64-bit machine that python 3.11 is made for
            return ""
        order = "<" if header[5] == 1 else ">"
        (table,) = struct.unpack_from(f"{order}Q", header, 32)
        size, count = struct.unpack_from(f"{order}HH", header, 54)
        for number in range(count):
            file.seek(table + number * size)
            kind, _, offset, _, _, length = struct.unpack(f"{order}IIQQQQ", file.read(40))
            if kind == ELF_PROGRAM_INTERPRETER:
                file.seek(offset)
                return file.read(length).rstrip(b"\0").decode()
    return ""


def is_static(path: str) -> bool:
    """Say whether a program exists and needs no libraries."""
    return os.access(path, os.X_OK) and not interpreter(Path(path))


def replace(source: Path, target: Path) -> None:
    """Copy a file, links followed, in place of whatever has the name: never write through an old link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copy(source, target)


def link(path: Path, target: str) -> None:
    """Make a symbolic link in place of an older one or a file."""
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def main() -> None:
    """Read the command line, build, and say what was built."""
    parser = argparse.ArgumentParser(description="Build a root file system from what this host has.")
    parser.add_argument("destination", metavar="DEST", type=Path)
    parser.add_argument("--with", dest="programs", metavar="PROGRAM", nargs="+", default=[])
    options = parser.parse_args()
    try:
        source = build(options.destination, options.programs)
    except OSError as error:
        sys.exit(f"rootfs: {error}")
    print(f"rootfs: {options.destination} made from {source}")


if __name__ == "__main__":
    main()
