"""A turn as its user reads it: chunks, then one reply, or the chat as it was before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from types import TracebackType

from litertlm import events
from litertlm.chat.turn import ChatTurn
from litertlm.errors import ClosedError
from litertlm.events import Event
from litertlm.messages import Chunk, Reply

__all__ = ["Stream", "chunk_of", "read_through"]


def chunk_of(event: Event) -> Chunk | None:
    """What an event is to who reads chunks; None: nothing."""
    match event:
        case events.TextDelta(text, logprobs):
            return Chunk(text, logprobs=logprobs)
        case events.ThinkingDelta(text, logprobs):
            return Chunk(thinking=text, logprobs=logprobs)
        case events.ToolCallDelta(calls, logprobs):
            return Chunk(tool_calls=calls, logprobs=logprobs)
        case events.TurnEnded(reply):
            return Chunk(reply=reply)
        case _:
            return None


class Stream:
    """The chunks of one turn, as they come.

    Iterate over it; the last chunk carries the :class:`~litertlm.messages.Reply`, which is also :attr:`reply`
    afterwards. Leaving it early (``break``, an exception, ``close()``, the end of a ``with`` block) cancels
    the turn, and the chat is as it was before it. A stream that is dropped half-read does the same when it is
    collected.

    Threads: one at a time; :meth:`cancel` from any.
    """

    def __init__(self, turn: ChatTurn) -> None:
        self._turn = turn
        self._happened = deque(turn.begin())
        self._reply: Reply | None = None
        # Whether whoever reads knows how the turn ended.
        self._told = False

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
        return self._turn.over

    def events(self) -> Iterator[Event]:
        """Everything that happens in the turn, see :mod:`litertlm.events`; instead of iterating over chunks.

        Raises:
            LiteRTLMError: The turn failed, and the chat is as it was before.
        """
        while not self._ended():
            yield self._next_event()

    def cancel(self) -> None:
        """Stop the turn: the reader gets :class:`~litertlm.errors.Cancelled`. Any thread, any time."""
        self._turn.cancel()

    def close(self) -> None:
        """Leave the stream: cancel the turn unless it is over, and undo it. Idempotent."""
        self._told = True
        self._turn.rollback()

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Chunk:
        while True:
            if self._ended():
                raise StopIteration
            chunk = chunk_of(self._next_event())
            if chunk is not None:
                return chunk

    def _ended(self) -> bool:
        """Whether nothing comes any more; raises if the turn was undone behind the reader's back."""
        failure = self._turn.failure
        if failure is not None and not self._told:
            self._told = True
            raise failure
        return self._turn.over and (failure is not None or not self._happened)

    def _next_event(self) -> Event:
        try:
            event = self._happened.popleft() if self._happened else next(self._turn)
        except BaseException:
            self._told = True
            raise
        if isinstance(event, events.TurnEnded):
            self._reply = event.reply
        return event

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # Empty after an __init__ that failed at its first line.
        turn = getattr(self, "_turn", None)
        if turn is not None and not turn.over:
            turn.rollback()


def read_through(stream: Stream) -> Reply:
    """Take all that comes, and give the reply; what the turn raises is raised."""
    with stream:
        for _ in stream.events():
            pass
        return stream.reply
