"""Run a pyrunc command and write which functions ran, in it and in what it forked: MODULE:QUALNAME, a line each.

    python -I tests/bench/recorder.py FILE SOURCES WORD...

Not what they import: in an image that has happened before (launcher/contents.py).
"""

from __future__ import annotations

import mmap
import os
import pkgutil
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import CodeType, FrameType

HALF = 1 << 20


class Recorder:
    """A profile function. The inside cannot write a file of ours, so both write to memory that they share."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 2 * HALF)
        self.outside = os.getpid()
        self.position = 0
        self.seen: set[CodeType] = set()

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        """Take down a function when it is called for the first time."""
        code = frame.f_code
        if event != "call" or code in self.seen:
            return
        self.seen.add(code)
        line = f"{frame.f_globals.get('__name__')}:{code.co_qualname}\n".encode()
        begin = self.position + (0 if os.getpid() == self.outside else HALF)
        self.memory[begin : begin + len(line)] = line
        self.position += len(line)

    def lines(self) -> list[str]:
        """What ran of ours and of the import system, but for what is inside of functions: it is where they are."""
        text = self.memory[:].replace(b"\0", b"").decode().replace("importlib._bootstrap", "_frozen_importlib")
        return [line for line in text.splitlines() if line.startswith(("pyrunc", "_frozen")) and "<" not in line]


def main(file: str, sources: str, words: list[str]) -> int:
    """Run the command; its exit code."""
    sys.path.insert(0, sources)
    import pyrunc
    import pyrunc.cli
    from pyrunc import sealing

    for module in pkgutil.walk_packages(pyrunc.__path__, "pyrunc."):
        if ".home" not in module.name and not module.name.rpartition(".")[2].startswith("_"):
            __import__(module.name)
    # The check is recorded; starting again would end the recording.
    sealing.reexec_sealed = lambda argv: None  # type: ignore[assignment,return-value]
    recorder = Recorder()
    sys.argv = ["pyrunc", *words]
    sys.setprofile(recorder)
    try:
        return pyrunc.cli.main(words)
    finally:
        sys.setprofile(None)
        with open(file, "a") as out:
            out.writelines(f"{line}\n" for line in recorder.lines())


if __name__ == "__main__":
    code = main(sys.argv[1], sys.argv[2], sys.argv[3:])
    sys.stdout.flush()
    os._exit(code)
