"""Write down which files have how many tests for which lane: `python -m tests.vm.collect FILE`, in the checkout.

To import the others in the guest would take as long as to run some tests.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.lanes import FOLDERS, LANES, runs_in


class Files:
    """A plugin that counts the tests of each file."""

    def __init__(self) -> None:
        self.of: dict[str, Counter[str]] = {lane: Counter() for lane in LANES}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Called once, with all tests."""
        for item in session.items:
            for lane in LANES:
                if runs_in(lane, item):
                    self.of[lane][item.location[0]] += 1


def main(target: str) -> int:
    """Collect, write; return pytest's exit status."""
    files = Files()
    status = pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *FOLDERS], [files])
    Path(target).write_text(json.dumps(files.of))
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
