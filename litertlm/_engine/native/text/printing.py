"""How templates write values: as the official engine's template library, minijinja in Rust, does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from jinja2.runtime import Macro, Undefined
from jinja2.utils import Namespace

__all__ = ["to_json", "to_text"]

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}


def to_text(value: Any) -> str:
    """What ``{{ value }}`` writes."""
    match value:
        case str():
            return value
        case Undefined():
            return ""
        case float():
            return _decimal(value)
        case Macro():
            return f"<macro {value.name}>"
        case _:
            return _inside(value)


def to_json(value: Any) -> str:
    """What ``{{ value | tojson }}`` writes: a blank after commas and colons, nothing escaped for HTML.

    Raises:
        TypeError: It is no JSON value.
    """
    match value:
        case None | Undefined():
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case int():
            return str(value)
        case float():
            return _json_number(value)
        case Mapping():
            return "{" + ", ".join(f"{to_json(str(k))}: {to_json(v)}" for k, v in value.items()) + "}"
        case Iterable():
            return "[" + ", ".join(map(to_json, value)) + "]"
        case _:
            raise TypeError(f"{type(value).__name__} is no JSON value")


def _inside(value: Any) -> str:
    """What stands for a value inside a list or a map."""
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case str():
            return '"' + "".join(_ESCAPES.get(character, character) for character in value) + '"'
        case Undefined():
            return "undefined"
        case float():
            return _exponent(value)
        case Mapping():
            return "{" + ", ".join(f"{_inside(k)}: {_inside(v)}" for k, v in value.items()) + "}"
        case list() | tuple() | range() | set() | frozenset():
            return "[" + ", ".join(map(_inside, value)) + "]"
        case Namespace():
            return _inside(value._Namespace__attrs)
        case Iterable():
            return "<iterator>"
        case _:
            return str(value)


def _decimal(value: float) -> str:
    """A number without an exponent, however long it gets."""
    if value != value or value in (float("inf"), float("-inf")):
        return str(value).replace("nan", "NaN")
    digits = format(Decimal(repr(value)), "f")
    return digits if "." in digits else digits + ".0"


def _exponent(value: float) -> str:
    """A number with an exponent where Python writes one: ``1e20``, ``1e-7``."""
    mantissa, e, exponent = str(value).replace("nan", "NaN").partition("e")
    return f"{mantissa}e{int(exponent)}" if e else mantissa


def _json_number(value: float) -> str:
    """The shortest digits; an exponent from 1e16 on and below 1e-5, signed when it is positive."""
    if value != value or value in (float("inf"), float("-inf")):
        return "null"
    mantissa, e, exponent = str(value).partition("e")
    if not e:
        return mantissa
    if int(exponent) == -5:
        return _decimal(value)
    return f"{mantissa}e{int(exponent):+d}"
