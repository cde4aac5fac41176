"""From the Debian root file system and kernel to what qemu boots: root.img, vmlinuz, initrd. Nothing is mounted."""

from __future__ import annotations

import lzma
import shutil
import subprocess
from pathlib import Path

from tests.vm.commands import LaneError, step
from tests.vm.recipe import HERE, IMAGE_SIZE, MASKED, MODULES, USER, USER_ID, find_tool

FILES = HERE / "guest"
SETTINGS = {
    "etc/hostname": "lane\n",
    "etc/hosts": "127.0.0.1 localhost lane\n",
    "etc/machine-id": f"{'0123456789abcdef' * 2}\n",
    "etc/fstab": "",
    "etc/resolv.conf": "",
    "etc/subuid": f"{USER}:100000:65536\n",
    "etc/subgid": f"{USER}:100000:65536\n",
    f"var/lib/systemd/linger/{USER}": "",
    "etc/systemd/system.conf.d/lane.conf": "[Manager]\nDefaultTimeoutStartSec=300s\nDefaultTimeoutStopSec=20s\n",
    "etc/systemd/journald.conf.d/lane.conf": "[Journal]\nStorage=volatile\nForwardToConsole=no\n",
    "etc/systemd/system/user@.service.d/delegate.conf": "[Service]\nDelegate=cpu cpuset io memory pids\n",
}


def make_image(base: Path, target: Path) -> None:
    """Make the three files in the target directory from base/rootfs and base/kernel. Raises LaneError."""
    root = target / "root"
    step("cp", "-a", "--reflink=auto", base / "rootfs", root)
    modules = Modules(base / "kernel", target / "depmod")
    modules.install(root)
    configure(root)
    # Without the journal and checksums there is less to emulate; a crash loses nothing that anybody wants.
    step(
        *("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal,^metadata_csum"),
        *("-E", "lazy_itable_init=1,nodiscard", "-d", root, target / "root.img", IMAGE_SIZE),
    )
    make_initrd(modules, root, target)
    shutil.copy(modules.vmlinuz(), target / "vmlinuz")
    for folder in (root, modules.tree):
        shutil.rmtree(folder)


def configure(root: Path) -> None:
    """Turn what Debian installs into a guest that boots fast and listens to us."""
    units = root / "etc/systemd/system"
    for unit in MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    # Each is a program more at every reload, and none has anything to generate.
    for generator in (root / "usr/lib/systemd/system-generators").iterdir():
        generator.unlink()
    # They would be compiled at every boot: seconds.
    for profile in (root / "etc/apparmor.d").iterdir():
        if profile.is_file():
            profile.unlink()
    step("chroot", root, "useradd", "--create-home", "--shell", "/bin/bash", "--uid", str(USER_ID), USER)
    for name, text in SETTINGS.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_text(text)
    (root / "host").mkdir()
    (root / "opt/lane").mkdir(parents=True)
    for name in ("agent.py", "settle.sh"):
        shutil.copy(FILES / name, root / "opt/lane" / name)
    shutil.copy(FILES / "agent.service", units / "lane-agent.service")
    wants = units / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "lane-agent.service").symlink_to("../lane-agent.service")


class Modules:
    """The kernel's modules: which need which, and copies without their compression."""

    def __init__(self, kernel: Path, tree: Path) -> None:
        places = [folder for folder in (kernel / "usr/lib/modules", kernel / "lib/modules") if folder.is_dir()]
        (self.folder,) = places[0].iterdir()
        self.kernel = kernel
        self.version = self.folder.name
        self.tree = tree
        (tree / "lib/modules").mkdir(parents=True)
        (tree / "lib/modules" / self.version).symlink_to(self.folder)
        step("depmod", "-b", tree, self.version)

    def vmlinuz(self) -> Path:
        """Return the kernel itself."""
        found = [*self.kernel.glob("boot/vmlinuz*"), *self.folder.glob("vmlinuz")]
        if not found:
            raise LaneError(f"no vmlinuz in the packages of kernel {self.version}")
        return found[0]

    def needed(self, names: list[str]) -> list[Path]:
        """Return the modules' files in the order of loading; a name that this kernel has not is no error."""
        files: list[Path] = []
        modprobe = [find_tool("modprobe"), "-d", str(self.tree), "-S", self.version, "--show-depends"]
        for name in names:
            done = subprocess.run([*modprobe, name], capture_output=True, text=True, check=False)
            files += [Path(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("insmod ")]
        return list(dict.fromkeys(files))

    def install(self, root: Path) -> None:
        """Put the recipe's modules into a root file system, with an index of their own."""
        folder = root / "usr/lib/modules" / self.version
        for file in self.needed(MODULES):
            below = str(file).partition(f"/lib/modules/{self.version}/")[2].removesuffix(".xz")
            unpack(file, folder / below)
        for file in (*self.folder.glob("modules.builtin*"), self.folder / "modules.order"):
            shutil.copy(file, folder)
        step("depmod", "-b", root, self.version)


def unpack(module: Path, target: Path) -> None:
    """Copy a module: emulated decompression is what a boot would wait for."""
    target.parent.mkdir(parents=True, exist_ok=True)
    data = module.read_bytes()
    target.write_bytes(lzma.decompress(data) if module.suffix == ".xz" else data)


def make_initrd(modules: Modules, root: Path, target: Path) -> None:
    """Make the initramfs: busybox, the modules of the disk, init.sh."""
    folder = target / "initramfs"
    for name in ("bin", "modules", "proc", "dev", "new"):
        (folder / name).mkdir(parents=True)
    shutil.copy(root / "usr/bin/busybox", folder / "bin/busybox")
    order = []
    for file in modules.needed(["virtio_pci", "virtio_blk", "ext4"]):
        name = file.name.removesuffix(".xz")
        unpack(file, folder / "modules" / name)
        order.append(f"{name}\n")
    (folder / "modules/order").write_text("".join(order))
    shutil.copy(FILES / "init.sh", folder / "init")
    (folder / "init").chmod(0o755)
    step("sh", "-c", "find . | cpio --create --format=newc --owner=0:0 --quiet >../initrd", cwd=folder)
    shutil.rmtree(folder)
