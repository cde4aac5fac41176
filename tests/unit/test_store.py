"""The state directory: taking ids, saving, locking, removing."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyrunc.errors import ExistsError, NotFoundError, StateError
from pyrunc.state import store
from pyrunc.state.store import Entry, State
from tests.unit.states import state


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A state root that nobody has made yet."""
    return f"{tmp_path}/run/pyrunc"


@pytest.fixture
def entry(root: str) -> Iterator[Entry]:
    with store.reserve(root, state()) as entry:
        yield entry


def file(entry: Entry, name: str = "state.json") -> Path:
    return Path(entry.root, entry.id, name)


# Where it is

ROOT_IN_A_USER_NAMESPACE = ["unshare", "--user", "--map-root-user"]
OWN, EVERYBODYS = "/run/user/1000/pyrunc", "/run/pyrunc"


def default_root(wrap: list[str], **environment: str) -> str:
    code = "from pyrunc.state.store import default_root; print(default_root())"
    done = subprocess.run(
        [*wrap, sys.executable, "-c", code],
        cwd=Path(__file__).resolve().parents[2],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.requires("userns")
def test_root_of_a_user_namespace_keeps_its_state_where_the_user_does() -> None:
    """podman without root starts us so, and lets us find the place."""
    places = {"XDG_RUNTIME_DIR": "/run/user/1000", "USER": "jo"}
    assert default_root(ROOT_IN_A_USER_NAMESPACE, **places) == OWN
    assert default_root(ROOT_IN_A_USER_NAMESPACE, XDG_RUNTIME_DIR="/run/user/1000", USER="root") == EVERYBODYS


@pytest.mark.requires("root")
def test_root_of_the_host_keeps_its_state_in_run() -> None:
    assert default_root([], XDG_RUNTIME_DIR="/run/user/0", USER="jo") == EVERYBODYS


# Taking an id


def test_reserving_makes_everything_for_the_owner_only(root: str, entry: Entry) -> None:
    modes = [stat.S_IMODE(os.stat(path).st_mode) for path in (root, f"{root}/box", f"{root}/box/state.json")]
    assert modes == [0o700, 0o700, 0o600]


def test_what_is_reserved_is_written_down_at_once(entry: Entry) -> None:
    assert entry.load() == state()


def test_an_id_can_be_taken_once(root: str, entry: Entry) -> None:
    with pytest.raises(ExistsError, match="container box already exists"):
        store.reserve(root, state(bundle="/other"))
    assert entry.load() == state()


def test_another_id_is_another_container(root: str, entry: Entry) -> None:
    with store.reserve(root, state("other")):
        assert store.ids(root) == ("box", "other")


def test_of_many_creates_at_once_one_wins(root: str) -> None:
    def create() -> int:
        try:
            store.reserve(root, state())
        except ExistsError:
            return 1
        return 0

    statuses = [fork(create) for _ in range(8)]
    assert sorted(exit_code(pid) for pid in statuses) == [0] + [1] * 7


def test_a_root_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=rf"{tmp_path}/file/root"):
        store.reserve(f"{tmp_path}/file/root", state())


def test_a_root_may_end_in_a_slash(tmp_path: Path) -> None:
    with store.reserve(f"{tmp_path}/a/b/", state()):
        assert store.ids(f"{tmp_path}/a/b") == ("box",)


@pytest.mark.parametrize(
    "container_id", ["a", "A-Z_0.9+", "a" * 255, "-a", "_", "...", "0", ".hidden", "a..b"]
)
def test_good_ids(container_id: str) -> None:
    assert store.check_id(container_id) is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    "container_id", ["", ".", "..", "a/b", "../a", "a\n", "a b", "ü", "a\0", "@seccomp", "a:b", "a" * 256, "\u0661"]
)
def test_bad_ids_are_refused_everywhere(root: str, container_id: str) -> None:
    for act in (
        lambda: store.check_id(container_id),
        lambda: store.reserve(root, state(container_id)),
        lambda: store.open_entry(root, container_id),
    ):
        with pytest.raises(StateError, match="invalid container id"):
            act()
    assert not os.path.lexists(root)


# Opening and listing


def test_a_missing_container_does_not_exist(root: str, entry: Entry) -> None:
    for where in (root, f"{root}/nowhere"):
        with pytest.raises(NotFoundError, match="container other does not exist"):
            store.open_entry(where, "other")


def test_a_file_in_the_root_is_no_container(root: str, entry: Entry) -> None:
    Path(root, "other").write_text("")
    with pytest.raises(NotFoundError, match="does not exist"):
        store.open_entry(root, "other")


def test_a_link_in_the_root_is_not_followed(root: str, entry: Entry) -> None:
    Path(root, "other").symlink_to(f"{root}/box")
    with pytest.raises((NotFoundError, StateError)):
        store.open_entry(root, "other")


