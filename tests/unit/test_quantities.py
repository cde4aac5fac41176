"""Sizes and durations on command lines."""

from __future__ import annotations

import pytest

from pyrunc.cli.arguments import parse_command
from pyrunc.cli.quantities import seconds, size
from pyrunc.cli.table import Command, Flag
from pyrunc.errors import UsageError


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        *(("0", 0), ("1", 1), ("-1", -1), ("100b", 100), ("1k", 1024), ("1K", 1024), ("1kb", 1024), ("1KiB", 1024)),
        *(("512M", 512 << 20), ("512MB", 512 << 20), ("2g", 2 << 30), ("1.5g", 3 << 29), ("1T", 1 << 40)),
        *(("1P", 1 << 50), ("9007199254740993", 2**53 + 1), ("9223372036854775807", 2**63 - 1), ("64 MiB", 64 << 20)),
    ],
)
def test_a_size(text: str, bytes_: int) -> None:
    assert size(text, "memory") == bytes_


NO_SIZES = ["", "-2", "x", "M", "1x", "1kk", "1.2.3m", "1e3", "9" * 400, "8192p", "\u0663", "1m1"]
NO_DURATIONS = ["", "0", "0s", "5", "-5s", "s", "5s5", "5 s", "1.2.3s", "5x", "inf s", "1S", "9" * 400 + "s"]


@pytest.mark.parametrize("text", NO_SIZES)
def test_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="--memory needs a size such as 512M, or -1, not"):
        size(text, "memory")


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        *(("5s", 5.0), ("1m30s", 90.0), ("200ms", 0.2), ("1.5h", 5400.0), ("1h0.5m", 3630.0), ("3us", 3e-6)),
        ("3\u00b5s", 3e-6),
    ],
)
def test_a_duration(text: str, duration: float) -> None:
    assert seconds(text, "interval") == pytest.approx(duration)


@pytest.mark.parametrize("text", NO_DURATIONS)
def test_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="--interval needs a duration such as 5s or 1m30s, not"):
        seconds(text, "interval")


def test_flags_of_these_kinds() -> None:
    flags = (Flag("interval", "duration", "", default="5s"), Flag("memory", "size", ""))
    arguments = parse_command(["--memory", "1k"], Command("do", "", "", 0, 0, flags))
    assert (arguments.seconds("interval"), arguments.size("memory")) == (5.0, 1024)
