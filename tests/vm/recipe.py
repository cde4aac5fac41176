"""What the guest is made of. Whatever changes here, or in the files that cook it, makes a new guest."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
SUITE = "trixie"
KERNEL = "linux-image-amd64"  # the generic one: those for clouds have no 9p
IMAGE_SIZE = "2G"  # sparse
USER, USER_ID = "tester", 1000

# Programs of this machine that the lane needs, and the Debian packages they are in.
TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "mmdebstrap": "mmdebstrap",
    "modprobe": "kmod",
    "depmod": "kmod",
    "cpio": "cpio",
    "mke2fs": "e2fsprogs",
}
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"

PACKAGES = """
    systemd systemd-sysv dbus dbus-user-session libpam-systemd passwd login mount util-linux procps kmod
    python3 python3-dev python3-venv python3-pip python3-setuptools python3-wheel python3-pytest python3-hypothesis
    python3-jsonschema python3-pyroute2 python3-jeepney libseccomp2
    gcc libc6-dev busybox-static strace uidmap iproute2 iptables nftables ca-certificates jq
    apparmor runc crun criu libcriu2
""".split()

MODULES = """
    virtio_blk ext4 9p 9pnet_virtio virtio_net virtio_rng overlay squashfs erofs fuse loop autofs4 bfq
    veth bridge tun dummy br_netfilter nf_tables nft_compat nft_chain_nat nft_masq nft_ct nft_reject_inet
    xt_MASQUERADE xt_comment xt_conntrack xt_addrtype xt_mark xt_nat ipt_REJECT ip_tables iptable_nat
    iptable_filter unix_diag inet_diag tcp_diag udp_diag af_packet_diag netlink_diag raw_diag binfmt_misc
    vsock vmw_vsock_virtio_transport
""".split()

# Units that nobody needs in there; each costs a part of a second of emulated boot.
MASKED = """
    apt-daily.timer apt-daily-upgrade.timer fstrim.timer e2scrub_all.timer e2scrub_reap.service
    dpkg-db-backup.timer systemd-pstore.service getty@tty1.service serial-getty@ttyS0.service
    console-getty.service getty.target systemd-timesyncd.service systemd-networkd.service
    systemd-resolved.service systemd-random-seed.service systemd-update-utmp.service
    systemd-update-utmp-runlevel.service systemd-journal-flush.service
    systemd-journal-catalog-update.service systemd-hibernate-resume.service
    systemd-hibernate-clear.service systemd-boot-random-seed.service systemd-machine-id-commit.service
    systemd-hwdb-update.service ldconfig.service systemd-update-done.service systemd-sysusers.service
    systemd-firstboot.service systemd-hostnamed.socket systemd-pcrextend.socket systemd-pcrlock.socket
    systemd-pcrmachine.service systemd-pcrphase.service systemd-importd.socket systemd-creds.socket
    systemd-sysext.socket systemd-mute-console.socket systemd-remount-fs.service
    systemd-ask-password-console.path systemd-ask-password-wall.path systemd-tpm2-setup.service
    systemd-tpm2-setup-early.service nftables.service systemd-binfmt.service systemd-modules-load.service
    proc-sys-fs-binfmt_misc.automount dev-hugepages.mount sys-kernel-debug.mount
    sys-kernel-tracing.mount modprobe@.service
""".split()

MEGABYTES = 1024
# More than one thread panicked the guest under ptrace, and `-cpu max` doubles the time that python takes to start.
HARDWARE = [
    *("-accel", "tcg,thread=single,tb-size=512", "-cpu", "Nehalem", "-smp", "2"),
    *("-machine", "q35,memory-backend=ram", "-m", str(MEGABYTES)),
]
# What only costs time under emulation is off; AppArmor must be asked for. qemu finds what it has translated by its
# virtual address: programs at random ones would be translated each time that they start, which is most of their time.
KERNEL_LINE = """
    console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off nokaslr random.trust_cpu=on audit=0
    systemd.show_status=0 systemd.unit=multi-user.target net.ifnames=0 no_timer_check rcupdate.rcu_expedited=1
    init_on_alloc=0 hardened_usercopy=0 randomize_kstack_offset=0 norandmaps apparmor=1 security=apparmor
""".split()


def missing_tools() -> list[str]:
    """Return the Debian packages that this machine would need for the lane, sorted."""
    return sorted({package for tool, package in TOOLS.items() if not find_tool(tool)})


def find_tool(name: str) -> str:
    """Return the path of a program, "" if it is not there; an ordinary user's PATH may lack the sbin ones."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SBIN}") or ""


def base_key() -> str:
    """Name what comes from the network."""
    return _digest(SUITE, KERNEL, *PACKAGES, (HERE / "debian.py").read_text())


def guest_key() -> str:
    """Name the whole guest; a saved one can only be restored by the qemu that saved it."""
    version = subprocess.run(
        [find_tool("qemu-system-x86_64"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    files = [HERE / "recipe.py", HERE / "image.py", HERE / "machine.py", *sorted((HERE / "guest").iterdir())]
    return _digest(base_key(), version, *(file.read_text() for file in files if file.is_file()))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
