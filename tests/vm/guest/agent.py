"""Runs in the guest and does what comes in on a virtio-serial port, one request at a time.

In: a line of JSON (Request in machine.py). Out: frames of a type, a length (4 bytes, big endian) and data:
R the guest has booted, 1 and 2 what the command writes to stdout and stderr, X its exit status.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import select
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

PORT_NAME = "lane"
RNDRESEEDCRNG = 0x5207
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MOUNT = "mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=none host /host"
FAILED, NOT_FOUND = 125, 127
DAEMON_SECONDS = 2.0


def open_port() -> int:
    """Wait for the port and open it."""
    while True:
        for name in Path("/sys/class/virtio-ports").glob("*/name"):
            if name.read_text().strip() == PORT_NAME:
                return os.open(f"/dev/{name.parent.name}", os.O_RDWR | os.O_CLOEXEC)
        time.sleep(0.05)


def put(port: int, kind: bytes, data: bytes = b"") -> None:
    """Send a frame."""
    rest = kind + struct.pack(">I", len(data)) + data
    while rest:
        rest = rest[os.write(port, rest) :]


def get_line(port: int) -> bytes:
    """Wait for a request. A read returns nothing at once while nobody is at the other end."""
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(port, 65536)
        line += more
        if not more:
            time.sleep(0.02)
    return line.lstrip(b"\0")


def wake(request: dict[str, Any]) -> None:
    """Undo what being restored did: an old time, and random numbers that every restored guest would share."""
    time.clock_settime(time.CLOCK_REALTIME, request["time"])
    with open("/dev/urandom", "wb", buffering=0) as urandom:
        urandom.write(bytes.fromhex(request["seed"]))
        fcntl.ioctl(urandom, RNDRESEEDCRNG)


def environment(user: pwd.struct_passwd) -> dict[str, str]:
    """Return what a login would set."""
    names = {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
    run = {
        "XDG_RUNTIME_DIR": f"/run/user/{user.pw_uid}",
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path=/run/user/{user.pw_uid}/bus",
    }
    return {"PATH": PATH, "LANG": "C.UTF-8", "TERM": "dumb", **names, **(run if user.pw_uid else {})}


def be_killable() -> None:
    """Undo in a child what protects this process when memory runs out."""
    Path("/proc/self/oom_score_adj").write_text("0")


def start(request: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start the command: root's here, a user's in a delegated unit of that user's manager. Raises OSError."""
    user = pwd.getpwnam(request["user"])
    variables = environment(user) | request["env"]
    argv: list[str] = request["argv"]
    more: dict[str, Any] = {"cwd": request["cwd"], "preexec_fn": be_killable}
    if user.pw_uid:
        subprocess.run(["systemctl", "start", f"user@{user.pw_uid}.service"], check=True)
        unit = ["systemd-run", "--user", "--quiet", "--collect", "--pipe", "--wait"]
        options = ["-p", "Delegate=yes", "-p", "TasksMax=infinity", "--working-directory", request["cwd"]]
        assignments = [f"--setenv={name}={value}" for name, value in variables.items()]
        argv = [*unit, *options, *assignments, "--", *argv]
        more = {"cwd": "/", "user": user.pw_uid, "group": user.pw_gid, "extra_groups": [user.pw_gid]}
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=variables,
        start_new_session=True,
        **more,
    )


def relay(port: int, process: subprocess.Popen[bytes]) -> int:
    """Send on what the command says; return its exit status. A daemon that keeps our pipe is not waited for."""
    assert process.stdout is not None
    assert process.stderr is not None
    streams = {process.stdout.fileno(): b"1", process.stderr.fileno(): b"2"}
    ended = 0.0
    while streams:
        readable, _, _ = select.select(list(streams), [], [], 0.2)
        for fd in readable:
            data = os.read(fd, 32768)
            if data:
                put(port, streams[fd], data)
            else:
                del streams[fd]
        if not readable and process.poll() is not None:
            ended = ended or time.monotonic()
            if time.monotonic() - ended > DAEMON_SECONDS:
                break
    status = process.wait()
    return status if status >= 0 else 128 - status


def answer(port: int, request: dict[str, Any]) -> int:
    """Do what is asked; return the exit status."""
    wake(request)
    if request["share"] and not os.path.ismount("/host"):
        mounted = subprocess.run(MOUNT.split(), capture_output=True, check=False)
        if mounted.returncode:
            put(port, b"2", b"sharing the directory failed: " + mounted.stderr)
            return FAILED
    try:
        process = start(request)
    except (OSError, KeyError, subprocess.SubprocessError) as error:
        put(port, b"2", f"{error}\n".encode())
        return NOT_FOUND
    return relay(port, process)


def main() -> None:
    """Serve for ever."""
    port = open_port()
    put(port, b"R")
    while True:
        status = answer(port, json.loads(get_line(port)))
        put(port, b"X", str(status).encode())


if __name__ == "__main__":
    main()
