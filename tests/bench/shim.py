"""`python -m tests.bench.shim [--rounds N] [--runtime PATH] [--json FILE]`, as root: containerd with either shim.

`ctr run --rm` and `ctr task exec` of busybox's true, and what idle shims take of memory. The contenders take turns, in
an order that changes, within a box of tests/engines.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from pathlib import Path

from tests.bench.__main__ import UNIFIED_CONTROLLERS
from tests.conftest import default_runtime
from tests.engines import containerd
from tests.engines.box import Box
from tests.engines.containerd_shim import RUNTIME, SHIM
from tests.engines.engine import ARCHIVE, IMAGE
from tests.engines.image import archive

NAMESPACE = "bench"
GOALS = {"run": {"runc": 0.8, "crun": 1.0}, "exec": {"runc": 0.6}, "idle": {"runc": 1.5}, "pod of five": {"runc": 1.0}}
POD = "io.containerd.runc.v2.group"
CONTAINERS = 5

# Runs in the box, where it need not be entered for each command: arguments are a JSON document.
DRIVER = """
import json, subprocess, sys, time
job = json.loads(sys.argv[1])
ctr = ["ctr", "-a", job["socket"], "-n", job["namespace"]]
def call(*words):
    begin = time.perf_counter()
    done = subprocess.run([*ctr, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    took = time.perf_counter() - begin
    if done.returncode:
        sys.exit(f"{words}: {done.stderr}")
    return took * 1000
times = {name: {"run": [], "exec": []} for name in job["contenders"]}
for name, flags in job["contenders"].items():
    call("run", "--detach", *flags, job["image"], f"long-{name}", "sleep", "1000000")
for number in range(-2, job["rounds"]):
    names = sorted(times, key=lambda name: hash((name, number)))
    for name in names:
        took = {
            "run": call("run", "--rm", *job["contenders"][name], job["image"], f"{name}-{number + 2}", "true"),
            "exec": call("task", "exec", "--exec-id", f"e{number + 2}", f"long-{name}", "true"),
        }
        for what, value in took.items():
            times[name][what] += [value] if number >= 0 else []
print(json.dumps(times))
"""


def contenders(runtime: Path) -> dict[str, list[str]]:
    """The flags of `ctr run` for each."""
    found = {"shim": ["--runtime", RUNTIME], "pyrunc": ["--runc-binary", str(runtime)]}
    for name in ("runc", "crun"):
        path = shutil.which(name)
        if path:
            found[name] = ["--runc-binary", path]
    return found


def measure(box: Box, flags: dict[str, list[str]], rounds: int) -> dict[str, dict[str, list[float]]]:
    """All times in milliseconds, and memory in KiB."""
    job = {
        "socket": containerd.SOCKET,
        "namespace": NAMESPACE,
        "image": IMAGE,
        "contenders": flags,
        "rounds": rounds,
    }
    words = (sys.executable, "-I", "-S", "-c", DRIVER, json.dumps(job))
    times: dict[str, dict[str, list[float]]] = json.loads(box.run(*words, timeout=60.0 + 10 * rounds).ok().stdout)
    for name, chosen in flags.items():
        times[name]["idle"] = [memory_of(box, f"long-{name}")]
        for number in range(CONTAINERS):
            more = [*chosen, "--annotation", f"{POD}={name}"]
            ctr = ("ctr", "-a", containerd.SOCKET, "-n", NAMESPACE)
            box.run(*ctr, "run", "--detach", *more, IMAGE, f"pod-{name}-{number}", "sleep", "1000000").ok()
        times[name]["pod of five"] = [memory_of(box, f"pod-{name}-0")]
    return times


def memory_of(box: Box, id: str) -> float:
    """The resident memory, in KiB, of the shim whose -id this is."""
    found = box.run("pgrep", "-f", "--", f"-id {id}( |$)").ok().stdout.split()
    text = box.run("cat", f"/proc/{found[0]}/status").ok().stdout
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS:")))


def table(times: dict[str, dict[str, list[float]]]) -> str:
    """Medians, and ratios of the shim's to the others'."""
    ours = times["shim"]
    lines = []
    for what in ours:
        unit = "ms" if what in ("run", "exec") else "KiB"
        cells = [f"{name} {statistics.median(found[what]):.1f} {unit}" for name, found in times.items()]
        for name, found in times.items():
            if found is not ours:
                ratio = statistics.median(ours[what]) / statistics.median(found[what])
                goal = GOALS[what].get(name)
                cells.append(f"/{name} {ratio:.2f}" + (f" (goal {goal})" if goal else ""))
        lines.append(f"{what:12} " + "  ".join(cells))
    return "\n".join(lines)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure pyrunc's shim against containerd's.")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--runtime", metavar="PATH", default=default_runtime())
    parser.add_argument("--json", metavar="FILE", help="write every number there")
    options = parser.parse_args()
    runtime = Path(options.runtime).absolute()
    if not runtime.with_name(SHIM).exists():
        parser.error(f"{SHIM} is not beside {runtime}")
    with Box.open() as box:
        box.path(ARCHIVE).write_bytes(archive())
        # crun refuses hosts that look as if cgroup v2 had controllers beside v1's.
        if box.path(UNIFIED_CONTROLLERS).exists():
            box.run("mount", "--bind", "/dev/null", UNIFIED_CONTROLLERS).ok()
        containerd.serve(box, containerd.SETTINGS, str(runtime.parent))
        containerd.import_images(box, NAMESPACE)
        times = measure(box, contenders(runtime), options.rounds)
        box.run("sh", "-c", f"ctr -a {containerd.SOCKET} -n {NAMESPACE} task rm -f $(ctr -a {containerd.SOCKET} "
                f"-n {NAMESPACE} task ls -q)")
    print(table(times))
    if options.json:
        Path(options.json).write_text(json.dumps(times))
    return 0


if __name__ == "__main__":
    sys.exit(main())
