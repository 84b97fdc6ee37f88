"""A function says all that a model has to know; what cannot be told is refused where it is declared."""

from __future__ import annotations

import copy
import dataclasses
import enum
import functools
import inspect
import io
import pickle
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from litertlm import OptionError, Tool, ToolCall, ToolContext, tool
from litertlm.tools import Toolset


class Unit(enum.Enum):
    """Degrees."""

    C = "celsius"
    F = "fahrenheit"


@dataclasses.dataclass
class Point:
    """A place on the map."""

    x: float
    y: float = 0.0


class Options(TypedDict, total=False):
    """How to print."""

    colour: bool


class Node(BaseModel):
    """A tree."""

    title: str
    children: list[Node] = []
    at: Point | None = None


@tool
def weather(city: str, unit: Literal["C", "F"] = "C") -> dict[str, Any]:
    """Current weather.

    Measured, not forecast.

    Args:
        city: Name of the
            city.
        unit (str): Of the temperature.

    Returns:
        A reading.
    """
    return {"city": city, "unit": unit}


def parameters(function: Any) -> dict[str, Any]:
    """The properties that a function declares."""
    declared = Tool.from_function(function).parameters
    return {"required": declared.get("required", []), **declared["properties"]}


def test_a_decorated_function_is_a_tool() -> None:
    """Name, description and schema come from the function."""
    assert isinstance(weather, Tool)
    assert weather.name == "weather"
    assert weather.description == "Current weather.\n\nMeasured, not forecast."
    assert weather.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Name of the city."},
            "unit": {
                "type": "string",
                "enum": ["C", "F"],
                "default": "C",
                "description": "Of the temperature.",
            },
        },
        "required": ["city"],
    }


def test_a_decorated_function_can_still_be_called() -> None:
    """And looked into, as before."""
    assert weather("Paris") == {"city": "Paris", "unit": "C"}
    assert weather.__name__ == "weather"
    assert (weather.__doc__ or "").startswith("Current weather.")
    assert list(inspect.signature(weather).parameters) == ["city", "unit"]
    assert {weather: 1}[weather] == 1


def test_the_decorator_takes_settings() -> None:
    """Name, description, policy and timeout."""

    @tool(name="add-two", description="Sum", on_error="inform", timeout=2)
    def add(a: int, b: int) -> int:
        return a + b

    assert (add.name, add.description, add.on_error, add.timeout) == ("add-two", "Sum", "inform", 2)
    assert add(1, 2) == 3


def test_plain_types() -> None:
    """What JSON calls them."""

    def f(a: str, b: int, c: float, d: bool, e: list[int], g: dict[str, float], h: Any) -> None: ...

    said = parameters(f)
    assert [said[name].get("type") for name in "abcdegh"] == [
        "string", "integer", "number", "boolean", "array", "object", None,
    ]  # fmt: skip
    assert said["e"]["items"] == {"type": "integer"}
    assert said["g"]["additionalProperties"] == {"type": "number"}


