"""What goes to stderr and what into the log that engines read."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from pyrunc.cli.log import Log, open_log
from pyrunc.errors import UsageError

RFC3339 = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
Captured = pytest.CaptureFixture[str]


def logged(path: Path, form: str, level: str = "error", debug: bool = False) -> list[str]:
    """The lines of a log file that one message of each kind was written to."""
    log = open_log(str(path), form, level, debug).but(prefix="pyrunc: create box")
    log.debug("a step")
    log.warning("a doubt")
    log.error("no\nway\n")
    os.close(log.fd)
    return path.read_text().splitlines()


def test_an_error_on_stderr_is_one_line(capfd: Captured) -> None:
    Log(prefix="pyrunc: create box").error("cannot do it:\nno\r\nway\n")
    assert capfd.readouterr().err == "pyrunc: create box: cannot do it: no way\n"


def test_stderr_says_of_what_kind_the_rest_is(capfd: Captured) -> None:
    log = open_log("", "text", "debug", False)
    log.warning("a doubt")
    log.debug("a step")
    assert capfd.readouterr().err == "pyrunc: warning: a doubt\npyrunc: debug: a step\n"


@pytest.mark.parametrize("letter", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\r"])
def test_no_letter_makes_a_second_line(letter: str, capfd: Captured) -> None:
    Log().error(f"a{letter}b")
    assert capfd.readouterr().err == "pyrunc: a b\n"


def test_a_log_in_json_is_one_object_a_line(tmp_path: Path) -> None:
    (line,) = logged(tmp_path / "log", "json")
    document = json.loads(line)
    assert set(document) == {"level", "msg", "time"}
    assert (document["level"], document["msg"]) == ("error", "pyrunc: create box: no way")
    assert re.fullmatch(RFC3339, document["time"])


def test_a_log_in_text_has_the_same_parts(tmp_path: Path) -> None:
    (line,) = logged(tmp_path / "log", "text")
    assert re.fullmatch(rf'time="{RFC3339}" level=error msg="pyrunc: create box: no way"', line)


def test_quotes_in_a_text_log_are_escaped(tmp_path: Path) -> None:
    log = open_log(str(tmp_path / "log"), "text", "error", False)
    log.error('exec: "sh": level=fake')
    os.close(log.fd)
    assert r'msg="pyrunc: exec: \"sh\": level=fake"' in (tmp_path / "log").read_text()


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_error_in_a_log_is_on_stderr_too(tmp_path: Path, form: str, capfd: Captured) -> None:
    assert len(logged(tmp_path / "log", form)) == 1
    assert capfd.readouterr().err == "pyrunc: create box: warning: a doubt\npyrunc: create box: no way\n"


@pytest.mark.parametrize("form", ["text", "json"])
def test_warnings_of_a_command_that_went_well_are_in_the_log_alone(tmp_path: Path, form: str, capfd: Captured) -> None:
    log = open_log(str(tmp_path / "log"), form, "error", False)
    for doubt in ("a doubt", "another"):
        log.but(prefix="pyrunc: create box").warning(doubt)
    assert (tmp_path / "log").read_text() == ""
    log.but(prefix="pyrunc: create box").finish()
    first, second = (tmp_path / "log").read_text().splitlines()
    os.close(log.fd)
    assert re.search(r'level"?[=:]"?warning.*pyrunc: create box: a doubt"', first)
    assert "another" in second
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    ("level", "debug", "levels"),
    [
        ("error", False, ["error"]),
        ("warning", False, ["warning", "error"]),
        ("info", False, ["warning", "error"]),
        ("debug", False, ["debug", "warning", "error"]),
        ("error", True, ["debug", "warning", "error"]),
    ],
)
def test_levels(tmp_path: Path, form: str, level: str, debug: bool, levels: list[str]) -> None:
    lines = logged(tmp_path / "log", form, level, debug)
    assert [each for line in lines for each in levels if re.search(rf'level"?[=:]"?{each}\b', line)] == levels
    assert len(lines) == len(levels)


def test_stderr_shows_warnings_but_no_steps(capfd: Captured) -> None:
    log = open_log("", "text", "error", False)
    log.debug("a step")
    log.warning("a doubt")
    assert capfd.readouterr().err == "pyrunc: warning: a doubt\n"


def test_json_on_stderr(capfd: Captured) -> None:
    open_log("", "json", "error", False).error("no")
    document = json.loads(capfd.readouterr().err)
    assert (document["level"], document["msg"]) == ("error", "pyrunc: no")


def test_a_log_is_appended_to(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("before\n")
    before, *after = logged(tmp_path / "log", "text")
    assert before == "before"
    assert len(after) == 1


def test_a_log_is_not_the_containers(tmp_path: Path) -> None:
    log = open_log(str(tmp_path / "log"), "text", "error", False)
    assert not os.get_inheritable(log.fd)
    os.close(log.fd)


def test_names_that_are_not_utf8_can_be_logged(capfd: Captured) -> None:
    Log().error("cannot open /\udcff")
    assert capfd.readouterr().err == "pyrunc: cannot open /\\udcff\n"


def test_nobody_listens_and_nothing_breaks() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    Log(writer, prefix="x", level="debug").debug("lost")
    os.close(writer)


@pytest.mark.parametrize(
    ("path", "form", "level", "words"),
    [
        ("", "xml", "error", "--log-format is text or json, not 'xml'"),
        ("", "text", "loud", "--log-level is one of error, warning, info, debug, not 'loud'"),
        ("/nowhere/log", "text", "error", "cannot open the log /nowhere/log: not found"),
    ],
)
def test_a_log_that_cannot_be(path: str, form: str, level: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_log(path, form, level, False)
    assert str(caught.value) == words
