"""Making room in the context, the way that the chat wants it."""

from __future__ import annotations

from collections.abc import Iterable

from litertlm._engine.seam import Delta
from litertlm.chat.limits import Limits
from litertlm.chat.overflow import OnOverflow, Overflow, drop_oldest, summarize
from litertlm.chat.timeline import Timeline
from litertlm.errors import ContextOverflow, DeadlineExceeded, OptionError
from litertlm.messages import Message
from litertlm.options import TurnOptions

__all__ = ["RoomKeeper"]


class RoomKeeper:
    """Finds out whether a message fits, and what to leave out if it does not.

    Args:
        timeline: Of the chat.
        limit: Context length in tokens, None when unknown.
        policy: What the chat wants.
        limits: Of the turn.
    """

    def __init__(self, timeline: Timeline, limit: int | None, policy: OnOverflow, limits: Limits) -> None:
        self._timeline = timeline
        self._limit = limit
        self._policy = policy
        self._limits = limits

    def overflow(self, history: tuple[Message, ...], message: Message) -> Overflow | None:
        """How ``message`` does not fit after ``history``; None when it does."""
        if self._limit is None:
            return None
        used, needed = self._timeline.prefilled, self._timeline.count_prefill(message)
        # One token must be left for the answer.
        if used + needed < self._limit:
            return None
        return Overflow(history, message, used, needed, self._limit)

    def trimmed(self, overflow: Overflow) -> tuple[Message, ...]:
        """What is left of the history.

        Raises:
            ContextOverflow: The chat does not want anything left out, or that is not enough.
            OptionError: A policy of the application returned something else than messages.
        """
        if self._policy == "error":
            raise ContextOverflow(overflow.used, overflow.needed, overflow.limit)
        if self._policy == "drop_oldest":
            return drop_oldest(overflow, self._measure)
        if self._policy == "summarize":
            return summarize(overflow, self._measure, self._ask)
        answer: object = self._policy(overflow)
        kept = tuple(answer) if isinstance(answer, Iterable) else (answer,)
        if not all(isinstance(message, Message) for message in kept):
            raise OptionError("on_overflow must return messages", hint="Return those that stay, in order.")
        if self._measure(kept, overflow.message) >= overflow.limit:
            raise ContextOverflow(overflow.used, overflow.needed, overflow.limit)
        return kept

    def _measure(self, history: tuple[Message, ...], message: Message) -> int:
        self._limits.check()
        return self._timeline.measure(history, message)

    def _ask(self, history: tuple[Message, ...], message: Message, longest: int) -> str:
        """The model's answer to a message after a history, in a conversation of its own."""
        with self._timeline.aside(history) as conversation:
            options = TurnOptions(longest, timeout=self._limits.remaining(), tools=False)
            native = conversation.prepare(message, options)
            forget = self._limits.token.add_callback(native.cancel)
            said: list[Delta] = []
            try:
                native.start()
                while native.end is None:
                    said += native.take(self._limits.slice)
                    self._limits.check()
                if native.end.error is not None:
                    raise native.end.error
            except DeadlineExceeded:
                raise self._limits.too_late() from None
            finally:
                forget()
                native.close()
            return "".join(delta.text for delta in said).strip()
