"""What `state` prints, and what hooks get on their stdin, is a state as runtime.md has it, in every status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.scenario import host
from tests.unit.oci_spec.oci_documents import ours

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle


def judged(document: Any) -> list[str]:
    return [error.message for error in ours("state").iter_errors(document)]


def test_state_is_valid_in_every_status(bundle: Bundle) -> None:
    seen = {}
    bundle.set(annotations={"a": "b", "c": ""}).process(args=["/bin/probe", "sleep"]).create()
    seen["created"] = bundle.state()
    seen["running"] = bundle.start().state()
    pid = bundle.pid
    bundle.kill("KILL")
    bundle.wait(pid)
    seen["stopped"] = bundle.state()
    assert [judged(document) for document in seen.values()] == [[], [], []]
    assert [document["status"] for document in seen.values()] == list(seen)
    assert seen["created"]["annotations"] == {"a": "b", "c": ""}
    assert host.eventually(lambda: bundle.attempt("delete").returncode == 0)


def test_state_is_valid_for_every_hook(bundle: Bundle) -> None:
    log, inside = bundle.dir / "log", bundle.path("/log")
    kinds = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
    for kind in kinds:
        where = "/log" if kind == "startContainer" else str(log)
        bundle.hook(kind, "/bin/sh", "-c", f"cat >> {where}; echo >> {where}")
    bundle.run("true").ok()
    documents = [json.loads(line) for line in (log.read_text() + inside.read_text()).splitlines() if line]
    assert len(documents) == len(kinds)
    assert [judged(document) for document in documents] == [[]] * len(kinds)
    assert {document["id"] for document in documents} == {bundle.id}
