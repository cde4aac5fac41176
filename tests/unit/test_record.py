"""Record: immutable values without the cost of dataclasses."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import pyrunc
from pyrunc.record import Record


class Point(Record):
    x: int
    y: int = 2


class Named(Point):
    name: str = "n"
    tags: tuple[str, ...] = ()


class Twin(Record):
    x: int
    y: int = 2


def test_values_come_by_order_by_name_and_by_default() -> None:
    assert Point(1) == Point(1, 2) == Point(x=1) == Point(y=2, x=1)
    assert (Point(1).x, Point(1).y) == (1, 2)
    assert Point(1, 3).y == 3


def test_a_subclass_has_its_bases_fields_first() -> None:
    assert Named(1, 2, "a") == Named(name="a", x=1)
    assert (Named(1, 3, "a", ("t",)).y, Named(1).tags) == (3, ())


@pytest.mark.parametrize("name", ["x", "y", "z", "_fields"])
def test_nothing_can_be_set(name: str) -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match="Point is immutable"):
        setattr(point, name, 5)
    assert point == Point(1)


def test_nothing_can_be_deleted() -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match="Point is immutable"):
        del point.x
    assert point.x == 1


def test_equality_is_of_kind_and_values() -> None:
    assert Point(1) != Point(2)
    assert Point(1) != Point(1, 3)
    assert Point(1) != Twin(1)
    assert Point(1) != Named(1)
    assert Point(1) != (1, 2)


def test_equal_records_are_one_member_of_a_set() -> None:
    assert len({Point(1), Point(1, 2), Point(2), Twin(1)}) == 3


def test_a_record_of_something_that_has_no_hash_has_none() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Point([]))  # type: ignore[arg-type]


def test_a_copy_with_changes_leaves_the_original() -> None:
    named = Named(1, 2, "a")
    assert named.but(name="b", x=5) == Named(5, 2, "b")
    assert named.but() == named == Named(1, 2, "a")
    assert type(named.but(x=1)) is Named


def test_a_copy_cannot_have_a_new_field() -> None:
    with pytest.raises(TypeError, match=r"Point: missing or unknown z"):
        Point(1).but(z=1)


def test_a_missing_value_is_named() -> None:
    with pytest.raises(TypeError, match=r"Point: missing or unknown x"):
        Point()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"Point: missing or unknown x"):
        Point(y=1)  # type: ignore[call-arg]


def test_an_unknown_value_is_named() -> None:
    with pytest.raises(TypeError, match=r"Point: missing or unknown z"):
        Point(1, z=3)  # type: ignore[call-arg]


def test_too_many_values_are_counted() -> None:
    with pytest.raises(TypeError, match="Point takes 2 values, 3 were given"):
        Point(1, 2, 3)  # type: ignore[call-arg]


def test_a_value_cannot_be_given_twice() -> None:
    with pytest.raises(TypeError):
        Point(1, x=3)  # type: ignore[misc]


def test_it_shows_all_fields_in_order() -> None:
    assert repr(Named(1)) == "Named(x=1, y=2, name='n', tags=())"


def all_records(kind: type[Record] = Record) -> list[type[Record]]:
    return [each for sub in kind.__subclasses__() for each in (sub, *all_records(sub))]


def test_in_every_record_of_pyrunc_what_has_to_be_given_comes_first() -> None:
    """The constructor takes enough values in order for the usual case and looks no further."""
    for module in pkgutil.walk_packages(pyrunc.__path__, "pyrunc."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    ours = [kind for kind in all_records() if kind.__module__.startswith("pyrunc.")]
    assert len(ours) > 60
    for kind in ours:
        given = [name in kind._defaults for name in kind._fields]
        assert given == sorted(given), kind
