"""The config.json of the devices-and-desktop bundle: everything in it is about whoever sits before the screen.

Build it in a terminal of that desktop, as its user or with sudo: DISPLAY, XAUTHORITY and the variables of the input
method are taken from there.
"""

from __future__ import annotations

import grp
import os
import stat
import struct
from pathlib import Path
from typing import Any

from bundles import rootfs
from bundles.config import basic, with_script, write

DEVICES = ("snd", "dri")  # sound cards and graphics cards, below /dev
GROUPS = ("audio", "video", "render")
INPUT_METHOD = ("XMODIFIERS", "GTK_IM_MODULE", "QT_IM_MODULE", "LANG")
SOCKETS = "/tmp/.X11-unix"
ANY_HOST = 0xFFFF  # FamilyWild of Xauth(3)


def build(folder: Path) -> None:
    """Make root file system, data folder, cookie and config.json. Raises OSError, also without xlogo."""
    rootfs.build(folder / "rootfs", ["xlogo"])
    uid, gid = (int(os.environ.get(f"SUDO_{kind}", own)) for kind, own in (("UID", os.getuid()), ("GID", os.getgid())))
    display = os.environ.get("DISPLAY", ":0")
    config = with_script(basic("desktop", "sh", "/desktop.sh"), folder / "desktop.sh")
    process = config["process"]
    process["user"] = {"uid": uid, "gid": gid, "additionalGids": groups()}
    process["capabilities"] = {}
    process["cwd"] = "/data"
    process["env"] += [f"DISPLAY={display}", "XAUTHORITY=/xauthority", "HOME=/data"]
    process["env"] += [f"{name}={os.environ[name]}" for name in INPUT_METHOD if name in os.environ]
    (folder / "data").mkdir(exist_ok=True)
    (folder / "xauthority").write_bytes(cookies(authority()))
    (folder / "xauthority").chmod(0o600)
    for name in ("data", "xauthority"):
        if os.geteuid() == 0:
            os.chown(folder / name, uid, gid)
    for source, target, option in (
        (SOCKETS, SOCKETS, "ro"),
        (str(folder / "xauthority"), "/xauthority", "ro"),
        (str(folder / "data"), "/data", "rw"),
    ):
        options = ["bind", option]
        config["mounts"].append({"destination": target, "type": "bind", "source": source, "options": options})
    add_devices(config, Path("/dev"))
    write(folder, config)


def groups() -> list[int]:
    """Return the ids of the groups to which sound and graphics cards belong, as far as this host has them."""
    return sorted(group.gr_gid for group in grp.getgrall() if group.gr_name in GROUPS)


def add_devices(config: dict[str, Any], dev: Path) -> None:
    """Give the container the sound and graphics cards that this host has: the nodes, and the right to open them."""
    nodes, rules = config["linux"].setdefault("devices", []), config["linux"]["resources"]["devices"]
    for path in sorted(path for name in DEVICES for path in (dev / name).glob("*")):
        status = path.lstat()
        if not stat.S_ISCHR(status.st_mode):
            continue
        number = {"type": "c", "major": os.major(status.st_rdev), "minor": os.minor(status.st_rdev)}
        owner = {"fileMode": stat.S_IMODE(status.st_mode), "uid": status.st_uid, "gid": status.st_gid}
        nodes.append({"path": f"/dev/{path.relative_to(dev)}", **number, **owner})
        rules.append({"allow": True, **number, "access": "rw"})


def authority() -> Path:
    """Return the file with the cookies of this user's X servers."""
    return Path(os.environ.get("XAUTHORITY") or Path.home() / ".Xauthority")


def cookies(file: Path) -> bytes:
    """Return the content of a file of cookies with each made good for any host's name; b"" if it is not there.

    A cookie is kept with the name of the host that the server runs on, and a container has another name. The format
    is that of Xauth(3): a family, then address, number, name and cookie, each with its length before it.
    """
    content, found, at = file.read_bytes() if file.is_file() else b"", b"", 0
    while at < len(content):
        end = at + 2
        for _ in range(4):
            (length,) = struct.unpack_from(">H", content, end)
            end += 2 + length
        found += struct.pack(">H", ANY_HOST) + content[at + 2 : end]
        at = end
    return found
