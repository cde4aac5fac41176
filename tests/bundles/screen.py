"""A virtual screen: an X server that shows to nobody, and what is on it."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import struct
import subprocess
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WIDTH, HEIGHT = 320, 240
HEADER_WORDS = 25  # XWDFile.h, XWDFileHeader: big-endian
FAMILY_LOCAL = 256


class Screen(NamedTuple):
    """The server as clients know it: its display, and the file with its cookie."""

    display: str
    authority: Path

    def pixels(self) -> list[int]:
        """What is on it, line by line, as 0xRRGGBB."""
        environment = {**os.environ, "DISPLAY": self.display, "XAUTHORITY": str(self.authority)}
        command = ["xwd", "-root", "-silent"]
        dump = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True).stdout
        header = struct.unpack_from(f">{HEADER_WORDS}I", dump)
        size, order, line, colors = header[0], header[7], header[12], header[19]
        begin = size + 12 * colors
        rows = [dump[begin + line * row : begin + line * row + 4 * WIDTH] for row in range(HEIGHT)]
        return [word & 0xFFFFFF for row in rows for word in struct.unpack(f"{'<>'[order]}{WIDTH}I", row)]

    def at(self, x: int, y: int) -> int:
        """One pixel."""
        return self.pixels()[y * WIDTH + x]


@contextlib.contextmanager
def screen(folder: Path) -> Iterator[Screen]:
    """Start Xvfb with a cookie, and end it."""
    authority = folder / "host-xauthority"
    parts = (socket.gethostname().encode(), b"", b"MIT-MAGIC-COOKIE-1", secrets.token_bytes(16))
    authority.write_bytes(struct.pack(">H", FAMILY_LOCAL) + b"".join(struct.pack(">H", len(p)) + p for p in parts))
    reader, writer = os.pipe()
    # Without -noreset it begins anew when its last client leaves, and throws out who comes just then.
    options = ["-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-nolisten", "tcp", "-noreset", "-auth", str(authority)]
    command = ["Xvfb", *options, "-displayfd", str(writer)]
    with (folder / "xvfb.log").open("w") as log:
        server = subprocess.Popen(command, pass_fds=[writer], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    os.close(writer)
    try:
        number = os.read(reader, 16).decode().strip()
        assert number, (folder / "xvfb.log").read_text()
        yield Screen(f":{number}", authority)
    finally:
        os.close(reader)
        server.terminate()
        server.wait(30)
