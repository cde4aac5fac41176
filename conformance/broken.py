"""Runtimes that are broken on purpose: each spoils one thing, and the cases named with it have to notice.

`python -m conformance --self-test --runtime PATH` puts each of these programs in front of a runtime. A suite whose
cases pass whatever a runtime does would be worth nothing; this shows for each group that they do not.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from conformance import runner
from conformance.expected import Expected
from conformance.runtime import find_runtime

if TYPE_CHECKING:
    from conformance.case import Case
    from conformance.runtime import Runtime


@dataclass(frozen=True)
class Fault:
    """One thing that is spoilt: how config.json or the command line is changed, and the cases that notice."""

    name: str
    spoil: str
    noticed_by: tuple[str, ...]


WRAPPER = """#!{python}
import json, os, subprocess, sys
runtime, words = {runtime!r}, sys.argv[1:]
command = next((word for word in words if word in COMMANDS), "")
def bundle():
    for index, word in enumerate(words):
        if word in ("--bundle", "-b"):
            return words[index + 1]
    return "."
def config():
    with open(bundle() + "/config.json") as file:
        return json.load(file)
def save(document):
    with open(bundle() + "/config.json", "w") as file:
        json.dump(document, file)
def go(*words):
    os.execv(runtime, [runtime, *words])
def making():
    return command in ("create", "run")
try:
{spoil}
except (OSError, ValueError, KeyError, TypeError, IndexError):
    pass
go(*words)
""".replace("COMMANDS", "('create', 'run', 'start', 'state', 'kill', 'delete', 'features', 'list', 'exec', 'pause')")

FAULTS = (
    Fault(
        "state does not know the bundle",
        """
if command == "state":
    done = subprocess.run([runtime, *words], capture_output=True, text=True)
    if done.returncode == 0:
        document = json.loads(done.stdout)
        document["bundle"] = "relative"
        print(json.dumps(document))
        sys.exit(0)
""",
        ("lifecycle/state_has_what_it_must",),
    ),
    Fault(
        "kill sends TERM, whatever is asked for",
        """
if command == "kill":
    words[-1:] = ["TERM"] if len(words) > words.index("kill") + 2 else words[-1:]
""",
        ("lifecycle/signals_by_name", "lifecycle/signals_by_number", "lifecycle/unknown_signal_is_an_error"),
    ),
    Fault(
        "delete says yes and does nothing",
        """
if command == "delete" and "--force" not in words:
    sys.exit(0)
""",
        ("lifecycle/delete_leaves_nothing", "lifecycle/running_one_is_not_deleted", "lifecycle/whole_life"),
    ),
    Fault(
        "the environment has one variable more",
        """
if making():
    document = config()
    document["process"]["env"].append("MORE=1")
    save(document)
""",
        ("process/environment_is_exact",),
    ),
    Fault(
        "capabilities are not looked at",
        """
if making():
    document = config()
    document["process"]["capabilities"] = {kind: ["CAP_SYS_ADMIN", "CAP_CHOWN"] for kind in
        ("bounding", "effective", "permitted", "inheritable")}
    save(document)
""",
        ("process/capabilities_are_exact", "process/without_capabilities_none", "security/nothing_is_inheritable"),
    ),
    Fault(
        "a descriptor leaks",
        """
if making():
    os.dup2(0, 3)
    os.set_inheritable(3, True)
    words[words.index(command) + 1:words.index(command) + 1] = ["--preserve-fds", "1"]
""",
        ("process/only_stdio_is_open",),
    ),
    Fault(
        "hooks are forgotten",
        """
if making():
    document = config()
    document.pop("hooks", None)
    save(document)
""",
        ("hooks/order_at_create", "hooks/each_at_its_time", "hooks/a_hook_that_fails_at_create"),
    ),
    Fault(
        "nothing is read-only or masked",
        """
if making():
    document = config()
    document["root"].pop("readonly", None)
    document["linux"].pop("maskedPaths", None)
    document["linux"].pop("readonlyPaths", None)
    save(document)
""",
        ("mounts/readonly_root", "mounts/masked_file_and_directory", "mounts/readonly_paths"),
    ),
    Fault(
        "mount options are dropped",
        """
if making():
    document = config()
    for mount in document["mounts"]:
        mount["options"] = [option for option in mount.get("options", []) if option in ("bind", "rbind")]
    save(document)
""",
        ("mounts/ro_on_tmpfs", "mounts/nosuid_on_bind", "mounts/unknown_options_are_the_filesystems"),
    ),
    Fault(
        "every namespace is the host's",
        """
if making():
    document = config()
    document["linux"]["namespaces"] = [{"type": "mount"}]
    document.pop("hostname", None)
    save(document)
""",
        (
            "namespaces/new_pid_namespace",
            "namespaces/new_network_namespace",
            "namespaces/first_process_of_its_pid_namespace",
        ),
    ),
    Fault(
        "devices are not made",
        """
