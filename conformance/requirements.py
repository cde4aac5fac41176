"""The numbered requirements of runtime-spec that cases come from: oci-spec/requirements.toml."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).resolve().parents[1] / "oci-spec/requirements.toml"
LEVELS = {"M": "MUST", "S": "SHOULD", "m": "MAY"}


@dataclass(frozen=True)
class Requirement:
    """One sentence of the spec in our words; `section` is its file and heading."""

    number: int
    level: str
    section: str
    text: str


@functools.cache
def requirements() -> tuple[Requirement, ...]:
    """Return all of them in their order. Raises OSError where the file is not beside us, KeyError if it is broken."""
    entries = tomllib.loads(FILE.read_text())["requirement"]
    return tuple(
        Requirement(entry["number"], LEVELS[entry["level"]], entry["section"], entry["text"]) for entry in entries
    )
