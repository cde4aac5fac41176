"""The numbers are those of the kernel's own headers."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from pyrunc.kernel import flags

if TYPE_CHECKING:
    from pathlib import Path

HEADERS = """
linux/mount.h linux/openat2.h linux/sched.h linux/nsfs.h linux/magic.h linux/capability.h linux/seccomp.h
linux/bpf.h linux/prctl.h linux/close_range.h linux/fcntl.h linux/ioprio.h linux/mempolicy.h net/if.h
asm-generic/resource.h asm/ioctls.h linux/sockios.h linux/personality.h sched.h
""".split()
# Not in any header of Linux that user programs see, or younger than the headers of a stable distribution.
ELSEWHERE = {
    "MNT_DETACH": 2,
    "UMOUNT_NOFOLLOW": 8,
    "CLONE_NEWTIME": 0x80,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
    "RLIM_INFINITY": 2**64 - 1,
    "SCHED_ISO": 4,
}
ENUMS = ("BPF_OBJ_", "FSCONFIG_", "BPF_PROG_", "BPF_CGROUP_", "IOPRIO_CLASS_", "IFF_", "MPOL_")
TABLES = (
    "CAPABILITIES",
    "RLIMITS",
    "SCHEDULERS",
    "SCHEDULER_FLAGS",
    "IO_CLASSES",
    "MEMORY_POLICIES",
    "MEMORY_POLICY_FLAGS",
)


def ours() -> dict[str, int]:
    found = {name: value for name, value in vars(flags).items() if isinstance(value, int)}
    for table in TABLES:
        found.update(getattr(flags, table))
    return found


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """What a C program prints for each of our names that the headers define."""
    folder: Path = tmp_path_factory.mktemp("flags")
    lines = [f"#include <{header}>" for header in HEADERS] + ["#include <stdio.h>", "int main(void) {"]
    for name in sorted(set(ours()) - set(ELSEWHERE)):
        shown = f'printf("{name} %lld\\n", (long long)({name}));'
        lines.append(shown if name.startswith(ENUMS) else f"#ifdef {name}\n{shown}\n#endif")
    (folder / "flags.c").write_text("\n".join(["#define _GNU_SOURCE", *lines, "return 0; }"]))
    subprocess.run(["gcc", "-o", folder / "flags", folder / "flags.c"], check=True)
    said = subprocess.run([folder / "flags"], check=True, capture_output=True, text=True).stdout
    return {name: int(value) for name, value in (line.split() for line in said.splitlines())}


@pytest.mark.requires("gcc")
def test_every_number_is_that_of_the_headers(theirs: dict[str, int]) -> None:
    expected = {**theirs, **ELSEWHERE}
    assert ours() == {name: expected.get(name, "not in the headers") for name in ours()}


def test_signals_are_those_of_python() -> None:
    for one in signal.Signals:
        assert flags.SIGNALS[one.name] == one
    assert flags.SIGNALS["SIGRTMIN+3"] == signal.SIGRTMIN + 3
    assert flags.SIGNALS["SIGRTMAX-2"] == signal.SIGRTMAX - 2
    assert len(set(flags.SIGNALS.values())) == 31 + 31


def test_the_tables_are_complete() -> None:
    assert list(flags.CAPABILITIES.values()) == list(range(41))
    assert list(flags.RLIMITS.values()) == list(range(16))
    assert flags.NAMESPACES.keys() == flags.PROC_NAMES.keys()
    assert len(set(flags.NAMESPACES.values())) == 8
