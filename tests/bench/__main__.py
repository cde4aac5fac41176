"""`python -m tests.bench [--rounds N] [--runtime PATH ...] [--json FILE]`, as root.

The runtimes take turns, round by round, so that what else the machine does hits all of them alike; the order
within a round changes too. Medians are compared. Nothing but the standard library is needed.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from tests.bench import bundle
from tests.bench.measure import CommandError, Runtime, compile_peak, measure_memory, measure_round

REPOSITORY = Path(__file__).resolve().parents[2]
WARM_UP_ROUNDS = 2
MEMORY_ROUNDS = 3

# What pyrunc's medians are to reach, as a ratio to runc's.
GOALS = {
    "run": 0.6,
    "create": 0.9,
    "start": 1.0,
    "state": 1.0,
    "kill": 1.0,
    "delete": 1.0,
    "create+start+delete": 0.9,
}

Samples = dict[str, dict[str, list[float]]]  # of a runtime, of a command: one number a round

CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000
PR_SET_CHILD_SUBREAPER = 36
UNIFIED_CONTROLLERS = "/sys/fs/cgroup/unified/cgroup.controllers"


def call(name: str, *arguments: object) -> None:
    """Call a function of the C library. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc[name](*arguments) < 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def hide_hybrid_cgroups() -> None:
    """Make the host look like plain cgroup v1 to us and our children: crun refuses a hybrid one.

    It asks for the controllers of the unified hierarchy; in a mount namespace of our own that file is empty.
    """
    call("unshare", CLONE_NEWNS)
    call("mount", None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
    target = UNIFIED_CONTROLLERS.encode()
    call("mount", b"/dev/null", target, None, ctypes.c_ulong(MS_BIND), None)


def find_runtimes(asked: list[str]) -> list[str]:
    """Return the absolute paths of the runtimes to measure: those asked for, or all that are there."""
    found = []
    for name in asked or [str(REPOSITORY / ".venv/bin/pyrunc"), "runc", "crun"]:
        path = shutil.which(name)
        if path:
            found.append(os.path.abspath(path))
        elif asked:
            raise CommandError(f"{name}: no such runtime")
        else:
            print(f"{name} is not there and left out", file=sys.stderr)
    return found


def collect(runtimes: list[Runtime], folder: Path, rounds: int) -> tuple[Samples, Samples]:
    """Measure all rounds and return times in milliseconds and memory in MiB. Raises CommandError."""
    short, long = bundle.make(folder)
    times: Samples = {runtime.name: {} for runtime in runtimes}
    memory: Samples = {runtime.name: {} for runtime in runtimes}
    for number in range(-WARM_UP_ROUNDS, rounds):
        for runtime in rotated(runtimes, number):
            add(times[runtime.name], measure_round(runtime, short, long), number >= 0)
    peak = compile_peak(folder)
    for number in range(MEMORY_ROUNDS if peak else 0):
        for runtime in rotated(runtimes, number):
            add(memory[runtime.name], measure_memory(runtime, short, long, peak))
    return times, memory


def rotated(runtimes: list[Runtime], number: int) -> list[Runtime]:
    """Return the runtimes in the order of one round."""
    first = number % len(runtimes)
    return [*runtimes[first:], *runtimes[:first]]


def add(samples: dict[str, list[float]], measured: dict[str, float], counts: bool = True) -> None:
    """Add the numbers of one round to the others, unless it is for warming up only."""
    for name, value in measured.items():
        samples.setdefault(name, []).extend([value] if counts else [])


def table(title: str, samples: Samples, goals: dict[str, float]) -> str:
    """Return medians, least values and ratios to runc (or to the first runtime) as lines of text."""
    names = list(samples)
    base = "runc" if "runc" in names else names[0]
    others = [name for name in names if name != base]
    goal = ["goal"] if goals and {"pyrunc", "runc"} <= set(names) else []
    ratios = [f"{name}/{base}" for name in others]
    rows = [[title, *(f"{name} median (min)" for name in names), *ratios, *goal]]
    for what in samples[base]:
        medians = {name: statistics.median(samples[name][what]) for name in names}
        row = [what, *(f"{medians[name]:.2f} ({min(samples[name][what]):.2f})" for name in names)]
        row += [f"{medians[name] / medians[base]:.2f}" for name in others]
        rows.append([*row, *(f"{goals.get(what, 0):.1f}" for _ in goal)])
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(lines)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Time pyrunc, runc and crun.")
    parser.add_argument("--rounds", type=int, default=30, metavar="N")
    parser.add_argument("--runtime", nargs="+", default=[], metavar="PATH", dest="runtimes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every single number")
    return parser.parse_args()


def bench(options: argparse.Namespace) -> None:
    """Measure and print. Raises CommandError, OSError."""
    paths = find_runtimes(options.runtimes)
    call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if os.path.exists(UNIFIED_CONTROLLERS) and any(path.endswith("crun") for path in paths):
        hide_hybrid_cgroups()
    # Below /run like any runtime's state, where /tmp may be a disk.
    with tempfile.TemporaryDirectory(prefix="pyrunc-bench-", dir="/run") as name:
        folder = Path(name)
        runtimes = [Runtime(path, folder) for path in paths]
        try:
            times, memory = collect(runtimes, folder, options.rounds)
        finally:
            for runtime in runtimes:
                runtime.clean()
    print(f"{options.rounds} rounds, busybox true, {os.cpu_count()} CPUs, kernel {os.uname().release}\n")
    print(table("time, ms", times, GOALS))
    if any(memory.values()):
        print("\n" + table("peak memory, MiB", memory, {}))
    if options.json:
        options.json.write_text(json.dumps({"ms": times, "MiB": memory}, indent=1) + "\n")


def main() -> None:
    """Run the benchmark; a failing command ends it with its message."""
    try:
        bench(read_options())
    except (CommandError, OSError) as error:
        sys.exit(f"bench: {error}")


if __name__ == "__main__":
    main()
