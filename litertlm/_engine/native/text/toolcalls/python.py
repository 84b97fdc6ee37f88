"""The syntax of Gemma 3, Gemma 3n and LFM2: Python calls with keyword arguments, ``NAME(key="text", n=1)``.

Texts are taken as they are written, backslashes included, as the official engine takes them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from litertlm._engine.native.text.toolcalls.syntax import Calls, MalformedCallError, Tokens

__all__ = ["PythonSyntax", "read"]

_KINDS = {
    name: re.compile(pattern, re.DOTALL)
    for name, pattern in {
        "'='": "=",
        "':'": ":",
        "','": ",",
        "'('": r"\(",
        "')'": r"\)",
        "'{'": r"\{",
        "'}'": r"\}",
        "'['": r"\[",
        "']'": r"\]",
        "a value": "True|False|None",
        "a whole number": "-?[0-9]+",
        "a number": r"-?(?:[0-9]+\.[0-9]*|[0-9]*\.[0-9]+)",
        "a text": r'"(?:[^"\\]|\\.)*"' + r"|'(?:[^'\\]|\\.)*'",
        "a name": "[a-zA-Z_][a-zA-Z0-9_]*",
    }.items()
}
_WORDS = {"True": True, "False": False, "None": None}
_MOST_DEPTH = 100
_INT64 = range(-(2**63), 2**63)
_ANNOTATIONS = {
    "boolean": "bool",
    "integer": "int",
    "number": "float",
    "string": "str",
    "object": "dict",
}


def read(code: str) -> Calls:
    """Calls in a row, or a list; see :data:`~litertlm._engine.native.text.toolcalls.syntax.Reader`."""
    tokens = Tokens(code, _KINDS)
    calls: Calls = []
    if tokens.skip("'['"):
        while not tokens.skip("']'"):
            calls.append(_call(tokens))
            if not tokens.skip("','"):
                tokens.take("']'")
                break
    else:
        calls.append(_call(tokens))
        while tokens.kind:
            calls.append(_call(tokens))
    if tokens.kind:
        tokens.fail("the end")
    return calls


def _call(tokens: Tokens) -> tuple[str, dict[str, Any]]:
    return tokens.take("a name"), _arguments(tokens, 0)


def _arguments(tokens: Tokens, depth: int) -> dict[str, Any]:
    tokens.take("'('")
    values: dict[str, Any] = {}
    while not tokens.skip("')'"):
        name = tokens.take("a name")
        if tokens.kind != "'='":
            raise MalformedCallError("arguments must be given by name: name=value")
        tokens.take("'='")
        if name in values:
            raise MalformedCallError(f"the argument {name} is given twice")
        values[name] = _value(tokens, depth + 1)
        if not tokens.skip("','"):
            tokens.take("')'")
            break
    return values


def _value(tokens: Tokens, depth: int) -> Any:
    if depth > _MOST_DEPTH:
        raise MalformedCallError("the arguments are nested too deep")
    match tokens.kind:
        case "'['":
            return _list(tokens, depth)
        case "'{'":
            return _dict(tokens, depth)
        case "a value":
            return _WORDS[tokens.take("a value")]
        case "a whole number":
            text = tokens.take("a whole number")
            if len(text) > 20 or int(text) not in _INT64:
                raise MalformedCallError(f"the number {text[:30]} is too large")
            return int(text)
        case "a number":
            number = float(tokens.take("a number"))
            if math.isinf(number):
                raise MalformedCallError("a number is too large")
            return number
        case "a text":
            return tokens.take("a text")[1:-1]
        case "a name":
            name = tokens.take("a name")
            return {"__type__": name, **_arguments(tokens, depth)}
        case _:
            return tokens.fail("a value")


def _list(tokens: Tokens, depth: int) -> list[Any]:
    tokens.take("'['")
    values: list[Any] = []
    while not tokens.skip("']'"):
        values.append(_value(tokens, depth + 1))
        if not tokens.skip("','"):
            tokens.take("']'")
            break
    return values


def _dict(tokens: Tokens, depth: int) -> dict[str, Any]:
    tokens.take("'{'")
    values: dict[str, Any] = {}
    while not tokens.skip("'}'"):
        key = tokens.take("a text")[1:-1]
        tokens.take("':'")
        values.setdefault(key, _value(tokens, depth + 1))
        if not tokens.skip("','"):
            tokens.take("'}'")
            break
    return values


class PythonSyntax:
    """Writes tools in this syntax."""

    def write_tool(self, function: Mapping[str, Any]) -> str:
        """A function definition with a docstring."""
        schema = function.get("parameters") or {}
        properties = schema.get("properties")
        lines = [f"def {function['name']}("]
        if properties is not None:
            required = schema.get("required", ())
            lines[0] += "\n"
            parameters = [
                f"    {name}: {_annotation(each)}{'' if name in required else ' | None = None'},"
                for name, each in properties.items()
            ]
            lines.append("\n".join(parameters) + "\n")
        lines.append(") -> dict:\n")
        docstring = _docstring(function, properties)
        if docstring:
            lines.append(f'  """{docstring}  """\n')
        return "".join(lines)

    def write_value(self, value: Any) -> str:
        """A literal; an object with a ``type`` becomes a call of that type. Texts are not escaped."""
        match value:
            case str():
                return f'"{value}"'
            case bool() | None:
                return str(value)
            case {"type": str(kind), **fields}:
                arguments = ", ".join(f"{key}={self.write_value(item)}" for key, item in fields.items())
                return f"{kind}({arguments})"
            case Mapping():
                return (
                    "{" + ", ".join(f'"{key}": {self.write_value(item)}' for key, item in value.items()) + "}"
                )
            case list():
                return "[" + ", ".join(map(self.write_value, value)) + "]"
            case _:
                return json.dumps(value)

    def write_result(self, name: str, response: Any) -> str:
        """The result alone."""
        return self.write_value(response)


def _annotation(schema: Any) -> str:
    kind = schema.get("type", "") if isinstance(schema, Mapping) else ""
    if kind == "array":
        items = schema.get("items")
        return f"list[{_annotation(items)}]" if isinstance(items, Mapping) else "list[Any]"
    return _ANNOTATIONS.get(kind, "Any") if isinstance(kind, str) else "Any"


def _docstring(function: Mapping[str, Any], properties: Mapping[str, Any] | None) -> str:
    text = f"{function['description']}\n" if "description" in function else ""
    if properties is not None:
        text += "\n  Args:\n"
        for name, schema in properties.items():
            text += f"    {name}"
            # Without a description the line is not ended either, in the official engine.
            if isinstance(schema, Mapping) and "description" in schema:
                text += f": {schema['description']}\n"
    return text
