"""What the guides tell users to write, read from the guides: a line that is documented is a line that is tested."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
INSTALLED = "/usr/local/bin/pyrunc"


def block(document: str, language: str, runtime: str) -> str:
    """Return the first fenced block in this language, with this runtime's path in place of the installed one."""
    found = re.search(rf"^```{language}\n(.*?)^```$", (DOCS / document).read_text(), re.DOTALL | re.MULTILINE)
    assert found, f"docs/{document} has no block in {language}"
    assert INSTALLED in found[1], f"docs/{document}: the block in {language} does not name {INSTALLED}"
    return found[1].replace(INSTALLED, runtime)
