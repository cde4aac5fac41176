"""One qemu with the guest in it: booted anew to be saved, or restored from what was saved."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tests.vm.commands import LaneError
from tests.vm.recipe import HARDWARE, KERNEL_LINE, MEGABYTES, find_tool
from tests.vm.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

PR_SET_PDEATHSIG = 1
BOOT_SECONDS = 300.0
MIGRATION_SECONDS = 120.0
LAST_WORDS = 3000
FRAME_HEADER = 5

READY, STDOUT, STDERR, EXIT = b"R", b"1", b"2", b"X"


class Request(NamedTuple):
    """A command for the guest; `share` makes it mount the directory that the machine shares at /host."""

    argv: list[str]
    user: str = "root"
    cwd: str = "/"
    env: dict[str, str] = {}
    share: bool = False


class Machine:
    """A running guest. Close it, or use it as a context, else qemu lives until this process ends."""

    def __init__(self, guest: Path, *, save: bool = False, share: Path | None = None) -> None:
        """Start it from the files in `guest`. Raises LaneError."""
        self.guest = guest
        self._held = Scratch()
        self.scratch = self._held.path
        self.buffer = b""
        if share is None:
            share = self.scratch / "nothing"
            share.mkdir()
        # Socket pairs have no path that somebody else could take or that could be too long.
        self.monitor, monitor = socket.socketpair()
        self.port, port = socket.socketpair()
        self.process = self._start(monitor, port, share, save)
        self.monitor.settimeout(MIGRATION_SECONDS)
        self.port.settimeout(0.5)
        self.replies = self.monitor.makefile("rb")
        try:
            self.replies.readline()
            self.order("qmp_capabilities")
            if not save:
                self._restore()
        except (LaneError, OSError):
            self.close()
            raise

    def _start(
        self, monitor: socket.socket, port: socket.socket, share: Path, save: bool
    ) -> subprocess.Popen[bytes]:
        libc = ctypes.CDLL(None)  # not after the fork: other threads may be loading something

        def tie_to_us() -> None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

        fds = (monitor.fileno(), port.fileno())
        with (self.scratch / "qemu").open("wb") as said, monitor, port:
            return subprocess.Popen(
                self._command_line(*fds, share, save),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=self.scratch,
                env={**os.environ, "TMPDIR": str(self.scratch)},
                pass_fds=fds,
                preexec_fn=tie_to_us,  # noqa: PLW1509 - one call, loaded before
                start_new_session=True,
            )

    def _command_line(self, monitor: int, port: int, share: Path, save: bool) -> list[str]:
        guest = self.guest
        memory = f"memory-backend-file,id=ram,size={MEGABYTES}M,mem-path={guest}/ram"
        drive = f"if=none,id=disk,format=raw,cache=unsafe,file={guest}/root.img"
        return [
            *(find_tool("qemu-system-x86_64"), *HARDWARE, "-nodefaults", "-no-user-config", "-no-reboot"),
            *("-display", "none", "-serial", "file:console"),
            *("-kernel", f"{guest}/vmlinuz", "-initrd", f"{guest}/initrd", "-append", " ".join(KERNEL_LINE)),
            *("-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control"),
            *("-chardev", f"socket,id=port,fd={port}", "-device", "virtio-serial-pci"),
            *("-device", "virtserialport,chardev=port,name=lane"),
            *("-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"),
            *("-fsdev", f"local,id=share,path={share},security_model=none,multidevs=remap"),
            *("-device", "virtio-9p-pci,fsdev=share,mount_tag=host"),
            # What a restored guest changes in its memory and on its disk ends with it.
            *("-object", f"{memory},share={'on' if save else 'off'}"),
            *("-drive", f"{drive},snapshot={'off' if save else 'on'}", "-device", "virtio-blk-pci,drive=disk"),
            *([] if save else ["-incoming", "defer"]),
        ]

    def order(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Have qemu's monitor do something; return its answer. Raises LaneError."""
        message = {"execute": command, "arguments": arguments}
        self.monitor.sendall(json.dumps(message).encode() + b"\n")
        while line := self.replies.readline():
            reply: dict[str, Any] = json.loads(line)
            if "error" in reply:
                raise LaneError(f"qemu: {command}: {reply['error'].get('desc')}")
            if "return" in reply:
                return dict(reply["return"])
        raise LaneError(f"qemu ended at {command}{self.last_words()}")

    def _restore(self) -> None:
        self._memory_is_a_file()
        self.order("migrate-incoming", uri=f"exec:cat '{self.guest}/state'")
        self._wait_for_migration()
        self.order("cont")

    def save(self) -> None:
        """Stop the guest for good and keep it as it is. Raises LaneError."""
        self.order("stop")
        self._memory_is_a_file()
        self.order("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self.order("migrate", uri=f"exec:cat >'{self.guest}/state'")
        self._wait_for_migration()
        self.order("quit")
        self.process.wait()

    def _memory_is_a_file(self) -> None:
        capability = {"capability": "x-ignore-shared", "state": True}
        self.order("migrate-set-capabilities", capabilities=[capability])

    def _wait_for_migration(self) -> None:
        end = time.monotonic() + MIGRATION_SECONDS
        status = ""
        while status != "completed":
            if status in ("failed", "cancelled") or time.monotonic() > end:
                raise LaneError(f"qemu could not save or restore the guest: {status}{self.last_words()}")
            time.sleep(0.01)
            status = self.order("query-migrate").get("status", "")

    def wait_for_boot(self) -> None:
        """Wait until a guest that was not restored takes commands. Raises LaneError, TimeoutError."""
        kind, _ = self._frame(time.monotonic() + BOOT_SECONDS)
        if kind != READY:
            raise LaneError(f"the guest began with {kind!r}{self.last_words()}")

    def run(self, request: Request, seconds: float) -> Iterator[tuple[bytes, bytes]]:
        """Run a command; yield what it writes as (STDOUT or STDERR, data), and at last (EXIT, status).

        Raises LaneError, and TimeoutError after so many seconds: then only close() is of use.
        """
        end = time.monotonic() + seconds
        moment = {"time": time.time(), "seed": os.urandom(32).hex()}
        self.port.sendall(json.dumps({**request._asdict(), **moment}).encode() + b"\n")
        kind = b""
        while kind != EXIT:
            kind, data = self._frame(end)
            yield kind, data

    def _frame(self, end: float) -> tuple[bytes, bytes]:
        while True:
            if len(self.buffer) >= FRAME_HEADER:
                (length,) = struct.unpack(">I", self.buffer[1:FRAME_HEADER])
                whole = FRAME_HEADER + length
                if len(self.buffer) >= whole:
                    frame, self.buffer = self.buffer[:whole], self.buffer[whole:]
                    return frame[:1], frame[FRAME_HEADER:]
            self._receive()
            if time.monotonic() > end:
                raise TimeoutError

    def _receive(self) -> None:
        try:
            more = self.port.recv(1 << 18)
        except TimeoutError:
            if self.process.poll() is None:
                return
            more = b""
        if not more:
            raise LaneError(f"the guest ended{self.last_words()}")
        self.buffer += more

    def cpu_seconds(self) -> float:
        """Return how long this machine's processors have worked for it: that does not depend on others' load."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        user, system = (int(fields[number]) for number in (11, 12))  # proc_pid_stat(5), from the state on
        return (user + system) / os.sysconf("SC_CLK_TCK")

    def last_words(self) -> str:
        """What the guest's console and qemu said, to be shown with an error."""
        said = ""
        for name in ("console", "qemu"):
            with contextlib.suppress(OSError):
                said += f"\n--- {name}\n{(self.scratch / name).read_text(errors='replace')[-LAST_WORDS:]}"
        return said

    def close(self) -> None:
        """Turn it off."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.replies.close()
        self.monitor.close()
        self.port.close()
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
