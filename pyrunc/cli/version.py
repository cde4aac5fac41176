"""`pyrunc --version`, in the words of runc's: engines take the first line, and those of commit and spec."""

from __future__ import annotations

import sys

from pyrunc import __version__
from pyrunc.cli import SPEC_VERSION


def version() -> str:
    """Return the lines. Raises OSError if what the installation says of itself cannot be read."""
    lines = (
        f"pyrunc version {__version__}",
        f"commit: {__version__}",
        f"spec: {SPEC_VERSION}",
        f"image: {image()}",
    )
    return "\n".join(lines) + "\n"


def image() -> str:
    """Say whether this process has started from an image (launcher/image.c), and if not why (tools/image.py)."""
    if "_syscall" in sys.builtin_module_names:
        return "yes"
    try:
        with open(__file__.removesuffix("cli/version.py") + "no-image", encoding="utf-8") as file:
            return f"none: {file.read().strip()}"
    except FileNotFoundError:
        return "none: this python was started without one"