def test_collections() -> None:
    """Sets and tuples are arrays; a pair of equal types says so in items, which templates know."""

    def f(a: set[str], b: tuple[int, ...], c: tuple[float, float], d: tuple[int, str]) -> None: ...

    said = parameters(f)
    assert said["a"] == {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
    assert said["b"] == {"type": "array", "items": {"type": "integer"}}
    assert said["c"] == {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
    assert [place["type"] for place in said["d"]["prefixItems"]] == ["integer", "string"]


def test_enum_and_single_literal() -> None:
    """Their values, as an enum."""

    def f(a: Unit, b: Literal["x"], c: Unit = Unit.F) -> None: ...

    said = parameters(f)
    assert said["a"]["enum"] == ["celsius", "fahrenheit"]
    assert said["b"] == {"type": "string", "enum": ["x"]}
    assert said["c"]["default"] == "fahrenheit"


def test_optional() -> None:
    """A choice between a type and null is that type; what can be left out need not be null."""

    def f(a: Optional[int], b: int | None = None, c: str = None) -> None: ...  # type: ignore[assignment] # noqa: UP045, RUF013

    assert parameters(f) == {
        "required": ["a"],
        "a": {"type": "integer", "nullable": True},
        "b": {"type": "integer"},
        "c": {"type": "string"},
    }


def test_descriptions_by_annotated() -> None:
    """A text or a Field, before the docstring."""

    def f(
        a: Annotated[int, "the first"],
        b: Annotated[int, Field(description="the second", ge=1)],
        c: int = Field(7, description="the third"),
    ) -> None:
        """Do.

        Args:
            a: Not this.
            b: Nor this.
            c: Nor this.
        """

    assert parameters(f) == {
        "required": ["a", "b"],
        "a": {"type": "integer", "description": "the first"},
        "b": {"type": "integer", "description": "the second", "minimum": 1},
        "c": {"type": "integer", "description": "the third", "default": 7},
    }
    assert Tool.from_function(f).reader.read({"a": 1, "b": 2}) == {"a": 1, "b": 2, "c": 7}


def test_structures_are_written_out() -> None:
    """Nothing refers to anything; a recursive model ends in a plain object."""

    def f(node: Node, options: Options, where: Point) -> None: ...

    said = parameters(f)
    assert "$" not in repr(said)
    assert said["node"]["required"] == ["title"]
    assert said["node"]["properties"]["title"] == {"type": "string"}
    assert said["node"]["properties"]["children"]["items"] == {"type": "object"}
    assert said["where"]["properties"]["x"] == {"type": "number"}
    assert said["options"]["properties"] == {"colour": {"type": "boolean"}}


def test_names_that_are_local_to_the_declaration() -> None:
    """String annotations may name what is defined beside the function."""

    @dataclasses.dataclass
    class Local:
        size: int

    @tool
    def f(thing: Local, later: Unit | None = None) -> Elsewhere:  # type: ignore[name-defined] # noqa: F821
        return thing.size

    assert f.parameters["properties"]["thing"]["properties"] == {"size": {"type": "integer"}}
    assert f.reader.read({"thing": {"size": 3}})["thing"] == Local(3)


def test_any_parameter_name_will_do() -> None:
    """Also those that a model class would not allow."""

    def f(json: int, model_config: int, _hidden: int, copy: int) -> None: ...

    assert parameters(f)["required"] == ["json", "model_config", "_hidden", "copy"]


class Home:
    """Something with methods."""

    def __init__(self) -> None:
        self.lit: list[str] = []

    def light(self, room: str, on: bool = True) -> list[str]:
        """Switch a light."""
        self.lit.append(room)
        return self.lit

    def __call__(self, room: str) -> str:
        """Enter."""
        return room

    @staticmethod
    def ring(times: int) -> int:
        """Ring."""
        return times


def test_methods_partials_and_callable_objects() -> None:
    """What is bound already is not the model's to fill in."""
    home = Home()
    light = Tool.from_function(home.light)
    assert (light.name, light.description) == ("light", "Switch a light.")
    assert list(light.parameters["properties"]) == ["room", "on"]
    assert light("hall") == ["hall"]
    assert list(Tool.from_function(home, name="enter").parameters["properties"]) == ["room"]
    assert list(Tool.from_function(Home.ring).parameters["properties"]) == ["times"]
    bound = functools.partial(home.light, on=False)
    assert list(Tool.from_function(bound, name="dark").parameters["properties"]) == ["room"]


def test_async_functions() -> None:
    """Are declared like others."""

    async def fetch(url: str) -> str:
        """Get a page."""
        return url

    assert Tool.from_function(fetch).parameters["required"] == ["url"]


def test_the_context_is_not_the_models() -> None:
    """A parameter annotated ToolContext is left out of the schema."""

    def f(a: int, context: ToolContext, more: ToolContext | None = None) -> None: ...

    assert list(Tool.from_function(f).parameters["properties"]) == ["a"]


def test_no_parameters() -> None:
    """An object without properties."""

    def now() -> str:
        return ""

    assert Tool.from_function(now).parameters == {"type": "object", "properties": {}}


def no_hint(a, b: int = 1) -> None:  # type: ignore[no-untyped-def]
    """One of its parameters could be anything."""


def many(*words: str) -> None:
    """Any number of them."""


def named(**words: str) -> None:
    """Of any name."""


def by_place(a: int, /) -> None:
    """Not by name."""


def open_file(file: io.TextIOWrapper) -> None:
    """No JSON for this."""


def unknown(a: Nowhere) -> None:  # type: ignore[name-defined] # noqa: F821
    """Nobody defines it."""


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (no_hint, ["'a'", "no type hint", "a: str"]),
        (many, ["*words", "list"]),
        (named, ["**words", "dict"]),
        (by_place, ["'a'", "positional-only", "'/'"]),
        (open_file, ["'file'", "JSON"]),
        (unknown, ["Nowhere", "type hints"]),
        (Home.light, ["'self'", "bound method"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_cannot_be_described_is_refused(function: Any, words: list[str]) -> None:
    """The error names the parameter and says what to do."""
    with pytest.raises(OptionError) as caught:
        tool(function)
    for word in words:
        assert word in str(caught.value)


def test_what_is_no_function_is_refused() -> None:
    """A lambda has no name to call it by, a number is nothing to call."""
    with pytest.raises(OptionError, match="name"):
        tool(lambda: 1)
    with pytest.raises(OptionError, match="function"):
        tool(3)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "settings",
    [
        {"name": ""},
        {"name": "2nd"},
        {"name": "f", "on_error": "ignore"},
        {"name": "f", "timeout": 0},
        {"name": "f", "timeout": float("nan")},
        {"name": "f", "handler": 3},
        {"name": "f", "description": None},
        {"name": "f", "parameters": {"type": "array"}},
        {"name": "f", "parameters": {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}}},
        {"name": "f", "parameters": {"type": "object", "$ref": "https://example.com/schema"}},
    ],
    ids=str,
)
def test_a_tool_that_cannot_be(settings: dict[str, Any]) -> None:
    """Every field is checked where it is declared."""
    with pytest.raises(OptionError):
        Tool(**settings)


def test_references_in_a_written_schema_are_inlined() -> None:
    """The text beside a reference stays; one that refers to itself becomes a plain object."""
    city = {"type": "object", "properties": {"name": {"type": "string"}, "twin": {"$ref": "#/$defs/City"}}}
    declared = Tool(
        "f",
        "",
        {
            "type": "object",
            "properties": {"city": {"$ref": "#/$defs/City", "description": "Where"}},
            "$defs": {"City": city},
        },
    )
    assert declared.parameters == {
        "type": "object",
        "properties": {
            "city": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "twin": {"type": "object"}},
                "description": "Where",
            }
        },
    }