def test_ids_are_sorted_and_nothing_else_is_one(root: str) -> None:
    for container_id in ("b", "a", "C", "10", "9"):
        store.reserve(root, state(container_id)).close()
    Path(root, "@seccomp").mkdir()
    assert store.ids(root) == ("10", "9", "C", "a", "b")


def test_no_root_has_no_containers(root: str) -> None:
    assert store.ids(root) == ()


def test_a_root_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot read the state root"):
        store.ids(f"{tmp_path}/file")


# Saving and loading

EVERYTHING = state(
    annotations={"a": "ü\ud800"},
    cgroup_leaves=("/c/box",),
    cgroup_made=("/c/box", "/c"),
    hooks={"poststop": [{"where": ".hooks.poststop[0]", "path": "/h", "args": ["h"], "env": [], "timeout": None}]},
    freezer="/c/box/cgroup.freeze",
    host_mounts=True,
    private_pids=False,
    resctrl_made=("/sys/fs/resctrl/box",),
    session_keyring="_ses.box.1",
    device_rules=("deny a *:* rwm",),
    unit={"name": "box.scope"},
)


def test_every_field_survives(root: str, entry: Entry) -> None:
    assert {name for name in State._fields if vars(EVERYTHING)[name] == vars(state())[name]} <= {
        *("id", "oci_version", "status", "bundle", "rootfs", "created", "owner"),
        *("creator", "creator_start", "pid", "start_time"),
    }
    entry.save(EVERYTHING)
    with store.open_entry(root, "box") as again:
        assert again.load() == EVERYTHING


def test_what_a_later_version_adds_is_passed_over(entry: Entry) -> None:
    document = json.loads(file(entry).read_text())
    file(entry).write_text(json.dumps({**document, "tomorrow": 1}))
    assert entry.load() == state()


def test_what_an_earlier_version_lacked_has_its_default(entry: Entry) -> None:
    document = json.loads(file(entry).read_text())
    del document["freezer"], document["cgroup_made"]
    file(entry).write_text(json.dumps(document))
    assert entry.load() == state()


def test_saving_replaces_the_file_and_leaves_no_other(entry: Entry) -> None:
    before = os.stat(file(entry)).st_ino
    with file(entry).open() as reader:
        entry.save(state(bundle="/other"))
        assert json.load(reader)["bundle"] == "/b", "who had it open still reads the old one"
    assert os.stat(file(entry)).st_ino != before
    assert os.listdir(file(entry).parent) == ["state.json"]


def test_readers_see_the_old_or_the_new_state(root: str, entry: Entry) -> None:
    long = {"annotation": "x" * 200_000}

    def write() -> int:
        for number in range(200):
            entry.save(state(oci_version=str(number), annotations=long))
        return 0

    entry.save(state(annotations=long))
    pid = fork(write)
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        with store.open_entry(root, "box") as reader:
            seen = reader.load()
        assert seen is not None
        assert seen.annotations == long


def test_nothing_written_yet_is_no_state(entry: Entry) -> None:
    file(entry).unlink()
    assert entry.load() is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"{}", b'{"id": "box"}', b"\xff", b'{"cgroup_leaves": 3}', b"\0" * 99]
)
def test_garbage_is_an_error_with_a_way_out(entry: Entry, content: bytes) -> None:
    file(entry).write_bytes(content)
    with pytest.raises(StateError, match="the state of box cannot be read") as caught:
        entry.load()
    assert "delete --force" in caught.value.hint


def test_a_state_file_that_cannot_be_opened_is_an_error_of_ours(entry: Entry) -> None:
    file(entry).unlink()
    file(entry).symlink_to("/etc/passwd")
    with pytest.raises(StateError):
        entry.load()


def test_a_state_that_cannot_be_written_is_an_error(root: str, entry: Entry) -> None:
    file(entry).unlink()
    Path(root, "box").rmdir()
    with pytest.raises(StateError, match="cannot write the state of box: not found"):
        entry.save(state())


# The lock


