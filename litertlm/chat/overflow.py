"""What to leave out when a conversation no longer fits the context."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TypeAlias

from litertlm.errors import ContextOverflow
from litertlm.messages import Message, Text
from litertlm.options import check_choice

__all__ = ["OnOverflow", "Overflow", "check_policy", "drop_oldest", "split_turns", "summarize"]

SUMMARY_REQUEST = (
    "Summarise our conversation so far in a few short sentences. "
    "Keep names, numbers, decisions and open questions."
)
SUMMARY_ASKED = "What did we talk about earlier?"

# Trimming makes the engine prefill what is left again, so it makes room for several turns at once.
ROOM = 0.5
# Of the context, for the request for a summary and the summary itself.
SUMMARY_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Overflow:
    """A message that does not fit any more.

    Attributes:
        history: What has been said, the system message first.
        message: What is to be sent.
        used: Tokens in the KV cache.
        needed: Tokens that the message takes.
        limit: Context length in tokens.
    """

    history: tuple[Message, ...]
    message: Message
    used: int
    needed: int
    limit: int


OnOverflow: TypeAlias = Literal["error", "drop_oldest", "summarize"] | Callable[[Overflow], Iterable[Message]]
"""What to do about it: raise, forget the oldest turns, let the model sum them up, or what a function says."""

Measure: TypeAlias = Callable[[tuple[Message, ...], Message], int]
"""Tokens in all, if a message were sent after a history."""


def check_policy(policy: object) -> None:
    """Raises OptionError unless it is one of OnOverflow."""
    if not callable(policy):
        check_choice("on_overflow", policy, ("error", "drop_oldest", "summarize"))


def split_turns(history: Iterable[Message]) -> tuple[tuple[Message, ...], list[tuple[Message, ...]]]:
    """The system message, and the turns; calls and their results stay in the turn that they belong to."""
    system: tuple[Message, ...] = ()
    turns: list[list[Message]] = []
    for message in history:
        if message.role == "system" and not turns:
            system += (message,)
        elif message.role == "user" or not turns:
            turns.append([message])
        else:
            turns[-1].append(message)
    return system, [tuple(turn) for turn in turns]


def drop_oldest(
    overflow: Overflow, measure: Measure, *, before: tuple[Message, ...] = ()
) -> tuple[Message, ...]:
    """What is left of the history when its oldest turns are forgotten.

    As few turns go as make ``ROOM`` of the context free, or, if nothing does, as make the message fit at all.
    The system message stays, and so does the turn that is going on, if the message belongs to one.

    Args:
        overflow: What does not fit.
        measure: Tokens in all, if a message were sent after a history.
        before: Stands where the forgotten turns were.

    Raises:
        ContextOverflow: It does not fit even then.
    """
    system, old, current = _split(overflow)
    kept: tuple[Message, ...] | None = None
    for dropped in range(1, len(old) + 1):
        rest = (*system, *before, *(message for turn in old[dropped:] for message in turn), *current)
        total = measure(rest, overflow.message)
        if total < overflow.limit:
            kept = rest
            if total <= overflow.limit * ROOM:
                break
    if kept is None:
        raise _hopeless(overflow)
    return kept


def summarize(
    overflow: Overflow, measure: Measure, ask: Callable[[tuple[Message, ...], Message, int], str]
) -> tuple[Message, ...]:
    """What is left of the history when its oldest turns give way to a summary that the model writes.

    The summary stands as a question and its answer before the turns that stay. When the whole conversation
    leaves no room for the request, its oldest turns are left out of the summary. The turn that is going on,
    if the message belongs to one, is no part of it. A summary that turns out too long is left out.

    Args:
        overflow: What does not fit.
        measure: As for :func:`drop_oldest`.
        ask: The model's answer to a message after a history, of so many tokens at most.

    Raises:
        ContextOverflow: It does not fit even then.
    """
    system, old, current = _split(overflow)
    # Before the model is asked in vain.
    if not old or measure((*system, *current), overflow.message) >= overflow.limit:
        raise _hopeless(overflow)
    longest = max(1, int(overflow.limit * SUMMARY_SHARE))
    request = Message("user", (Text(SUMMARY_REQUEST),))
    told = (*system, *(message for turn in old for message in turn))
    limit = overflow.limit - longest
    if measure(told, request) >= limit:
        try:
            told = drop_oldest(Overflow(told, request, overflow.used, overflow.needed, limit), measure)
        except ContextOverflow:
            raise _hopeless(overflow) from None
    summary = ask(told, request, longest)
    if summary:
        pair = (Message("user", (Text(SUMMARY_ASKED),)), Message("assistant", (Text(summary),)))
        with suppress(ContextOverflow):
            return drop_oldest(overflow, measure, before=pair)
    return drop_oldest(overflow, measure)


def _split(
    overflow: Overflow,
) -> tuple[tuple[Message, ...], list[tuple[Message, ...]], tuple[Message, ...]]:
    """The system message, the turns that may go, and the turn that the message belongs to."""
    system, turns = split_turns(overflow.history)
    if overflow.message.role == "user" or not turns:
        return system, turns, ()
    return system, turns[:-1], turns[-1]


def _hopeless(overflow: Overflow) -> ContextOverflow:
    return ContextOverflow(overflow.used, overflow.needed, overflow.limit)
