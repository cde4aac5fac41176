"""oci-spec/*.schema.json: what they allow at a JSON path, which chapter says so, and where a document differs.

Only `check` and a create that has refused a config.json already come here: reading a schema takes a millisecond,
jsonschema eighty more.
"""

from __future__ import annotations

import posix

from pyrunc.errors import SpecError, StateError, reason
from pyrunc.jsontext import parse
from pyrunc.record import Record
from pyrunc.spec.read import kind_of, member_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    Node = dict[str, Any]
    Key = str | int

_KINDS = {
    "string": "a string",
    "integer": "an integer",
    "boolean": "a boolean",
    "array": "an array",
    "object": "an object",
}


class Place(Record):
    """What the schema says about one JSON path: `allowed` in words, and the chapter of the spec."""

    allowed: str
    section: str


class Schema(Record):
    """One schema file."""

    root: Node

    def at(self, path: str) -> Place:
        """Describe a path such as `.mounts[3].destination`; below what is not in the schema, the next above."""
        section, node = "", self.root
        for key in (None, *keys_of(path)):
            node = node if key is None else self.member(node, key)
            section = node.get("$comment", section)
        return Place(words(node), section)

    def member(self, node: Node, key: Key) -> Node:
        """Return the schema of an object's member or an array's item; {} where anything goes."""
        if isinstance(key, int):
            return self._resolved(node.get("items", {}))
        known = self._then(node).get("properties", {}) | node.get("properties", {})
        found = known.get(key) or node.get("additionalProperties") or {}
        if "$ref" not in found and "type" not in found and (later := self._later(node, key)):
            found = later
        return self._resolved(found)

    def knows(self, node: Node, key: Key) -> bool:
        """Tell whether a member is one of the spec's; in an array and a map everything is."""
        return "properties" not in node or key in node["properties"]

    def requires(self, path: str) -> bool:
        """Tell whether the member at a path is required of the object that it is in."""
        *above, last = keys_of(path) or ("",)
        node = self.root
        for key in above:
            node = self.member(node, key)
        return last in node.get("required", ())

    def _then(self, node: Node) -> Node:
        then: Node = node.get("then", {})
        return then

    def _later(self, node: Node, key: Key) -> Node:
        """Return what holds for a member only under a condition: a schema by `if` and `then`."""
        later: Node = self._then(node).get("properties", {}).get(key, {})
        return later

    def _resolved(self, node: Node) -> Node:
        """Follow $ref; what stands beside it comes on top."""
        merged = dict(node)
        while reference := merged.pop("$ref", ""):
            merged = {**self.root["$defs"][reference.rpartition("/")[2]], **merged}
        return merged

    def example(self, path: str) -> Any:
        """Return the smallest value that is right at a path; None where the schema has nothing to say."""
        node = self.root
        for key in keys_of(path):
            node = self.member(node, key)
        return self._example(node)

    def _example(self, node: Node) -> Any:
        if "examples" in node:
            return node["examples"][0]
        if "enum" in node:
            return node["enum"][0]
        kind = node.get("type")
        if kind == "object":
            return {key: self._example(self.member(node, key)) for key in node.get("required", ())}
        if kind == "array":
            return [self._example(self.member(node, 0))]
        return {"string": "x", "integer": max(node.get("minimum", 0), 0), "boolean": False}.get(kind or "")


def load(name: str) -> Schema:
    """Read one of config, state, features: beside the package's modules, in the source tree beside the package.

    Raises StateError where the installation lacks it.
    """
    package = __file__.rpartition("/host/")[0]
    for folder in (f"{package}/oci_spec", f"{package}/../oci-spec"):
        try:
            fd = posix.open(f"{folder}/{name}.schema.json", posix.O_RDONLY | posix.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError as err:
            raise StateError(f"cannot read {folder}/{name}.schema.json: {reason(err)}") from err
        try:
            return Schema(parse(posix.read(fd, posix.fstat(fd).st_size).decode()))
        finally:
            posix.close(fd)
    raise StateError(f"{name}.schema.json is not installed", "install pyrunc again")


def keys_of(path: str) -> tuple[Key, ...]:
    """Split a JSON path as spec.read.member_path and the readers write it."""
    keys: list[Key] = []
    rest = path
    while rest and rest != ".":
        if rest.startswith('["'):
            end = _end_of_string(rest)
            keys.append(parse(rest[1:end]))
            rest = rest[end + 1 :]
        elif rest.startswith("["):
            number, _, rest = rest[1:].partition("]")
            keys.append(int(number))
        else:
            end = min((rest.find(mark, 1) for mark in ".[" if mark in rest[1:]), default=len(rest))
            keys.append(rest[1:end])
            rest = rest[end:]
    return tuple(keys)


def _end_of_string(text: str) -> int:
    """Return where the bracket closes, of a text that begins with `["`."""
    at = 2
    while text[at] != '"':
        at += 2 if text[at] == "\\" else 1
    return at + 1


def path_of(keys: Iterable[Key]) -> str:
    """Join keys to a path; "." is the document itself."""
    path = ""
    for key in keys:
        path = f"{path}[{key}]" if isinstance(key, int) else member_path(path, key)
    return path or "."


def words(node: Node) -> str:
    """Say what a schema allows."""
    about = node.get("description", "")
    if "enum" in node:
        said = f"one of {', '.join(map(str, node['enum']))}"
    elif node.get("type") == "integer":
        said = _integer(node)
    else:
        said = _KINDS.get(node.get("type", ""), "")
        if node.get("minItems"):
            said += f" of at least {node['minItems']}"
        if "pattern" in node and not about:
            said += f" that matches {node['pattern']}"
        if node.get("required"):
            said += f" with {', '.join(node['required'])}"
    return f"{said}: {about}" if said and about else said or about


def _integer(node: Node) -> str:
    if "maximum" in node:
        return f"an integer from {node['minimum']} to {node['maximum']}"
    return f"an integer, at least {node['minimum']}" if "minimum" in node else "an integer"


def violations(schema: Schema, document: object) -> Iterator[SpecError]:
    """Yield where a document differs from the schema, by jsonschema. Raises ImportError where that is missing."""
    for error in validator(schema).iter_errors(document):
        yield from _problems(error)


def validator(schema: Schema) -> Any:
    """Return the validator of a schema. An integer is one without fraction or exponent, as create reads it."""
    import jsonschema

    standard = jsonschema.Draft202012Validator
    checker = standard.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    extend: Callable[..., Any] = jsonschema.validators.extend
    return extend(standard, type_checker=checker)(schema.root)


def _problems(error: Any) -> Iterator[SpecError]:
    """Put an error of jsonschema into the words of our own readers."""
    keys, rule, limit = tuple(error.absolute_path), error.validator, error.validator_value
    path = path_of(keys)
    if rule == "required":
        for name in limit:
            if name not in error.instance:
                yield SpecError(path_of((*keys, name)), "is required")
    elif rule == "type":
        problem = f"must be {_KINDS.get(limit, limit)}, not {kind_of(error.instance)}"
        if type(error.instance) is float and limit == "integer":
            problem = "must be an integer, without fraction or exponent"
        yield SpecError(path, problem)
    elif rule in ("minimum", "maximum", "pattern", "minItems", "enum"):
        yield SpecError(path, f"must be {words(error.schema)}")
    elif rule == "anyOf":
        yield SpecError(path, f"must have {' or '.join(each['required'][0] for each in limit)}")
    elif error.parent is not None and error.parent.validator == "propertyNames":
        yield SpecError(path, "must have a key that is not empty")
    else:
        yield SpecError(path, f"breaks the rule {rule}")
