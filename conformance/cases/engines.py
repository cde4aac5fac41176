"""What container engines rely on, beyond the spec: flags, files, words of errors."""

from __future__ import annotations

import array
import json
import os
import socket
from typing import TYPE_CHECKING, Any

from conformance.case import case, check, equal

if TYPE_CHECKING:
    from conformance.box import Box


def created(box: Box, *flags: str) -> Box:
    """Create a container whose program waits."""
    box.process(args=["/bin/probe", "wait"]).create(*flags).succeeded()
    return box


@case(level="BEYOND")
def pid_file(box: Box) -> None:
    """--pid-file has the bare number of the container's process."""
    file = box.bundle / "pid"
    created(box, "--pid-file", str(file))
    equal(file.read_text(), str(box.state()["pid"]), "the pid file")


@case(level="BEYOND")
def created_one_is_deleted(box: Box) -> None:
    """Delete of a created container kills and removes it: engines do so when start is never called."""
    created(box).delete("--force").succeeded()
    equal(box.left_behind(), [], "what is left")


@case(level="BEYOND")
def words_of_a_missing_container(box: Box) -> None:
    """Errors about a container that is not there say that it does not exist."""
    for words in (("state", box.id), ("delete", box.id), ("kill", box.id, "9")):
        result = box.call(*words).failed()
        check("does not exist" in result.stderr, f"{words[0]} says {result.words()}")


@case(level="BEYOND")
def words_of_a_stopped_container(box: Box) -> None:
    """Kill of a stopped container says so in words that engines know."""
    box.process(args=["/bin/probe", "exit", "0"]).create().succeeded()
    box.start().succeeded()
    box.await_status("stopped")
    said = box.kill("9").failed().stderr
    known = ("container not running", "process already finished", "no such process", "does not exist")
    check(any(words in said for words in known), f"it says {' '.join(said.split())}")


@case(level="BEYOND")
def words_of_a_missing_program(box: Box) -> None:
    """A program that is not found is told in words from which engines make exit code 127."""
    for program in ("nothing-of-this-name", "/bin/nothing-of-this-name"):
        said = box.process(args=[program]).run().failed().stderr
        check("executable file not found" in said or "no such file or directory" in said.lower(), f"it says {said}")


@case(level="BEYOND")
def words_of_a_forbidden_program(box: Box) -> None:
    """A program that may not be executed is told in words from which engines make exit code 126."""
    box.file("/bin/plain", "x", 0o644)
    said = box.process(args=["/bin/plain"]).run().failed().stderr
    check("permission denied" in said.lower(), f"it says {said}")


@case(level="BEYOND")
def log_in_json(box: Box) -> None:
    """With --log and --log-format json the error is in that file as an object with level, msg and time."""
    log = box.bundle / "log.json"
    (box.bundle / "config.json").write_text("{")
    words = ("--log", str(log), "--log-format", "json", "create", "--bundle", str(box.bundle), box.id)
    box.call(*words).failed()
    errors: list[dict[str, Any]] = [json.loads(line) for line in log.read_text().splitlines()]
    errors = [each for each in errors if each.get("level") == "error"]
    check(errors, "there is no error in the log")
    check(errors[-1].get("msg") and errors[-1].get("time"), f"the last one is {errors[-1]}")


def report_on_terminal(box: Box) -> dict[str, Any]:
    """Run the probe on a terminal, whose other side comes over a console socket; return what it says of that."""
    path = box.folder / "console.sock"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        server.listen(1)
        box.process(terminal=True, args=["/bin/probe", "report"])
        box.create("--console-socket", str(path)).succeeded()
        connection, _ = server.accept()
        with connection:
            fds = array.array("i")
            _, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(4))
            for _, _, data in ancillary:
                fds.frombytes(data[:4])
        check(fds, "no descriptor came")
        box.start().succeeded()
        terminal = _read(fds[0])
    return dict(box.answers(terminal)[0]["terminal"])


