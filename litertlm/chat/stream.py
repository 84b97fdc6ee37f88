"""A turn as its user sees it: chunks, then one reply, or the chat as it was before."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import Protocol

from litertlm._engine.seam import Delta, Turn, TurnEnd
from litertlm.errors import ClosedError, DeadlineExceeded
from litertlm.messages import Chunk, FinishReason, Reply, Usage

__all__ = ["Stream", "TurnOwner"]


class TurnOwner(Protocol):
    """What a finished turn is reported to."""

    def commit(self, reply: Reply) -> None:
        """The turn ended well: it becomes part of the conversation."""
        ...

    def rollback(self) -> None:
        """The turn failed or was left: stop it, and make the conversation what it was before.

        May be called again if it was interrupted.
        """
        ...


class Stream:
    """The chunks of one turn, as they come.

    Iterate over it; the last chunk carries the :class:`~litertlm.messages.Reply`, which is also :attr:`reply`
    afterwards. Leaving it early (``break``, an exception, ``close()``, the end of a ``with`` block) cancels
    the turn, and the chat is as it was before it. A stream that is dropped half-read does the same when it is
    collected.

    Threads: one at a time; :meth:`cancel` from any.
    """

    def __init__(self, owner: TurnOwner, turn: Turn, timeout: float | None, started: float) -> None:
        self._owner: TurnOwner | None = owner
        self._turn = turn
        self._timeout = timeout
        self._deadline = None if timeout is None else started + timeout
        self._waiting: deque[Delta] = deque()
        self._said: list[Delta] = []
        self._reply: Reply | None = None

    @property
    def reply(self) -> Reply:
        """The whole reply.

        Raises:
            ClosedError: The stream has not been read to its end.
        """
        if self._reply is None:
            raise ClosedError("The stream has no reply yet", hint="Read it to its end first.")
        return self._reply

    @property
    def finished(self) -> bool:
        """Whether the turn is over and settled, one way or the other."""
        return self._owner is None

    def cancel(self) -> None:
        """Stop the turn: the reader gets :class:`~litertlm.errors.Cancelled`. Any thread, any time."""
        self._turn.cancel()

    def close(self) -> None:
        """Leave the stream: cancel the turn unless it is over, and undo it. Idempotent."""
        if self._owner is not None:
            self._owner.rollback()
            self._owner = None

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Chunk:
        try:
            return self._next()
        except StopIteration:
            raise
        except BaseException:
            self.close()
            raise

    def _next(self) -> Chunk:
        while not self._waiting:
            if self._owner is None:
                raise StopIteration
            if self._turn.end is not None:
                return self._conclude(self._turn.end)
            self._waiting.extend(self._turn.take(self._left()))
            if not self._waiting and self._turn.end is None:
                raise DeadlineExceeded(self._timeout or 0.0)
        delta = self._waiting.popleft()
        self._said.append(delta)
        return Chunk(delta.text, delta.thinking, delta.tool_calls)

    def _conclude(self, end: TurnEnd) -> Chunk:
        if end.error is not None:
            raise end.error
        reply = Reply(
            text="".join(delta.text for delta in self._said),
            thinking="".join(delta.thinking for delta in self._said),
            tool_calls=tuple(call for delta in self._said for call in delta.tool_calls),
            finish_reason=_finish_reason(end, any(delta.tool_calls for delta in self._said)),
            usage=Usage(
                end.prompt_tokens,
                end.completion_tokens,
                end.reused_tokens,
                end.image_tokens,
                end.audio_tokens,
            ),
            timings=end.timings,
            raw=end.raw,
        )
        assert self._owner is not None
        self._owner.commit(reply)
        self._owner = None
        self._reply = reply
        return Chunk(reply=reply)

    def _left(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # A failed __init__ leaves no _owner.
        if getattr(self, "_owner", None) is not None:
            self.close()


def _finish_reason(end: TurnEnd, calls: bool) -> FinishReason:
    if calls:
        return "tool_calls"
    return "length" if end.cut else "stop"
