"""The program that cases run inside: compiled once, and put into a root file system of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("probe.c")
DIRECTORIES = ("bin", "dev", "etc", "home", "mnt", "proc", "root", "run", "sys", "tmp", "usr", "var")
PASSWD = "root:x:0:0:root:/root:/bin/probe\nuser:x:1000:1000:user:/home:/bin/probe\n"
GROUP = "root:x:0:\nuser:x:1000:\n"


def build(folder: Path) -> Path:
    """Compile the probe into a folder and return it. Raises ValueError where that cannot be done.

    CONFORMANCE_PROBE names one that has been compiled elsewhere, for machines where that would take long.
    """
    probe = folder / "probe"
    if compiled := os.environ.get("CONFORMANCE_PROBE"):
        return Path(shutil.copy(compiled, probe))
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise ValueError("the probe inside the container is a C program: install a compiler (gcc, libc6-dev)")
    command = [compiler, "-O1", "-Wall", "-static", "-o", str(probe), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ValueError(f"cannot compile the probe: {done.stderr.strip()}")
    return probe


def fill(rootfs: Path, probe: Path) -> None:
    """Make a root file system that has the probe, directories to mount on, and two users."""
    for name in DIRECTORIES:
        (rootfs / name).mkdir(parents=True)
    (rootfs / "tmp").chmod(0o1777)
    shutil.copy2(probe, rootfs / "bin/probe")  # a copy: what a container does to it is its own affair
    (rootfs / "etc/passwd").write_text(PASSWD)
    (rootfs / "etc/group").write_text(GROUP)
