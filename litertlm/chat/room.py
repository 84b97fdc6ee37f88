"""Making room in the context, the way that the chat wants it."""

from __future__ import annotations

from litertlm._engine.seam import Delta
from litertlm.chat.limits import Limits
from litertlm.chat.overflow import OnOverflow, Overflow, drop_oldest, summarize
from litertlm.chat.timeline import Timeline
from litertlm.errors import ContextOverflow, OptionError
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
        used, needed = self._timeline.prefilled, self._timeline.count(message)
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

        def measure(history: tuple[Message, ...]) -> int:
            self._limits.check()
            return self._timeline.measure(history, overflow.message)

        if self._policy == "error":
            raise ContextOverflow(overflow.used, overflow.needed, overflow.limit)
        if self._policy == "drop_oldest":
            return drop_oldest(overflow, measure)
        if self._policy == "summarize":
            return summarize(overflow, measure, self._ask)
        kept = tuple(self._policy(overflow))
        if not all(isinstance(message, Message) for message in kept):
            raise OptionError("on_overflow must return messages")
        if measure(kept) >= overflow.limit:
            raise ContextOverflow(overflow.used, overflow.needed, overflow.limit)
        return kept

    def _ask(self, history: tuple[Message, ...], message: Message) -> str:
        """The model's answer to a message after a history, in a conversation of its own."""
        with self._timeline.aside(history) as conversation:
            native = conversation.prepare(message, TurnOptions(timeout=self._limits.left, tools=False))
            try:
                native.start()
                said: list[Delta] = []
                while native.end is None:
                    said += native.take(self._limits.slice)
                    self._limits.check()
            finally:
                native.close()
            if native.end.error is not None:
                raise native.end.error
            return "".join(delta.text for delta in said).strip()
