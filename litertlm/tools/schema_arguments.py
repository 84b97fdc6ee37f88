"""Arguments checked against a JSON schema that the application wrote.

Types, ``enum``, ``required``, bounds and the structure of objects and arrays are checked, and values are
converted leniently: 3.0 and "3" are 3 where an integer is wanted. What a schema can say beyond that is the
handler's to check.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from litertlm.tools.arguments import BadArgumentsError, place, shown, unknown_arguments
from litertlm.tools.schema import types_of

__all__ = ["SchemaArguments"]

TRUE = frozenset({"true", "yes", "on", "1"})
FALSE = frozenset({"false", "no", "off", "0"})

ARTICLES = {
    "array": "a list", "boolean": "true or false", "integer": "a whole number", "null": "null",
    "number": "a number", "object": "an object", "string": "a text",
}  # fmt: skip

Path = tuple[str | int, ...]


class SchemaArguments:
    """The check of a whole call.

    Args:
        schema: Of type object, without references.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """As :class:`~litertlm.tools.arguments.ArgumentReader` says."""
        known = self._schema.get("properties")
        known = known if isinstance(known, Mapping) else {}
        if not self._schema.get("additionalProperties"):
            unknown = [name for name in arguments if name not in known]
            if unknown:
                raise BadArgumentsError(unknown_arguments(unknown, known))
        try:
            return _object(dict(arguments), self._schema, ())
        except RecursionError:
            raise BadArgumentsError("The arguments are nested too deep.") from None


def _value(value: Any, schema: Any, path: Path) -> Any:
    if not isinstance(schema, Mapping):
        return value
    for key in ("anyOf", "oneOf"):
        choices = schema.get(key)
        if isinstance(choices, list | tuple) and choices:
            return _choice(value, choices, path)
    types = types_of(schema)
    if types:
        value = _typed(value, types, path)
    members = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(members, list | tuple) and not any(_same(value, member) for member in members):
        raise _wrong(path, "must be one of " + ", ".join(shown(member) for member in members), value)
    if isinstance(value, dict):
        return _object(value, schema, path)
    if isinstance(value, list):
        return _list(value, schema, path)
    _check_bounds(value, schema, path)
    return value


def _choice(value: Any, choices: list[Any] | tuple[Any, ...], path: Path) -> Any:
    problems: list[str] = []
    # A value of the very type first: 3 is an integer before it is a text.
    for choice in sorted(choices, key=lambda choice: _type_of(value) not in types_of(choice)):
        try:
            return _value(value, choice, path)
        except BadArgumentsError as error:
            problems.append(str(error))
    raise BadArgumentsError(problems[0])


def _object(value: dict[str, Any], schema: Mapping[str, Any], path: Path) -> dict[str, Any]:
    named, rest = schema.get("properties"), schema.get("additionalProperties")
    named = named if isinstance(named, Mapping) else {}
    required = schema.get("required")
    for name in required if isinstance(required, list | tuple) else ():
        if name not in value:
            raise BadArgumentsError(f"Argument {place((*path, name))!r} is missing.")
    if rest is False:
        for name in value:
            if name not in named:
                raise BadArgumentsError(f"There is no {place((*path, name))!r}.")
    return {name: _value(inner, named.get(name, rest), (*path, name)) for name, inner in value.items()}


def _list(value: list[Any], schema: Mapping[str, Any], path: Path) -> list[Any]:
    _check_size(len(value), schema, "minItems", "maxItems", "items", path, value)
    places = schema.get("prefixItems")
    places = places if isinstance(places, list | tuple) else ()
    return [
        _value(inner, places[at] if at < len(places) else schema.get("items"), (*path, at))
        for at, inner in enumerate(value)
    ]


def _typed(value: Any, types: frozenset[str], path: Path) -> Any:
    found = _type_of(value)
    if found in types or (found == "integer" and "number" in types):
        return value
    for kind in ("boolean", "integer", "number", "string", "null"):
        if kind in types:
            converted = CONVERSIONS[kind](value)
            if converted is not _NO:
                return converted
    wanted = " or ".join(ARTICLES.get(kind, kind) for kind in sorted(types))
    raise _wrong(path, f"must be {wanted}", value)


_NO = object()


def _boolean(value: Any) -> Any:
    if isinstance(value, str):
        word = value.strip().lower()
        return True if word in TRUE else False if word in FALSE else _NO
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else _NO


def _integer(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return int(value.strip())
        except ValueError:
            value = _number(value)
    return int(value) if isinstance(value, float) and value.is_integer() else _NO


def _number(value: Any) -> Any:
    if not isinstance(value, str):
        return _NO
    try:
        number = float(value.strip())
    except ValueError:
        return _NO
    return number if math.isfinite(number) else _NO


def _string(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _NO
    try:
        return str(value)
    except ValueError:
        return _NO


def _null(value: Any) -> Any:
    return None if isinstance(value, str) and value.strip().lower() in {"", "null", "none"} else _NO


CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "boolean": _boolean,
    "integer": _integer,
    "number": _number,
    "string": _string,
    "null": _null,
}


def _type_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return type(value).__name__


def _check_bounds(value: Any, schema: Mapping[str, Any], path: Path) -> None:
    if isinstance(value, str):
        _check_size(len(value), schema, "minLength", "maxLength", "characters", path, value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    for key, fits, words in (
        ("minimum", operator.ge, "at least"),
        ("maximum", operator.le, "at most"),
        ("exclusiveMinimum", operator.gt, "more than"),
        ("exclusiveMaximum", operator.lt, "less than"),
    ):
        limit = schema.get(key)
        if isinstance(limit, int | float) and not isinstance(limit, bool) and not fits(value, limit):
            raise _wrong(path, f"must be {words} {limit}", value)


def _check_size(
    size: int, schema: Mapping[str, Any], least: str, most: str, units: str, path: Path, value: Any
) -> None:
    low, high = schema.get(least), schema.get(most)
    if isinstance(low, int) and size < low:
        raise _wrong(path, f"must have at least {low} {units}", value)
    if isinstance(high, int) and size > high:
        raise _wrong(path, f"must have at most {high} {units}", value)


def _same(value: Any, member: Any) -> bool:
    return isinstance(value, bool) == isinstance(member, bool) and bool(value == member)


def _wrong(path: Path, problem: str, value: Any) -> BadArgumentsError:
    return BadArgumentsError(f"Argument {place(path)!r} {problem}; it was {shown(value)}.")