def fork(act: Callable[[], int]) -> int:
    """Run something in a child, whose exit code is the result."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = act()
        finally:
            os._exit(code)
    return pid


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_who_reserves_holds_the_lock(root: str, entry: Entry) -> None:
    with store.open_entry(root, "box") as other, pytest.raises(StateError, match="container box is busy"):
        other.lock(wait=0)


@pytest.mark.parametrize("let_go", [Entry.unlock, Entry.close])
def test_the_lock_ends_with_unlock_and_with_close(root: str, entry: Entry, let_go: Callable[[Entry], None]) -> None:
    let_go(entry)
    with store.open_entry(root, "box") as other:
        other.lock(wait=0)


def test_another_process_waits_until_the_lock_is_free(root: str, entry: Entry) -> None:
    reader, writer = os.pipe()

    def wait() -> int:
        os.close(entry.directory)  # a copy of ours: the lock belongs to both
        with store.open_entry(root, "box") as other:
            os.write(writer, b"here")
            other.lock(wait=20)
        return 0

    pid = fork(wait)
    assert os.read(reader, 4) == b"here"
    time.sleep(0.05)
    assert os.waitpid(pid, os.WNOHANG) == (0, 0), "it must not have the lock yet"
    entry.unlock()
    assert exit_code(pid) == 0
    os.close(reader)
    os.close(writer)


def test_the_kernel_drops_the_lock_of_a_process_that_dies(root: str, entry: Entry) -> None:
    entry.unlock()

    def die() -> int:
        store.open_entry(root, "box").lock(wait=0)
        return 7

    assert exit_code(fork(die)) == 7
    with store.open_entry(root, "box") as other:
        other.lock(wait=0)


def test_a_container_deleted_while_we_waited_is_gone(root: str, entry: Entry) -> None:
    with store.open_entry(root, "box") as late:
        entry.remove()
        entry.close()
        with pytest.raises(NotFoundError, match="container box does not exist"):
            late.lock(wait=1)


def test_a_new_container_of_the_same_id_is_not_taken_for_it(root: str, entry: Entry) -> None:
    with store.open_entry(root, "box") as late:
        entry.remove()
        entry.close()
        with store.reserve(root, state()), pytest.raises(NotFoundError):
            late.lock(wait=1)


def test_closing_twice_closes_nobody_elses_descriptor(entry: Entry) -> None:
    number = entry.directory
    entry.close()
    other = os.open("/", os.O_PATH)
    assert other == number, "the number has been given away again"
    entry.close()
    os.fstat(other)
    os.close(other)


# Removing


def test_removing_leaves_nothing(root: str, entry: Entry) -> None:
    for fd in entry.make_fifos():
        os.close(fd)
    Path(root, "box", "state.json.new").write_text("half")
    entry.remove()
    assert os.listdir(root) == []


def test_removing_twice_is_no_error(root: str, entry: Entry) -> None:
    entry.remove()
    entry.remove()
    assert store.ids(root) == ()


def test_files_of_somebody_else_are_not_removed(root: str, entry: Entry) -> None:
    Path(root, "box", "stray").write_text("")
    with pytest.raises(StateError, match="cannot remove the state directory of box"):
        entry.remove()
    assert os.listdir(f"{root}/box") == ["stray"]


# Fifos and timestamps


def test_fifos_have_both_ends_for_the_init_and_are_the_owners(root: str, entry: Entry) -> None:
    start, result = entry.make_fifos()
    for fd, name in ((start, store.START_FIFO), (result, store.RESULT_FIFO)):
        status = os.stat(f"{root}/box/{name}")
        assert os.path.samestat(status, os.fstat(fd))
        assert (stat.S_ISFIFO(status.st_mode), stat.S_IMODE(status.st_mode)) == (True, 0o600)
        os.write(fd, b"x")
        assert os.read(fd, 1) == b"x"
        os.close(fd)


def test_a_fifo_without_a_reader_says_so(entry: Entry) -> None:
    for fd in entry.make_fifos():
        os.close(fd)
    with pytest.raises(OSError, match=r"\[Errno 6\]"):
        entry.open_fifo(store.START_FIFO, os.O_WRONLY | os.O_NONBLOCK)


def test_a_fifo_that_is_a_link_is_not_followed(tmp_path: Path, entry: Entry) -> None:
    (tmp_path / "target").write_text("")
    file(entry, store.START_FIFO).symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match=r"\[Errno 40\]"):
        entry.open_fifo(store.START_FIFO, os.O_WRONLY | os.O_NONBLOCK)


def test_timestamps_are_rfc3339_in_utc() -> None:
    before, text, after = time.time(), store.timestamp(), time.time()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", text)
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(before))
    assert seconds <= text <= time.strftime("%Y-%m-%dT%H:%M:%S~", time.gmtime(after))


def test_timestamps_keep_the_zeros_of_their_nanoseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_042)
    assert store.timestamp() == "2023-11-14T22:13:20.000000042Z"


# The configuration


def test_the_configuration_is_kept_for_its_owner_and_removed_with_the_rest(entry: Entry) -> None:
    text = '{"a": "\u00e4"}' + " " * 200_000
    entry.keep_config(text)
    assert entry.kept_config() == text
    assert stat.S_IMODE(file(entry, "config.json").stat().st_mode) == 0o600
    entry.remove()
    assert not Path(entry.root, entry.id).exists()


def test_a_configuration_that_is_not_there(entry: Entry) -> None:
    with pytest.raises(StateError, match="configuration of"):
        entry.kept_config()


def test_a_configuration_is_written_through_no_link(entry: Entry, tmp_path: Path) -> None:
    file(entry, "config.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="configuration of"):
        entry.keep_config("{}")
    assert not (tmp_path / "elsewhere").exists()
