"""What happens while the calls of one batch are answered.

The order is fixed: one :class:`ToolBatchStarted`; for every call that is run a :class:`ToolStarted`, in the
model's order; for every call exactly one :class:`ToolEnded` or :class:`ToolFailed`, as they finish; one
:class:`ToolBatchEnded`. A batch that ends early skips what was still in flight or not begun.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from litertlm.messages import ToolCall, ToolResult

__all__ = ["ToolBatchEnded", "ToolBatchStarted", "ToolEnded", "ToolEvent", "ToolFailed", "ToolStarted"]


@dataclass(frozen=True, slots=True)
class ToolBatchStarted:
    """The calls of one reply are about to be run."""

    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A handler begins."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class ToolEnded:
    """A handler gave a result, after so many seconds."""

    call: ToolCall
    seconds: float
    result: ToolResult


@dataclass(frozen=True, slots=True)
class ToolFailed:
    """A call has no result of its handler.

    Attributes:
        call: The call.
        seconds: Since the handler began, 0.0 when it was not run.
        error: Why, in words.
        result: What the model is told; None: it is told nothing, the turn fails.
    """

    call: ToolCall
    seconds: float
    error: str
    result: ToolResult | None = None


@dataclass(frozen=True, slots=True)
class ToolBatchEnded:
    """All calls are answered, or the batch was given up.

    Attributes:
        calls: All calls of the batch.
        seconds: How long it took.
        results: In the model's order; empty when it was given up.
        error: What ended it early, None when nothing did.
    """

    calls: tuple[ToolCall, ...]
    seconds: float
    results: tuple[ToolResult, ...] = ()
    error: BaseException | None = None


ToolEvent: TypeAlias = ToolBatchStarted | ToolStarted | ToolEnded | ToolFailed | ToolBatchEnded
