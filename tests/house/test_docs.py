"""What is written about the project is true as far as a test can tell: what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.source import REPOSITORY
from tests.house.test_text import project_files, text_of

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
# A file of ours, where its folder is named with it.
NAMED = re.compile(
    r"(?<![\w./-])((?:pyrunc|tests|docs|launcher|oci-spec|tools|bundles|conformance)/[\w./-]*\w\.(?:py|md|c|h|toml|json|txt))\b"
)
TOP = {
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"),
    *("MANIFEST.in", "Makefile", "pyproject.toml", "setup.py"),
    *("bundles", "conformance", "docs", "launcher", "oci-spec", "pyrunc", "tests", "tools"),
    *("build", "dist"),  # made by the build
}
DOCUMENTS = [path for path in project_files() if path.suffix == ".md"]
SPEAKING = [path for path in project_files() if path.suffix in (".md", ".py", ".c", ".h", ".toml", ".sh", "")]


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    links = [link for link in LINK.findall(text_of(document)) if "://" not in link]
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_files_that_are_named_are_there() -> None:
    """Words in capitals stand for others: bundles/NAME/config.json."""
    named = {(name, name_of(path)) for path in SPEAKING for name in NAMED.findall(text_of(path))}
    named = {entry for entry in named if not re.search(r"/[A-Z]+[/.]", entry[0].replace("README", ""))}
    assert sorted(entry for entry in named if not (REPOSITORY / entry[0]).exists()) == []


def test_every_bundle_is_in_the_list() -> None:
    listed = set(LINK.findall(text_of(REPOSITORY / "bundles/README.md")))
    assert {path.parent.name for path in (REPOSITORY / "bundles").glob("*/README.md")} <= listed


def test_nothing_strays_at_the_top() -> None:
    """A test that forgets where it is leaves its files there."""
    found = {path.name for path in REPOSITORY.iterdir() if not path.name.startswith(".")}
    assert {name for name in found if not name.endswith(".egg-info")} <= TOP