def test_schemas_beyond_reason_are_refused() -> None:
    """Nested without end, or growing without end once references are written out."""
    deep: dict[str, Any] = {"type": "object"}
    for _ in range(5000):
        deep = {"type": "object", "properties": {"a": deep}}
    with pytest.raises(OptionError, match="deep"):
        Tool("f", "", deep)
    doubling = {
        f"L{level}": {
            "type": "object",
            "properties": {side: {"$ref": f"#/$defs/L{level + 1}"} for side in ("left", "right")},
        }
        for level in range(40)
    }
    doubling["L40"] = {"type": "object"}
    with pytest.raises(OptionError, match="parts"):
        Tool("f", "", {"type": "object", "properties": {"a": {"$ref": "#/$defs/L0"}}, "$defs": doubling})


def test_a_class_is_described_by_its_own_docstring() -> None:
    """Making one of it is what calling it does."""
    made = Tool.from_function(Ticket)
    assert (made.name, made.description) == ("Ticket", "A thing to be done.")
    assert made.parameters["properties"] == {
        "title": {"type": "string", "description": "In a few words."},
        "urgent": {"type": "boolean", "default": False},
    }


class Ticket:
    """A thing to be done.

    Args:
        title: In a few words.
    """

    def __init__(self, title: str, urgent: bool = False) -> None:
        self.title = title
        self.urgent = urgent


def test_a_handler_must_take_what_its_schema_declares() -> None:
    """By keyword."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    with pytest.raises(OptionError, match="'city'"):
        Tool("f", "", schema, lambda town: town)
    Tool("f", "", schema, lambda **anything: anything)


def test_a_tool_can_be_copied_and_pickled() -> None:
    """Chats are; a decorated function stays itself."""
    assert copy.deepcopy(weather) is weather
    assert pickle.loads(pickle.dumps(weather)) is weather
    renamed = Tool.from_function(weather, name="sky", timeout=3)
    again = pickle.loads(pickle.dumps(Tool.from_function(parameters_of_nothing, name="sky", timeout=3)))
    assert (again.name, again.timeout, again.parameters) == ("sky", 3, {"type": "object", "properties": {}})
    assert renamed.handler is weather.handler
    plain = Tool("f", "", {"type": "object", "properties": {}})
    assert pickle.loads(pickle.dumps(plain)) == plain


def parameters_of_nothing() -> None:
    """Has none."""


def test_a_toolset_holds_tools_by_name() -> None:
    """Plain functions become tools; two of one name are refused."""
    tools = Toolset([weather, parameters_of_nothing, Tool("manual")])
    assert tools.names == ("weather", "parameters_of_nothing", "manual")
    assert len(tools) == 3
    assert "weather" in tools
    assert tools.get("weather") is weather
    assert [item.name for item in tools] == list(tools.names)
    assert tools.get("nowhere") is None
    with pytest.raises(OptionError, match="duplicate tool name 'weather'"):
        Toolset([weather, Tool("weather")])
    with pytest.raises(OptionError, match="not a tool"):
        Toolset([3])  # type: ignore[list-item]


def test_calls_for_manual_dispatch_can_be_cleaned() -> None:
    """As they would be for a handler; what is beyond reading is left."""
    tools = Toolset([Tool("f", "", {"type": "object", "properties": {"a": {"type": "array"}}})])
    odd = [ToolCall("2", "f", 3), ToolCall("3", "nowhere", {"a": '<|"|>'})]  # type: ignore[arg-type]
    assert tools.clean([ToolCall("1", "f", {"a": '[1, "<escape>x<escape>"]'}), *odd]) == (
        ToolCall("1", "f", {"a": [1, "x"]}),
        *odd,
    )
