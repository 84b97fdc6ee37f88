"""What a model passes to a tool, made fit to be checked, and the words for what does not fit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from litertlm.tools.schema import types_of

__all__ = ["ArgumentReader", "BadArgumentsError", "clean_arguments", "place", "shown", "unknown_arguments"]

# Models put these around strings; some parsers leave them in.
QUOTE_MARKS = ('<|"|>', "<escape>")

MOST_SHOWN = 60


class BadArgumentsError(Exception):
    """A call does not fit its tool; the text is for the model. It never leaves this package."""


class ArgumentReader(Protocol):
    """Turns cleaned arguments into what the handler is called with."""

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Keyword arguments of the handler.

        Raises:
            BadArgumentsError: They do not fit.
        """
        ...


def clean_arguments(arguments: Any, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call in their plain form; what they mean is not judged here.

    The model's quote marks are stripped from all strings; objects and arrays that were passed as JSON text
    are parsed, where the schema wants one; values of an ``enum`` are matched whatever their case or type.

    Args:
        arguments: As the model passed them: a mapping, a JSON object as text, or None for none.
        schema: Of type object, without references.

    Raises:
        BadArgumentsError: They are no object, or nested beyond reason.
    """
    try:
        plain = _unpack(_strip({} if arguments is None else arguments), schema)
    except RecursionError:
        raise BadArgumentsError("The arguments are nested too deep.") from None
    if isinstance(plain, str):
        plain = _parsed(plain)
    if not isinstance(plain, dict):
        raise BadArgumentsError(f"The arguments must be an object with names and values, not {shown(plain)}.")
    return plain


def _strip(value: Any) -> Any:
    if isinstance(value, str):
        for mark in QUOTE_MARKS:
            value = value.replace(mark, "")
        return value
    if isinstance(value, Mapping):
        return {_strip(str(key)): _strip(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strip(inner) for inner in value]
    return value


def _unpack(value: Any, schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return value
    if isinstance(schema.get("enum"), list):
        return _enum_member(value, schema["enum"])
    if isinstance(value, str):
        types = types_of(schema)
        if types & {"object", "array"} and "string" not in types:
            value = _parsed(value)
    if isinstance(value, dict):
        named, rest = schema.get("properties"), schema.get("additionalProperties")
        named = named if isinstance(named, Mapping) else {}
        return {key: _unpack(inner, named.get(key, rest)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_unpack(inner, schema.get("items")) for inner in value]
    return value


def _parsed(text: str) -> Any:
    """The object or array that a text is, or the text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict | list) or value is None else text


def _enum_member(value: Any, members: Sequence[Any]) -> Any:
    """The member that is meant, or the value."""
    if isinstance(value, dict | list) or any(type(value) is type(m) and value == m for m in members):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    meant = [member for member in members if _spelled(member) == _spelled(value)]
    return meant[0] if len(meant) == 1 else value


def _spelled(value: Any) -> str:
    text = value.strip() if isinstance(value, str) else shown(value, most=None)
    return text.casefold()


def place(path: Iterable[str | int]) -> str:
    """A path into the arguments as a model reads it: ``points[2].x``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def shown(value: Any, *, most: int | None = MOST_SHOWN) -> str:
    """A value in a message; short, and never failing."""
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return text if most is None or len(text) <= most else text[: most - 3] + "..."


def unknown_arguments(unknown: Iterable[str], known: Iterable[str]) -> str:
    """The sentence about arguments that a tool does not have."""
    names, has = ", ".join(shown(name) for name in unknown), ", ".join(shown(name) for name in known)
    return f"There is no argument {names}; " + (
        f"the arguments are {has}." if has else "there are none at all."
    )