if making():
    document = config()
    document["linux"].pop("devices", None)
    save(document)
""",
        ("devices/devices_are_made", "devices/umask_does_not_change_modes"),
    ),
    Fault(
        "device rules are dropped",
        """
if making():
    document = config()
    document["linux"].setdefault("resources", {})["devices"] = [{"allow": True, "access": "rwm"}]
    save(document)
""",
        ("devices/devices_are_denied_unless_allowed", "devices/device_rules_count_in_their_order"),
    ),
    Fault(
        "seccomp is left out",
        """
if making():
    document = config()
    document["linux"].pop("seccomp", None)
    save(document)
""",
        ("seccomp/errno_action", "seccomp/kill_action", "seccomp/unknown_words_are_errors"),
    ),
    Fault(
        "limits are left out",
        """
if making():
    document = config()
    document["linux"].pop("resources", None)
    save(document)
""",
        ("cgroups/pids_limit", "cgroups/memory_limit_holds", "cgroups/impossible_limits_are_errors"),
    ),
    Fault(
        "cgroupsPath is not looked at",
        """
if making():
    document = config()
    document["linux"]["cgroupsPath"] += "-elsewhere"
    save(document)
""",
        ("cgroups/absolute_path",),
    ),
    Fault(
        "wrong configurations are mended",
        """
if making():
    document = config()
    document["annotations"] = {}
    document["ociVersion"] = "1.0.2"
    save(document)
""",
        ("config/strange_versions_are_errors", "config/annotation_keys_are_not_empty"),
    ),
    Fault(
        "features tells of hooks that there are not",
        """
if command == "features":
    document = json.loads(subprocess.run([runtime, *words], capture_output=True, text=True).stdout)
    document["mountOptions"].append("nonsense")
    document["ociVersionMax"] = "one"
    print(json.dumps(document))
    sys.exit(0)
""",
        ("features/listed_mount_options_are_known", "features/versions_are_named"),
    ),
    Fault(
        "the program may be anywhere on the host",
        """
if making():
    document = config()
    document["mounts"].append({"destination": "/host", "type": "bind", "source": "/", "options": ["rbind"]})
    document["process"]["cwd"] = "/host" + bundle() + "/outside" if os.path.isdir(bundle() + "/outside") else "/"
    save(document)
""",
        ("security/cwd_through_a_descriptor",),
    ),
    Fault(
        "the pid file has a newline, and errors have other words",
        """
if "--pid-file" in words:
    code = subprocess.call([runtime, *words])
    with open(words[words.index("--pid-file") + 1], "a") as file:
        file.write("\\\\n")
    sys.exit(code)
if command in ("state", "kill", "delete") and "--force" not in words:
    done = subprocess.run([runtime, *words], capture_output=True, text=True)
    sys.stdout.write(done.stdout)
    sys.stderr.write("sorry\\\\n" if done.returncode else "")
    sys.exit(done.returncode)
""",
        ("engines/pid_file", "engines/words_of_a_missing_container", "engines/words_of_a_stopped_container"),
    ),
    Fault(
        "a process is left behind",
        """
if making():
    if os.fork() == 0:
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        os.execvp("sleep", ["sleep", "20"])
""",
        ("robustness/every_failure_leaves_nothing", "lifecycle/delete_leaves_nothing"),
    ),
)


def write_wrapper(fault: Fault, runtime: Runtime, folder: Path) -> Runtime:
    """Write the broken runtime and return it."""
    path = folder / fault.name.replace(" ", "-").replace(",", "")
    spoil = "\n".join(f"    {line}" for line in fault.spoil.strip("\n").splitlines())
    path.write_text(WRAPPER.format(python=sys.executable, runtime=runtime.path, spoil=spoil))
    path.chmod(0o755)
    return find_runtime(str(path))


def self_test(runtime: Runtime, cases: dict[str, Case], probe: Path, jobs: int, folder: Path) -> list[str]:
    """Return what went unnoticed, and which group has no fault at all; empty if the suite can be trusted.

    Only cases that the runtime passes as it is are expected to notice.
    """
    problems = [
        f"no fault spoils anything for {group}"
        for group in sorted({case.group for case in cases.values()})
        if not any(name.startswith(f"{group}/") for fault in FAULTS for name in fault.noticed_by)
    ]
    for fault in FAULTS:
        wanted = [cases[name] for name in fault.noticed_by]
        healthy = runner.judge_all(runtime, wanted, probe, jobs, Expected(), lambda _: None)
        usable = [verdict.case for verdict in healthy if verdict.outcome == "pass"]
        broken = write_wrapper(fault, runtime, folder)
        for verdict in runner.judge_all(broken, usable, probe, jobs, Expected(), lambda _: None):
            if verdict.outcome == "pass":
                problems.append(f"{verdict.case.id} did not notice that {fault.name}")
        if not usable:
            problems.append(f"{fault.name}: {runtime.name} passes none of its cases as it is")
    return problems
