"""What happens in a turn, as it happens.

Every turn is one series of events: it begins with :class:`TurnStarted`, goes through one or more hops (a hop
is one generation; tools run between hops), and ends with exactly one of :class:`TurnEnded` and
:class:`TurnFailed`. Streams, the command line, logs and traces are made from these.

::

    TurnStarted
      ContextTrimmed?
      HopStarted
        ThinkingDelta* TextDelta* ToolCallDelta*
      HopEnded
      ToolBatchStarted  (ToolStarted  ToolEnded | ToolFailed)*  ToolBatchEnded
      HopStarted ...
    TurnEnded | TurnFailed

All of them are frozen values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from litertlm.messages import Hop, Message, Reply, TokenLogprob, ToolCall
from litertlm.options import TurnOptions
from litertlm.tools.events import (
    ToolBatchEnded,
    ToolBatchStarted,
    ToolEnded,
    ToolEvent,
    ToolFailed,
    ToolStarted,
)

__all__ = [
    "ContextTrimmed",
    "Event",
    "HopEnded",
    "HopStarted",
    "TextDelta",
    "ThinkingDelta",
    "ToolBatchEnded",
    "ToolBatchStarted",
    "ToolCallDelta",
    "ToolEnded",
    "ToolEvent",
    "ToolFailed",
    "ToolStarted",
    "TurnEnded",
    "TurnFailed",
    "TurnStarted",
]


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """A turn has begun.

    Attributes:
        message: What was sent, media as encoded bytes; None when calls that were put off are made.
    """

    message: Message | None


@dataclass(frozen=True, slots=True)
class ContextTrimmed:
    """Earlier messages were taken out of the context to make room for the new one.

    Attributes:
        dropped: The messages that the model no longer sees, oldest first.
        limit: Context length in tokens.
    """

    dropped: tuple[Message, ...]
    limit: int


@dataclass(frozen=True, slots=True)
class HopStarted:
    """The engine has taken a message, and prefills it.

    Attributes:
        number: 0 for the user's message, 1 for the first tool results, and so on.
        message: What is prefilled.
        history: What the model was told before it, the system message first.
        options: How it decodes; the timeout is what is left of the turn's.
    """

    number: int
    message: Message
    history: tuple[Message, ...] = field(default=(), repr=False)
    options: TurnOptions = TurnOptions()


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer.

    Attributes:
        text: What it says; "" if there is nothing but ``logprobs``.
        logprobs: The tokens that have come with it, if ``logprobs`` was asked for.
    """

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """A piece of the thinking channel; ``logprobs`` as in a TextDelta."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """Complete tool calls, as the model makes them; nothing has run yet. ``logprobs`` as in a TextDelta."""

    calls: tuple[ToolCall, ...]
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class HopEnded:
    """One generation is over."""

    hop: Hop


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The turn is over and part of the conversation."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class TurnFailed:
    """The turn is over and undone; the chat is as it was before it.

    Attributes:
        error: Why; :class:`~litertlm.errors.Cancelled` when its reader left.
    """

    error: BaseException


Event: TypeAlias = (
    "TurnStarted | ContextTrimmed | HopStarted | TextDelta | ThinkingDelta | ToolCallDelta | HopEnded "
    "| ToolEvent | TurnEnded | TurnFailed"
)
