"""Plain values cross unchanged; bytes that nobody here wrote become an error, never an object or a crash."""

from __future__ import annotations

import collections
import enum
import json
import math
from datetime import datetime, time
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evals.sandbox.inside import codec

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # of busy machines
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=1 << 1000, max_value=1 << 2000)
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text(st.characters(exclude_categories=()))  # lone surrogates too
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.dates()
    | st.datetimes()
    | st.times()
    | st.timedeltas()
    | st.sampled_from([int, str, list, range(3), range(9, -4, -2)])
)
HASHABLE = SCALARS | st.tuples(SCALARS, SCALARS) | st.frozensets(st.integers())
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.sets(HASHABLE)
        | st.dictionaries(HASHABLE, inner)
        | st.builds(collections.deque, st.lists(inner))
        | st.builds(bytearray, st.binary())
    ),
    max_leaves=10,
)


def _no_handle(value: object) -> NoReturn:
    raise AssertionError(f"{value!r} is a plain value")


def _cross(value: object) -> Any:
    return codec.loads(codec.dumps(value, _no_handle), _no_handle)


@PATIENT
@given(VALUES)
def test_plain_values_cross_unchanged(value: Any) -> None:
    back = _cross(value)
    assert back == value
    assert type(back) is type(value)
    assert repr(back) == repr(value) or isinstance(
        value, (set, dict, frozenset, tuple, list, collections.deque)
    )


def test_floats_that_equal_nothing_or_keep_a_sign_cross() -> None:
    assert math.isnan(_cross(float("nan")))
    assert math.copysign(1.0, _cross(-0.0)) == -1.0
    assert _cross([math.inf, -math.inf]) == [math.inf, -math.inf]


@pytest.mark.parametrize("value", [time(1, 2, fold=1), datetime(2024, 10, 27, 2, 30, fold=1)])
def test_the_second_of_two_equal_times_stays_the_second(value: time | datetime) -> None:
    assert _cross(value).fold == 1


def test_subclasses_cross_as_their_base() -> None:
    class Liar(int):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    point = collections.namedtuple("point", "x y")(1, 2)
    colour = enum.IntEnum("colour", "RED")["RED"]
    for value, plain in ((Liar(3), 3), (point, (1, 2)), (colour, 1), (collections.Counter("aa"), {"a": 2})):
        back = _cross(value)
        assert (back, type(back)) == (plain, type(plain))


def test_iterators_and_views_cross_as_iterators() -> None:
    for value in (
        iter([1, 2]),
        (x for x in (1, 2)),
        map(int, "12"),
        {1: 0, 2: 0}.keys(),
        {0: 1, 1: 2}.values(),
    ):
        assert list(_cross(value)) == [1, 2]


def test_other_objects_cross_as_handles_wherever_they_stand() -> None:
    thing = object()
    data = codec.dumps({"a": [thing]}, lambda value: [7, type(value).__name__])
    assert codec.loads(data, tuple) == {"a": [(7, "object")]}


def test_a_value_that_contains_itself_is_an_error() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(codec.CodecError):
        codec.dumps(loop, _no_handle)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from([*codec.SEQUENCES, *codec.ISO, *codec.BYTES, "dict", "int", "type", "iterator"])
            | st.sampled_from(["range", "Fraction", "Decimal", "complex", "timedelta", "object", "eval"]),
            inner,
            max_size=2,
        )
    ),
    max_leaves=10,
)


@PATIENT
@given(st.binary() | JSON.map(lambda node: json.dumps(node).encode()))
def test_foreign_bytes_are_a_plain_value_or_an_error(data: bytes) -> None:
    try:
        value = codec.loads(data, lambda body: None)
    except codec.CodecError:
        return
    codec.dumps(value, _no_handle)  # whatever came out is a plain value


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b"1" * 10_000, b'{"int":"zz"}', b'{"Fraction":[1,0]}', b"\xff"]
)
def test_extreme_bytes_are_an_error(data: bytes) -> None:
    with pytest.raises(codec.CodecError):
        codec.loads(data, lambda body: None)
