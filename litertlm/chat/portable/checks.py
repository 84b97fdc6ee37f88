"""Whether plain values are what they should be, and where they are not.

A *place* is the way to a value from the top of the document: ``history[3].parts[0].text``. The text of every
error here goes on from it: "... is not a text".
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from litertlm.errors import ChatFileError

__all__ = ["MOST_DEPTH", "Node", "check_json", "check_text", "join"]

MOST_DEPTH = 100
"""How deep lists and objects may be in one another in a JSON value."""

MOST_DIGITS = 1_000
_LARGEST = 10**MOST_DIGITS
MOST_COUNT = 2**63 - 1
_MOST_NOTES = 100
_SHOWN = 40
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,6}))?Z")


def join(place: str, name: str) -> str:
    """The place of a field."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,39}", name):
        shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
        return f"{place}[{json.dumps(shown)}]"
    return f"{place}.{name}" if place else name


def check_text(value: object, place: str) -> str:
    """A text that UTF-8 can hold.

    Raises:
        ChatFileError: It is none.
    """
    if not isinstance(value, str):
        raise ChatFileError(f"is not a text, but {kind(value)}", place=place)
    if problem := _text_problem(value):
        raise ChatFileError(problem, place=place)
    return value


def check_json(value: object, place: str) -> None:
    """Raises ChatFileError unless ``value`` is a JSON value that comes back as it went."""
    found = _json_problem(value, MOST_DEPTH)
    if found:
        steps, problem = found
        for step in reversed(steps):
            place = f"{place}[{step}]" if isinstance(step, int) else join(place, step)
        raise ChatFileError(problem, place=place)


def kind(value: object) -> str:
    """What a value is, in words for a reader."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "an object"
        case _:
            return f"a Python object of type {type(value).__name__}"


def _text_problem(text: str) -> str | None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"is not valid Unicode text (lone surrogate at position {error.start})"
    return None


def _json_problem(value: object, depth: int) -> tuple[list[str | int], str] | None:
    """The steps to the first value that JSON cannot hold, innermost first, and what is wrong with it."""
    problem: str | None = None
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        problem = _text_problem(value)
    elif isinstance(value, int):
        if not -_LARGEST < value < _LARGEST:
            problem = f"is a whole number of more than {MOST_DIGITS:,} digits"
    elif isinstance(value, float):
        if not math.isfinite(value):
            problem = "is not a finite number"
    elif isinstance(value, Mapping | list | tuple):
        if not depth:
            return [], f"is nested more than {MOST_DEPTH} deep"
        items: Iterator[tuple[Any, Any]] = iter(
            value.items() if isinstance(value, Mapping) else enumerate(value)
        )
        for step, item in items:
            if isinstance(value, Mapping):
                if not isinstance(step, str):
                    return [], f"has a key that is no text: {_short(step)}"
                if _text_problem(step):
                    return [], f"has a key that is not valid Unicode text: {_short(step)}"
            if found := _json_problem(item, depth - 1):
                found[0].append(step)
                return found
    else:
        problem = f"is not a JSON value, but {kind(value)}"
    return ([], problem) if problem else None


def _short(value: object) -> str:
    shown = ascii(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a parsed document, and where it is.

    Its methods raise ChatFileError if it is something else than they say.

    Attributes:
        value: As the JSON parser gave it.
        place: Where it is.
        notes: Gets a line for everything that is passed over; the whole document shares it.
    """

    value: object
    place: str
    notes: list[str]

    def refuse(self, problem: str, hint: str = "") -> ChatFileError:
        """The error that says ``problem`` of this value."""
        return ChatFileError(problem, place=self.place, hint=hint)

    def text(self) -> str:
        """A text."""
        return check_text(self.value, self.place)

    def matching(self, pattern: str, what: str) -> str:
        """A text that matches ``pattern`` as a whole; ``what`` says what that is."""
        text = self.text()
        if not re.fullmatch(pattern, text):
            raise self.refuse(f"is not {what}: {_short(text)}")
        return text

    def count(self) -> int:
        """A whole number, >= 0."""
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self.refuse(f"is not a whole number, but {kind(self.value)}")
        if not 0 <= self.value <= MOST_COUNT:
            raise self.refuse("is out of range")
        return self.value

    def time(self) -> datetime:
        """A moment, in UTC."""
        found = _TIME.fullmatch(self.text())
        problem = f"is not a time such as 2025-01-31T12:30:00Z: {_short(self.value)}"
        if not found:
            raise self.refuse(problem)
        try:
            whole = datetime.fromisoformat(found[1])
        except ValueError:
            raise self.refuse(problem) from None
        return whole.replace(microsecond=int((found[2] or "").ljust(6, "0")), tzinfo=timezone.utc)

    def items(self) -> list[Node]:
        """The items of a list."""
        if not isinstance(self.value, list):
            raise self.refuse(f"is not a list, but {kind(self.value)}")
        return [Node(item, f"{self.place}[{i}]", self.notes) for i, item in enumerate(self.value)]

    def mapping(self) -> dict[str, Any]:
        """An object with any JSON values in it."""
        if not isinstance(self.value, dict):
            raise self.refuse(f"is not an object, but {kind(self.value)}")
        check_json(self.value, self.place)
        return self.value

    def json(self) -> Any:
        """Any JSON value."""
        check_json(self.value, self.place)
        return self.value

    def fields(self, needed: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Node]:
        """The fields of an object, by name; others are passed over with a note."""
        if not isinstance(self.value, dict):
            raise self.refuse(f"is not an object, but {kind(self.value)}")
        for name in needed:
            if name not in self.value:
                raise ChatFileError("is missing", place=join(self.place, name))
        for name in self.value:
            if name not in needed and name not in optional:
                self.note(f"{join(self.place, name)} is not known here, and is passed over")
        return {
            name: Node(self.value[name], join(self.place, name), self.notes)
            for name in (*needed, *optional)
            if name in self.value
        }

    def note(self, line: str) -> None:
        """Say that something is passed over."""
        if len(self.notes) < _MOST_NOTES:
            self.notes.append(line)
