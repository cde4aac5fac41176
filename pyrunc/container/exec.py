"""The last step: the user's program takes the interpreter's place."""

from __future__ import annotations

import posix

from pyrunc.errors import ProgramError
from pyrunc.kernel.processes import close_range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_CLOEXEC = 4  # CLOSE_RANGE_CLOEXEC


def hide_descriptors(keep: int) -> None:
    """Mark every descriptor from 3 + keep on close-on-exec, whoever left it open (CVE-2024-21626)."""
    close_range(3 + keep, flags=_CLOEXEC)


def exec_program(path: str, args: tuple[str, ...], env: dict[str, str]) -> NoReturn:
    """execve(2). The environment is config.json's and nothing of ours.

    Raises ProgramError.
    """
    try:
        posix.execve(path, args, env)
    except FileNotFoundError as err:
        # The file itself was seen just before: what is missing is what it is run by.
        hint = "its interpreter or its loader is missing in the image"
        raise ProgramError(f'exec: "{args[0]}": no such file or directory', hint) from err
    except PermissionError as err:
        raise ProgramError(f'exec: "{args[0]}": permission denied') from err
    except OSError as err:
        raise ProgramError(f'exec: "{args[0]}": {err.strerror}') from err
