"""The features document: valid, and with nothing in it that is not so. What is in it is tried in scenario tests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from pyrunc.cli.features import document
from tests.conftest import REPOSITORY
from tests.unit.oci_spec.oci_documents import official, ours

# Members of features.md and features-linux.md that are newer than 1.0, and the version that brought them.
BROUGHT = {
    "linux.mountExtensions": (1, 2),
    "linux.intelRdt": (1, 2),
    "potentiallyUnsafeConfigAnnotations": (1, 2),
    "linux.netDevices": (1, 3),
    "linux.memoryPolicy": (1, 3),
    "linux.intelRdt.schemata": (1, 3),
    "linux.intelRdt.monitoring": (1, 3),
}


def members(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{at}{key}", inner
            yield from members(inner, f"{at}{key}.")


def test_it_is_valid_by_our_schema() -> None:
    assert list(ours("features").iter_errors(document())) == []


@pytest.mark.requires("shared_oci")
def test_it_is_valid_by_the_official_schema() -> None:
    assert list(official("features").iter_errors(document())) == []


def test_every_member_is_the_specs() -> None:
    from pyrunc.host import schema

    features = schema.load("features")
    unknown = []
    for path, _ in members(document()):
        *above, last = path.split(".")
        node = features.root
        for key in above:
            node = features.member(node, key)
        if not features.knows(node, last):
            unknown.append(path)
    assert unknown == []


def test_nothing_is_newer_than_the_version_it_names() -> None:
    most = tuple(int(part) for part in str(document()["ociVersionMax"]).split(".")[:2])
    least = tuple(int(part) for part in str(document()["ociVersionMin"]).split(".")[:2])
    assert least <= most
    assert [path for path, _ in members(document()) if BROUGHT.get(path, (1, 0)) > most] == []


def test_there_is_no_null() -> None:
    """Absent means that nothing is said, empty that there is nothing."""
    assert [path for path, value in members(document()) if value is None] == []


def test_annotations_are_strings() -> None:
    annotations: Any = document()["annotations"]
    assert annotations
    assert all(type(key) is str and key and type(value) is str for key, value in annotations.items())


def test_no_name_is_listed_twice() -> None:
    lists = [value for _, value in members(document()) if isinstance(value, list)]
    assert [names for names in lists if len(set(names)) != len(names)] == []


def test_every_annotation_that_is_read_is_named() -> None:
    """Names of ours stand in the sources as text; those that the code acts on are read from .annotations."""
    unsafe: Any = document()["potentiallyUnsafeConfigAnnotations"]
    told: Any = document()["annotations"]
    found = {
        name
        for file in sorted((REPOSITORY / "pyrunc").rglob("*.py"))
        if "shim" not in file.parts  # containerd's names, which say nothing to the runtime
        for name in re.findall(r'"((?:io|org|run)\.[a-z]+\.[A-Za-z0-9._-]+)"', file.read_text())
    }
    # A file of cgroup v2, and what D-Bus and systemd are called.
    beginnings = ("io.bfq.", "org.freedesktop.", *(name for name in unsafe if name.endswith(".")))
    assert {name for name in found - set(unsafe) - set(told) if not name.startswith(beginnings)} == set()
