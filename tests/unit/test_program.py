"""The program's environment, home and path, all read from the container's files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.container.process import environment, find_program, make_cwd
from pyrunc.errors import ProgramError
from pyrunc.plan.process import plan_process
from pyrunc.plan.steps import Process
from pyrunc.spec import process as spec_process

PASSWD = "root:x:0:0::/root:/bin/sh\n1000:x:7:7::/seven:/bin/sh\nme:x:1000:100::/home/me:/bin/sh\n"


def process(*env: str, uid: int = 0, **more: Any) -> Process:
    user = spec_process.User(uid)
    plain = spec_process.Process(False, None, user, ("sh",), env, "/")
    return plan_process(plain, 40)[0].but(**more)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The container's root, with users."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text(PASSWD)
    return root


@pytest.fixture
def fd(root: Path) -> Iterator[int]:
    fd = os.open(root, os.O_PATH)
    yield fd
    os.close(fd)


def test_the_environment_is_config_jsons(fd: int) -> None:
    assert environment(process("A=1", "B=x=y", "HOME=/h", "EMPTY="), fd) == {
        "A": "1",
        "B": "x=y",
        "HOME": "/h",
        "EMPTY": "",
    }


def test_entries_that_set_nothing_are_left_out(fd: int) -> None:
    assert environment(process("HOME=/h", "A", "=x", ""), fd) == {"HOME": "/h"}


@pytest.mark.parametrize(("uid", "home"), [(0, "/root"), (1000, "/home/me"), (7, "/seven"), (5, "/")])
def test_a_missing_home_is_looked_up_by_number(fd: int, uid: int, home: str) -> None:
    """CVE-2016-3697: a user named 1000 is not the user 1000."""
    assert environment(process(uid=uid), fd) == {"HOME": home}
    assert environment(process("HOME=", uid=uid), fd) == {"HOME": home}


@pytest.mark.parametrize("line", ["x:x:5", "x:x:5:5:", "", "x:x:05:5::/wrong:/bin/sh", "x:5:6:5::/wrong:/bin/sh"])
def test_lines_that_are_of_nobody(root: Path, fd: int, line: str) -> None:
    (root / "etc/passwd").write_text(f"{line}\nlast:x:5:5::/right:")
    assert environment(process(uid=5), fd)["HOME"] == "/right"


def test_a_home_that_is_empty_is_the_root(root: Path, fd: int) -> None:
    (root / "etc/passwd").write_text("x:x:5:5:::/bin/sh\n")
    assert environment(process(uid=5), fd)["HOME"] == "/"


def test_an_image_without_users(root: Path, fd: int) -> None:
    (root / "etc/passwd").unlink()
    assert environment(process(), fd)["HOME"] == "/"


@pytest.mark.parametrize("kind", ["fifo", "directory"])
def test_a_passwd_that_is_no_file_stops_nobody(root: Path, fd: int, kind: str) -> None:
    (root / "etc/passwd").unlink()
    if kind == "fifo":
        os.mkfifo(root / "etc/passwd")
    else:
        (root / "etc/passwd").mkdir()
    assert environment(process(), fd)["HOME"] == "/"


def test_a_passwd_that_is_a_link_is_the_containers(root: Path, fd: int) -> None:
    (root / "etc/passwd").rename(root / "users")
    for target in ("/users", "../users", "../../../users"):
        (root / "etc/passwd").unlink(missing_ok=True)
        (root / "etc/passwd").symlink_to(target)
        assert environment(process(uid=1000), fd)["HOME"] == "/home/me"


def test_users_with_strange_names_stop_nobody(root: Path, fd: int) -> None:
    (root / "etc/passwd").write_bytes(b"\xff\xfe:x:4:4::/x:\nme:x:5:5::/me:\n")
    assert environment(process(uid=5), fd)["HOME"] == "/me"


def test_sockets_are_passed_to_this_pid(fd: int) -> None:
    env = environment(process("HOME=/", "LISTEN_FDS=1", "LISTEN_PID=1", listen_fds=1), fd)
    assert env == {"HOME": "/", "LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}


# The program


@pytest.fixture
def bins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Directories a and b: a/run and b/run can be run, a/data cannot, a/dir is none."""
    monkeypatch.chdir(tmp_path)
    for name, mode in (("a/run", 0o755), ("b/run", 0o755), ("b/only", 0o755), ("a/data", 0o644)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(mode)
    (tmp_path / "a/dir").mkdir()
    return tmp_path


def refusal(name: str, path: str) -> str:
    with pytest.raises(ProgramError) as caught:
        find_program(name, {"PATH": path})
    return str(caught.value)


def test_the_first_directory_of_the_path_wins(bins: Path) -> None:
    env = {"PATH": f"/nowhere:{bins}/a:{bins}/b"}
    assert find_program("run", env) == f"{bins}/a/run"
    assert find_program("only", env) == f"{bins}/b/only"


def test_what_cannot_be_run_is_passed_over(bins: Path) -> None:
    (bins / "a/only").write_text("")
    (bins / "a/only").chmod(0o644)
    assert find_program("only", {"PATH": f"{bins}/a:{bins}/b"}) == f"{bins}/b/only"


@pytest.mark.parametrize("name", ["a/run", "./a/run"])
def test_a_name_with_a_slash_is_a_path(bins: Path, name: str) -> None:
    assert find_program(name, {"PATH": "/nowhere"}) == name
    assert find_program(f"{bins}/b/run", {}) == f"{bins}/b/run"


def test_an_empty_directory_is_the_one_we_are_in(bins: Path) -> None:
    os.chdir(bins / "a")
    assert find_program("run", {"PATH": "/nowhere:"}) == "./run"


def test_without_a_path_there_is_a_usual_one() -> None:
    assert find_program("sh", {}) in ("/bin/sh", "/usr/bin/sh")


def test_a_missing_program_is_127(bins: Path) -> None:
    assert refusal("gone", f"{bins}/a:{bins}/b") == 'exec: "gone": executable file not found in $PATH'
    assert refusal("./gone", "") == 'exec: "./gone": no such file or directory'


@pytest.mark.parametrize("name", ["data", "dir"])
def test_what_is_no_program_is_126(bins: Path, name: str) -> None:
    assert refusal(name, f"{bins}/a:/nowhere") == f'exec: "{name}": permission denied'
    assert refusal(f"a/{name}", "") == f'exec: "a/{name}": permission denied'


def test_a_missing_working_directory_is_made_inside(root: Path, fd: int) -> None:
    (root / "out").symlink_to("/")
    make_cwd("/a/b/c", fd)
    make_cwd("/out/etc/../../new", fd)
    assert (root / "a/b/c").is_dir()
    assert (root / "new").is_dir()


def test_one_that_is_there_is_left_alone(root: Path, fd: int) -> None:
    before = (root / "etc").stat()
    make_cwd("/etc", fd)
    assert (root / "etc").stat() == before
