"""Find out which functions the commands that engines call all the time consist of: launcher/hot.txt.

    python -m tests.bench.hot        as root; `make hot`

The image puts what belongs to these functions together (launcher/region.h). A name that is missing there, or that
does not exist any more, costs a little time and nothing else.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench import bundle

REPOSITORY = Path(__file__).resolve().parents[2]
HOT = REPOSITORY / "launcher/hot.txt"
RECORDER = Path(__file__).with_name("recorder.py")
# They run in the image only, and the recorder has none.
OF_THE_IMAGE = ("resume", "leave", "Output.__init__", "Output.write", "Output.flush", "Later.find_spec")


def record() -> list[str]:
    """Take containers through all of it. Raises CalledProcessError where a command fails."""
    with tempfile.TemporaryDirectory(prefix="pyrunc-hot-") as name:
        folder = Path(name)
        names = folder / "names"
        short, long = bundle.make(folder)

        def call(*words: str) -> None:
            command = [sys.executable, "-I", str(RECORDER), str(names), str(REPOSITORY)]
            command += ["--root", str(folder / "state"), *words]
            quiet = subprocess.DEVNULL
            subprocess.run(command, stdin=quiet, stdout=quiet, check=True)

        try:
            call("run", "--bundle", str(short), "hot")
            call("create", "--bundle", str(long), "--pid-file", str(folder / "pid"), "hot")
            for words in ("state hot", "start hot", "exec hot /bin/true", "kill hot KILL", "delete --force hot"):
                call(*words.split())
        finally:
            call("delete", "--force", "hot")
        return sorted({*names.read_text().split(), *(f"pyrunc._start:{each}" for each in OF_THE_IMAGE)})


if __name__ == "__main__":
    HOT.write_text("".join(f"{line}\n" for line in record()))
