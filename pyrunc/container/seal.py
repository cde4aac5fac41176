"""Seal the interpreter: from here on nothing of Python's is ever read from a file again.

CVE-2019-14271 was a helper that loaded a library after chroot; an interpreter does so at every import, and in the
container's root `import json` would run the container's json.py as root. All that the inside needs has been
imported by now. Whatever was forgotten is a loud ImportError in a test, not a quiet hole.
"""

from __future__ import annotations

import gc
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class Refuse:
    """A finder that finds nothing and says so."""

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> NoReturn:
        """Refuse an import (importlib's protocol for sys.meta_path)."""
        raise ImportError(f"{name} was not imported before the container was entered")


def seal() -> None:
    """Make every later import fail, and leave no work for the garbage collector."""
    sys.path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
    sys.meta_path[:] = [Refuse]
    gc.disable()
