"""Whatever a configuration contains, it is read or refused with ConfigError, never met with another error."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyrunc.errors import ConfigError
from pyrunc.spec.config import Spec
from pyrunc.spec.load import parse
from tests.unit.spec.spec_documents import full

Place = tuple[str | int, ...]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(
        ["", "/", ".", "..", "\0", "\ud800", "a\nb", "net.ipv4", "0-3", "SCMP_ACT_ALLOW", "user", "1.0.0"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, at: Place = ()) -> list[Place]:
    """List where every value of a document is, inner ones included."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [place for key, inner in members for place in ((*at, key), *places(inner, (*at, key)))]


PLACES = places(full())


def put(document: Any, place: Place, value: Any) -> None:
    """Replace a value if its place is still there."""
    for key in place[:-1]:
        if not isinstance(document, (dict, list)):
            return
        try:
            document = document[key]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(document, dict) or (isinstance(document, list) and place[-1] in range(len(document))):
        document[place[-1]] = value  # type: ignore[index]


def read_or_refuse(text: str) -> None:
    try:
        spec = parse(text, "config.json")
    except ConfigError as err:
        assert err.problems
        for problem in err.problems:
            assert problem.path.startswith(".")
            assert "\n" not in str(problem)
            assert str(problem).isprintable()
    else:
        assert isinstance(spec, Spec)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(PLACES), VALUES), min_size=1, max_size=4))
def test_a_mutated_configuration(mutations: list[tuple[Place, Any]]) -> None:
    document = copy.deepcopy(full())
    for place, value in mutations:
        put(document, place, value)
    read_or_refuse(json.dumps(document))


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_any_document(document: Any) -> None:
    read_or_refuse(json.dumps(document))


@settings(max_examples=200, deadline=None)
@given(st.text() | st.text(alphabet='{}[]",:0123456789eE.-+ntrfals\\u \n'))
def test_any_text(text: str) -> None:
    read_or_refuse(text)


def test_each_member_of_each_wrong_type() -> None:
    values: list[Any] = [None, True, -1, 2**64, 1.5, "x", "\ud800", [], [[]], {}, {"x": {}}]
    for place in PLACES:
        for value in values:
            document = copy.deepcopy(full())
            put(document, place, value)
            read_or_refuse(json.dumps(document))
