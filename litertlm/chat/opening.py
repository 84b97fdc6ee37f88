"""What a turn begins with; settled when the chat is free, as another turn may have changed it before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from litertlm.chat.compose import in_order, text_message
from litertlm.chat.timeline import State, state_at, state_before
from litertlm.errors import MessageError
from litertlm.messages import Message, Text, ToolCall, ToolResult

if TYPE_CHECKING:
    from litertlm.tools import Toolset

__all__ = ["Begin", "Opening", "again", "answering", "edited", "making_calls", "pending_calls", "saying"]


@dataclass(frozen=True, slots=True)
class Opening:
    """What a turn begins with.

    Attributes:
        base: The state that it starts from.
        message: What is sent; None: ``calls`` are made first.
        calls: Tool calls of the last reply.
    """

    base: State
    message: Message | None
    calls: tuple[ToolCall, ...] = ()


Begin: TypeAlias = Callable[[State], Opening]
"""Makes the opening of the state in which the chat is; raises MessageError if there can be none."""


def pending_calls(history: tuple[Message, ...]) -> tuple[ToolCall, ...]:
    """The calls of the last reply, which wait for results."""
    return history[-1].tool_calls if history and history[-1].role == "assistant" else ()


def saying(message: Message) -> Begin:
    """The user says something."""
    return lambda state: Opening(state, message)


def answering(results: Message) -> Begin:
    """The application gives the results of all pending calls."""
    return lambda state: Opening(state, in_order(results, pending_calls(state.history)))


def making_calls(toolset: Toolset) -> Begin:
    """The pending calls are made."""

    def begin(state: State) -> Opening:
        calls = pending_calls(state.history)
        if not calls:
            raise MessageError("No tool call waits for being made")
        if not toolset.can_run(calls):
            raise MessageError(
                "Not all the tools that the model called have handlers",
                hint="Give their results with send_tool_result.",
            )
        return Opening(state, None, calls)

    return begin


def again() -> Begin:
    """The latest turn is made once more."""

    def begin(state: State) -> Opening:
        base = state_before(state, 1)
        return Opening(base, state.message or _results(pending_calls(base.history), state.history))

    return begin


def edited(index: int, text: str) -> Begin:
    """A message of the user has another text."""
    said = text_message(text)

    def begin(state: State) -> Opening:
        turn = state_at(state, index)
        assert turn.message is not None
        assert turn.before is not None
        media = tuple(part for part in turn.message.parts if not isinstance(part, Text))
        return Opening(turn.before, Message("user", (*media, *said.parts)))

    return begin


def _results(calls: tuple[ToolCall, ...], history: tuple[Message, ...]) -> Message:
    """The message that answered ``calls``: a turn that began with it has no message of the user."""
    ids = [call.id for call in calls]
    for message in history:
        if [part.call_id for part in message.parts if isinstance(part, ToolResult)] == ids:
            return message
    raise MessageError("The tool results that the turn began with are not in the history any more")
