"""What models pass is made to fit where it is clear what they mean; else they are told what is wrong."""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator

from litertlm import Tool, ToolCall, tool
from litertlm.tools import ToolRun, Toolset


class Size(enum.Enum):
    """Of a shirt."""

    SMALL = 1
    LARGE = 2


@dataclass
class Point:
    """A place."""

    x: float
    y: float


class Order(BaseModel):
    """A validator of the application's own."""

    code: str

    @field_validator("code")
    @classmethod
    def _known(cls, code: str) -> str:
        if code == "boom":
            raise RuntimeError("the lookup is down")
        if not code.startswith("A"):
            raise ValueError("codes begin with A")
        return code


def order(
    count: int = 0,
    price: float = 0.0,
    gift: bool = False,
    note: str = "",
    unit: Literal["C", "F"] = "C",
    number: Literal[1, 2] = 1,
    size: Size = Size.SMALL,
    tags: list[str] = [],  # noqa: B006
    where: Point | None = None,
    table: dict[str, int] | None = None,
    pair: tuple[int, int] = (0, 0),
    unique: set[int] | None = None,
    day: datetime.date | None = None,
    thing: Order | None = None,
    few: Annotated[int, Field(ge=1, le=3)] = 1,
) -> None:
    """Order something."""


ORDER = Tool.from_function(order)

# The same, as far as a written schema can say it.
WRITTEN = Tool(
    "order",
    "Order something.",
    {
        "type": "object",
        "properties": {
            "count": {"type": "integer"},
            "price": {"type": "number"},
            "gift": {"type": "boolean"},
            "note": {"type": "string"},
            "unit": {"type": "string", "enum": ["C", "F"]},
            "number": {"type": "integer", "enum": [1, 2]},
            "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
            "where": {
                "type": ["object", "null"],
                "properties": {"x": {"type": "number"}, "y": {"type": "number"}},
                "required": ["x", "y"],
                "additionalProperties": False,
            },
            "few": {"type": "integer", "minimum": 1, "maximum": 3},
            "either": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]},
            "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
            "short": {"type": "string", "minLength": 1, "maxLength": 3},
            "fixed": {"const": "yes"},
            "free": {},
        },
    },
    lambda **arguments: arguments,
)


def told(declared: Tool, arguments: Any) -> Any:
    """What the handler was called with, or what the model is told."""
    got: list[Any] = []
    probe = Tool("order", "", declared.parameters, lambda **given: got.append(given))
    if declared is ORDER:
        got_by_function: list[Any] = []
        reader = ORDER.reader

        class Probe(Tool):
            @property
            def reader(self) -> Any:
                return reader

        probe = Probe("order", "", ORDER.parameters, lambda **given: got_by_function.append(given))
        got = got_by_function
    (result,) = ToolRun(Toolset([probe])).run([ToolCall("1", "order", arguments)])
    return got[0] if got else result.result["error"]


BOTH = [
    ({"count": 3.0}, {"count": 3}),
    ({"count": "3"}, {"count": 3}),
    ({"count": " 3 "}, {"count": 3}),
    ({"price": "2.5"}, {"price": 2.5}),
    ({"price": 2}, {"price": 2}),
    ({"gift": "true"}, {"gift": True}),
    ({"gift": "False"}, {"gift": False}),
    ({"gift": 1}, {"gift": True}),
    ({"note": 12345}, {"note": "12345"}),
    ({"note": '<|"|>hello<|"|>'}, {"note": "hello"}),
    ({"note": "<escape>hello<escape>"}, {"note": "hello"}),
    ({'<|"|>note<|"|>': "x"}, {"note": "x"}),
    ({"unit": "f"}, {"unit": "F"}),
    ({"number": "2"}, {"number": 2}),
    ({"number": 2.0}, {"number": 2}),
    ({"tags": '["a", "b"]'}, {"tags": ["a", "b"]}),
    ({"tags": ['<|"|>a<|"|>']}, {"tags": ["a"]}),
    ({"few": "2"}, {"few": 2}),
    ({"where": None}, {"where": None}),
    ('{"count": "7"}', {"count": 7}),
    (None, {}),
    ({}, {}),
]


@pytest.mark.parametrize(("passed", "meant"), BOTH, ids=str)
@pytest.mark.parametrize("declared", [ORDER, WRITTEN], ids=["function", "schema"])
def test_what_is_clearly_meant(declared: Tool, passed: Any, meant: Any) -> None:
    """Conversions are the same for functions and for written schemas."""
    got = told(declared, passed)
    assert got == meant
    assert [type(value) for value in got.values()] in (
        [type(value) for value in meant.values()],
        [float] * len(got),  # a function's float is one, whatever JSON had
    )


