"""A root file system made of one static busybox and the probe. Copies share those two files by hard links.

`python -m tests.scenario.rootfs FOLDER` compiles the programs for a machine where that would take long.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# Where the programs have been compiled before: no gcc is asked for then.
COMPILED = os.environ.get("PYRUNC_TEST_PROGRAMS", "")

APPLETS = """
    cat chmod chown cp dd df dmesg dnsdomainname echo env expr false find grep head hostname id ifconfig ip
    kill ln ls md5sum mkdir mkfifo mknod mount mv printf ps pwd readlink rm rmdir sed seq sh sleep sort stat
    stty tail tee test touch tr true tty umount uname wc
""".split()
FOLDERS = "bin dev etc home/user proc root run sys tmp usr/bin var".split()
PASSWD = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n"
GROUP = "root:x:0:\nuser:x:1000:\n"


def compile_programs(folder: Path) -> None:
    """Make the programs that need no root file system to run in."""
    compiler = ["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]
    freestanding = ["-ffreestanding", "-nostdlib", "-static-pie", "-fPIE", "-fno-stack-protector"]
    subprocess.run([*compiler, folder / "probe", HERE / "probe.c", "-static"], check=True)
    subprocess.run([*compiler, folder / "loader", HERE / "loader.c", *freestanding], check=True)


class Template:
    """What every rootfs of the session is made from, in one directory on the file system of the bundles."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.busybox = folder / "busybox"
        self.probe = folder / "probe"
        self.loader = folder / "loader"
        found = shutil.which("busybox")
        assert found, "no busybox: the fixture asks for it before"
        shutil.copy(found, self.busybox)
        if COMPILED:
            for program in (self.probe, self.loader):
                shutil.copy(Path(COMPILED, program.name), program)
        else:
            compile_programs(folder)
        self._before = self._stamps()

    def _stamps(self) -> list[tuple[int, int]]:
        return [(path.stat().st_mtime_ns, path.stat().st_size) for path in (self.busybox, self.probe, self.loader)]

    def unchanged(self) -> bool:
        """Tell whether no container has written through its hard links."""
        return self._stamps() == self._before

    def copy(self, target: Path) -> None:
        """Make a new rootfs. Nothing but busybox and the probe is shared with other copies."""
        for name in FOLDERS:
            (target / name).mkdir(parents=True)
        (target / "tmp").chmod(0o1777)
        os.link(self.busybox, target / "bin/busybox")
        os.link(self.probe, target / "bin/probe")
        for applet in APPLETS:
            (target / "bin" / applet).symlink_to("busybox")
        (target / "etc/passwd").write_text(PASSWD)
        (target / "etc/group").write_text(GROUP)


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir()
    compile_programs(Path(sys.argv[1]))
