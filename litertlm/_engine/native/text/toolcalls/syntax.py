"""What a syntax can do, and what two of them share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, Protocol, TypeAlias

__all__ = ["Calls", "MalformedCallError", "Reader", "Tokens", "ToolCallSyntax"]

Calls: TypeAlias = "list[tuple[str, dict[str, Any]]]"
"""Names and arguments."""

Reader: TypeAlias = Callable[[str], Calls]
"""Reads what stands between two fences; raises MalformedCallError."""


class MalformedCallError(ValueError):
    """What stands between the fences is no tool call; the message is fit to be told to the model."""


class ToolCallSyntax(Protocol):
    """How tools are written for templates that take them as text."""

    def write_tool(self, function: Mapping[str, Any]) -> str:
        """A declaration: ``name``, ``description`` and ``parameters``."""
        ...

    def write_value(self, value: Any) -> str:
        """An argument of a call."""
        ...

    def write_result(self, name: str, response: Any) -> str:
        """What a tool gave back."""
        ...


class Tokens:
    """Reads a text token by token, in the way of the official engine's lexers.

    Args:
        text: What is read.
        kinds: A pattern for each kind of token. The longest match counts, the first of several.

    What is no token is skipped, as there; so a stray character does not spoil a call.
    """

    def __init__(self, text: str, kinds: Mapping[str, re.Pattern[str]]) -> None:
        self._tokens = list(_split(text, kinds))
        self._position = 0

    @property
    def kind(self) -> str:
        """Of the next token; "" at the end."""
        return self._tokens[self._position][0] if self._position < len(self._tokens) else ""

    @property
    def text(self) -> str:
        """Of the next token; "" at the end."""
        return self._tokens[self._position][1] if self._position < len(self._tokens) else ""

    def take(self, kind: str) -> str:
        """The text of the next token, which must be of that kind.

        Raises:
            MalformedCallError: It is not.
        """
        if self.kind != kind:
            self.fail(kind)
        text = self.text
        self._position += 1
        return text

    def skip(self, kind: str) -> bool:
        """Whether the next token was of that kind; then it is behind us."""
        found = self.kind == kind
        self._position += found
        return found

    def fail(self, wanted: str) -> NoReturn:
        """Raises MalformedCallError."""
        found = f"{self.text!r}" if self.kind else "the end"
        raise MalformedCallError(f"{wanted} was expected where {found} is")


def _split(text: str, kinds: Mapping[str, re.Pattern[str]]) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        found = [(name, match[0]) for name, kind in kinds.items() if (match := kind.match(text, position))]
        if not found:
            position += 1
            continue
        longest = max(found, key=lambda token: len(token[1]))
        position += len(longest[1])
        yield longest
