"""What the fake remembers of every turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from litertlm._engine.seam import ToolSpec, TurnEnd
from litertlm.messages import Message
from litertlm.options import Sampler, TurnOptions

__all__ = ["Outcome", "TurnRecord"]

Outcome: TypeAlias = Literal[
    "running", "stop", "length", "tool_calls", "cancelled", "timeout", "error", "left", "refused"
]
"""How a turn stands: running; a reply's finish reason; cancelled; over its timeout; failed; closed by its
reader before its end; or it did not begin."""


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One turn that reached the engine.

    Attributes:
        conversation: Number of the conversation, from 1; 0 for a completion, which has none.
        messages: The whole conversation as the model saw it, the new message last; () for a completion.
        tools: What the model was shown, with ``name``, ``description`` and ``parameters``.
        prompt: The text that was prefilled in this turn, media as their placeholders.
        sampler: The conversation's sampler, overridden by the turn's.
        thinking: Whether the model might think; None: not said.
        options: Of the turn.
        outcome: How it ended.
        reply: The text of the answer; "" unless the turn ended well.
        error: Why it failed, None when it did not.
        end: What the engine said of its end, None if it did not come to one.
    """

    conversation: int
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    prompt: str
    sampler: Sampler
    thinking: bool | None
    options: TurnOptions
    outcome: Outcome = "running"
    reply: str = ""
    error: BaseException | None = None
    end: TurnEnd | None = None