def _read(fd: int) -> str:
    text = b""
    try:
        while not text.endswith(b"\n"):
            text += os.read(fd, 65536)
    except OSError:  # EIO: the other side is closed
        pass
    os.close(fd)
    return text.decode()


@case(50, level="BEYOND")
def console_socket(box: Box) -> None:
    """With --console-socket the master of the container's terminal is sent there, and 0, 1 and 2 are the terminal."""
    report = report_on_terminal(box)
    equal(report["isatty"], [1, 1, 1], "terminals on 0, 1 and 2")
    equal((report["controlling"], report["console"]), (True, True), "controlling, and the same as /dev/console")


@case(50, level="BEYOND")
def terminal_without_a_socket_is_an_error(box: Box) -> None:
    """Create with a terminal and nowhere to send it is an error."""
    box.process(terminal=True).create().failed()
    equal(box.left_behind(), [], "what is left")


@case(level="BEYOND")
def pause_and_resume(box: Box) -> None:
    """A paused container says so, and goes on after resume."""
    box.running()
    box.call("pause", box.id).succeeded()
    equal(box.status(), "paused", "status")
    box.call("resume", box.id).succeeded()
    equal(box.status(), "running", "status")


@case(level="BEYOND")
def paused_one_is_deleted(box: Box) -> None:
    """delete --force of a paused container leaves nothing."""
    box.running()
    box.call("pause", box.id).succeeded()
    box.delete("--force").succeeded()
    equal(box.left_behind(), [], "what is left")


@case(level="BEYOND")
def exec_joins(box: Box) -> None:
    """Exec runs a program in the container's namespaces and gives its output and exit code."""
    box.running()
    pid = box.state()["pid"]
    (report,) = box.answers(box.call("exec", box.id, "/bin/probe", "report").succeeded().stdout)
    for kind in ("pid", "net", "mnt", "ipc", "uts"):
        equal(report["namespaces"][kind], os.readlink(f"/proc/{pid}/ns/{kind}"), f"its {kind} namespace")
    equal(box.call("exec", box.id, "/bin/probe", "exit", "7").status, 7, "exit code")


@case(level="BEYOND")
def exec_of_a_process_document(box: Box) -> None:
    """Exec --process takes a process document, with another user, environment and directory."""
    box.running()
    process = {**box.config["process"], "user": {"uid": 1000, "gid": 1000}, "cwd": "/tmp", "env": ["PATH=/bin", "A=1"]}
    process["args"] = ["probe", "report"]
    file = box.bundle / "process.json"
    file.write_text(json.dumps(process))
    (report,) = box.answers(box.call("exec", "--process", str(file), box.id).succeeded().stdout)
    equal((report["uid"], report["cwd"]), ([1000] * 3, "/tmp"), "uid and directory")
    check("A=1" in report["env"], f"environment: {report['env']}")


@case(level="BEYOND")
def list_in_json(box: Box) -> None:
    """List --format json has each container with id, pid, status and bundle."""
    box.running()
    listed = box.call("list", "--format", "json").document()
    (entry,) = [each for each in listed if each["id"] == box.id]
    equal((entry["status"], entry["bundle"]), ("running", str(box.bundle)), "status and bundle")


@case(level="BEYOND")
def processes_in_json(box: Box) -> None:
    """Ps --format json is a list of the container's pids."""
    box.running()
    pids = box.call("ps", "--format", "json", box.id).document()
    check(box.state()["pid"] in pids, f"they are {pids}")


@case(level="BEYOND", needs="cgroup-pids")
def update_from_stdin(box: Box) -> None:
    """Update --resources - takes a resources document from stdin."""
    from conformance.cases.cgroups import running_in

    folder = running_in(box, "pids")
    box.call("update", "--resources", "-", box.id, stdin=b'{"pids": {"limit": 77}}').succeeded()
    equal((folder / "pids.max").read_text().strip(), "77", "pids.max")
