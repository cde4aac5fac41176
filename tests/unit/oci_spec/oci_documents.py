"""The official schemas and test documents of runtime-spec, ours, and variations of documents for both.

The official ones are not part of this repository: they lie beside it, in ../shared/oci.
"""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema
import referencing
import referencing.jsonschema

from pyrunc.host import schema
from tests.conftest import OFFICIAL
from tests.unit.spec.spec_documents import full

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ("config", "state", "features")
DROPPED = object()
VALUES: tuple[Any, ...] = (
    *(DROPPED, None, True, -2, 8630, 70000, 4 * 10**9, 2**33, 2**64, 1.5, 1.0),
    *("", "x", "/x", "RLIMIT_X", "rslave", [], [1], ["x"], {}, {"": "x"}, {"major": 1, "minor": 1}),
)


class Variation(NamedTuple):
    """A document with one value changed, at a place with `[]` for any index and `{}` for any key of a map."""

    kind: str
    place: str
    value: Any
    document: Any

    def __str__(self) -> str:
        value = "is dropped" if self.value is DROPPED else f"becomes {self.value!r}"
        return f"{self.kind}: {self.place} {value}"


def files(kind: str, verdict: str) -> list[Path]:
    """The official test documents of a kind, "good" or "bad"."""
    return sorted((OFFICIAL / "test" / kind / verdict).glob("*.json"))


@functools.cache
def ours(kind: str) -> Any:
    return schema.validator(schema.load(kind))


@functools.cache
def official(kind: str) -> Any:
    """The official validator: its files name one another, so all of them are at hand."""
    draft4 = referencing.jsonschema.DRAFT4
    resources = [
        (file.name, referencing.Resource.from_contents(json.loads(file.read_text()), draft4))
        for file in OFFICIAL.glob("*.json")
    ]
    registry: Any = referencing.Registry().with_resources(resources)
    return jsonschema.Draft4Validator({"$ref": f"{kind}-schema.json"}, registry=registry)


def bases() -> Iterator[tuple[str, Any]]:
    """Documents that both schemas accept, to be varied: small, since each is validated hundreds of times."""
    from pyrunc.cli.features import document

    version, linux = full()["ociVersion"], full()["linux"]
    for key, value in full().items():
        yield "config", {"ociVersion": version, key: value if key != "linux" else {}}
    for key, value in linux.items():
        yield "config", {"ociVersion": version, "linux": {key: value if key != "resources" else {}}}
    for key, value in linux["resources"].items():
        yield "config", {"ociVersion": version, "linux": {"resources": {key: value}}}
    detached = {"terminal": False, "consoleSize": {"height": 9, "width": 9}, "cwd": "/"}
    yield "config", {"ociVersion": version, "process": detached}
    common = {"ociVersion": "1.3.0", "id": "a", "bundle": "/b", "annotations": {"k": "v"}}
    yield "state", {**common, "status": "running", "pid": 7}
    yield "state", {**common, "status": "stopped"}
    yield "features", document()


def variations() -> Iterator[Variation]:
    """Every member of every base, dropped and replaced by values of every type."""
    seen = set()
    for kind, base in bases():
        for keys, place in places(base, ours(kind).schema):
            if (kind, place) in seen and place == ".ociVersion":
                continue
            seen.add((kind, place))
            for value in VALUES:
                yield Variation(kind, place, value, changed(base, keys, value))


def changed(base: Any, keys: tuple[str | int, ...], value: Any) -> Any:
    """Copy only what is on the way to the changed value."""
    if not keys:
        return copy.deepcopy(value)
    result: Any = dict(base) if isinstance(base, dict) else list(base)
    if len(keys) == 1 and value is DROPPED:
        del result[keys[0]]
    else:
        result[keys[0]] = changed(base[keys[0]], keys[1:], value)
    return result


def places(value: Any, root: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every place of a document once: of an array's items and a map's entries only the first."""
    whole = schema.Schema(root)

    def walk(value: Any, node: Any, keys: tuple[str | int, ...], place: str) -> Any:
        members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for count, (key, inner) in enumerate(members):
            fixed = isinstance(value, dict) and key in node.get("properties", {})
            if not fixed and count and not isinstance(inner, dict):
                continue
            name = f".{key}" if fixed else "[]" if isinstance(value, list) else "{}"
            yield (*keys, key), place + name
            yield from walk(inner, whole.member(node, key), (*keys, key), place + name)

    yield from walk(value, root, (), "")
