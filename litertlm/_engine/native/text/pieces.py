"""What a reply consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["Called", "Malformed", "Piece", "Said", "Thought"]


@dataclass(frozen=True, slots=True)
class Said:
    """Text of the answer; never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """Text of a channel; never empty.

    Attributes:
        text: What the model thought.
        channel: The channel's name, for example ``"thought"``.
    """

    text: str
    channel: str


@dataclass(frozen=True, slots=True)
class Called:
    """A complete tool call.

    Attributes:
        name: The tool, as the model wrote it; not checked against the declared tools.
        arguments: JSON values by parameter name.
    """

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Malformed:
    """A tool call that was complete, but cannot be read.

    Attributes:
        text: What the model wrote, fences included.
        reason: What is wrong with it, a sentence without a full stop, fit to be told to the model.
    """

    text: str
    reason: str


Piece: TypeAlias = Said | Thought | Called | Malformed
