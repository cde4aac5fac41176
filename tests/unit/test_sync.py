"""The channel between the two processes of create, over a real socket pair."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator

import pytest

from pyrunc import errors, sync
from pyrunc.errors import HookError, PyruncError, SpecError, StepError, SyncError
from pyrunc.sync import Channel, channel, decode_error, encode_error

Pair = tuple[Channel, Channel]
NAMES = """
    NEED_ID_MAPS ID_MAPS_WRITTEN CGROUP ROOTFS_READY HOOKS_DONE CONSOLE LOADING_FILTER LISTENER READY GO ERROR START
""".split()


@pytest.fixture
def pair() -> Iterator[Pair]:
    ends = channel()
    yield ends
    for end in ends:
        end.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_message_arrives_in_both_directions(pair: Pair, name: str) -> None:
    message: bytes = getattr(sync, name)
    for sender, receiver in (pair, pair[::-1]):
        if message != sync.ERROR:
            sender.say(message)
            assert receiver.expect(message) == ()


def test_no_two_messages_are_the_same() -> None:
    assert len({getattr(sync, name) for name in NAMES}) == len(NAMES)


def test_messages_stay_whole_and_in_order(pair: Pair) -> None:
    pair[0].say(sync.GO)
    pair[0].say(sync.READY)
    assert pair[1].expect(sync.GO) == ()
    assert pair[1].expect(sync.READY) == ()


@pytest.mark.parametrize("count", [1, 3, 64])
def test_descriptors_arrive_in_order_and_end_at_exec(pair: Pair, count: int) -> None:
    pipes = [os.pipe() for _ in range(count)]
    pair[0].say(sync.CGROUP, tuple(writer for _, writer in pipes))
    arrived = pair[1].expect(sync.CGROUP)
    for number, fd in enumerate(arrived):
        assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        os.write(fd, bytes([number]))
    assert [os.read(reader, 9) for reader, _ in pipes] == [bytes([number]) for number in range(count)]
    for fd in (*arrived, *(end for pipe in pipes for end in pipe)):
        os.close(fd)


def test_another_message_is_an_error_that_names_both(pair: Pair) -> None:
    pair[0].say(sync.READY)
    with pytest.raises(SyncError, match="expected go, the other side said ready"):
        pair[1].expect(sync.GO)


def test_a_longer_message_is_another_one(pair: Pair) -> None:
    pair[0].say(sync.GO + b"!")
    with pytest.raises(SyncError, match="expected go, the other side said go!"):
        pair[1].expect(sync.GO)


def test_death_is_a_message(pair: Pair) -> None:
    pair[0].close()
    with pytest.raises(SyncError, match=r"expected ready, the other side said nothing \(it died\)"):
        pair[1].expect(sync.READY)


def test_what_was_said_before_death_is_still_heard(pair: Pair) -> None:
    pair[0].say(sync.READY)
    pair[0].close()
    assert pair[1].expect(sync.READY) == ()


def test_nobody_can_be_told_after_death(pair: Pair) -> None:
    pair[1].close()
    with pytest.raises(SyncError, match="cannot say go: the other side is gone"):
        pair[0].say(sync.GO)
    pair[0].fail(StepError("nobody hears this"))


def test_a_message_that_cannot_be_sent_says_why(pair: Pair) -> None:
    """A descriptor that is none: nobody is gone."""
    with pytest.raises(SyncError, match="cannot say console: Bad file descriptor"):
        pair[0].say(sync.CONSOLE, (1 << 20,))
    with pytest.raises(SyncError, match="cannot say error: Message too long"):
        pair[0].say(sync.ERROR + b"\0x" * (1 << 20))


def test_who_dies_without_having_read_is_dead_too(pair: Pair) -> None:
    pair[0].say(sync.GO)
    pair[1].close()
    with pytest.raises(SyncError, match="the other side said nothing"):
        pair[0].expect(sync.READY)


def test_last_words_are_heard_although_not_all_was_read(pair: Pair) -> None:
    """The kernel reports the lost messages first (ECONNRESET), once."""
    pair[0].say(sync.GO)
    pair[1].fail(StepError("why it ended"))
    pair[1].close()
    with pytest.raises(StepError, match="why it ended"):
        pair[0].expect(sync.READY)


def test_last_words_are_raised_where_nothing_more_can_be_said(pair: Pair) -> None:
    reader, writer = os.pipe()
    pair[1].say(sync.CONSOLE, (reader, writer))
    pair[1].fail(StepError("why it ended"))
    pair[1].close()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(StepError, match="why it ended"):
        pair[0].say(sync.GO)
    assert len(os.listdir("/proc/self/fd")) == before
    for fd in (reader, writer):
        os.close(fd)


def test_both_ends_close_at_exec(pair: Pair) -> None:
    for end in pair:
        assert fcntl.fcntl(end.fileno(), fcntl.F_GETFD) & fcntl.FD_CLOEXEC


# Errors


def fails_with(pair: Pair, error: PyruncError) -> PyruncError:
    """What is raised at the other side's next expect()."""
    pair[0].fail(error)
    with pytest.raises(PyruncError) as caught:
        pair[1].expect(sync.READY)
    return caught.value


KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, PyruncError) and kind not in (SpecError, errors.ConfigError)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_keeps_its_class_its_words_and_its_exit_code(pair: Pair, kind: type[PyruncError]) -> None:
    error = fails_with(pair, kind("cannot mount proc on /proc: größe\n2", "an outer container masks it"))
    assert type(error) is kind
    assert error.message == "cannot mount proc on /proc: größe\n2"
    assert error.hint == "an outer container masks it"
    assert str(error) == "cannot mount proc on /proc: größe\n2 (an outer container masks it)"
    assert error.exit_code == kind.exit_code


@pytest.mark.parametrize("error", [SpecError(".a.b", "is bad", "mend it"), errors.ConfigError("c.json", ())])
def test_errors_with_parts_keep_class_and_words(pair: Pair, error: PyruncError) -> None:
    heard = fails_with(pair, error)
    assert (type(heard), str(heard)) == (type(error), str(error))


def test_an_error_without_a_hint(pair: Pair) -> None:
    error = fails_with(pair, HookError("failed"))
    assert (str(error), error.hint) == ("failed", "")


def test_names_that_are_not_utf8_do_not_stop_an_error(pair: Pair) -> None:
    assert fails_with(pair, StepError("cannot open /\udcff")).message == "cannot open /\\udcff"


@pytest.mark.parametrize("letter", ["x", "ü", "€"])
def test_an_error_that_is_too_long_is_cut(pair: Pair, letter: str) -> None:
    error = fails_with(pair, HookError(letter * 100_000, "lost"))
    assert type(error) is HookError
    assert error.message.startswith(letter * 20_000)
    assert len(error.message) < 100_000


@pytest.mark.parametrize("name", [b"Exception", b"reason", b"SystemExit", b"", b"__doc__", b"TYPE_CHECKING"])
def test_the_other_side_cannot_choose_any_class(name: bytes) -> None:
    error = decode_error(b"\0".join((sync.ERROR, name, b"words", b"hint")))
    assert (type(error), str(error)) == (PyruncError, "words (hint)")


@pytest.mark.parametrize("message", [b"error", b"error\0", b"error\0StepError", b"error\0StepError\0"])
def test_an_error_without_words_still_has_some(message: bytes) -> None:
    assert str(decode_error(message)) == "the other side failed without a word"


def test_encoding_is_undone() -> None:
    error = decode_error(encode_error(StepError("a", "b")))
    assert (type(error), error.message, error.hint) == (StepError, "a", "b")


def test_who_gives_up_says_so_and_leaves(pair: Pair) -> None:
    pid = os.fork()
    if pid == 0:
        sync.give_up(pair[1], StepError("cannot go on"))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    with pytest.raises(StepError, match="cannot go on"):
        pair[0].expect(sync.READY)


# The state that hooks get


def test_the_state_for_hooks() -> None:
    text = sync.state_document("1.3.0", "box", "creating", 42, "/b", {"a": "b"})
    assert json.loads(text) == {
        "ociVersion": "1.3.0",
        "id": "box",
        "status": "creating",
        "pid": 42,
        "bundle": "/b",
        "annotations": {"a": "b"},
    }


def test_what_there_is_not_is_left_out_of_it() -> None:
    document = json.loads(sync.state_document("1.3.0", "box", "stopped", 0, "/b", {}))
    assert set(document) == {"ociVersion", "id", "status", "bundle"}
