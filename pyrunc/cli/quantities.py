"""Sizes and durations as runc's callers write them: 512M, 1m30s."""

from __future__ import annotations

from pyrunc.errors import UsageError

_LARGEST = 2**63 - 1
_SHIFTS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}
_SECONDS = {"ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def size(text: str, name: str) -> int:
    """Return a size in bytes: a number, perhaps with a fraction, and k, m, g, t or p for powers of 1024.

    512M, 512MB and 512MiB are the same; -1 stands for no limit. Raises UsageError with the flag's `name`.
    """
    if text == "-1":
        return -1
    digits, unit = _split(text, digits=True)
    number = _number(digits)
    shift = _SHIFTS.get(unit.strip().lower().removesuffix("b").removesuffix("i"))
    if number is None or shift is None or number * (1 << shift) > _LARGEST:
        raise UsageError(f"--{name} needs a size such as 512M, or -1, not {text!r}")
    return int(number * (1 << shift))


def seconds(text: str, name: str) -> float:
    """Return a duration in seconds: numbers with units one after the other, as in 1h30m, 1.5s or 200ms.

    Raises UsageError with the flag's `name`, for 0 as well.
    """
    total, rest = 0.0, text
    while rest:
        digits, rest = _split(rest, digits=True)
        unit, rest = _split(rest, digits=False)
        number = _number(digits)
        if number is None or unit not in _SECONDS:
            raise UsageError(f"--{name} needs a duration such as 5s or 1m30s, not {text!r}")
        total += float(number) * _SECONDS[unit]
    if not 0 < total < _LARGEST:
        raise UsageError(f"--{name} needs a duration such as 5s or 1m30s, not {text!r}")
    return total


def _split(text: str, digits: bool) -> tuple[str, str]:
    """Split off what is made of digits and dots, or of anything else."""
    end = next((at for at, letter in enumerate(text) if (letter in "0123456789.") != digits), len(text))
    return text[:end], text[end:]


def _number(text: str) -> float | None:
    """Return a number, or None; one without a fraction is exact, where a float has 53 bits."""
    longest = 32  # an int of many more digits is larger than any float
    try:
        return int(text) if text.isdigit() and len(text) < longest else float(text)
    except ValueError:
        return None
