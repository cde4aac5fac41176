"""Which line of ps is about which process."""

from __future__ import annotations

import pytest

from pyrunc.host.ps import pid_of


@pytest.mark.parametrize(
    ("heading", "line", "expected"),
    [
        ("UID        PID  PPID  C STIME TTY", "root        12     1  0 10:00 ?", 12),
        ("  PID COMMAND", "    7 sleep 100", 7),
        ("  PID COMMAND", "1234567 sleep 100", 1234567),
        ("COMMAND                         PID", "sh -c sleep 1 & sleep 2          12", 12),
        ("COMMAND                         PID", "sh -c sleep 1 & sleep 2     1234567", 1234567),
        ("UID        PID  PPID  C", "a-very-long-name 12     1  0", 12),
        ("COMMAND  PID  PPID", "7 8       12     1", 12),
    ],
)
def test_pid(heading: str, line: str, expected: int) -> None:
    assert pid_of(line, heading) == expected


@pytest.mark.parametrize("line", ["", "root", "no numbers here at all"])
def test_lines_without_a_pid(line: str) -> None:
    assert pid_of(line, "UID        PID  PPID") == 0
