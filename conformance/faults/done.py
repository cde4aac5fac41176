"""What a runtime does and answers is spoilt."""

from __future__ import annotations

from conformance.faults import Fault

DONE = (
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
        "features says that there is nothing, in an old version's words",
        """
if command == "features":
    document = json.loads(subprocess.run([runtime, *words], capture_output=True, text=True).stdout)
    document["ociVersionMax"] = "1.1.0"
    document["hooks"] = []
    document["potentiallyUnsafeConfigAnnotations"] = []
    document["linux"]["mountExtensions"] = {"idmap": {"enabled": False}}
    print(json.dumps(document))
    sys.exit(0)
""",
        (
            "features/nothing_is_newer_than_the_version",
            "features/empty_is_none",
            "features/idmap_is_as_said",
            "features/annotations_with_an_effect_are_named",
        ),
    ),
    Fault(
        "network devices are down, or back after delete",
        """
if command == "create" and config()["linux"].get("netDevices"):
    code = subprocess.call([runtime, *words])
    pid = json.loads(subprocess.check_output([runtime, *words[:2], "state", words[-1]]))["pid"]
    inside = ["nsenter", "-t", str(pid), "-n", "ip", "link", "set", "conformance0", "down"]
    subprocess.call(inside)
    sys.exit(code)
if command == "delete":
    subprocess.call(["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "back"])
""",
        ("network/device_is_moved_as_it_is", "network/device_is_never_moved_back"),
    ),
    Fault(
        "every cgroup is given away",
        """
if command == "create":
    code = subprocess.call([runtime, *words])
    pid = json.loads(subprocess.check_output([runtime, *words[:2], "state", words[-1]]))["pid"]
    for line in open("/proc/" + str(pid) + "/cgroup"):
        if words[-1] in line:
            name, path = line.strip().split(":", 2)[1:]
            os.chown("/sys/fs/cgroup/" + name + path, 100000, 100000)
    sys.exit(code)
""",
        ("cgroups/ownership_stays_on_v1",),
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
