"""The conformance suite's runner and its agent, with cases and runtimes that are none."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from conformance import runner
from conformance.agent import Agent
from conformance.box import Box
from conformance.case import Case, Failure, NotApplicable
from conformance.expected import Expected
from conformance.runtime import Runtime

NOBODY = Runtime("/bin/false", "nobody", "1.0")


def passes(_box: Box) -> None:
    """Do nothing."""


def fails(_box: Box) -> None:
    raise Failure("not so")


def lacks(_box: Box) -> None:
    raise NotApplicable("it says so")


def breaks(_box: Box) -> None:
    raise KeyError("nothing of this name")


def dies(_box: Box) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def takes_low_descriptors(_box: Box) -> None:
    os.closerange(3, 20)


def takes_every_exception_for_an_answer(_box: Box) -> None:
    for _ in range(100):
        try:
            time.sleep(1)
        except Exception:  # noqa: BLE001
            pass


def judge(
    tmp_path: Path, *functions: object, needs: tuple[str, ...] = (), seconds: float = 20.0
) -> dict[str, tuple[str, str]]:
    probe = tmp_path / "probe"
    probe.touch()
    cases = [
        Case(f"group/{function.__name__}", "x", "MUST", (1,), needs, seconds, "", function)  # type: ignore[attr-defined,arg-type]
        for function in functions
    ]
    verdicts = runner.judge_all(NOBODY, cases, probe, 2, Expected(tmp_path / "none.toml"), lambda _: None)
    assert [verdict.case for verdict in verdicts] == cases, "in their order"
    return {verdict.case.id.partition("/")[2]: (verdict.outcome, verdict.reason) for verdict in verdicts}


def children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


def test_what_cases_come_to(tmp_path: Path) -> None:
    said = judge(tmp_path, dies, passes, fails, lacks, breaks, takes_low_descriptors)
    assert said["passes"] == said["takes_low_descriptors"] == ("pass", "")
    assert said["fails"] == ("fail", "not so")
    assert said["lacks"] == ("n/a", "it says so")
    assert said["breaks"][0] == said["dies"][0] == "error"
    assert "nothing of this name" in said["breaks"][1]
    assert "died" in said["dies"][1]


def test_a_missing_need_is_no_pass(tmp_path: Path) -> None:
    absent = "resctrl" if not Path("/sys/fs/resctrl/schemata").exists() else "without-resctrl"
    assert judge(tmp_path, passes, needs=(absent,)) == {"passes": ("missing", f"this host lacks {absent}")}


def test_a_time_limit_is_for_cases_that_catch_everything_too(tmp_path: Path) -> None:
    began = time.monotonic()
    assert judge(tmp_path, takes_every_exception_for_an_answer, seconds=0.3) == {
        "takes_every_exception_for_an_answer": ("fail", "it took too long")
    }
    assert time.monotonic() - began < 20


def test_a_case_that_is_killed_from_outside_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "TIDYING", 0.0)
    monkeypatch.setattr(signal, "setitimer", lambda *_: None)
    before = children()
    said = judge(tmp_path, takes_every_exception_for_an_answer, seconds=0.3)
    assert said["takes_every_exception_for_an_answer"][0] == "error"
    assert children() == before


def test_hooks_that_are_still_writing(tmp_path: Path) -> None:
    (tmp_path / "probe").touch()
    box = Box(NOBODY, tmp_path / "probe", tmp_path)
    assert box.hooks() == []
    (box.bundle / "hooks.log").write_text('{"label": "one"}\n{"lab')
    assert box.hooks() == [{"label": "one"}]
    assert box.await_hooks("one") == [{"label": "one"}]
    (box.bundle / "hooks.log").write_text('{"label": "one"}\n{"label": "two"}\n')
    with pytest.raises(Failure, match="two"):
        box.await_hooks("one")


def deliver(path: Path, *messages: tuple[bytes, list[int]]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(path))
        for text, fds in messages:
            socket.send_fds(client, [text], fds)


def test_an_agent_takes_one_document_with_its_descriptors(tmp_path: Path) -> None:
    path = tmp_path / "agent"
    with Agent(path) as agent:
        assert not agent.is_called()
        deliver(path, (b'{"fds": ', [0]), (b'["seccompFd"]}', []))
        assert agent.is_called(5)
        delivery = agent.take()
        assert delivery.document() == {"fds": ["seccompFd"]}
        assert len(delivery.descriptors[0]) == 1
        assert sum(len(fds) for fds in delivery.descriptors) == 1


@pytest.mark.parametrize("text", [b"", b"{}{}", json.dumps([1]).encode(), b'{"fds"'])
def test_an_agent_knows_what_is_no_document(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "agent"
    with Agent(path) as agent:
        deliver(path, *([(text, [])] if text else []))
        with pytest.raises(Failure):
            agent.take().document()


def test_a_descriptor_that_is_no_listener(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"x")
    with pytest.raises(Failure, match="no listener"):
        Agent.answer(reader)
    os.close(reader)
    os.close(writer)
