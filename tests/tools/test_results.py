"""Results reach the model as plain JSON, or the handler's author learns which value could not."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from litertlm.tools.results import BadResultError, cap, jsonable, text_of


class Colour(enum.Enum):
    """A member is its value."""

    RED = "red"


class Level(enum.IntEnum):
    """A number with a name."""

    LOW = 1


@dataclasses.dataclass
class Reading:
    """A dataclass is an object."""

    value: float
    colour: Colour = Colour.RED


class City(BaseModel):
    """A model is an object."""

    name: str
    founded: datetime.date


class Pair(NamedTuple):
    """A named tuple too."""

    left: int
    right: int


def numbers() -> Iterator[int]:
    """An iterator is a list."""
    yield from (1, 2)


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (2.5, 2.5),
        ("text", "text"),
        ([1, (2, 3)], [1, [2, 3]]),
        ({"a": {"b": None}}, {"a": {"b": None}}),
        ({1: "a", None: "b", Colour.RED: "c", 2.5: "d"}, {"1": "a", "null": "b", "red": "c", "2.5": "d"}),
        ({"b", "a"}, ["a", "b"]),
        (frozenset({3, 1}), [1, 3]),
        (collections.deque([1, 2]), [1, 2]),
        (range(3), [0, 1, 2]),
        ({"a": 1}.values(), [1]),
        (numbers(), [1, 2]),
        (Colour.RED, "red"),
        (Level.LOW, 1),
        (Reading(1.5), {"value": 1.5, "colour": "red"}),
        (City(name="Rome", founded=datetime.date(2000, 1, 2)), {"name": "Rome", "founded": "2000-01-02"}),
        (Pair(1, 2), {"left": 1, "right": 2}),
        (datetime.datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),
        (datetime.timedelta(days=1), "P1D"),
        ({datetime.date(2026, 1, 2): 1}, {"2026-01-02": 1}),
        (decimal.Decimal("1.50"), "1.50"),
        (uuid.UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        (pathlib.PurePosixPath("/tmp/x"), "/tmp/x"),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        ([City(name="Rome", founded=datetime.date(2000, 1, 2))], [{"name": "Rome", "founded": "2000-01-02"}]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_is_made_of(result: Any, told: Any) -> None:
    """The usual values of Python programs."""
    made = jsonable(result)
    assert made == told
    assert json.loads(text_of(made)) == told


CYCLE: list[Any] = []
CYCLE.append({"again": CYCLE})
DEEP: list[Any] = []
for _ in range(5000):
    DEEP = [DEEP]


class Broken:
    """Claims to be a mapping's view, and fails."""

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[int]:
        raise OSError("gone")

    def __contains__(self, item: object) -> bool:
        return False


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"temps": [1.0, float("nan")]}, ["the result['temps'][1]", "nan"]),
        (float("-inf"), ["the result is -inf"]),
        (np.float64("nan"), ["nan"]),
        (decimal.Decimal("NaN"), ["NaN"]),
        ({"data": b"x"}, ["the result['data'] is bytes", "base64"]),
        (memoryview(b"x"), ["memoryview"]),
        (CYCLE, ["the result[0]['again'] contains itself"]),
        (DEEP, ["nested deeper"]),
        ([object()], ["the result[0]", "object"]),
        (Reading, ["type"]),
        (lambda: 1, ["function"]),
        ("\ud800", ["surrogate"]),
        ({"\ud800": 1}, ["a key of the result", "surrogate"]),
        ({(1, 2): 3}, ["a key of the result", "tuple"]),
        (10**5000, ["digits"]),
        (Broken(), ["OSError: gone"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_say(result: Any, words: list[str]) -> None:
    """The error says where in the result it is, and what."""
    with pytest.raises(BadResultError) as caught:
        jsonable(result)
    for word in words:
        assert word in str(caught.value)


def test_a_result_is_a_copy() -> None:
    """What a handler changes later is not what the model was told."""
    rows = [{"a": 1}]
    made = jsonable(rows)
    rows[0]["a"] = 2
    assert made == [{"a": 1}]


def test_the_same_value_twice_is_no_cycle() -> None:
    """Only a value inside itself is."""
    row = {"a": 1}
    assert jsonable([row, row]) == [{"a": 1}, {"a": 1}]


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.decimals()
    | st.datetimes()
    | st.timedeltas()
    | st.uuids()
    | st.complex_numbers()
    | st.builds(object)
    | st.builds(Reading, st.floats()),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner)
        | st.dictionaries(st.text() | st.integers() | st.floats() | st.dates(), inner)
    ),
    max_leaves=10,
)


@given(ANYTHING)
def test_any_result_is_json_or_an_error(result: Any) -> None:
    """Nothing else comes out, and nothing that strict JSON cannot read back."""
    try:
        made = jsonable(result)
    except BadResultError as error:
        assert "the result" in str(error)
        return
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def words(text: str) -> int:
    """A tokenizer that is easy to follow: four characters are a token."""
    return -(-len(text) // 4)


def test_a_short_result_stays() -> None:
    """As it is."""
    assert cap({"a": 1}, 10, words) == {"a": 1}


@pytest.mark.parametrize("result", ["x" * 5000, [{"line": at} for at in range(500)]], ids=["text", "list"])
def test_a_long_result_is_cut_to_fit(result: Any) -> None:
    """It stays JSON, says that it was cut, and uses the room that it has."""
    cut = cap(result, 100, words)
    assert cut["truncated"] is True
    whole = result if isinstance(result, str) else text_of(result)
    assert cut["result"] == whole[: len(cut["result"])]
    assert str(len(cut["result"])) in cut["note"]
    assert str(len(whole)) in cut["note"]
    assert 95 <= words(text_of(cut)) <= 100


def test_a_cap_too_small_for_the_note() -> None:
    """Says only that there was more."""
    assert cap("x" * 5000, 3, words) == {"truncated": True, "result": ""}


def test_a_huge_result_is_not_counted_over_and_over() -> None:
    """The whole text once, then pieces about as long as what fits."""
    counted: list[int] = []

    def count(text: str) -> int:
        counted.append(len(text))
        return words(text)

    cap("x" * 1_000_000, 100, count)
    assert sum(counted) < 1_100_000


@given(result=ANYTHING | st.text(min_size=100), most=st.integers(1, 60))
def test_any_result_fits_its_cap(result: Any, most: int) -> None:
    """Unless the cap is too small for anything."""
    try:
        made = jsonable(result)
    except BadResultError:
        return
    capped = cap(made, most, words)
    assert capped == made or capped["truncated"] is True
    assert words(text_of(capped)) <= max(most, 9)
