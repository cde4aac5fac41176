"""Our schemas against the official documents and schemas: the same verdict, or a difference that is written down."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from pyrunc.errors import ConfigError, SpecError
from pyrunc.spec.config import read_spec
from pyrunc.spec.load import parse
from pyrunc.spec.read import Reader
from tests.conftest import REPOSITORY
from tests.unit.oci_spec.oci_documents import DROPPED, KINDS, Variation, bases, files, official, ours, variations
from tests.unit.spec.spec_documents import full

if TYPE_CHECKING:
    from pathlib import Path

DIFFERENCES: dict[str, Any] = tomllib.loads((REPOSITORY / "oci-spec/differences.toml").read_text())
AT_LEAST = 500
needs_official = pytest.mark.requires("shared_oci")


def judged(kind: str, file: Path) -> tuple[bool, bool]:
    """The verdicts of our schema and of the official one; a file that is not JSON passes neither."""
    try:
        document = json.loads(file.read_text())
    except ValueError:
        return False, False
    return ours(kind).is_valid(document), official(kind).is_valid(document)


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_one(kind: str) -> None:
    jsonschema.Draft202012Validator.check_schema(ours(kind).schema)


@needs_official
@pytest.mark.parametrize("kind", KINDS)
def test_every_good_document_passes_both(kind: str) -> None:
    verdicts = {file.name: judged(kind, file) for file in files(kind, "good")}
    assert verdicts
    assert set(verdicts.values()) == {(True, True)}, verdicts


@needs_official
@pytest.mark.parametrize("kind", KINDS)
def test_every_bad_document_fails_both(kind: str) -> None:
    verdicts = {file.name: judged(kind, file) for file in files(kind, "bad")}
    assert verdicts
    assert set(verdicts.values()) == {(False, False)}, verdicts


@needs_official
def test_variations_get_the_same_verdict_or_are_in_the_ledger() -> None:
    total, shown, strange = 0, set(), []
    for variation in variations():
        total += 1
        mine = ours(variation.kind).is_valid(variation.document)
        if mine != official(variation.kind).is_valid(variation.document):
            entry = entry_of(variation, "accepts" if mine else "refuses")
            shown.add(entry)
            if not entry:
                strange.append(f"{variation}: ours {'accepts' if mine else 'refuses'} it")
    assert not strange, "\n".join(strange)
    assert total >= AT_LEAST
    assert shown == set(DIFFERENCES), f"no variation shows {set(DIFFERENCES) - shown}"


def entry_of(variation: Variation, verdict: str) -> str:
    """The ledger's name for a difference, "" if it has none."""
    for name, entry in DIFFERENCES.items():
        place = entry["kind"] == variation.kind and variation.place in entry["places"]
        attached = variation.kind == "config" and variation.document.get("process", {}).get("terminal") is True
        if place and entry["ours"] == verdict and not (entry.get("only_without_terminal") and attached):
            return name
    return ""


def test_the_ledger_says_why() -> None:
    for name, entry in DIFFERENCES.items():
        assert entry["why"], name
        assert ".md#" in entry["section"], name


def test_what_is_varied_is_right_to_begin_with() -> None:
    for kind, base in bases():
        assert ours(kind).is_valid(base), base
    assert ours("config").is_valid(full())


def test_create_refuses_what_the_schema_refuses() -> None:
    """Only null differs: the schema has no null, and create takes it as absent."""
    lenient = [
        str(variation)
        for variation in variations()
        if variation.kind == "config"
        and not ours("config").is_valid(variation.document)
        and not type_problems(variation.document)
        and not refused(variation.document)
        and variation.value is not None
    ]
    assert lenient == []


def test_the_schema_refuses_what_create_cannot_read() -> None:
    lax = [
        str(variation)
        for variation in variations()
        if variation.kind == "config"
        and ours("config").is_valid(variation.document)
        and type_problems(variation.document)
    ]
    assert lax == []


def type_problems(document: Any) -> list[SpecError]:
    """What create's reader says before any rule that looks at more than one value."""
    problems: list[SpecError] = []
    read_spec(Reader(document, "", problems))
    return problems


def refused(document: Any) -> bool:
    try:
        parse(json.dumps(document), "config.json")
    except ConfigError:
        return True
    return False


def test_dropping_is_shown_as_such() -> None:
    assert str(Variation("config", ".root", DROPPED, {})) == "config: .root is dropped"
