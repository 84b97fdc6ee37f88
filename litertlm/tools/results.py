"""What a handler gives back, as JSON that a model can be told."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from os import PathLike, fspath
from typing import Any

__all__ = ["BadResultError", "cap", "jsonable", "text_of"]

MOST_LEVELS = 100

NOTE = "The result was too long and was cut after {kept} of {whole} characters. Ask for less to see the rest."


class BadResultError(ValueError):
    """A handler gave back something that JSON cannot express; says which value, and where it is."""


def jsonable(result: Any) -> Any:
    """A copy of a result that consists of JSON's own types only.

    Dataclasses, pydantic models, named tuples and mappings become objects; sequences, sets, iterators and
    numpy arrays become arrays; enum members and numpy scalars become their values; dates, decimals, UUIDs,
    paths and whatever else pydantic knows become text.

    Raises:
        BadResultError: NaN, an infinity, bytes, a cycle, or something that nobody knows.
    """
    try:
        return _plain(result, "the result", ())
    except BadResultError:
        raise
    except RecursionError:
        raise BadResultError("the result is nested too deep") from None
    except Exception as error:
        # A property or an iterator of the application's own object failed.
        raise BadResultError(f"the result cannot be read: {type(error).__name__}: {error}") from error


def _plain(value: Any, where: str, parents: tuple[int, ...]) -> Any:
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(str(value), where)
    if isinstance(value, int):
        return _whole(int(value), where)
    if isinstance(value, float):
        return _finite(float(value), where)
    if isinstance(value, bytes | bytearray | memoryview):
        raise BadResultError(f"{where} is {type(value).__name__}; give back text, or base64 of it")
    if isinstance(value, PathLike):
        return _plain(fspath(value), where, parents)
    if id(value) in parents:
        raise BadResultError(f"{where} contains itself")
    if len(parents) >= MOST_LEVELS:
        raise BadResultError(f"the result is nested deeper than {MOST_LEVELS} levels")
    parents = (*parents, id(value))
    if type(value).__module__.split(".")[0] == "numpy" and hasattr(value, "tolist"):
        return _plain(value.tolist(), where, parents)
    members = _members(value)
    if members is not None:
        named = ((_key(key, where, parents), inner) for key, inner in members.items())
        return {key: _plain(inner, f"{where}[{key!r}]", parents) for key, inner in named}
    if isinstance(value, AbstractSet):
        value = _ordered(value)
    if isinstance(value, Iterator | list | tuple) or _is_sequence(value):
        return [_plain(inner, f"{where}[{at}]", parents) for at, inner in enumerate(value)]
    return _known_to_pydantic(value, where, parents)


def _members(value: Any) -> Mapping[Any, Any] | None:
    """What an object is made of by name, None when it is none of those."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(type(value), "__pydantic_serializer__") and hasattr(value, "model_dump"):
        dumped: Mapping[Any, Any] = value.model_dump(by_alias=True)
        return dumped if isinstance(dumped, Mapping) else None
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        fields: Mapping[Any, Any] = value._asdict()
        return fields
    return None


def _is_sequence(value: Any) -> bool:
    """A collection that can be iterated in order, such as a deque, a range or the values of a dict."""
    return isinstance(value, Collection) and not isinstance(value, str | bytes)


def _ordered(values: AbstractSet[Any]) -> list[Any]:
    """The same order in every run, where the members have one."""
    try:
        return sorted(values)
    except TypeError:
        return list(values)


def _key(key: Any, where: str, parents: tuple[int, ...]) -> str:
    if isinstance(key, str) and not isinstance(key, Enum):
        return _text(str(key), f"a key of {where}")
    plain = _plain(key, f"a key of {where}", parents)
    if isinstance(plain, str):
        return plain
    if isinstance(plain, dict | list):
        raise BadResultError(f"a key of {where} is a {type(key).__name__}; use text")
    return json.dumps(plain)


def _known_to_pydantic(value: Any, where: str, parents: tuple[int, ...]) -> Any:
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    if hasattr(value, "is_finite") and not value.is_finite():  # a Decimal
        raise BadResultError(f"{where} is {value}, which JSON cannot express")
    try:
        plain = to_jsonable_python(value, inf_nan_mode="constants")
    except (PydanticSerializationError, ValueError, TypeError):
        raise BadResultError(
            f"{where} is of type {type(value).__name__}, which cannot be made JSON of; "
            "give back text, numbers, lists or dicts"
        ) from None
    return _plain(plain, where, parents)


def _text(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadResultError(f"{where} is text with half a character (a lone surrogate)") from None
    return text


def _whole(number: int, where: str) -> int:
    try:
        str(number)
    except ValueError:
        raise BadResultError(f"{where} is a number of too many digits") from None
    return number


def _finite(number: float, where: str) -> float:
    if not math.isfinite(number):
        raise BadResultError(f"{where} is {number}, which JSON cannot express")
    return number


def text_of(value: Any) -> str:
    """Compact JSON of a value that :func:`jsonable` made."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def cap(value: Any, most: int, count_tokens: Callable[[str], int]) -> Any:
    """The value, or its beginning and a note for the model if it takes more than ``most`` tokens.

    Args:
        value: Made by :func:`jsonable`.
        most: Tokens, >= 1.
        count_tokens: Tokens of a text; called some twenty times for a value that is too long.
    """
    if count_tokens(text_of(value)) <= most:
        return value
    text = value if isinstance(value, str) else text_of(value)

    def cut(kept: int) -> dict[str, Any]:
        note = NOTE.format(kept=kept, whole=len(text))
        return {"truncated": True, "result": text[:kept], "note": note}

    def fits(kept: int) -> bool:
        return count_tokens(text_of(cut(kept))) <= most

    # Grow from what surely is too little, so that a huge text is never counted again as a whole.
    low, high = 0, min(len(text), max(most, 1))
    while high < len(text) and fits(high):
        low, high = high, min(len(text), 2 * high)
    while low < high - 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    if low or fits(0):
        return cut(low)
    # Not even the note fits.
    return {"truncated": True, "result": ""}