@pytest.mark.parametrize(
    ("passed", "meant"),
    [
        ({"size": 2}, {"size": Size.LARGE}),
        ({"size": "2"}, {"size": Size.LARGE}),
        ({"where": '{"x": "1", "y": 2}'}, {"where": Point(1.0, 2.0)}),
        ({"table": '{"a": 1.0}'}, {"table": {"a": 1}}),
        ({"pair": ["1", 2.0]}, {"pair": (1, 2)}),
        ({"unique": [1, "1"]}, {"unique": {1}}),
        ({"day": "2026-02-03"}, {"day": datetime.date(2026, 2, 3)}),
        ({"thing": '{"code": "A1"}'}, {"thing": Order(code="A1")}),
    ],
    ids=str,
)
def test_functions_get_their_types(passed: Any, meant: Any) -> None:
    """Enums, dataclasses, models, dates: what the type hint says."""
    assert told(ORDER, passed) == meant


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        ({"cuont": 1}, ["no argument 'cuont'", "'count'"]),
        ({"count": 3.5}, ["'count'", "3.5"]),
        ({"count": "three"}, ["'count'", "'three'"]),
        ({"gift": "maybe"}, ["'gift'", "'maybe'"]),
        ({"unit": "K"}, ["'unit'", "'C'", "'F'", "'K'"]),
        ({"few": 9}, ["'few'", "3", "9"]),
        ({"where": {"x": 1}}, ["'where.y'", "missing"]),
        ({"tags": ["a", {}]}, ["'tags[1]'"]),
        ({"count": None}, ["'count'", "None"]),
        ([1], ["object", "[1]"]),
        ("count", ["object", "'count'"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("declared", [ORDER, WRITTEN], ids=["function", "schema"])
def test_what_does_not_fit_is_told_to_the_model(declared: Tool, passed: Any, words: list[str]) -> None:
    """In a sentence that names the argument, what was wanted and what came, and says what to do."""
    answer = told(declared, passed)
    assert isinstance(answer, str)
    for word in words:
        assert word in answer
    assert answer.endswith("Call order again with corrected arguments.")
    assert "pydantic" not in answer
    assert "http" not in answer


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        ({"thing": {"code": "B"}}, ["'thing.code'", "codes begin with A"]),
        ({"thing": {"code": "boom"}}, ["RuntimeError", "the lookup is down"]),
        ({"count": "x", "price": "x", "gift": "x", "few": "x", "day": "x"}, ["And 1 more problem"]),
        ({"note": "x" * 500, "count": "y" * 500}, ["..."]),
    ],
    ids=["validator", "broken validator", "many", "long"],
)
def test_what_a_function_cannot_take(passed: Any, words: list[str]) -> None:
    """Whatever goes wrong in checking is told, and briefly."""
    answer = told(ORDER, passed)
    for word in words:
        assert word in answer
    assert len(answer) < 700


@pytest.mark.parametrize(
    ("passed", "meant"),
    [
        ({"either": "3"}, {"either": 3}),
        ({"either": "[3]"}, {"either": [3]}),
        ({"either": ["3"]}, {"either": [3]}),
        ({"pair": ["1", 2]}, {"pair": [1, "2"]}),
        ({"fixed": "yes"}, {"fixed": "yes"}),
        ({"free": {"a": [1]}}, {"free": {"a": [1]}}),
        ({"where": '{"x": "1", "y": 2}'}, {"where": {"x": 1.0, "y": 2}}),
        ({"where": "null"}, {"where": None}),
    ],
    ids=str,
)
def test_written_schemas_reach_inside(passed: Any, meant: Any) -> None:
    """Choices, places, constants."""
    assert told(WRITTEN, passed) == meant


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        ({"either": {}}, ["'either'"]),
        ({"tags": ["a"] * 4}, ["'tags'", "at most 3"]),
        ({"short": ""}, ["'short'", "at least 1"]),
        ({"fixed": "no"}, ["'fixed'", "'yes'"]),
        ({"where": {"x": 1, "y": 2, "z": 3}}, ["no 'where.z'"]),
    ],
    ids=str,
)
def test_written_schemas_refuse(passed: Any, words: list[str]) -> None:
    """What they do not allow."""
    answer = told(WRITTEN, passed)
    for word in words:
        assert word in answer


def test_required_and_additional_properties_of_a_written_schema() -> None:
    """Extra arguments pass only where the schema says so itself."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    strict = Tool("order", "", schema, lambda **given: given)
    open_one = Tool(
        "order", "", {**schema, "additionalProperties": {"type": "integer"}}, lambda **given: given
    )
    assert "'a' is missing" in told(strict, {})
    assert "'b'" in told(strict, {"a": 1, "b": 2})
    assert told(open_one, {"a": 1, "b": "2"}) == {"a": 1, "b": 2}


def test_several_unknown_arguments_are_one_sentence() -> None:
    """With the known ones once."""

    @tool
    def order(a: int = 1, b: int = 2) -> None: ...

    (result,) = ToolRun(Toolset([order])).run([ToolCall("1", "order", {"x": 1, "y": 2})])
    assert result.result == {
        "error": "There is no argument 'x', 'y'; the arguments are 'a', 'b'. "
        "Call order again with corrected arguments."
    }


def test_defaults_are_the_functions_own() -> None:
    """The same object that the function declares, as when Python calls it."""
    default: list[int] = []

    @tool
    def f(items: list[int] = default) -> bool:
        return items is default

    (result,) = ToolRun(Toolset([f])).run([ToolCall("1", "f", {})])
    assert result.result is True


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(['<|"|>a<|"|>', "[1", '{"x": 1}', "NaN", "1e999", "\ud800", "9" * 5000, "true", "2"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from([*ORDER.parameters["properties"], *WRITTEN.parameters["properties"]]) | st.text(
    max_size=4
)


@pytest.mark.parametrize("declared", [ORDER, WRITTEN], ids=["function", "schema"])
@given(arguments=st.dictionaries(NAMES, JSON, max_size=6) | JSON)
def test_no_arguments_raise(declared: Tool, arguments: Any) -> None:
    """Whatever a model writes either reaches the handler or becomes a sentence for the model."""
    answer = told(declared, arguments)
    assert isinstance(answer, dict) or (isinstance(answer, str) and answer.endswith("corrected arguments."))
    if isinstance(answer, str):
        answer.encode()
