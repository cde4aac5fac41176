"""What is spoilt on purpose, one thing each: what a runtime is asked for, and what it does and answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One thing that is spoilt: how config.json or the command line is changed, and the cases that notice."""

    name: str
    spoil: str
    noticed_by: tuple[str, ...]
