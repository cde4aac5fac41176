"""bin/pyrunc: compiled, and put into a prefix with a frozen.pyc that tells what it was started with."""

from __future__ import annotations

import importlib.util
import json
import marshal
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.requires("gcc")

SOURCE = Path(__file__).resolve().parents[2] / "launcher/pyrunc.c"
NAME = f"python{sys.version_info.major}.{sys.version_info.minor}"
INTERPRETER = os.readlink("/proc/self/exe")

TELL = """
import json, os, sys
def target(fd):
    try:
        return os.readlink("/proc/self/fd/%s" % fd)
    except OSError:  # the one that listed the directory
        return ""
print(json.dumps({
    "exe": os.readlink("/proc/self/exe"), "argv": sys.argv[1:], "prefix": sys.prefix, "path": sys.path,
    "flags": [sys.flags.isolated, sys.flags.no_site, sys.flags.utf8_mode],
    "environment": open("/proc/self/environ").read(),
    "open": {fd: target(fd) for fd in os.listdir("/proc/self/fd")},
}))
"""


LINKINGS = {
    "freestanding": ["-DFREESTANDING", "-ffreestanding", "-nostdlib", "-static", "-fno-stack-protector"],
    "libc": ["-static"],
}


@pytest.fixture(scope="module", params=LINKINGS)
def prefix(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation: PREFIX/bin/pyrunc and PREFIX/lib/python3.X/site-packages/pyrunc/frozen.pyc."""
    prefix = tmp_path_factory.mktemp("prefix")
    package = prefix / "lib" / NAME / "site-packages/pyrunc"
    package.mkdir(parents=True)
    code = marshal.dumps(compile(TELL, "<tell>", "exec"))
    (package / "frozen.pyc").write_bytes(importlib.util.MAGIC_NUMBER + bytes(12) + code)
    (prefix / "bin").mkdir()
    known = [f'-DPYTHON_NAME="{NAME}"', f'-DPYTHON_EXECUTABLE="{INTERPRETER}"']
    output = ["-o", str(prefix / "bin/pyrunc"), str(SOURCE)]
    command = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", *LINKINGS[request.param], *known, *output]
    subprocess.run(command, check=True)
    return prefix


def start(prefix: Path, *arguments: str, before: tuple[str, ...] = (), **more: Any) -> Any:
    """Start the launcher and return what frozen.pyc told."""
    command = [*before, str(prefix / "bin/pyrunc"), *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, **more).stdout)


def failure(prefix: Path, *arguments: str, before: tuple[str, ...] = ()) -> str:
    """Start the launcher, which must fail, and return its message."""
    command = [*before, str(prefix / "bin/pyrunc"), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    return done.stderr


@pytest.mark.requires("root", "overlay")
@pytest.mark.parametrize("command", ["create", "run", "exec", "restore"])
def test_commands_that_enter_a_container_run_from_the_overlay(prefix: Path, command: str) -> None:
    told = start(prefix, "--debug", command, "x")
    assert told["exe"] == f"/{Path(INTERPRETER).name}"


@pytest.mark.parametrize("command", ["state", "kill", "delete", "start"])
def test_other_commands_need_no_seal(prefix: Path, command: str) -> None:
    assert start(prefix, command, "x")["exe"] == INTERPRETER


@pytest.mark.requires("strace")
def test_without_the_overlay_the_interpreter_is_sealed_in_memory(prefix: Path) -> None:
    no_overlay = ("strace", "-o", "/dev/null", "-e", "inject=fsopen:error=EPERM")
    assert start(prefix, "run", before=no_overlay)["exe"].startswith("/memfd:pyrunc")


@pytest.mark.requires("strace")
def test_without_any_seal_nothing_is_started(prefix: Path) -> None:
    no_overlay, no_memory = "inject=fsopen:error=EPERM", "inject=memfd_create:error=ENOSYS"
    message = failure(prefix, "run", before=("strace", "-o", "/dev/null", "-e", no_overlay, "-e", no_memory))
    assert message.startswith(f"pyrunc: cannot seal {INTERPRETER}")
    assert "overlay: Operation not permitted; sealed memory: Function not implemented" in message


@pytest.mark.parametrize("command", ["run", "state"])
def test_python_is_isolated(prefix: Path, command: str, tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the json.py of the working directory was imported')")
    told = start(prefix, command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path), "PYTHONHOME": "/nowhere"})
    assert told["flags"] == [1, 1, 1]
    assert told["prefix"] == sys.base_prefix
    assert str(tmp_path) not in told["path"]


@pytest.mark.parametrize("command", ["run", "state"])
def test_arguments_and_environment_are_untouched(prefix: Path, command: str) -> None:
    told = start(prefix, "-x", command, "", "--", "ä b", env={"A": "1", "LANG": "de_DE", "EMPTY": ""})
    assert told["argv"] == ["-x", command, "", "--", "ä b"]
    assert told["environment"] == "A=1\0LANG=de_DE\0EMPTY=\0"


def test_no_fd_is_left_open(prefix: Path) -> None:
    assert {fd for fd, target in start(prefix, "run")["open"].items() if target} == {"0", "1", "2"}


@pytest.mark.parametrize("closed", [0, 2])
def test_closed_stdio_is_opened(prefix: Path, closed: int) -> None:
    """Or the next file opened would become the container's stdin or stderr."""
    told = start(prefix, "run", before=("sh", "-c", f'exec "$0" "$@" {closed}>&-'))
    assert told["open"][str(closed)] == "/dev/null"


def test_launcher_is_found_through_links(prefix: Path, tmp_path: Path) -> None:
    (tmp_path / "runtime").symlink_to(prefix / "bin/pyrunc")
    done = subprocess.run([tmp_path / "runtime", "state"], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["argv"] == ["state"]


def test_directory_that_all_may_write_to_is_refused(prefix: Path) -> None:
    library = prefix / "lib"
    library.chmod(0o777)
    try:
        message = failure(prefix, "state")
    finally:
        library.chmod(0o755)
    assert message.startswith(f"pyrunc: refusing to run code from {library}: everybody may write there")


def test_missing_package_is_named(prefix: Path) -> None:
    frozen = prefix / "lib" / NAME / "site-packages/pyrunc/frozen.pyc"
    frozen.rename(frozen.with_suffix(".away"))
    try:
        message = failure(prefix, "state")
    finally:
        frozen.with_suffix(".away").rename(frozen)
    assert "pyrunc/frozen.pyc: No such file or directory (install pyrunc again)" in message
