"""The syntax of Gemma 4 and FunctionGemma: ``call:NAME{key:<escape>text<escape>,n:1}``.

Texts stand between quotes that the model never writes otherwise; there is no escape inside them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from litertlm._engine.native.text.toolcalls.syntax import Calls, MalformedCallError, Tokens

__all__ = ["FunctionCallSyntax", "read"]

_QUOTE = r'(?:<escape>|<ctrl46>|<\|"\|>)'
_KINDS = {
    name: re.compile(pattern, re.DOTALL)
    for name, pattern in {
        "'{'": r"\{",
        "'}'": r"\}",
        "'['": r"\[",
        "']'": r"\]",
        "','": ",",
        "':'": ":",
        "a value": "true|false|null",
        "a number": r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+)",
        "a text": f"{_QUOTE}.*?{_QUOTE}",
        "'call'": "call",
        "a name": r"[a-zA-Z_][a-zA-Z0-9_.-]*",
    }.items()
}
_WORDS = {"true": True, "false": False, "null": None}
_RESPONSE = "tool_response"
_MOST_DEPTH = 100
_TYPES = frozenset(("string", "number", "integer", "object", "array", "boolean", "null"))


def read(code: str) -> Calls:
    """See :data:`~litertlm._engine.native.text.toolcalls.syntax.Reader`."""
    tokens = Tokens(code, _KINDS)
    tokens.take("'call'")
    tokens.take("':'")
    name = tokens.take("a name")
    arguments = _object(tokens, 0) if tokens.kind == "'{'" else {}
    if tokens.kind:
        tokens.fail("the end")
    return [(name, arguments)]


def _object(tokens: Tokens, depth: int) -> dict[str, Any]:
    tokens.take("'{'")
    values: dict[str, Any] = {}
    if tokens.skip("'}'"):
        return values
    while True:
        name = tokens.take("a name")
        tokens.take("':'")
        values.setdefault(name, _value(tokens, depth + 1))
        if not tokens.skip("','"):
            tokens.take("'}'")
            return values


def _array(tokens: Tokens, depth: int) -> list[Any]:
    tokens.take("'['")
    values: list[Any] = []
    if tokens.skip("']'"):
        return values
    while True:
        values.append(_value(tokens, depth + 1))
        if not tokens.skip("','"):
            tokens.take("']'")
            return values


def _value(tokens: Tokens, depth: int) -> Any:
    if depth > _MOST_DEPTH:
        raise MalformedCallError("the arguments are nested too deep")
    match tokens.kind:
        case "'{'":
            return _object(tokens, depth)
        case "'['":
            return _array(tokens, depth)
        case "a value":
            return _WORDS[tokens.take("a value")]
        case "a number":
            return _number(tokens.take("a number"))
        case "a text":
            return re.sub(f"^{_QUOTE}|{_QUOTE}$", "", tokens.take("a text"))
        case _:
            return tokens.fail("a value")


def _number(text: str) -> int | float:
    if re.fullmatch("-?[0-9]+", text):
        if len(text) > 4000:
            raise MalformedCallError("a number is too long")
        return int(text)
    number = float(text)
    if math.isinf(number):
        raise MalformedCallError("a number is too large")
    return number


class FunctionCallSyntax:
    """Writes tools in this syntax."""

    def write_tool(self, function: Mapping[str, Any]) -> str:
        """``declaration:NAME{...}``, the names of JSON types in capitals."""
        fields = {name: value for name, value in _capitals(function).items() if name != "name"}
        return f"declaration:{function['name']}{self.write_value(fields)}"

    def write_value(self, value: Any) -> str:
        """Keys bare, texts between ``<escape>``."""
        match value:
            case str():
                return f"<escape>{value}<escape>"
            case Mapping():
                return "{" + ",".join(f"{key}:{self.write_value(item)}" for key, item in value.items()) + "}"
            case list():
                return "[" + ",".join(map(self.write_value, value)) + "]"
            case _:
                return json.dumps(value)

    def write_result(self, name: str, response: Any) -> str:
        """``NAME{...}``; what is no object becomes one, in the official engine's way."""
        is_object = isinstance(response, Mapping)
        return name + self.write_value(response if is_object else {"response": response, "type": _RESPONSE})


def _capitals(value: Any) -> Any:
    match value:
        case Mapping():
            return {
                key: str(item).upper() if key == "type" and _is_type(item) else _capitals(item)
                for key, item in value.items()
            }
        case list():
            return [_capitals(item) for item in value]
        case _:
            return value


def _is_type(value: Any) -> bool:
    return isinstance(value, str) and value in _TYPES
